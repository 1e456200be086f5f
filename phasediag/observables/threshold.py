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

Observable = Literal[
    "permutation", "sign_flip", "classes", "rank", "rescaling", "rotation", "double_rotation"
]
ALWAYS: Final[tuple[Observable, ...]] = ("permutation", "sign_flip", "classes")
"""Measured on `measure.layer` of every trial."""
SYMMETRIES: Final[tuple[Observable, ...]] = (
    "permutation", "sign_flip", "rescaling", "rotation", "double_rotation",
)  # fmt: skip
"""Their degree is one of symmetry, the number of small distances; classes and rank count large ones."""
RANK_TOLERANCE: Final = 0.01
"""A singular value counts towards the rank above this share of the largest."""

FloatArray = npt.NDArray[np.floating[Any]]


class Threshold(BaseModel):
    """Below which distance a symmetry counts as kept: max(absolute, relative * s)."""

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
        return self.at_scale(root_mean_square(norms))

    def at_scale(self, scale: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The threshold where s is `scale`; any shape, float64."""
        epsilon: npt.NDArray[np.float64] = np.maximum(self.absolute, self.relative * scale)
        return epsilon


def root_mean_square(norms: FloatArray) -> npt.NDArray[np.float64]:
    """S of each trial, from the norms of its neuron vectors: shape (trials, width) to (trials,)."""
    with np.errstate(over="ignore"):
        scale: npt.NDArray[np.float64] = np.sqrt(np.mean(np.square(norms, dtype=np.float64), axis=1))
    return scale


def breaking(
    degree: npt.NDArray[np.float64], max_degree: npt.NDArray[np.float64], neurons: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """The readings of Eq. 14, from a degree of symmetry.

    Parameters
    ----------
    degree, max_degree
        Number of small distances, and of distances, shape (rows,).
    neurons
        d, the neurons of the layer: max_degree + 1 for the permutation, else max_degree.

    Returns
    -------
    `degree_per_neuron`: degree / d; `degree_of_breaking`: max_degree - degree; `breaking_normalized`:
    that over max_degree. NaN where the degree is, or where there is nothing to divide by.
    """
    broken = max_degree - degree
    nothing = np.full(degree.shape, np.nan)
    return {
        "degree_per_neuron": np.divide(degree, neurons, out=nothing.copy(), where=neurons > 0),
        "degree_of_breaking": broken,
        "breaking_normalized": np.divide(broken, max_degree, out=nothing.copy(), where=max_degree > 0),
    }


def degree(
    observable: Observable,
    distances: FloatArray,
    epsilon: npt.NDArray[np.float64],
    absolute: float | npt.NDArray[np.float64],
    tolerance: float = RANK_TOLERANCE,
) -> npt.NDArray[np.int64]:
    """Count what an observable counts.

    permutation: neighbours closer than epsilon; sign_flip: dead neurons, norm below epsilon;
    rescaling, rotation, double_rotation: dead neurons or directions, distance below epsilon;
    classes: insertion distances of at least epsilon (the number of distinct living neurons);
    rank: singular values above max(absolute, tolerance times the largest).

    Parameters
    ----------
    distances
        As measured and stored, shape (trials, length).
    epsilon
        The threshold of each trial, shape (trials,).
    absolute
        The absolute part of the threshold, for the rank; a number, or one a trial.
    tolerance
        The share of the largest singular value, for the rank.

    Returns
    -------
    Int64, shape (trials,).
    """
    counted: npt.NDArray[np.bool_]
    if observable == "rank":
        largest = distances.max(axis=1, initial=0.0)
        counted = distances > np.maximum(absolute, tolerance * largest)[:, None]
    elif observable == "classes":
        counted = distances >= epsilon[:, None]
    else:
        counted = distances < epsilon[:, None]
    degrees: npt.NDArray[np.int64] = counted.sum(axis=1)
    return degrees
