"""Why a trial exists, what shared it and how to redo it; what a changed grid keeps, adds and drops."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid, read_grid
from phasediag.grids.nodes import Report, parse_mapping
from phasediag.grids.settings import Setting
from phasediag.storage.folder import Folder
from phasediag.storage.launches import MARK, added_to, extension_of, launches_of
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import trial_named
from phasediag.sweeps.status import rosters
from phasediag.trial import formatted

_ROW: Final = (
    "trial_id", "pack_id", "point_id", "seed", "replicate", "status", "error", "degree_normalized",
    "train_loss", "steps_done", "started_at", "wall_s", "device", "torch_version", "phasediag_version",
    "git_commit", "trained_from", "from_step", "course_id",
)  # fmt: skip
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A trial that differs in one axis, by one value."""

    axis: str
    value: str
    trial_id: str
    degree_normalized: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStory:
    """What is known of a trial."""

    sweep: str
    trial_id: str
    values: Mapping[str, str]
    """Its values of what the grids of the sweep vary."""
    why: tuple[str, ...]
    """For each grid that asks for it: its name, and why it was launched."""
    row: Mapping[str, Any] | None
    """Its outcome and where it was trained; None where it is not recorded."""
    pack: int
    """Trials that were trained with it, itself included; 0 where it is not recorded."""
    world: int
    """Recorded trials of the same seed: they share data, batches and base noise."""
    point: int
    """Recorded replicates of its point, itself included."""
    neighbours: tuple[Neighbour, ...]

    @property
    def redo(self) -> str:
        """The command that trains it again."""
        return f"phasediag rerun {self.sweep} {self.trial_id[:12]} --save {self.trial_id[:12]}"


def explain_trial(sweep: str | os.PathLike[str], text: str) -> TrialStory:
    """What is known of a trial of a sweep.

    Parameters
    ----------
    text
        Its id, or the first digits of it.

    Raises
    ------
    PhasediagError
        Where no trial begins so, or several do.
    StoreError
        Where there is no such sweep.
    """
    store = Store.at(sweep).required()
    trial = trial_named(store, text)
    texts, given = dict(store.grids()), launches_of(store).given
    every = rosters(store, None)
    asking = [name for name, roster in every if _has(roster, trial)]
    rows = store.trials_table(tuple(_ROW), ordered=False)
    mine = rows.filter(pc.equal(rows["trial_id"], trial)).to_pylist()
    row = mine[0] if mine else None
    known = next((roster for name, roster in every if name in asking), None)
    values = {} if known is None else known.filter(pc.equal(known["trial_id"], trial)).to_pylist()[0]
    return TrialStory(
        sweep=store.folder.uri, trial_id=trial, row=row,
        values={name: _formed(values[name]) for name in given if values.get(name) is not None},
        why=tuple(f"{name}: {_reason(texts[name])}" for name in asking),
        pack=_count(rows, "pack_id", row), world=_count(rows, "seed", row),
        point=_count(rows, "point_id", row), neighbours=_neighbours(every, rows, trial, given),
    )  # fmt: skip


def sweep_of_trial(storage: str | os.PathLike[str], text: str) -> str:
    """The sweep of a storage that has a trial.

    Raises
    ------
    PhasediagError
        Where none has one whose id begins so, or several have.
    """
    place = Folder.at(storage)
    having = []
    for name in place.folders():
        store = Store(folder=place / name)
        if not store.exists():
            continue
        ids = store.trials_table(("trial_id",), ordered=False)["trial_id"]
        if pc.any(pc.starts_with(ids, text.lower())).as_py():
            having.append(store.folder.uri)
    if len(having) == 1:
        return having[0]
    if having:
        raise PhasediagError(
            f"{len(having)} sweeps have a trial '{text}': {', '.join(having)}; give SWEEP {text}"
        )
    raise PhasediagError(
        f"'{text}' is no file of a grid, and no sweep in {place.uri} has a trial whose id begins so; give a "
        "grid, a trial id, or a sweep and a trial id"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GridStory:
    """A grid compared with the sweep that it would go on with."""

    sweep: str
    name: str
    known: bool
    """Whether the sweep exists."""
    kept: int
    """Trials of the grid that the sweep holds."""
    planned: int
    """Trials of the grid that earlier grids ask for too and that are not recorded yet."""
    added: int
    """Trials that no earlier grid asks for."""
    dropped: int
    """Trials that the sweep holds and this grid does not ask for: they stay recorded."""
    changes: tuple[str, ...]
    """What the grid has otherwise than those launched before, a sentence each."""


def explain_grid(grid: str | Path, storage: str, settings: Sequence[Setting] = ()) -> GridStory:
    """What a launch of a grid would keep, add and leave behind of the sweep of its name.

    Raises
    ------
    GridError
        With every fault of the grid.
    """
    read = read_grid(grid, settings)
    if read.sources:
        from phasediag.sweeps.sweep import completed

        read = completed(read)
    store = Store.open(storage, read.name)
    wanted = pa.array(read.trials().trial_id, pa.string())
    if not store.exists():
        return GridStory(sweep=store.folder.uri, name=read.name, known=False, kept=0, planned=0,
                         added=len(wanted), dropped=0, changes=())  # fmt: skip
    held = store.committed()
    done = held.trial_id.filter(pc.is_in(held.status, value_set=pa.array(["ok", "diverged"])))
    every = rosters(store, None)
    asked = pc.unique(pa.chunked_array([c for _, r in every for c in r["trial_id"].chunks], pa.string()))
    kept = pc.is_in(wanted, value_set=done)
    new = pc.invert(pc.or_(kept, pc.is_in(wanted, value_set=asked)))
    kept_count, added = (pc.sum(mask).as_py() or 0 for mask in (kept, new))
    return GridStory(
        sweep=store.folder.uri, name=read.name, known=True, kept=kept_count, added=added,
        planned=len(wanted) - kept_count - added, dropped=len(done) - kept_count,
        changes=tuple(_changes(read, store, every)),
    )  # fmt: skip


def _changes(grid: Grid, store: Store, every: Sequence[tuple[str, pa.Table]]) -> list[str]:
    """What a grid gives other values to than the grids of a sweep that add to no other."""
    texts = {name: text for name, text in store.grids() if not added_to(text)}
    before = [
        (parse_mapping(texts[name], Report(name)).plain, roster) for name, roster in every if name in texts
    ]
    named = {*grid.fixed, *grid.given}.union(*(_named(content) for content, _ in before))
    trials = grid.trials()
    changes = []
    for name in sorted(named):
        old = {text for _, roster in before for text in _texts(roster, name)}
        here = (
            {formatted(value) for value in trials.values(name).tolist()} if name in trials.columns else set()
        )
        gone, new = _sorted(old - here - {"null"}), _sorted(here - old - {"null"})
        if gone or new:
            parts = [f"no longer {_few(gone)}" if gone else "", f"new: {_few(new)}" if new else ""]
            changes.append(f"{name}: {'; '.join(filter(None, parts))}")
    return changes


def _named(content: Mapping[str, Any]) -> set[str]:
    """The parameters that a grid gives values to, as far as they stand in it."""
    points = content.get("points")
    listed = points if isinstance(points, list) else []
    return set(content.get("fixed") or {}).union(content.get("axes") or {}, *listed)


def _texts(roster: pa.Table, name: str) -> set[str]:
    """The values of a parameter in a grid as they stand in an identity; none where it has none."""
    if name not in roster.column_names:
        return set()
    column = roster[name]
    if not pa.types.is_nested(column.type):
        column = pc.unique(column)
    return {_formed(value) for value in column.to_pylist()}


def _sorted(texts: set[str]) -> list[str]:
    """As numbers where they are numbers."""
    try:
        return sorted(texts, key=float)
    except ValueError:
        return sorted(texts)


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(map(_short, texts[:_SHOWN])) + more


def _short(text: str) -> str:
    """A value as it is read: a number of six digits."""
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def _formed(value: Any) -> str:
    if value is None:
        return "null"
    return formatted(tuple(value) if isinstance(value, list) else value)


def _has(roster: pa.Table, trial: str) -> bool:
    return bool(pc.any(pc.equal(roster["trial_id"], trial)).as_py())


def _reason(text: str) -> str:
    """Why a grid was launched, as it says itself."""
    longer = extension_of(text)
    if longer is not None:
        return f"an extension, {longer[1]:g} times the steps of {longer[0]}"
    first = text.partition("\n")[0]
    if first.startswith(MARK):
        return f"a refinement of {added_to(text)}: {first.partition(': ')[2]}"
    return "a point of the grid as it was launched"


def _count(rows: pa.Table, column: str, row: Mapping[str, Any] | None) -> int:
    return 0 if row is None else pc.sum(pc.equal(rows[column], row[column])).as_py() or 0


def _neighbours(
    every: Sequence[tuple[str, pa.Table]], rows: pa.Table, trial: str, given: Sequence[str]
) -> tuple[Neighbour, ...]:
    """The trials of the same seed that differ in one axis alone, by the next value down and up."""
    tables = [
        roster.select([n for n in ("trial_id", *given) if n in roster.column_names]) for _, roster in every
    ]
    asked = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    joined = asked.group_by(asked.column_names).aggregate([])
    joined = joined.join(
        rows.select(["trial_id", "seed", "degree_normalized"]), "trial_id", join_type="inner"
    )
    frame = joined.to_pandas()
    mine = frame[frame["trial_id"] == trial]
    if not len(mine):
        return ()
    here = mine.iloc[0]
    axes = [name for name in given if name in frame.columns]
    same = {name: _equal(frame[name], here[name]) for name in (*axes, "seed")}
    neighbours = []
    for axis in axes:
        if frame[axis].dtype.kind not in "if" or here[axis] != here[axis]:
            continue
        beside = frame[np.all([same[name] for name in same if name != axis], axis=0)].sort_values(axis)
        below, above = beside[beside[axis] < here[axis]].tail(1), beside[beside[axis] > here[axis]].head(1)
        for _, one in [*below.iterrows(), *above.iterrows()]:
            degree = one["degree_normalized"]
            neighbours.append(
                Neighbour(
                    axis=axis, value=_formed(one[axis]), trial_id=one["trial_id"],
                    degree_normalized=None if degree != degree else float(degree),
                )
            )  # fmt: skip
    return tuple(neighbours)


def _equal(column: Any, value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return np.array([_formed(each) == _formed(value) for each in column.tolist()])
    return (column == value).to_numpy() | (column.isna().to_numpy() & (value != value or value is None))
