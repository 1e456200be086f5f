"""What every analysis gives: a result, to which the same few questions can be put."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from phasediag.figures.style import Axes, Figure


class Result(ABC):
    """A result of an analysis: its numbers as tables, what they say in words, and their figure."""

    __slots__ = ()
    figure: ClassVar[str]
    """The module of `phasediag.figures` whose function `draw` draws it."""

    @property
    @abstractmethod
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The numbers, each table by the name that a report gives it."""

    @property
    @abstractmethod
    def findings(self) -> tuple[str, ...]:
        """What came out, in whole sentences."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before the findings are trusted, in whole sentences."""
        return ()

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The result in plain types, ready for JSON; numbers that are not finite are None."""

    def summary(self) -> str:
        """The result in words, as a terminal shows it."""
        return "\n".join([*self.findings, *(f"warning: {warning}" for warning in self.warnings)])

    @overload
    def plot(self, ax: Axes, **look: Any) -> Axes: ...
    @overload
    def plot(self, ax: None = None, **look: Any) -> Axes | Figure: ...
    def plot(self, ax: Axes | None = None, **look: Any) -> Axes | Figure:
        """Draw the result.

        Parameters
        ----------
        ax
            Where to draw; by default a new figure of one column's width.
        look
            Options of the figure; a phase diagram has those of `phasediag.figures.look.Look`.

        Returns
        -------
        The Axes, or a Figure where there are several panels.

        Raises
        ------
        AnalysisError
            Where Axes are given for what takes several panels, or options that the figure does not have.
        """
        from phasediag.figures.drawing import draw

        return draw(self, ax, **look)

    def _repr_png_(self) -> bytes:
        """What a notebook shows of a result."""
        from phasediag.figures.style import png

        return png(self.plot())


def plain(value: Any) -> Any:
    """A value in the types of JSON: numbers that are not finite and nulls become None.

    Parameters
    ----------
    value
        A mapping, sequence, table (one mapping a row), number, text or null, nested as may be.
    """
    if isinstance(value, pd.DataFrame):
        rows = value.astype(object).where(value.notna(), None).to_dict(orient="records")
        return [plain(row) for row in rows]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if value is pd.NA or value is pd.NaT else value
