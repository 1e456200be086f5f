"""Plan and launch: a sweep from the outside. Torch is loaded only where something is to be trained."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from phasediag.errors import INTERRUPTED, MachineError, PhasediagError
from phasediag.executors.drain import Drain, draining_on_signals
from phasediag.executors.executor import Executor, Staff
from phasediag.executors.watch import Watch
from phasediag.grids.grid import Grid, read_grid
from phasediag.grids.settings import parse_setting
from phasediag.library_messages import quiet
from phasediag.running import checkpoint
from phasediag.running.job import Breakdown, Job
from phasediag.running.software import software
from phasediag.storage.lease import Lease, take
from phasediag.storage.store import Store
from phasediag.sweeps.mending import mended
from phasediag.sweeps.recorded import recorded_files, roster_of_grid, user_sources
from phasediag.sweeps.status import Status, status_of
from phasediag.sweeps.survey import Survey, make_survey

if TYPE_CHECKING:
    from phasediag.packing.pack import CompileMode
    from phasediag.sweeps.planning import Plan

ExecutorName = Literal["ray", "inline"]
DEFAULT_STORAGE = "./sweeps"
LOG = "phasediag.log"
"""In the folder of a sweep: what libraries say of themselves."""
KEPT = "all that was recorded is kept: launch the same grid again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a launch ended."""

    status: Status
    trained: int
    """Trials that this launch committed, failed ones among them."""
    seconds: float
    drained: str
    """Why it ended early; empty where it did not."""
    too_many_failures: bool
    first_error: str
    sweep: str
    split: Mapping[str, float]
    """Seconds of all workers by what they were spent on: start-up, PHASES, idle."""
    foretold: tuple[float, float] | None = None
    """Seconds that it said to be left at a tenth of its trials, and seconds that they took."""

    @property
    def exit_code(self) -> int:
        """0 complete, 1 some trials failed, 130 interrupted."""
        if self.drained and not self.too_many_failures and self.status.missing:
            return INTERRUPTED
        return 1 if self.status.failed or self.status.missing else 0


def plan(
    grid: str | Path,
    storage: str = DEFAULT_STORAGE,
    *,
    compile_mode: CompileMode = "auto",
    retry_failed: bool = False,
    settings: Sequence[str] = (),
) -> Plan:
    """What a launch of this grid would do; trains nothing and imports no ray.

    Parameters
    ----------
    grid, storage, retry_failed, settings
        As for `launch`.
    compile_mode
        `auto` compiles where that pays.

    Raises
    ------
    GridError
        With every fault of the grid.
    PhasediagError
        Where the storage cannot be read, or committed trials lack an observable.
    """
    read = completed(read_grid(grid, list(map(parse_setting, settings))))
    store = Store.open(storage, read.name)
    survey = make_survey(read, store, retry_failed=retry_failed)

    from phasediag.executors.inline import local_workers
    from phasediag.sweeps.planning import make_plan
    from phasediag.sweeps.rehearsal import rehearse

    workers = local_workers(read.resources.cpus, read.resources.gpus)
    with quiet(None):
        notes = rehearse(survey)
        planned = make_plan(survey, store, workers=workers, compile_mode=compile_mode)
    return replace(planned, notes=(*notes, *planned.notes))


def launch(
    grid: str | Path,
    storage: str = DEFAULT_STORAGE,
    *,
    executor: ExecutorName = "ray",
    address: str | None = None,
    max_failures: int | None = None,
    retry_failed: bool = False,
    remeasure: bool = False,
    time_limit_s: float | None = None,
    compile: CompileMode = "auto",
    observer: Callable[[Watch], None] = lambda watch: None,
    notify: Callable[[str], None] = lambda sentence: print(sentence, file=sys.stderr),
    keep_ray: bool = False,
    sweep: str | Path | None = None,
    settings: Sequence[str] = (),
) -> Outcome:
    """Train whatever of a grid the store does not hold.

    Parameters
    ----------
    grid
        Path of a grid.yaml.
    storage
        Folder or URI under which the sweep lies.
    executor
        `ray`, or `inline` for this process.
    address
        Of a Ray cluster; None: the environment's RAY_ADDRESS, or else a local Ray of its own.
    max_failures
        Failed trials after which the launch drains.
    retry_failed
        Train trials that failed before once more.
    remeasure
        Train trials again that lack an observable of this grid.
    time_limit_s
        Seconds after which everything must be over; it drains before.
    compile
        `auto` compiles where that pays.
    observer
        Called with the watch at every report of progress.
    notify
        Called with each sentence that the user should know before the launch trains; prints it by default.
    keep_ray
        Leave a local Ray running for the next launch of this process; it ends with the process.
    sweep
        Folder or URI of the sweep itself, whatever its name; None: the name of the grid, in `storage`.
    settings
        `KEY=VALUE` each: keys of the grid set to other values than its file gives. The sweep keeps the
        grid with them.

    Raises
    ------
    PhasediagError
        Where nothing can be started: a bad grid, a held lease, a cluster that cannot run it.
    """
    started = time.monotonic()
    read = completed(read_grid(grid, list(map(parse_setting, settings))))
    store = Store.open(storage, read.name) if sweep is None else Store.at(sweep)
    deadline = None if time_limit_s is None else started + time_limit_s - _margin(time_limit_s)
    drain = Drain(deadline=deadline)
    with draining_on_signals(drain), quiet(_log(store, LOG)):
        runner = _executor(executor, address, read, store, keep_ray)
        job = Job(
            sweep=store.folder.uri, measure=read.measure, parameters=read.parameters,
            sources=user_sources(read), hashes=read.sources, git_commit=git_commit(),
            software=software(),
        )  # fmt: skip
        with take(store, on_lost=lambda cause: drain.fail(Breakdown(error=cause, of_machine=True))) as lease:
            for sentence in mended(store):
                notify(sentence)
            job = replace(job, token=lease.holder.token)
            survey = make_survey(read, store, retry_failed=retry_failed, remeasure=remeasure)
            watch = Watch(
                total=len(survey.missing), ending=drain, max_failures=max_failures, started=started,
                observer=_refreshing(lease, observer),
            )  # fmt: skip
            lease.tell(watch.news)
            watch.observer(watch)
            for sentence in survey.notices:
                notify(sentence)
            _drop_spent(store)
            _Launch(
                survey=survey, store=store, job=job, runner=runner, watch=watch, compile_mode=compile,
                notify=notify,
            ).run()  # fmt: skip
    if drain.breakdown is not None:
        raise _ended_by(drain.breakdown, watch.trained)
    return Outcome(
        status=status_of([survey.trials.trial_id], store), trained=watch.trained,
        seconds=time.monotonic() - started, drained=drain.reason, first_error=watch.first_error,
        too_many_failures=watch.too_many_failures, sweep=store.folder.uri,
        split=watch.split(), foretold=watch.foretold_and_taken,
    )  # fmt: skip


def _ended_by(breakdown: Breakdown, trained: int) -> PhasediagError:
    """The error of a launch that broke down after it had committed so many trials."""
    under_way = breakdown.of_machine and trained
    return MachineError(f"{breakdown.error}; {KEPT}") if under_way else PhasediagError(breakdown.error)


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


def completed(grid: Grid) -> Grid:
    """The grid with every file that the user's classes open; torch loads only where there are any."""
    if not grid.sources:
        return grid
    from phasediag.sweeps import reach

    return reach.completed(grid)


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
            self._train(staff)

    def _train(self, staff: Staff) -> None:
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
            most=books.most or MOST_PLACES, expected=books.expected, grows=staff.grows,
            strikes=STRIKES if staff.grows else 1,
        )  # fmt: skip
        if not dispatch.over:
            self.runner.run(dispatch, self.job)

    def _rehearse(self) -> None:
        from phasediag.sweeps.rehearsal import rehearse

        for sentence in rehearse(self.survey):
            self.notify(sentence)

    def _record(self) -> None:
        """Keep the grid with what is needed to read it again, and its trials with it."""
        grid = self.survey.grid
        self.store.save_grid(grid.text, recorded_files(grid), roster_of_grid(grid, self.survey.trials))


def _drop_spent(store: Store) -> None:
    """Delete the checkpoints of trials that are all done: their pack was killed before it could."""
    unfinished = {pack_id: checkpoint.read_header(store, pack_id) for pack_id in store.checkpoints()}
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


def _executor(name: ExecutorName, address: str | None, grid: Grid, store: Store, keep: bool) -> Executor:
    resources = grid.resources
    if name == "inline":
        from phasediag.executors.inline import InlineExecutor

        log = _log(store, LOG)
        return InlineExecutor(cpus=resources.cpus, gpus=resources.gpus, tf32=resources.tf32, log=log)
    from phasediag.executors.ray_tune.executor import RayExecutor

    where = address or os.environ.get("RAY_ADDRESS") or "local"
    return RayExecutor(
        address=None if where == "local" else where, cpus=resources.cpus, gpus=resources.gpus,
        tf32=resources.tf32, log=_log(store, "ray.log"), keep=keep,
    )  # fmt: skip


def _log(store: Store, name: str) -> Path | None:
    """A file of what libraries say; none on an object store."""
    return Path(store.folder.path) / name if store.folder.local else None


def _margin(time_limit_s: float) -> float:
    """Time kept for draining."""
    return min(60.0, 0.1 * time_limit_s)


def git_commit() -> str:
    """The commit of the working directory, with `-dirty` where it was changed; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
