"""Which columns of a frame of trials span a diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.declared import results_of
from phasediag.analysis.frame import Groups, coded, numbers
from phasediag.errors import AnalysisError

IntArray = npt.NDArray[np.int64]

MOST_FACET_VALUES: Final = 6
"""An unnamed axis with more values than this is refused instead of becoming a facet."""
COLLAPSE: Final = "collapse_weight_decay"
"""The column with the weight decay at which the data alone make a network collapse."""

_FIRST: Final = ("weight_decay", "lr_over_batch", "label_noise", "init_scale", "width")
_LAST: Final = ("learning_time", "learning_rate", "steps")


def check_axes(trials: pd.DataFrame, axes: Sequence[tuple[str, str]], facets: Sequence[str]) -> None:
    """Refuse axes that are named twice, hold no numbers or do not vary.

    Parameters
    ----------
    axes
        The role (`x`, `y`) and the column of each.
    """
    names = [*(name for _, name in axes), *facets]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise AnalysisError(f"'{twice}' is named twice among x, y and facet; give each a column of its own")
    for role, name in axes:
        values = numbers(trials, name)
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise AnalysisError(
                f"{role}='{name}' is null or infinite in {bad} of {len(values)} trials; drop those"
            )
        if values.min() == values.max():
            needed = "two axes that vary" if len(axes) > 1 else "an axis that varies"
            raise AnalysisError(
                f"{role}='{name}' has only one value ({values[0]:g}) in these trials; a diagram needs "
                f"{needed}: choose another column, or keep more trials"
            )


def unnamed_axes(trials: pd.DataFrame, named: tuple[str, ...], order: str) -> tuple[str, ...]:
    """The parameters that still vary inside the cells, and become facets.

    Raises
    ------
    AnalysisError
        Where one has more than 6 values.
    """
    ignored = {*results_of(trials), *named, order, COLLAPSE}
    names = [str(c) for c in trials.columns if c not in ignored]
    columns = {name: coded(trials[name]) for name in names}
    last = _last({name: len(columns[name][1]) for name in names})
    names = sorted((n for n in names if len(columns[n][1]) > 1), key=lambda name: _preference(name, last))
    cell = Groups.of(trials, named).cell
    found: tuple[str, ...] = ()
    point: IntArray | None = None
    for name in names:
        codes, values = columns[name]
        if not _varies(codes, cell):
            continue
        if point is None and "point_id" in trials:
            point = coded(trials["point_id"])[0]
        if point is not None and _varies(codes, point):
            continue  # a result: it differs between the replicates of a point
        if len(values) > MOST_FACET_VALUES:
            raise AnalysisError(
                f"'{name}' varies too ({len(values)} values) and is named in none of x, y, facet; an axis "
                f"becomes a facet by itself up to {MOST_FACET_VALUES} values: pass facet='{name}', or keep "
                f"the trials of one value, such as trials[trials['{name}'] == {values.tolist()[0]!r}]"
            )
        found += (name,)
        cell = np.unique(cell * len(values) + codes, return_inverse=True)[1]
    return found


def _last(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What follows from other axes, in order of choice: of two lengths that of fewer values is the axis."""
    steps_first = counts.get("steps", 1) < counts.get("learning_time", 1)
    return _LAST[::-1] if steps_first else _LAST


def _preference(name: str, last: tuple[str, ...]) -> int:
    return _FIRST.index(name) if name in _FIRST else 9 + (name in last and 1 + last.index(name))


def _varies(codes: IntArray, group: IntArray) -> bool:
    """Whether some group has rows of several codes; groups are numbered from 0 with few gaps."""
    one = np.empty(group.max() + 1, dtype=codes.dtype)
    one[group] = codes
    return bool((one[group] != codes).any())
