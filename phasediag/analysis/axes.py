"""Which columns of a frame of trials span a diagram."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.declared_columns import results_of
from phasediag.analysis.frame import Groups, categorical, coded, numbers
from phasediag.arrays import IntArray
from phasediag.errors import AnalysisError
from phasediag.storage.launches import LAUNCHES

MOST_FACET_VALUES: Final = 6
"""An unnamed axis with more values than this is refused instead of becoming a facet."""
MOST_CATEGORIES: Final = 40
"""Names that fit beside an axis."""
COLLAPSE: Final = "collapse_weight_decay"
"""The column with the weight decay at which the data alone make a network collapse."""

_FIRST: Final = ("weight_decay", "lr_over_batch", "label_noise", "init_scale", "width")
_LAST: Final = ("learning_time", "learning_rate", "batch_size", "steps", "data_seed")


def check_axes(trials: pd.DataFrame, axes: Sequence[tuple[str, str]], facets: Sequence[str]) -> None:
    """Refuse axes that are named twice, are null somewhere, have too many names, or do not vary.

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
        if categorical(trials, name):
            _check_categories(trials, role, name)
            continue
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


def _check_categories(trials: pd.DataFrame, role: str, name: str) -> None:
    values = coded(trials[name])[1]
    if len(values) < 2:
        raise AnalysisError(
            f"{role}='{name}' has only one value ({values[0]}) in these trials; choose another column, or "
            "keep more trials"
        )
    if len(values) > MOST_CATEGORIES:
        raise AnalysisError(
            f"{role}='{name}' has {len(values)} different texts, more than the {MOST_CATEGORIES} that an "
            "axis names; choose another column, or keep fewer of them"
        )


def parameters_of(trials: pd.DataFrame) -> list[str]:
    """The columns of a frame that are no results."""
    results = {*results_of(trials), COLLAPSE}
    return [str(name) for name in trials.columns if name not in results]


def axes_of(
    trials: pd.DataFrame, within: Sequence[str] = (), without: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """The axes of a sweep: what its grids give values to and varies, and what else varies besides.

    A parameter that the others determine, such as the learning rate beside its ratio to the batch size, is
    none; nor is a column that differs between the replicates of a point, which is a result. Of parameters
    that determine each other those are axes that the grids give values to; where the frame does not say,
    those that physicists name first.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    within
        Columns that are held: only what varies beside them is an axis.
    without
        Columns that are no axes, whatever they hold.

    Returns
    -------
    The distinct values of each axis, in order of preference.
    """
    names = [name for name in parameters_of(trials) if name not in {*within, *without}]
    columns = {name: coded(trials[name]) for name in names}
    varying = {name: len(values) for name, (_, values) in columns.items() if len(values) > 1}
    cell = Groups.of(trials, tuple(within)).cell
    axes: dict[str, npt.NDArray[Any]] = {}
    point: IntArray | None = None
    for name in sorted(varying, key=preference(varying, given_in(trials))):
        codes, values = columns[name]
        if not _varies(codes, cell):
            continue
        point = _points(trials) if point is None else point  # a million ids take a while
        if not _varies(codes, point):
            axes[name] = values
            cell = np.unique(cell * len(values) + codes, return_inverse=True)[1]
    return axes


def _points(trials: pd.DataFrame) -> IntArray:
    """The point of each trial; each is one of its own where the frame does not say."""
    return coded(trials["point_id"])[0] if "point_id" in trials else np.arange(len(trials))


def preference(counts: Mapping[str, int], given: Collection[str] = ()) -> Callable[[str], tuple[bool, int]]:
    """In which order parameters are taken as axes, as a key of `sorted`.

    First what grids give values to. Then the axes of the mission, others, and last what follows from other
    axes; of two lengths of training, that of fewer values is the axis.

    Parameters
    ----------
    counts
        How many values each parameter has.
    given
        What the grids give values to; empty where that is not known.
    """
    steps_first = counts.get("steps", 1) < counts.get("learning_time", 1)
    last = ("steps", *(name for name in _LAST if name != "steps")) if steps_first else _LAST

    def place(name: str) -> tuple[bool, int]:
        if name in _FIRST:
            return name not in given, _FIRST.index(name)
        return name not in given, len(_FIRST) + (1 + last.index(name) if name in last else 0)

    return place


def given_in(trials: pd.DataFrame) -> frozenset[str]:
    """What the grids of a frame's sweep give values to; empty where the frame does not say."""
    return frozenset(trials.attrs.get(LAUNCHES, {}).get("given", ()))


def unnamed_axes(
    trials: pd.DataFrame, named: tuple[str, ...], order: str, places: str = "x, y, facet"
) -> tuple[str, ...]:
    """The axes that vary inside the cells of those that are named, and become facets.

    Parameters
    ----------
    places
        Where an axis can be named, for the message.

    Raises
    ------
    AnalysisError
        Where one has more than 6 values.
    """
    axes = axes_of(trials, named, without=(order,))
    for name, values in axes.items():
        if len(values) > MOST_FACET_VALUES:
            raise AnalysisError(
                f"'{name}' varies too ({len(values)} values) and is named in none of {places}; an axis "
                f"becomes a facet by itself up to {MOST_FACET_VALUES} values: name it in one of them, or "
                f"keep the trials of one value, such as those where {name}={values.tolist()[0]} (--where)"
            )
    return tuple(axes)


def parts(trials: pd.DataFrame, texts: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The trials apart by every axis that none of some columns and expressions names, as facets of a diagram.

    Yields
    ------
    The values that a part has in common, by name (empty where nothing else varies), and its trials.

    Raises
    ------
    AnalysisError
        Where an axis has more than 6 values.
    """
    facets = list(unnamed_axes(trials, _named(trials, texts), "", "x, y"))
    if not facets:
        yield {}, trials
        return
    for key, part in trials.groupby(facets, dropna=False):
        yield dict(zip(facets, key if isinstance(key, tuple) else (key,), strict=True)), part


def others(trials: pd.DataFrame, texts: Sequence[str]) -> tuple[str, ...]:
    """The axes that none of some columns and expressions names."""
    return tuple(axes_of(trials, _named(trials, texts)))


def pooled(trials: pd.DataFrame, texts: Sequence[str], consequence: str) -> list[str]:
    """That a fit takes axes together which none of some columns and expressions names; nothing without any.

    Parameters
    ----------
    consequence
        What that may make of the result, as the end of a sentence.
    """
    names = ", ".join(others(trials, texts))
    return [f"Pooled over {names}: {consequence}."] if names else []


def _named(trials: pd.DataFrame, texts: Sequence[str]) -> tuple[str, ...]:
    """The parameters that columns and expressions name."""
    words = set(re.findall(r"[^\W\d]\w*", " ".join(texts)))
    return tuple(name for name in parameters_of(trials) if name in words)


def _varies(codes: IntArray, group: IntArray) -> bool:
    """Whether some group has rows of several codes; groups are numbered from 0 with few gaps."""
    one = np.empty(group.max() + 1, dtype=codes.dtype)
    one[group] = codes
    return bool((one[group] != codes).any())
