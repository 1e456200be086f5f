"""What a grid asks for, compared with what the store holds; read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.columns import OBSERVABLE_SOURCE
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.identity import Identity, course_ids, share_of
from phasediag.observables.known import ALWAYS, DEFINITIONS, UserObservable
from phasediag.storage.store import Store
from phasediag.sweeps.notices import notices_of
from phasediag.trial import Encoded, TextArray, Trials

Mask = npt.NDArray[np.bool_]

COURSE: Final = "course_id"
"""The column that trials have whose weights are kept."""
ENTROPIC: Final = "decay_term"
"""The column that every trial has where the entropic loss was measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """A grid compared with a store."""

    grid: Grid
    trials: Trials
    """All trials of the grid."""
    done: int
    """Trials that the store holds as ok or diverged."""
    failed: int
    """Trials that failed and are skipped."""
    missing: Trials
    """Trials to train."""
    notices: tuple[str, ...] = ()
    """What is worth a sentence before a launch."""


def make_survey(grid: Grid, store: Store, *, retry_failed: bool = False, remeasure: bool = False) -> Survey:
    """Compare a grid with a store.

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
    trials = grid.trials()
    held = _Held.of(store, trials, grid)
    status = held.texts("status")
    done, failed = (status == "ok") | (status == "diverged"), status == "failed"
    lacked = _lacked(grid, store, trials, held)
    lacking = np.any([*lacked.values(), np.zeros(len(trials), dtype=bool)], axis=0)
    if lacking.any() and not remeasure:
        raise PhasediagError(
            f"{grid.path}: measure: {int(lacking.sum())} committed trials were not measured for "
            f"{', '.join(lacked)}; ask for what was measured, or train them again with --remeasure"
        )
    unkept = done & _unkept(grid, trials, held)
    if remeasure:
        lacking |= ((status == "ok") & held.counted_before()) | unkept
    done &= ~lacking
    skipped = failed & (not retry_failed)
    return Survey(
        grid=grid, trials=trials, done=int(done.sum()), failed=int(skipped.sum()),
        missing=trials.take(~done & ~skipped),
        notices=(*notices_of(grid, store), *_about_unkept(int((unkept & done).sum()))),
    )  # fmt: skip


def _unkept(grid: Grid, trials: Trials, held: _Held) -> Mask:
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
class _Held:
    """What a store holds of each trial of a grid; arrays have shape (trials,)."""

    rows: pa.Table
    """One row a trial that the store holds, in any order."""
    ids: pa.Array
    at: pa.Array
    """The row of each trial; null where there is none."""

    @classmethod
    def of(cls, store: Store, trials: Trials, grid: Grid) -> _Held:
        columns = ["trial_id", "status", "measure_layer", "rank", "definitions"] + [
            ENTROPIC
        ] * grid.measure.entropic
        columns += [OBSERVABLE_SOURCE.name] * bool(grid.observables) + [COURSE] * bool(grid.keep)
        rows, ids = store.trials_table(columns, ordered=False), pa.array(trials.trial_id, pa.string())
        return cls(rows=rows, ids=ids, at=pc.index_in(ids, value_set=rows["trial_id"].combine_chunks()))

    def texts(self, column: str) -> TextArray:
        """A column of text, '' where the store has no such trial or a null."""
        encoded = self.rows[column].combine_chunks().dictionary_encode()
        pool = np.array(["", *encoded.dictionary.to_pylist()], dtype=object)
        texts: TextArray = pool[pc.fill_null(pc.add(encoded.indices.take(self.at), 1), 0).to_numpy()]
        return texts

    def known(self, column: str) -> Mask:
        """Where the store has a value."""
        return _mask(self.rows[column].is_valid().combine_chunks().take(self.at))

    def counted_before(self) -> Mask:
        """Which trials were counted by older definitions than those of this version."""
        followed = pc.fill_null(self.rows["definitions"].combine_chunks(), 1).take(self.at)
        return _mask(pc.less(followed, DEFINITIONS))

    def measured_by(self, observable: UserObservable) -> Mask:
        """Which trials this version of an observable of the user's has measured."""
        wanted = f"{observable.name}={observable.source}"
        texts = self.texts(OBSERVABLE_SOURCE.name)
        held = {text: wanted in text.split(" ") for text in set(texts.tolist())}
        return np.array([held[text] for text in texts.tolist()], dtype=bool)

    def among(self, ids: pa.Array) -> Mask:
        """Which trials are among these."""
        return _mask(pc.is_in(self.ids, value_set=ids))


def _lacked(grid: Grid, store: Store, trials: Trials, held: _Held) -> dict[str, Mask]:
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
            present |= held.among(store.measured(request.observable, request.layer))
        lacked[f"{request.observable} on {request.layer}"] = measured & ~present
        if request.observable in grid.observables:
            newest = held.measured_by(grid.observables[request.observable])
            words = f"this version of {request.observable} (its files have changed since)"
            lacked[words] = measured & present & ~newest
    if grid.measure.entropic:
        lacked["the entropic loss"] = ~held.known(ENTROPIC)
    if grid.measure.losses:
        recorded = store.measured("permutation", layer, column="train_loss")
        lacked["losses at every measurement"] = ~held.among(recorded) & _has_layer(trials, layer)
    return {words: ok & lacking for words, lacking in lacked.items() if (ok & lacking).any()}


def _mask(values: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _has_layer(trials: Trials, layer: str) -> Mask:
    """Whether each trial is deep enough for a layer `hidden.N`; assumed of models without a depth."""
    _, _, number = layer.partition("hidden.")
    if "depth" not in trials.columns or not number.isdigit():
        return np.ones(len(trials), dtype=bool)
    depth = trials.columns["depth"]
    deep = tuple(not isinstance(value, int) or value > int(number) for value in depth.pool)
    return Encoded(pool=deep, codes=depth.codes).values(len(trials)).astype(bool)
