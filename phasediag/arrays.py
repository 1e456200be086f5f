"""Arrays by the type of their numbers, as annotations name them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
"""Numbers of double precision."""
IntArray = npt.NDArray[np.int64]
"""Whole numbers: counts, positions, codes."""
BoolArray = npt.NDArray[np.bool_]
"""Truth values, one for each element of what they tell of."""
Shape = tuple[int, ...]
"""Sizes of an array along its axes."""
