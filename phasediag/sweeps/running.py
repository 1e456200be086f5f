"""The packs of a launch: run, and halved where they are lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phasediag.executors.watch import Executor, LostPack, Watch
from phasediag.packing.pack import Pack
from phasediag.running.job import Job, Progress
from phasediag.running.rows import failed_rows
from phasediag.storage.store import Store


def run_packs(runner: Executor, packs: Sequence[Pack], job: Job, watch: Watch, store: Store) -> None:
    """Run packs; halve those that kill their workers until the culprit is alone."""
    while packs and not watch.ending.due():
        watch.expect(packs)
        lost = runner.run(packs, job, watch)
        packs = [half for gone in lost for half in _halves(gone, job, watch, store)]


def _halves(lost: LostPack, job: Job, watch: Watch, store: Store) -> tuple[Pack, ...]:
    """What is tried instead of a lost pack; nothing where its one trial has failed by that."""
    pack = lost.pack
    store.drop_checkpoint(pack.pack_id)
    watch.forget(pack.pack_id)
    if len(pack.trials) > 1:
        return pack.halves()
    error = f"its worker died: {lost.error}"
    store.write_fragment(pack.pack_id, *failed_rows(pack, job, np.arange(1), error))
    watch.report(pack.pack_id, Progress(trials_done=1, failed=1, diverged=0, error=error, done=True))
    return ()
