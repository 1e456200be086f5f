"""A launch from the inside: the lease, the survey, the ledger, and whoever trains from it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from phasediag.errors import SweepGoneError
from phasediag.executors.drain import Drain
from phasediag.executors.executor import Executor, Staff
from phasediag.executors.watch import Watch
from phasediag.grids.grid import Grid
from phasediag.grids.lot import Lot
from phasediag.locks import alone
from phasediag.running import checkpoint
from phasediag.running.job import Breakdown, Job
from phasediag.running.software import software
from phasediag.storage.lease import Lease, held_by, take
from phasediag.storage.store import CHECKPOINTS, Store
from phasediag.sweeps.mending import mended
from phasediag.sweeps.recorded import recorded_files, roster_of_grid, user_sources
from phasediag.sweeps.survey import Survey, make_survey

if TYPE_CHECKING:
    from phasediag.packing.pack import CompileMode

ExecutorName = Literal["ray", "inline", "array"]
LOG = "phasediag.log"
"""In the folder of a sweep: what libraries say of themselves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaunchOrder:
    """What a launch was asked for."""

    grid: Grid
    store: Store
    drain: Drain
    executor: ExecutorName
    address: str | None
    max_failures: int | None
    retry_failed: bool
    remeasure: bool
    compile_mode: CompileMode
    observer: Callable[[Watch], None]
    notify: Callable[[str], None]
    keep_ray: bool
    started: float
    """In seconds of this process's clock."""

    def job(self) -> Job:
        """What is the same for all packs."""
        grid = self.grid
        return Job(
            sweep=self.store.folder.uri, measure=grid.measure, parameters=grid.parameters,
            sources=user_sources(grid), hashes=grid.sources, keep=grid.keep, git_commit=git_commit(),
            software=software(ray=self.executor == "ray"), expansion=grid.expansion,
        )  # fmt: skip

    def take(self, purpose: str = "launch") -> Lease:
        """Take the lease of the sweep.

        Raises
        ------
        LeaseHeldError
            Where another process holds it.
        """
        drain = self.drain
        return take(
            self.store, purpose=purpose,
            on_lost=lambda cause: drain.fail(Breakdown(error=cause, of_machine=True)),
        )  # fmt: skip


def led(order: LaunchOrder, lease: Lease, job: Job, runner: Executor) -> tuple[Watch, Lot]:
    """Train what is missing, as the one that holds the lease of the sweep."""
    store = order.store
    for sentence in mended(store):
        order.notify(sentence)
    store = store.bound()
    survey = make_survey(order.grid, store, retry_failed=order.retry_failed, remeasure=order.remeasure)
    watch = Watch(
        total=len(survey.missing), ending=order.drain, max_failures=order.max_failures, started=order.started,
        observer=_refreshing(lease, order.observer),
    )  # fmt: skip
    lease.tell(watch.news, watch.note)
    watch.observer(watch)
    for sentence in survey.notices:
        order.notify(sentence)
    _drop_spent(store)
    _Launch(
        survey=survey, store=store, job=replace(job, token=lease.holder.token), runner=runner, watch=watch,
        compile_mode=order.compile_mode, notify=order.notify,
    ).run()  # fmt: skip
    return watch, survey.trials


def _refreshing(lease: Lease, observer: Callable[[Watch], None]) -> Callable[[Watch], None]:
    """The observer, before which the lease tells at once of a pack that was committed."""
    committed = 0

    def observe(watch: Watch) -> None:
        nonlocal committed
        if watch.trained != committed:
            committed = watch.trained
            lease.refresh()
        observer(watch)

    return observe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Launch:
    """What a launch trains, and with what."""

    survey: Survey
    store: Store
    job: Job
    runner: Executor
    watch: Watch
    compile_mode: CompileMode
    notify: Callable[[str], None]

    def run(self) -> None:
        """Train what is missing; what needs torch loads while the executor gets ready.

        Code of the user's has loaded it already, and is rehearsed before anything is started.
        """
        if not len(self.survey.missing):
            self._record()
            return
        if self.watch.ending.due():
            return
        rehearsed = bool(self.job.sources)
        if rehearsed:
            self._rehearse()
        with self.runner.ready(self.store.folder, len(self.survey.missing)) as staff:
            if not rehearsed:
                self._rehearse()
            self._record()
            store = self.store.bound()
            replace(self, store=store, job=replace(self.job, sweep_id=store.sweep_id))._train(staff)

    def _train(self, staff: Staff) -> None:
        from phasediag.executors.commits import Commits
        from phasediag.executors.dispatch import STRIKES, Dispatch
        from phasediag.executors.ledger import MOST_PLACES
        from phasediag.sweeps.planning import open_books

        books = open_books(self.survey, self.store, staff, compile_mode=self.compile_mode)
        for sentence in books.notes:
            self.notify(sentence)
        self.watch.staffed(books.expected)
        self.watch.expect(books.ledger.waiting)
        dispatch = Dispatch(
            ledger=books.ledger, watch=self.watch, job=self.job, store=self.store,
            commits=Commits.since_now(self.store) if self.survey.again else Commits(store=self.store),
            most=books.most or MOST_PLACES, least=books.workers, expected=books.expected, grows=staff.grows,
            strikes=STRIKES if staff.grows else 1,
        )  # fmt: skip
        if not dispatch.over:
            self.runner.run(dispatch, self.job)

    def _rehearse(self) -> None:
        from phasediag.sweeps.rehearsal import rehearse

        for sentence in alone(rehearse)(self.survey):
            self.notify(sentence)

    def _record(self) -> None:
        """Keep the grid with what is needed to read it again, and its trials with it.

        Raises
        ------
        SweepGoneError
            Where what lies there is not what this launch has looked at.
        """
        grid, holder = self.survey.grid, held_by(self.store)
        if not self.store.sweep_id and (holder is None or holder.token != self.job.token):
            raise SweepGoneError(f"the storage of {self.store.folder.uri} went away meanwhile; launch again")
        self.store.save_grid(grid.text, recorded_files(grid), roster_of_grid(grid, self.survey.trials))


def _drop_spent(store: Store) -> None:
    """Delete the checkpoints of trials that are all done: their pack was killed before it could.

    And what is left of those that were never written whole.
    """
    there, folder = store.checkpoints(), store.folder / CHECKPOINTS
    for pack_id in set(folder.folders()).difference(there) if folder.local else ():
        store.drop_checkpoint(pack_id)
    unfinished = {pack_id: checkpoint.read_header(store, pack_id) for pack_id in there}
    if not unfinished:
        return
    committed = store.committed()
    for pack_id, header in unfinished.items():
        if (
            header is None
            or np.isin(
                committed.status_of(np.array(header.trial_ids, dtype=object)), ("ok", "diverged")
            ).all()
        ):
            store.drop_checkpoint(pack_id)


def executor_of(order: LaunchOrder) -> Executor:
    """Who trains: Ray, or this process."""
    resources, store = order.grid.resources, order.store
    if order.executor == "inline":
        from phasediag.executors.inline import InlineExecutor

        log = log_of(store, LOG)
        return InlineExecutor(cpus=resources.cpus, gpus=resources.gpus, tf32=resources.tf32, log=log)
    from phasediag.executors.ray_tune.executor import RayExecutor

    where = order.address or os.environ.get("RAY_ADDRESS") or "local"
    return RayExecutor(
        address=None if where == "local" else where, cpus=resources.cpus, gpus=resources.gpus,
        tf32=resources.tf32, log=log_of(store, "ray.log"), keep=order.keep_ray,
    )  # fmt: skip


def log_of(store: Store, name: str) -> Path | None:
    """The file in the folder of a sweep that what libraries say is written to; None on an object store."""
    return Path(store.folder.path) / name if store.folder.local else None


def git_commit() -> str:
    """The commit of the working directory, with `-dirty` where it was changed; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
