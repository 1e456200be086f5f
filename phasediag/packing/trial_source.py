"""What packs are cut from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy.typing as npt

from phasediag.trial import Records, Trials


class TrialSource(Protocol):
    """Trials: those of a grid by their numbers (`grids.lot.Lot`), or some that are made (`Trials`)."""

    def __len__(self) -> int:
        """How many they are."""

    def of(self, rows: npt.NDArray[Any]) -> TrialSource:
        """The trials at some positions, in this order."""

    def blocks(self) -> Iterator[Records]:
        """All of them in their order, without their ids, so many at a time."""

    def everything(self) -> Records:
        """All of them without their ids."""

    def trials(self) -> Trials:
        """All of them, made."""

    def ids(self) -> list[str]:
        """Their ids."""
