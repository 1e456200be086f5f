"""The one rule by which a statistic never averages over two versions of what was trained.

Where a frame holds trials of several versions of a user's file, or of the same points trained for several
lengths by different launches, the newest are taken, and that is said in words.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.declared_columns import declared_names
from phasediag.analysis.frame import coded, has_status
from phasediag.analysis.lengths import ORIGINAL, points_of, superseded
from phasediag.arrays import BoolArray
from phasediag.columns import DERIVED_COLUMNS, OBSERVABLE_SOURCE
from phasediag.errors import AnalysisError, RecordsWarning
from phasediag.identity import SHORT, names_a_file
from phasediag.storage.launches import LAUNCHES, LENGTHS, RELAXATIONS, Launches
from phasediag.trial import KINDS

_SOURCES: Final = re.compile(r"(\S.*?)=([0-9a-f]+)(?: |$)")
"""A name and a hash of `observable_source`."""
DEFINITIONS: Final = "definitions"
"""The column that says which definitions the counts of a trial follow."""
_COUNTED: Final = {
    "degree_of_symmetry", "degree_normalized", "neuron_count", "alive_count", *DERIVED_COLUMNS,
}  # fmt: skip
"""The columns whose meaning they give."""


class VersionsWarning(RecordsWarning):
    """A statistic was given trials of several versions and takes the newest."""


def newest(trials: pd.DataFrame, named: Sequence[str | None] = (), *, pooled: bool = False) -> pd.DataFrame:
    """The trials of the newest version of everything, and of the values that a grid asked for.

    Warns where that leaves some out.

    Newest is what the last launch of the sweep asked for; in a frame that does not say, what was started
    last. Trials of the same point, trained for several lengths by different launches, count as versions;
    lengths that a grid has as an axis do not.

    Parameters
    ----------
    named
        Columns along which the statistic goes or which it tells apart: versions of those are kept.
    pooled
        Whether the statistic takes other axes together: then the values that a refinement added stay.

    Raises
    ------
    AnalysisError
        Where the sweep has several versions and the frame cannot tell them apart.

    Warns
    -----
    VersionsWarning
        Where trials are left out; says which, and how to choose.
    """
    launches = Launches.of_plain(trials.attrs[LAUNCHES]) if LAUNCHES in trials.attrs else None
    words = set(re.findall(r"[^\W\d]\w*", " ".join(text for text in named if text)))
    for kind in sorted(KINDS):
        column = f"{kind}_source"
        if column in words:
            continue
        if {kind, column} <= set(trials.columns):
            trials = _newest_source(trials, kind, launches)
        elif launches is not None:
            _check_known(trials, kind, launches)
    if words & declared_names(trials) and OBSERVABLE_SOURCE.name not in words:
        trials = _newest_observables(trials)
    if words & _COUNTED and DEFINITIONS not in words:
        trials = _newest_definitions(trials)
    if launches is not None and words.isdisjoint(LENGTHS):
        if launches.factors and {"steps", "replicate"} <= set(trials.columns):
            trials = _longest(trials, launches.factors)
        if len(launches.lengths) > 1:
            trials = _newest_length(trials, launches.lengths, launches.factors)
    for name, values in (launches.planned if launches is not None else {}).items():
        if name not in words and not pooled:
            trials = _without_added(trials, name, values)
    return trials


def _without_added(trials: pd.DataFrame, name: str, planned: Sequence[float]) -> pd.DataFrame:
    """The trials at values of a parameter that a grid asks for, without those that a refinement added."""
    if name not in trials:
        return trials
    values = trials[name].to_numpy(dtype=np.float64, na_value=np.nan)
    kept = np.isnan(values) | np.isin(values, np.array(planned))
    if kept.all() or not kept.any():
        return trials
    _warn(
        f"{int((~kept).sum()):,} trials at values of {name} that only a refinement asked for are left out, "
        f"as {name} is none of the axes here; name it as x, y or facet to take them"
    )
    rows: pd.DataFrame = trials[kept]
    return rows


def _check_known(trials: pd.DataFrame, kind: str, launches: Launches) -> None:
    """Refuse a frame that cannot tell versions of a kind of class apart where its sweep has several."""
    columns = [
        other for other in KINDS if other != kind and {other, f"{other}_source"} <= set(trials.columns)
    ]
    others = {str(value) for other in columns for value in coded(trials[other])[1]}
    several = [name for name, hashes in launches.sources.items() if len(hashes) > 1 and name not in others]
    if several:
        raise AnalysisError(
            f"this sweep holds trials of several versions of {several[0]}, and these trials have no columns "
            f"{kind} and {kind}_source to tell them apart; load these columns too"
        )


def _newest_source(trials: pd.DataFrame, kind: str, launches: Launches | None) -> pd.DataFrame:
    """The trials of the newest version of each class of a kind."""
    column = f"{kind}_source"
    kept = np.full(len(trials), True)
    for name in (str(value) for value in coded(trials[kind])[1] if names_a_file(str(value))):
        here = (trials[kind] == name).to_numpy(dtype=bool, na_value=False)
        known = launches.sources.get(name, ()) if launches is not None else ()
        hashes = _hashes(trials.loc[here, column], known)
        order = _order(hashes, trials[here], known)
        if len(order) > 1:
            kept[here] = hashes == order[-1]
            counts = {digest: int((hashes == digest).sum()) for digest in order}
            _tell_of_sources(name, column, order, counts)
    return trials if kept.all() else trials[kept]


def _newest_observables(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that the newest version of each of the user's observables has measured, or that none has."""
    kept = np.full(len(trials), True)
    for name, versions in _measured_by(trials).items():
        order = _ordered(versions, trials)
        if len(order) > 1:
            left_out = (versions != order[-1]) & (versions != "")
            kept &= ~left_out
            _warn(
                f"{name}: {len(order)} versions of its files have measured these trials; taken is the "
                f"newest ({int((versions == order[-1]).sum()):,} trials), {int(left_out.sum()):,} trials are "
                "left out; launch their grids with --remeasure"
            )
    return trials if kept.all() else trials[kept]


def tell_of_observables(trials: pd.DataFrame) -> None:
    """Warn where several versions of one of the user's observables have measured trials of a frame.

    Warns
    -----
    VersionsWarning
        Which observable, and how many trials by which version.
    """
    for name, versions in _measured_by(trials).items():
        order = _ordered(versions, trials)
        if len(order) > 1:
            counts = " and ".join(f"{int((versions == each).sum()):,} by {each[:SHORT]}" for each in order)
            _warn(
                f"{name}: {len(order)} versions of its files have measured these trials ({counts}), and the "
                f"rows of all are given; the column {OBSERVABLE_SOURCE.name} tells them apart, --remeasure "
                "measures all anew"
            )


def _measured_by(trials: pd.DataFrame) -> dict[str, npt.NDArray[np.object_]]:
    """For each of the user's observables the version that has measured each trial; empty where none has."""
    if OBSERVABLE_SOURCE.name not in trials:
        return {}
    texts = _hashes(trials[OBSERVABLE_SOURCE.name], ())
    pairs = {text: dict(_SOURCES.findall(text)) for text in dict.fromkeys(texts)}
    names = dict.fromkeys(name for each in pairs.values() for name in each)
    return {n: np.array([pairs[text].get(n, "") for text in texts], dtype=object) for n in names}


def _ordered(versions: npt.NDArray[np.object_], trials: pd.DataFrame) -> list[str]:
    """The versions of an observable that have measured trials, oldest first."""
    return [digest for digest in _order(versions, trials, ()) if digest]


def _newest_definitions(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials whose counts follow the newest definitions, and those that have no counts."""
    if DEFINITIONS not in trials:
        return trials
    followed = trials[DEFINITIONS].to_numpy(dtype=np.float64, na_value=np.nan)
    followed = np.where(np.isnan(followed), 1.0, followed)
    counted = has_status(trials, "ok") if "status" in trials else np.full(len(trials), True)
    newest_ones = followed == followed[counted].max(initial=1.0)
    kept: BoolArray = ~counted | newest_ones
    if kept.all():
        return trials
    _warn(
        f"{int((~kept).sum()):,} trials were counted by older definitions (of the permutation, of epsilon, "
        f"or of the neurons of homogeneous layers) and are left out; taken are "
        f"{int((counted & kept).sum()):,} trials counted by the newest; launch their grids with --remeasure "
        "to count all alike, or take the older ones by --where definitions=VALUE"
    )
    return trials[kept]


def _hashes(column: pd.Series[Any], known: Sequence[str]) -> npt.NDArray[np.object_]:
    """The version of each trial; of one recorded without, that of all grids if they have one only."""
    hashes = np.array(column.astype(object).where(column.notna(), ""), dtype=object)
    hashes[hashes == ""] = known[0] if len(known) == 1 else ""
    return hashes


def _order(hashes: npt.NDArray[np.object_], trials: pd.DataFrame, known: Sequence[str]) -> list[str]:
    """The versions that there are, oldest first."""
    present = list(dict.fromkeys(hashes.tolist()))
    if len(present) < 2:
        return present
    started = {digest: str(index).zfill(9) for index, digest in enumerate(present)}
    if "started_at" in trials:
        times = pd.Series(trials["started_at"].astype(str).to_numpy(), dtype=object).groupby(hashes).max()
        started = times.to_dict()
    rank = {digest: index for index, digest in enumerate(known)}
    return sorted(present, key=lambda digest: (rank.get(digest, -1), started[digest]))


def _tell_of_sources(name: str, column: str, order: Sequence[str], counts: dict[str, int]) -> None:
    *older, taken = order
    left = " and ".join(
        f"{counts[digest]:,} of {digest[:SHORT] or 'a version not recorded'}" for digest in older
    )
    example = next((digest for digest in reversed(older) if digest), "")
    choose = f"; --where {column}={example[:SHORT]} takes an older one" if example else ""
    _warn(
        f"{name}: trials of {len(order)} versions of its files are recorded; taken is the newest, "
        f"{taken[:SHORT]} ({counts[taken]:,} trials), left out are {left}{choose}"
    )


def _longest(trials: pd.DataFrame, factors: Sequence[float]) -> pd.DataFrame:
    """Keep the longest of trials that an extension trained again, at points whose extension is complete."""
    shorter, partial = superseded(trials, factors)
    if not (shorter | partial).any():
        return trials
    parts = []
    if shorter.any():
        parts.append(
            "trials were trained again for longer (--extend); taken are the longest, left out "
            f"{shorter.sum():,} shorter ones"
        )
    if partial.any():
        parts.append(
            f"{partial.sum():,} longer trials of points whose extension is not complete are left out: launch "
            "it again to complete it"
        )
    _warn(f"{'; '.join(parts)}; --facet steps draws all")
    rows: pd.DataFrame = trials[~(shorter | partial)]
    return rows


def _newest_length(
    trials: pd.DataFrame, lengths: Sequence[tuple[str, float]], factors: Sequence[float] = ()
) -> pd.DataFrame:
    """Keep of each point the trials of the length that was launched last; other lengths stay."""
    if not set(LENGTHS) <= set(trials.columns) or trials["steps"].nunique() < 2:
        return trials
    rank = np.full(len(trials), -1, dtype=np.int64)
    for index, (name, value) in enumerate(lengths):
        for factor in (ORIGINAL, *factors):
            rank[_of_length(trials, name, value * factor)] = index
    point = points_of(trials)
    best = np.full(int(point.max()) + 1, -1, dtype=np.int64)
    np.maximum.at(best, point, rank)
    dropped = (rank >= 0) & (rank < best[point])
    if not dropped.any():
        return trials
    taken = [lengths[index] for index in np.unique(rank[~dropped & (rank >= 0)])]
    left = {lengths[index]: int((dropped & (rank == index)).sum()) for index in np.unique(rank[dropped])}
    words = " and ".join(f"{count:,} of {name} {value:g}" for (name, value), count in left.items())
    name, value = next(iter(left))
    newest_ones = ", ".join(f"{n} {v:g}" for n, v in taken)
    _warn(
        "the same points were trained for several lengths by different launches; taken is the newest, "
        f"{newest_ones} ({int((~dropped).sum()):,} trials), left out are {words}"
        + (
            "; launch them under two names to draw both"
            if name == RELAXATIONS
            else f"; --where {name}={value:g} takes those, --facet {name} draws all"
        )
    )
    return trials[~dropped]


def _of_length(trials: pd.DataFrame, name: str, value: float) -> BoolArray:
    """Which trials a grid of this length asked for; so many relaxations are reached with the last step."""
    columns = ("steps", "learning_rate", "weight_decay") if name == RELAXATIONS else (name,)
    if not set(columns) <= set(trials.columns):
        return np.zeros(len(trials), dtype=np.bool_)
    held, *speed = (trials[column].to_numpy(dtype=np.float64, na_value=np.nan) for column in columns)
    if not speed:
        equal: BoolArray = np.isclose(held, value, rtol=1e-9, atol=0)
        return equal
    step = np.prod(speed, axis=0)
    reached: BoolArray = (held * step - value <= step) & (held * step >= value * (1 - 1e-9))
    return reached


def _warn(text: str) -> None:
    warnings.warn(text, VersionsWarning, stacklevel=4)
