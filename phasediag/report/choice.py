"""What to show of a sweep: which parameters are its axes, which two span the diagram, which split it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from phasediag.analysis.axes import MOST_FACET_VALUES, axes_of, given_in, preference
from phasediag.analysis.frame import coded, need_columns

MOST_PANELS: Final = 12
"""More panels than this are not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which trials are drawn against what."""

    x: str | None
    """None where no parameter varies."""
    y: str | None
    """None where only one does."""
    facets: tuple[str, ...]
    held: Mapping[str, Any]
    """Parameters that vary in the sweep, and the one value that is drawn."""

    def of(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The trials that are drawn."""
        for name, value in self.held.items():
            codes, values = coded(trials[name])
            trials = trials[values[codes] == value]
        return trials


def choose(trials: pd.DataFrame, x: str | None = None, y: str | None = None) -> Choice:
    """Span the diagram by two parameters, split it by others, and hold the rest at one value.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    x, y
        Parameters that are wanted; None: the two numeric ones of most values, or, where no number varies,
        one of categories.

    Raises
    ------
    AnalysisError
        Where a parameter that is wanted is no column.
    """
    pair = [name for name in (x, y) if name]
    need_columns(trials, pair)
    axes = {name: len(values) for name, values in axes_of(trials, pair).items()}
    numeric = [name for name in (*pair, *axes) if pd.api.types.is_numeric_dtype(trials[name])]
    spare = sorted((n for n in numeric or list(axes)[:1] if n not in pair), key=lambda n: -axes[n])
    pair += spare[: 2 - len(pair)]
    if not x and not y:
        pair.sort(key=preference(axes, given_in(trials)))
    elif not x:
        pair.reverse()
    across, up = [*pair, None, None][:2]
    rest = [name for name in axes if name not in pair]
    facets, held = _split(trials, rest, axes)
    return Choice(x=across, y=up, facets=facets, held=held)


def _split(
    trials: pd.DataFrame, rest: Sequence[str], axes: Mapping[str, int]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Facets as long as the panels are few; the other parameters are held at their middle value."""
    facets: list[str] = []
    held: dict[str, Any] = {}
    panels = 1
    for name in rest:
        if axes[name] <= MOST_FACET_VALUES and panels * axes[name] <= MOST_PANELS:
            facets.append(name)
            panels *= axes[name]
        else:
            values = coded(trials[name])[1]
            held[name] = values[(len(values) - 1) // 2]
    return tuple(facets), held
