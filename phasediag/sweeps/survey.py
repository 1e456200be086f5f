"""What a grid asks for, compared with what the store holds; read without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.columns import OBSERVABLE_SOURCE
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.grids.lot import Lot
from phasediag.identity import Digests, Identity, Ids, course_ids, share_of
from phasediag.observables.known import ALWAYS, DEFINITIONS, UserObservable
from phasediag.storage.roster import digests_of
from phasediag.storage.store import Store
from phasediag.sweeps.notices import notices_of
from phasediag.trial import Encoded, Records, TextArray

Mask = npt.NDArray[np.bool_]

COURSE: Final = "course_id"
"""The column that trials have whose weights are kept."""
ENTROPIC: Final = "decay_term"
"""The column that every trial has where the entropic loss was measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """A grid compared with a store."""

    grid: Grid
    trials: Lot
    """All trials of the grid."""
    done: int
    """Trials that the store holds as ok or diverged."""
    failed: int
    """Trials that failed and are skipped."""
    missing: Lot
    """Trials to train."""
    again: bool = False
    """Whether any of them is recorded already, as failed or as measured otherwise."""
    notices: tuple[str, ...] = ()
    """What is worth a sentence before a launch."""


def make_survey(grid: Grid, store: Store, *, retry_failed: bool = False, remeasure: bool = False) -> Survey:
    """Compare a grid with a store, block by block.

    Parameters
    ----------
    retry_failed
        Whether failed trials count as missing.
    remeasure
        Whether trials that lack an observable of the grid, or were counted by older definitions, are
        trained again.

    Raises
    ------
    PhasediagError
        Where committed trials lack an observable and `remeasure` is not set.
    """
    trials, record = grid.lot(), _StoredTrials.of(store, grid)
    missing = np.ones(len(trials), dtype=bool)
    done = failed = lacking = unkept = recorded = 0
    lacks: dict[str, None] = {}
    for start, block, held in record.blocks(trials):
        status = held.texts("status")
        finished, skipped = (status == "ok") | (status == "diverged"), status == "failed"
        lacked = _lacked(grid, block, held)
        again = np.any([*lacked.values(), np.zeros(len(block), dtype=bool)], axis=0)
        lacks |= dict.fromkeys(lacked)
        lacking += int(again.sum())
        bare = finished & _unkept(grid, block, held)
        if remeasure:
            again |= ((status == "ok") & held.counted_before()) | bare
        finished &= ~again
        unkept += int((bare & finished).sum())
        skipped &= not retry_failed
        missing[start : start + len(block)] = ~finished & ~skipped
        recorded += int((~finished & ~skipped & (status != "")).sum())
        done, failed = done + int(finished.sum()), failed + int(skipped.sum())
    if lacking and not remeasure:
        raise PhasediagError(
            f"{grid.path}: measure: {lacking} committed trials were not measured for "
            f"{', '.join(lacks)}; ask for what was measured, or train them again with --remeasure"
        )
    return Survey(
        grid=grid, trials=trials, done=done, failed=failed, missing=trials.of(missing), again=recorded > 0,
        notices=(*notices_of(grid, store), *_about_unkept(unkept)),
    )  # fmt: skip


def _unkept(grid: Grid, trials: Records, held: _StoredBlock) -> Mask:
    """Which trials are not recorded with their weights, and would be, had the grid trained them."""
    if not grid.keep:
        return np.zeros(len(trials), dtype=bool)
    bare = ~held.known(COURSE)
    if grid.keep < 1 and bare.any():
        identity = Identity(parameters=grid.parameters, sources=grid.sources)
        bare &= share_of(course_ids(trials, identity, grid.measure.words), grid.keep)
    return bare


def _about_unkept(unkept: int) -> list[str]:
    """What to say of trials that were recorded without their weights."""
    if not unkept:
        return []
    return [
        f"keep: {unkept:,} trials are recorded without their weights, which are kept of what is trained from "
        "now on; --remeasure trains them again"
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _StoredTrials:
    """What a store holds of trials of a grid."""

    store: Store
    rows: pa.Table
    """One row a trial that the store holds, in any order."""
    _encoded: dict[str, pa.DictionaryArray] = field(default_factory=dict)
    """Columns of text, as far as they were asked for."""
    _measured: dict[tuple[str, str, str | None], Ids] = field(default_factory=dict)
    """The trials measured for an observable on a layer, with a value in a column, as far as it was asked."""

    @classmethod
    def of(cls, store: Store, grid: Grid) -> _StoredTrials:
        columns = ["trial_id", "status", "measure_layer", "rank", "definitions"] + [
            ENTROPIC
        ] * grid.measure.entropic
        columns += [OBSERVABLE_SOURCE.name] * bool(grid.observables) + [COURSE] * bool(grid.keep)
        return cls(store=store, rows=store.trials_table(columns, ordered=False).combine_chunks())

    def blocks(self, trials: Lot) -> Iterator[tuple[int, Records, _StoredBlock]]:
        """The trials of a grid, so many at a time, from which position on, and what is held of them.

        None of them where nothing is held: their ids are not even made then.
        """
        if not len(self.rows):
            return
        known, digests, start = Ids(digests_of(self.rows["trial_id"])), trials.digests(), 0
        for block in trials.blocks():
            own = digests[start : start + len(block)]
            at = known.find(own)
            yield start, block, _StoredBlock(record=self, digests=own, at=pa.array(at, mask=at < 0))
            start += len(block)

    def column(self, name: str) -> pa.Array:
        """A column, in one piece."""
        return self.rows[name].combine_chunks()

    def encoded(self, name: str) -> pa.DictionaryArray:
        """A column of text, each distinct one stored once."""
        if name not in self._encoded:
            self._encoded[name] = self.column(name).dictionary_encode()
        return self._encoded[name]

    def measured(self, observable: str, layer: str, column: str | None = None) -> Ids:
        """The trials that were measured for an observable on a layer, as in `Store.measured`."""
        key = (observable, layer, column)
        if key not in self._measured:
            self._measured[key] = Ids(digests_of(self.store.measured(*key)))
        return self._measured[key]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _StoredBlock:
    """What a store holds of each trial of a block; arrays have shape (trials,)."""

    record: _StoredTrials
    digests: Digests
    at: pa.Array
    """The row of each trial; null where there is none."""

    def texts(self, column: str) -> TextArray:
        """A column of text, '' where the store has no such trial or a null."""
        encoded = self.record.encoded(column)
        pool = np.array(["", *encoded.dictionary.to_pylist()], dtype=object)
        texts: TextArray = pool[pc.fill_null(pc.add(encoded.indices.take(self.at), 1), 0).to_numpy()]
        return texts

    def known(self, column: str) -> Mask:
        """Where the store has a value."""
        return _mask(self.record.column(column).is_valid().take(self.at))

    def counted_before(self) -> Mask:
        """Which trials were counted by older definitions than those of this version."""
        followed = pc.fill_null(self.record.column("definitions"), 1).take(self.at)
        return _mask(pc.less(followed, DEFINITIONS))

    def measured_by(self, observable: UserObservable) -> Mask:
        """Which trials this version of an observable of the user's has measured."""
        wanted = f"{observable.name}={observable.source}"
        texts = self.texts(OBSERVABLE_SOURCE.name)
        held = {text: wanted in text.split(" ") for text in set(texts.tolist())}
        return np.array([held[text] for text in texts.tolist()], dtype=bool)

    def measured(self, observable: str, layer: str, column: str | None = None) -> Mask:
        """Which trials were measured for an observable on a layer."""
        mask: Mask = self.record.measured(observable, layer, column).find(self.digests) >= 0
        return mask


def _lacked(grid: Grid, trials: Records, held: _StoredBlock) -> dict[str, Mask]:
    """What the grid asks to measure and trials lack, in words, with those trials; the diverged lack nothing.

    Measurements are read only for what the rows of the trials themselves leave open.
    """
    layer = grid.measure.layer
    ok: Mask = held.texts("status") == "ok"
    measured: Mask = held.texts("measure_layer") == layer
    lacked = {f"{', '.join(ALWAYS)} on {layer}": ~measured}
    for request in grid.measure.observables:
        if request.observable in ALWAYS and request.layer == layer:
            continue
        present = ~_has_layer(trials, request.layer)
        if request.observable == "rank" and request.layer == layer:
            present |= held.known("rank")
        if (ok & measured & ~present).any():
            present |= held.measured(request.observable, request.layer)
        lacked[f"{request.observable} on {request.layer}"] = measured & ~present
        if request.observable in grid.observables:
            newest = held.measured_by(grid.observables[request.observable])
            words = f"this version of {request.observable} (its files have changed since)"
            lacked[words] = measured & present & ~newest
    if grid.measure.entropic:
        lacked["the entropic loss"] = ~held.known(ENTROPIC)
    if grid.measure.losses:
        recorded = held.measured("permutation", layer, "train_loss")
        lacked["losses at every measurement"] = ~recorded & _has_layer(trials, layer)
    return {words: ok & lacking for words, lacking in lacked.items() if (ok & lacking).any()}


def _mask(values: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _has_layer(trials: Records, layer: str) -> Mask:
    """Whether each trial is deep enough for a layer `hidden.N`; assumed of models without a depth."""
    _, _, number = layer.partition("hidden.")
    if "depth" not in trials.columns or not number.isdigit():
        return np.ones(len(trials), dtype=bool)
    depth = trials.columns["depth"]
    deep = tuple(not isinstance(value, int) or value > int(number) for value in depth.pool)
    return Encoded(pool=deep, codes=depth.codes).values(len(trials)).astype(bool)
