"""What was measured at one step of a tile, as it is kept until its rows are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.arrays import FloatArray, IntArray

ALWAYS_HELD: Final = ("rows", "epsilon", "scale")
SOMETIMES_HELD: Final = (
    "degree", "distances", "train_loss", "test_loss", "log_change_half", "log_change_late",
)  # fmt: skip
"""The arrays of a block."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One observable of one layer at one step, for some trials of a tile or of a part of one."""

    step: int
    layer: str
    observable: str
    max_degree: int | None
    """None where nothing is counted."""
    rows: IntArray
    """Positions in the tile, shape (measured,)."""
    degree: IntArray | None
    epsilon: FloatArray
    scale: FloatArray
    """S of the threshold, `living_scale` of the neuron norms, shape (measured,)."""
    distances: npt.NDArray[Any] | None
    """What was measured, shape (measured, length), of the trials' dtype; None where it is left out."""
    train_loss: FloatArray | None = None
    """Shape (measured,); None where only the last step's is asked for."""
    test_loss: FloatArray | None = None
    log_change_half: npt.NDArray[np.int16] | None = None
    """How the distances moved from half of the run to its end, as `Changes` has it, shape (measured, length);
    None of all but the last of the measured layer."""
    log_change_late: npt.NDArray[np.int16] | None = None
    """How the distances moved from 0.9 of the run to its end; as `log_change_half`."""
