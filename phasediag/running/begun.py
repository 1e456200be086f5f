"""Trials that go on from the kept weights of shorter ones: what they take over.

A trial of T steps, of which the state before its last measurement is kept, is on the way of every longer one
that differs in nothing else: training on from there leaves the rows that training from the start leaves. So
nothing depends on it, and what cannot be used is left aside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.packing.origin import Origin
from phasediag.packing.pack import Pack
from phasediag.running.kept import NUMBERS
from phasediag.storage.damage import DamagedError
from phasediag.storage.fragments import read
from phasediag.storage.kept_weights import STATE, Kept, read_kept
from phasediag.storage.schema_arrow import conform, measurements_schema
from phasediag.storage.snapshots import snapshot
from phasediag.storage.store import Store
from phasediag.training.padding import corner
from phasediag.trial import IntArray

UNUSABLE: Final = (DamagedError, FileNotFoundError, KeyError)
"""What is raised where kept weights, or the measurements before them, are not there as they were written."""

StateArrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begun:
    """What the trials of a tile take over from shorter ones."""

    origin: Origin
    """From where the trials of the tile are trained on."""
    kept: tuple[Mapping[str, npt.NDArray[Any]], ...]
    """What is kept of each trial, by name."""
    carried: pa.Table
    """Rows of `measurements` of the trials, from before the steps at which the shorter ones ended."""

    def state(self, empty: Mapping[str, npt.NDArray[Any]]) -> StateArrays:
        """The state of the training of a tile.

        Parameters
        ----------
        empty
            The state at step 0, every array with a leading axis of trials; further ones repeat the first.

        Raises
        ------
        KeyError
            Where something is not kept.
        """
        filled = {name: array.copy() for name, array in empty.items()}
        for name, array in filled.items():
            for row in range(len(array)):
                value = np.asarray(self.kept[row if row < len(self.kept) else 0][STATE + name])
                if value.ndim:
                    array[row] = 0
                array[row : row + 1][(slice(None), *corner(value.shape))] = value
        return filled

    def numbers(self, rows: IntArray) -> dict[str, npt.NDArray[np.float64]]:
        """The columns of observables as they were before the last measurement, of some trials of the tile."""
        names = {name for each in self.kept for name in each if name.startswith(NUMBERS)}
        return {
            name.removeprefix(NUMBERS): np.array([float(self.kept[row][name]) for row in rows.tolist()])
            for name in sorted(names)
        }


@dataclass(slots=True, kw_only=False)
class ShorterTrials:
    """Reads what is kept of the shorter trials of a pack, each file once."""

    store: Store
    _read: dict[str, Kept] = field(default_factory=dict)

    def before(self, pack: Pack, rows: IntArray) -> Begun:
        """What some trials of a pack take over.

        Raises
        ------
        DamagedError, FileNotFoundError, KeyError
            Where it is not there as it was written.
        StoreError
            Where it cannot be read.
        """
        assert pack.origin is not None
        origin = pack.origin.take(rows)
        kept = tuple(
            self._kept(pack_id, trial_id)
            for pack_id, trial_id in zip(origin.pack_id.tolist(), origin.trial_id.tolist(), strict=True)
        )
        return Begun(origin=origin, kept=kept, carried=self._carried(pack, rows, origin))

    def _kept(self, pack_id: str, trial_id: str) -> Mapping[str, npt.NDArray[Any]]:
        if pack_id not in self._read:
            self._read[pack_id] = read_kept(self.store.folder, pack_id, self.store.identity())
        kept = self._read[pack_id].trial(trial_id)
        if kept is None:
            raise FileNotFoundError(f"no weights of trial {trial_id} are kept")
        return kept

    def _carried(self, pack: Pack, rows: IntArray, origin: Origin) -> pa.Table:
        """The measurements of the shorter trials before their last step, as those of the longer ones."""
        folder, packs = self.store.folder, sorted(set(origin.pack_id.tolist()))
        view = snapshot(folder)
        if view.damage:
            raise DamagedError(folder.uri, view.damage[0])
        before = (
            pc.field("pack_id").isin(packs)
            & pc.field("trial_id").isin(origin.trial_id.tolist())
            & (pc.field("step") < origin.step)
        )
        held = read(folder, view.sources_of("measurements", packs), None, before)
        schema = measurements_schema(str(pack.trials.columns["dtype"].pool[0]))
        if not len(held):
            return schema.empty_table()
        places: dict[str, list[int]] = defaultdict(list)
        for place, each in enumerate(held["trial_id"].to_pylist()):
            places[each].append(place)
        taken, ids = list[int](), list[str]()  # several lengths may go on from one trial
        for shorter, longer in zip(
            origin.trial_id.tolist(), pack.trials.trial_id[rows].tolist(), strict=True
        ):
            taken += places[shorter]
            ids += [longer] * len(places[shorter])
        carried = conform(held.take(pa.array(taken, pa.int64())), schema)
        at = carried.column_names.index("trial_id")
        return carried.set_column(at, carried.schema.field(at), pa.array(ids, pa.string()))
