"""What to show of a sweep: which parameters are its axes, which two span the diagram, which split it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.axes import COLLAPSE, MOST_FACET_VALUES
from phasediag.analysis.declared import results_of
from phasediag.analysis.frame import coded, need_columns

IntArray = npt.NDArray[np.int64]

MOST_PANELS: Final = 12
"""More panels than this are not looked at."""
_FIRST: Final = ("weight_decay", "lr_over_batch", "label_noise", "init_scale", "width")
_LAST: Final = ("learning_time", "learning_rate", "batch_size", "steps", "data_seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which trials are drawn against what."""

    x: str | None
    """None where no numeric parameter varies."""
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


def axes_of(trials: pd.DataFrame) -> dict[str, int]:
    """The parameters that vary on their own, with their number of values, in order of preference.

    A parameter that the others determine, such as the learning rate beside its ratio to the batch
    size, is none.
    """
    results = {*results_of(trials), COLLAPSE}
    names = [str(name) for name in trials.columns if name not in results]
    columns = {name: coded(trials[name]) for name in names}
    varying = sorted((n for n in names if len(columns[n][1]) > 1), key=_preference)
    cell = np.zeros(len(trials), dtype=np.int64)
    found = {}
    for name in varying:
        codes, values = columns[name]
        finer = np.unique(cell * len(values) + codes, return_inverse=True)[1].astype(np.int64)
        if finer.max() > cell.max():
            found[name] = len(values)
            cell = finer
    return found


def _preference(name: str) -> int:
    if name in _FIRST:
        return _FIRST.index(name)
    return 100 + _LAST.index(name) if name in _LAST else 50


def choose(trials: pd.DataFrame, x: str | None = None, y: str | None = None) -> Choice:
    """Span the diagram by two parameters, split it by others, and hold the rest at one value.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    x, y
        Parameters that are wanted; None: the two numeric ones of most values.

    Raises
    ------
    AnalysisError
        Where a parameter that is wanted is no column.
    """
    need_columns(trials, [name for name in (x, y) if name])
    axes = axes_of(trials)
    numeric = [name for name in axes if pd.api.types.is_numeric_dtype(trials[name])]
    spare = sorted((n for n in numeric if n not in (x, y)), key=lambda n: -axes[n])
    pair = [*([x] if x else []), *([y] if y else [])]
    pair += spare[: 2 - len(pair)]
    if not x and not y:
        pair.sort(key=_preference)
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
