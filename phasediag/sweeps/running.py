"""The packs of a launch: planned, run, and halved where they are lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from phasediag.executors.watch import Executor, LostPack, Watch
from phasediag.packing.machine import Machine, machine_of
from phasediag.packing.pack import CompileMode, Pack, remade
from phasediag.running.job import Job, Progress
from phasediag.running.rows import failed_rows
from phasediag.running.sources import source_folder
from phasediag.storage.store import Store
from phasediag.sweeps.planning import make_plan
from phasediag.sweeps.survey import Survey


def run_packs(
    runner: Executor, survey: Survey, job: Job, watch: Watch, store: Store, compile_mode: CompileMode
) -> None:
    """Run what is missing; halve the packs that kill their workers until the culprit is alone."""
    packs = list(make_plan(survey, store, workers=watch.workers, compile_mode=compile_mode).packs)
    while packs and not watch.draining:
        watch.expect(packs, job.parameters)
        lost = runner.run(packs, job, watch)
        machine = machine_of(survey.grid.resources.gpus)
        packs = [half for gone in lost for half in _halves(gone, job, watch, store, machine)]


def _halves(lost: LostPack, job: Job, watch: Watch, store: Store, machine: Machine) -> list[Pack]:
    pack, count = lost.pack, len(lost.pack.trials)
    store.drop_checkpoint(pack.pack_id)
    watch.forget(pack.pack_id)
    if count == 1:
        error = f"its worker died: {lost.error}"
        store.write_fragment(pack.pack_id, *failed_rows(pack, job, np.arange(1), error))
        watch.report(pack.pack_id, Progress(trials_done=1, failed=1, diverged=0, error=error, done=True))
        return []
    folder, parts = source_folder(job.sources), (np.arange(count // 2), np.arange(count // 2, count))
    known: dict[str, Any] = {"envelope": pack.envelope, "machine": machine}
    return [remade(pack.trials.take(rows), pack.tile_size, pack.compiled, folder, **known) for rows in parts]
