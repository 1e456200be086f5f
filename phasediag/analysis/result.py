"""What every analysis gives: a result, to which the same few questions can be put."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
import pandas as pd

from phasediag.analysis.cube import cube
from phasediag.columns import Column
from phasediag.errors import AnalysisError, nearest

if TYPE_CHECKING:
    import xarray

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

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """The columns that tell the rows of a table apart, such as the axes of a diagram's cells."""
        return {}

    def quantities(self, table: str) -> Mapping[str, Column]:
        """What columns of a table hold values of where their names do not say it; such as `low`, of x."""
        return {}

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

    def to_xarray(self, table: str = "") -> xarray.Dataset:
        """One of the tables as a data set of xarray, over the axes that it has, with units.

        Parameters
        ----------
        table
            A name in `tables`; of a phase diagram the cells, elsewhere the first, where none is given.

        Returns
        -------
        Axes as coordinates, `units` and `long_name` as attributes. What the table lacks is NaN, of text ''. A
        table without axes has one dimension, `row`. The findings and warnings are attributes.

        Raises
        ------
        AnalysisError
            Where there is no such table.
        PhasediagError
            Where xarray is not installed.
        """
        tables = self.tables
        table = table or next(iter(self.over), "") or next(iter(tables), "")
        if table not in tables:
            hint = nearest(table, tables) or f"tables: {', '.join(tables) or 'none'}"
            raise AnalysisError(f"a {type(self).__name__} has no table '{table}'; {hint}")
        said = {"findings": "\n".join(self.findings), "warnings": "\n".join(self.warnings)}
        return cube(tables[table], self.over.get(table, ()), self.quantities(table), said)

    def __repr__(self) -> str:
        return self.summary()

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_") and name != "figure"]

    def _repr_markdown_(self) -> str:
        """The words of the summary, for notebooks that show no HTML."""
        warnings = [f"**warning:** {_literal(warning)}" for warning in self.warnings]
        return "\n\n".join([*map(_literal, self.findings), *warnings])

    def _repr_html_(self) -> str:
        """What a notebook shows: the figure, and the words of the summary under it."""
        findings = "".join(f"<p>{escape(text)}</p>" for text in self.findings)
        warnings = "".join(f"<p><strong>warning:</strong> {escape(text)}</p>" for text in self.warnings)
        return f'<div style="white-space: pre-line">{self._picture()}{findings}{warnings}</div>'

    def _picture(self) -> str:
        """The figure as an element of HTML; empty where there is nothing to draw."""
        from phasediag.figures.style import png

        try:
            content = b64encode(png(self.plot())).decode("ascii")
        except AnalysisError:
            return ""
        words = escape(" ".join(self.findings), quote=True)
        return f'<img src="data:image/png;base64,{content}" alt="{words}" style="max-width: 100%">'


def _literal(text: str) -> str:
    """Text in which Markdown finds nothing to set otherwise."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$^])", r"\\\1", text)


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
