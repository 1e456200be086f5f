"""The threshold of distances, and the readings of a degree.

Distances are measured on the device and stored; what counts as symmetric is decided in numpy by
`DistanceObservable.count`, both when a pack is recorded and when a sweep is read with another threshold.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Floats = npt.NDArray[np.floating[Any]]


class Threshold(BaseModel):
    """Below which distance a symmetry counts as kept: max(absolute, relative * s)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    """In units of the weights."""
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """In units of s, the scale of the layer's living neurons."""

    def epsilon(self, norms: Floats) -> npt.NDArray[np.float64]:
        """The threshold of each trial.

        Parameters
        ----------
        norms
            Norms of the neuron vectors, shape (trials, width).

        Returns
        -------
        Float64, shape (trials,).
        """
        return self.at_scale(living_scale(norms))

    def at_scale(self, scale: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The threshold where s is `scale`; any shape, float64."""
        epsilon: npt.NDArray[np.float64] = np.maximum(self.absolute, self.relative * scale)
        return epsilon


def living_scale(norms: Floats) -> npt.NDArray[np.float64]:
    """S of each trial: the root mean square norm of its neurons, each weighted by its squared norm.

    s^2 = sum |v|^4 / sum |v|^2. The weights are the shares of the neurons in what weight decay costs, so that
    dead ones have none: s is the same however many there are. Where all norms are equal it is their root mean
    square; it is smooth in the norms, and 0 where all are.

    Parameters
    ----------
    norms
        Norms of the neuron vectors, shape (trials, width).

    Returns
    -------
    Float64, shape (trials,).
    """
    largest = norms.max(axis=1, initial=0.0).astype(np.float64)
    unit = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
    squares = np.square(norms.astype(np.float64) / unit[:, None])
    total = squares.sum(axis=1)
    shares = np.divide(squares, total[:, None], out=np.zeros_like(squares), where=total[:, None] > 0)
    scale: npt.NDArray[np.float64] = unit * np.sqrt((shares * squares).sum(axis=1))
    return scale


def root_mean_square(norms: Floats) -> npt.NDArray[np.float64]:
    """S of each trial as sweeps had it that did not store it; dead neurons make it smaller.

    Shape (trials, width) to (trials,).
    """
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
