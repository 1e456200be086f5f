"""From stored distances to degrees: the only place where a threshold meets a distance.

Distances are measured on the device (`phasediag.symmetry`) and stored; what counts as symmetric
is decided here, in numpy, both when a pack is recorded and when a sweep is read with another
threshold.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Observable = Literal["permutation", "sign_flip", "classes", "rank"]
ALWAYS: Final[tuple[Observable, ...]] = ("permutation", "sign_flip", "classes")
"""Measured on `measure.layer` of every trial."""
RANK_TOLERANCE: Final = 0.01
"""A singular value counts towards the rank above this share of the largest."""

FloatArray = npt.NDArray[np.floating[Any]]


class Threshold(BaseModel):
    """Below which distance two neurons count as equal: max(absolute, relative * s)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    """In units of the weights."""
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """In units of s, the root mean square of the layer's neuron norms."""

    def epsilon(self, norms: FloatArray) -> npt.NDArray[np.float64]:
        """The threshold of each trial.

        Parameters
        ----------
        norms
            Norms of the neuron vectors, shape (trials, width).

        Returns
        -------
        Float64, shape (trials,).
        """
        with np.errstate(over="ignore"):
            scale = np.sqrt(np.mean(np.square(norms, dtype=np.float64), axis=1))
        epsilon: npt.NDArray[np.float64] = np.maximum(self.absolute, self.relative * scale)
        return epsilon


def degree(
    observable: Observable, distances: FloatArray, epsilon: npt.NDArray[np.float64], absolute: float
) -> npt.NDArray[np.int64]:
    """Count what an observable counts.

    permutation: neighbours closer than epsilon; sign_flip: dead neurons, norm below epsilon;
    classes: insertion distances of at least epsilon (the number of distinct living neurons);
    rank: singular values above max(absolute, 0.01 of the largest).

    Parameters
    ----------
    distances
        As measured and stored, shape (trials, length).
    epsilon
        The threshold of each trial, shape (trials,).
    absolute
        The absolute part of the threshold, for the rank.

    Returns
    -------
    Int64, shape (trials,).
    """
    counted: npt.NDArray[np.bool_]
    if observable == "rank":
        largest = distances.max(axis=1, initial=0.0)
        counted = distances > np.maximum(absolute, RANK_TOLERANCE * largest)[:, None]
    elif observable == "classes":
        counted = distances >= epsilon[:, None]
    else:
        counted = distances < epsilon[:, None]
    degrees: npt.NDArray[np.int64] = counted.sum(axis=1)
    return degrees
