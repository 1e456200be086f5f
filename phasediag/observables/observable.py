"""What an observable is: something measured on one layer of one network.

A class here is written for a single network, as the step of training is; `torch.func.vmap` makes it many.
There are three kinds. *Distances* are stored and counted afterwards, at any threshold. *Numbers* become one
column of `trials` each. *Spectra* are lists that are stored, and numbers are derived from them. Files of
observables import torch inside their methods only, because a grid is read without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from phasediag.arrays import FloatArray
from phasediag.columns import Column

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen
    from phasediag.symmetry.geometry import Geometry


class Observable(ABC):
    """Something that is measured on a layer of neurons; stateless, and made without arguments."""

    name: ClassVar[str] = ""
    """What a grid calls it; a user's own is called `file.py:Class`."""
    meaning: ClassVar[str] = ""
    """One sentence for the reference."""
    word: ClassVar[str] = "value"
    """What one entry of the list that is stored is called on an axis."""
    columns: ClassVar[tuple[Column, ...]] = ()
    """The columns of `trials` that it fills, measured on `measure.layer` at the last step."""
    starting: ClassVar[tuple[Column, ...]] = ()
    """Columns with the numbers of step 0 besides; as many as `columns`, or none."""
    highest: ClassVar[tuple[Column, ...]] = ()
    """Columns with the largest numbers measured after step 0; as many as `columns`, or none."""

    uses_data: ClassVar[bool] = True
    """Whether it may ask for the loss, the features or the probe; without, networks that start alike are
    measured once."""

    curved: ClassVar[bool] = False
    """Whether it takes second derivatives of the loss, which `plan` then compares with differences."""

    @property
    def filled(self) -> tuple[Column, ...]:
        """All columns of `trials` that it fills."""
        return (*self.columns, *self.starting, *self.highest)

    @abstractmethod
    def measure(self, network: Specimen) -> Tensor:
        """What is measured of one network: a list of numbers, shape (length,).

        It is called under `torch.func.vmap`: no branches on values, no `.item()`, no numpy. The length
        depends on shapes alone.
        """


class NumberObservable(Observable):
    """Numbers: `measure` gives one for each of `columns`, in their order; NaN is null."""

    def numbers(self, measured: FloatArray) -> FloatArray:
        """The numbers of the columns, from what was measured of one network, shape (columns,)."""
        return measured


class SpectrumObservable(Observable):
    """A list of numbers that is stored, and numbers derived from it."""

    @abstractmethod
    def numbers(self, measured: FloatArray) -> Sequence[float] | FloatArray:
        """One number for each of `columns`, from the list of one network, shape (length,); NaN is null."""


class DistanceObservable(Observable):
    """Distances to symmetric states, of which those below (or above) a threshold are counted."""

    word: ClassVar[str] = "distance"
    counts: ClassVar[Literal["below", "above"]] = "below"
    """Which distances are counted: below epsilon, or at least epsilon."""
    of_symmetry: ClassVar[bool] = True
    """Whether the count is a degree of symmetry; else it counts what is distinct or alive."""
    neurons_besides: ClassVar[int] = 0
    """How many neurons a layer has more than distances."""
    column: ClassVar[str] = ""
    """The column of `trials` that holds the count, of built-in ones."""
    supersedes: ClassVar[str] = ""
    """The observable whose count that column holds where this one was not measured."""
    complement: ClassVar[bool] = False
    """Whether that column holds the largest count less the count."""

    def of_layer(self, layer: Geometry) -> Tensor | None:
        """The distances of many networks at once, shape (networks, length), for what vmap cannot do.

        None, as here: `measure` is called instead. It is the one door by which the batched instruments of
        `phasediag.symmetry` record: native distances of pairs and farthest-first insertion.
        """
        del layer
        return None

    def measure(self, network: Specimen) -> Tensor:
        """The distances of one network, shape (length,)."""
        raise NotImplementedError(f"{type(self).__name__} needs measure(network) or of_layer(layer)")

    def limit(
        self, distances: npt.NDArray[np.floating], epsilon: FloatArray, absolute: float | FloatArray,
        factor: float = 1.0,
    ) -> FloatArray:  # fmt: skip
        """What the distances of each trial are compared with, shape (trials,): epsilon.

        It also tells whether a trial has converged: whether a distance is about to pass it. See `count`.
        """
        del distances, absolute, factor
        return epsilon

    def count(
        self, distances: npt.NDArray[np.floating], epsilon: FloatArray, absolute: float | FloatArray,
        factor: float = 1.0,
    ) -> npt.NDArray[np.int64]:  # fmt: skip
        """How many distances count, of each trial.

        Parameters
        ----------
        distances
            As measured and stored, shape (trials, length).
        epsilon
            The threshold of each trial, shape (trials,).
        absolute
            The absolute part of it; one number, or one a trial.
        factor
            Of every tolerance that is not part of the threshold.

        Returns
        -------
        Int64, shape (trials,).
        """
        limit = self.limit(distances, epsilon, absolute, factor)
        counted: npt.NDArray[np.int64] = self.chosen(distances, limit).sum(axis=1)
        return counted

    def chosen(self, distances: npt.NDArray[np.floating], limit: FloatArray) -> npt.NDArray[np.bool_]:
        """Which distances count, compared with the `limit` of each trial; shape (trials, length)."""
        edge = limit[:, None]
        return distances < edge if self.counts == "below" else distances >= edge
