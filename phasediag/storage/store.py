"""The record of a sweep: what was trained, what came out, what is unfinished."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.columns import OBSERVABLE_SOURCE
from phasediag.errors import StoreError, nearest
from phasediag.storage import compaction
from phasediag.storage.compaction import Compaction
from phasediag.storage.folder import Folder
from phasediag.storage.fragments import read, write_rows
from phasediag.storage.kept_grids import KeptGrids
from phasediag.storage.kept_weights import Kept, write_kept
from phasediag.storage.manifest import KINDS, MANIFEST, Kind, compacting, expect, identity
from phasediag.storage.roster import Roster
from phasediag.storage.row_choice import (
    CHOICE_COLUMNS,
    Committed,
    in_order,
    last_of_each,
    matching,
    of_trials,
    one_a_trial,
    pairs,
)
from phasediag.storage.schema_arrow import arranged, declared_in, measurements_schema, trials_schema
from phasediag.storage.seal import UnsoundError, bundled, unbundled
from phasediag.storage.snapshots import Snapshot, known_id, reading, stated_id

CHECKPOINTS: Final = "checkpoints"
STATE: Final = "state"
"""The one file of a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One sweep in a folder or under the prefix of a bucket.

    Reading is safe during a launch and during a compaction; writing is safe from many processes as
    long as each pack has one writer. A store can be pickled and sent to another process.
    """

    folder: Folder
    sweep_id: str = ""
    """The id of the sweep that alone is written to; empty: of whatever sweep lies there."""

    @classmethod
    def open(cls, storage: str | os.PathLike[str], name: str) -> Store:
        """The sweep `name` in a storage: a local path or a URI of pyarrow.fs. It need not exist yet.

        Raises
        ------
        StoreError
            Where the storage cannot be opened.
        """
        return cls(folder=Folder.at(storage) / name)

    @classmethod
    def at(cls, sweep: str | os.PathLike[str]) -> Store:
        """The sweep at a path or URI; it need not exist yet.

        Raises
        ------
        StoreError
            Where it cannot be opened.
        """
        return cls(folder=Folder.at(sweep))

    def exists(self) -> bool:
        """Whether anything was ever recorded here."""
        files = ((self.folder / name).entries() for name in ("grids", *KINDS))
        return self.folder.entry(MANIFEST) is not None or any(files)

    def required(self) -> Store:
        """Give this store, once it is sure that the sweep exists.

        Raises
        ------
        StoreError
            Where nothing was recorded here; names the sweeps that are there.
        """
        if self.exists():
            return self
        # where launches write unless told otherwise
        inside = self.folder.parent / "sweeps" / self.folder.name
        if Store(folder=inside).exists():
            raise StoreError(f"no sweep at {self.folder.uri}; give {inside.uri}, where there is one")
        storage, near = self.folder.parent, nearest(self.folder.name, there := _sweeps(self.folder.parent))
        hint = f" ({near})" if near else ""
        raise StoreError(
            f"no sweep at {self.folder.uri}; {storage.uri} holds {', '.join(there) or 'no sweep'}"
            f"{hint}; give the folder of a sweep, or run `phasediag launch GRID` first"
        )

    def save_grid(
        self, text: str, sources: Mapping[str, bytes] | None = None, roster: Roster | None = None
    ) -> str:
        """Record a grid and the user's files that it names; one that is recorded already adds nothing.

        One whose files were changed since, and changed back, is recorded once more: it is the newest.

        Parameters
        ----------
        text
            The grid as YAML.
        sources
            Content of each file, by its path as the grid names it.
        roster
            Its trials, kept so that `roster` finds them; written where those kept do not count.

        Returns
        -------
        The grid's name: `0001.yaml` for the first.

        Raises
        ------
        StoreError
            Where it cannot be written.
        """
        return self._grids.save(text, dict(sources or {}), roster, self.identity())

    def grids(self) -> list[tuple[str, str]]:
        """Every grid launched under this name, as (name, text), oldest first.

        Raises
        ------
        StoreError
            Where one cannot be read.

        Warns
        -----
        DamageWarning
            Of grids that are damaged, and of those of other sweeps, which are left out.
        """
        return self._grids.texts(known_id(self.folder)) if self._grids.names() else []

    def grid_sources(self, name: str) -> dict[str, bytes]:
        """The user's files recorded with a grid, by their path there; see `KeptGrids.sources`."""
        return self._grids.sources(name)

    def roster(self, name: str, text: str, columns: Collection[str] | None = ()) -> pa.Table | None:
        """The trials of a recorded grid, as kept beside it; None where the grid must be expanded for them.

        Parameters
        ----------
        name, text
            Of the grid, as `grids` has them.
        columns
            The parameters wanted besides `trial_id`; None: all.
        """
        return self._grids.roster(name, text, columns)

    def identity(self) -> str:
        """The id of the sweep, which its files state; given to it where it has none.

        Raises
        ------
        StoreError
            Where it cannot be read or written, or is not the sweep that is to be written to.
        """
        if self.sweep_id:
            expect(self.folder, self.sweep_id)
            return self.sweep_id
        return identity(self.folder, lambda: stated_id(self.folder))

    def bound(self) -> Store:
        """The same store, which from now on writes to no other sweep than lies here now, if one does."""
        return replace(self, sweep_id=known_id(self.folder))

    def write_fragment(
        self, pack_id: str, trials: pa.Table, measurements: pa.Table, kept: Kept | None = None
    ) -> None:
        """Commit a pack; each file appears whole or not at all, and the trials appear last.

        Writing the same pack again replaces its rows.

        Parameters
        ----------
        trials, measurements
            In the columns of `phasediag.storage.schema_arrow`; every row must carry this `pack_id`.
        kept
            Their last weights, of those of which they are kept.

        Raises
        ------
        ValueError
            Where a row belongs to another pack.
        StoreError
            Where the storage refuses; then the pack is not committed.
        """
        for rows in (trials, measurements):
            if pc.unique(rows["pack_id"]).to_pylist() not in ([], [pack_id]):
                raise ValueError(f"a row of fragment {pack_id} carries another pack_id")
        sweep_id = self.identity()
        if kept is not None:
            write_kept(self.folder, pack_id, kept, sweep_id)
        write_rows(self.folder, "measurements", pack_id, measurements, sweep_id)
        write_rows(self.folder, "trials", pack_id, trials, sweep_id)

    def committed(self) -> Committed:
        """What is recorded of every trial, read from as few columns as possible."""
        rows = reading(self.folder, lambda view: one_a_trial(self._rows(view, "trials", CHOICE_COLUMNS)))
        return Committed(trial_id=rows["trial_id"].combine_chunks(), status=rows["status"].combine_chunks())

    def trials_table(
        self, columns: Sequence[str] | None = None, ordered: bool = True, without: Collection[str] = ()
    ) -> pa.Table:
        """One row a trial, in the order of their ids.

        Of several rows of a trial the reader takes ok or diverged before failed, then the one that
        was started last, then the one of the smallest pack_id.

        Parameters
        ----------
        columns
            The columns wanted, in this order; None: all.
        ordered
            False: in any order, which is faster.
        without
            Columns that are left out, where `columns` is None.

        Raises
        ------
        StoreError
            Where a file cannot be read, or no trial has a column that is wanted.
        """
        needed = None if columns is None else tuple(dict.fromkeys((*CHOICE_COLUMNS, *columns)))
        left_out = frozenset(without).difference(CHOICE_COLUMNS)
        rows = reading(
            self.folder, lambda view: one_a_trial(self._rows(view, "trials", needed, without=left_out))
        )
        rows = in_order(rows) if ordered else rows
        return rows if columns is None else self._selected(rows, "trials", columns)

    def measurements_table(
        self,
        observable: str | Sequence[str] | None = None,
        layer: str | None = None,
        last: bool = False,
        columns: Sequence[str] | None = None,
        ordered: bool = True,
    ) -> pa.Table:
        """The measurements of the row chosen for each trial, by trial, step, layer and observable.

        Parameters
        ----------
        observable, layer
            Only these; None: all.
        last
            Only the last step recorded of each trial.
        columns
            The columns wanted, in this order; None: all.
        ordered
            False: in any order, which is faster.

        Raises
        ------
        StoreError
            Where a file cannot be read, or there is no column that is wanted.
        """
        where = matching(observable, layer)
        keys = ("trial_id", "pack_id", "step", "layer", "observable")
        needed = None if columns is None else tuple(dict.fromkeys((*keys, *columns)))

        def rows_of(view: Snapshot) -> pa.Table:
            trials = one_a_trial(self._rows(view, "trials", CHOICE_COLUMNS))
            rows = self._rows(view, "measurements", needed, where, last_of_each if last else None)
            return of_trials(rows, trials, last, ordered)

        rows = reading(self.folder, rows_of)
        return rows if columns is None else self._selected(rows, "measurements", columns)

    def measured(self, observable: str, layer: str, column: str | None = None) -> pa.Array:
        """The trials that were measured for an observable on a layer, in any order, each at least once.

        Parameters
        ----------
        column
            Count only the measurements with a value in this column.

        Raises
        ------
        StoreError
            Where a file cannot be read.
        """
        needed = ("trial_id", "pack_id", "layer", "observable", *([column] if column else []))
        where = matching(observable, layer)

        def rows_of(view: Snapshot) -> pa.Table:
            trials = one_a_trial(self._rows(view, "trials", CHOICE_COLUMNS))
            rows = self._rows(view, "measurements", needed, where, lambda table: pairs(table, column))
            return of_trials(rows, trials, last=False, ordered=False)

        return reading(self.folder, rows_of)["trial_id"].combine_chunks()

    def checkpoints(self) -> list[str]:
        """The packs that are unfinished and have a checkpoint."""
        files = (PurePosixPath(file) for file in (self.folder / CHECKPOINTS).files())
        return sorted(str(file.parent) for file in files if file.name == STATE)

    def write_checkpoint(self, pack_id: str, files: Mapping[str, bytes]) -> None:
        """Replace the checkpoint of a pack; all its files appear together.

        Raises
        ------
        StoreError
            Where it cannot be written; the checkpoint before it stays.
        """
        self._checkpoint(pack_id).write(STATE, *bundled(files, pack=pack_id, sweep=self.identity()))

    def read_checkpoint(self, pack_id: str) -> dict[str, bytes] | None:
        """The files of a pack's checkpoint; None where there is none, or where it is damaged or foreign."""
        try:
            content = self._checkpoint(pack_id).read(STATE)
            return unbundled(content, pack=pack_id, sweep=known_id(self.folder))
        except (FileNotFoundError, UnsoundError):
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """Delete the checkpoint of a pack; one that is gone already is no error."""
        self._checkpoint(pack_id).clear()

    def compact(self) -> Compaction:
        """Merge the fragments into few large files; readers and a running launch go on undisturbed.

        Raises
        ------
        LeaseHeldError, StoreError
            Where another compaction is running; where a file cannot be read or written.
        """
        with compacting(self.required().folder):
            return compaction.compact(self.folder)

    @property
    def _grids(self) -> KeptGrids:
        return KeptGrids(sweep=self.folder)

    def _checkpoint(self, pack_id: str) -> Folder:
        return self.folder / CHECKPOINTS / pack_id

    def _rows(
        self, view: Snapshot, kind: Kind, columns: Sequence[str] | None,
        where: pc.Expression | None = None, prune: Callable[[pa.Table], pa.Table] | None = None,
        without: Collection[str] = (),
    ) -> pa.Table:  # fmt: skip
        """All rows of a kind; columns that belong to every sweep are there even if no file has them."""
        fixed = trials_schema(()) if kind == "trials" else measurements_schema()
        if columns is not None:
            fixed = trials_schema((), [OBSERVABLE_SOURCE], stages=True) if kind == "trials" else fixed
            fixed = pa.schema([field for field in fixed if field.name in columns])
        rows = read(self.folder, view.sources(kind), columns, where, prune, without, view.met)
        rows = rows if len(rows.schema) else fixed.empty_table()
        for name in set(fixed.names) - set(rows.schema.names) - set(without):
            rows = rows.append_column(name, pa.nulls(len(rows), fixed.field(name).type))
        return rows.select(arranged(rows.schema.names, declared_in(rows.schema)))

    def _selected(self, rows: pa.Table, kind: Kind, columns: Sequence[str]) -> pa.Table:
        """The columns in the order asked for; every one must be known."""
        for column in columns:
            if column not in rows.schema.names:
                every = reading(self.folder, lambda view: self._rows(view, kind, None)).schema.names
                hint = nearest(column, every) or f"there are {', '.join(every)}"
                raise StoreError(f"the {kind} of {self.folder.uri} have no column '{column}'; {hint}")
        return rows.select(list(columns))


def _sweeps(storage: Folder) -> list[str]:
    """The names of the sweeps in a storage."""
    with suppress(StoreError):
        return [name for name in storage.folders() if Store(folder=storage / name).exists()]
    return []
