"""Plan and launch: a sweep from the outside. Torch is loaded only where something is to be trained."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from phasediag.errors import INTERRUPTED, MachineError, PhasediagError
from phasediag.executors.drain import Drain, draining_on_signals
from phasediag.executors.watch import Watch
from phasediag.grids.given import GridSource
from phasediag.grids.grid import Grid, read_grid
from phasediag.grids.lot import Lot
from phasediag.grids.settings import parse_setting
from phasediag.library_messages import quiet
from phasediag.running.job import Breakdown
from phasediag.storage.store import Store
from phasediag.sweeps.launching import LOG, ExecutorName, LaunchOrder, executor_of, led, log_of
from phasediag.sweeps.status import Status, duration, status_of
from phasediag.sweeps.survey import make_survey

if TYPE_CHECKING:
    from phasediag.packing.pack import CompileMode
    from phasediag.sweeps.planning import Plan

DEFAULT_STORAGE = "./sweeps"
KEPT = "all that was recorded is kept: launch the same grid again"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
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

    def __repr__(self) -> str:
        """How it ended, in words."""
        status = self.status
        parts = [
            f"{status.done:,} of {status.total:,} trials done ({status.diverged:,} diverged), "
            f"{status.failed:,} failed, {status.missing:,} missing; "
            f"{self.trained:,} trained in {duration(self.seconds)}"
        ]
        if self.drained:
            parts.append(f"drained: {self.drained}; launch the same grid again to go on")
        if status.failed:
            error = self.first_error.splitlines()[0] if self.first_error else "see the column error"
            parts.append(f"first error: {error}; --retry-failed trains them again")
        return "\n".join(parts)


def plan(
    grid: GridSource,
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
    grid: GridSource,
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
        Path of a grid.yaml, or a dictionary of the same keys: `{"name": "mine", "fixed": {...},
        "axes": {"width": [16, 32]}}`. Files of yours are looked up beside the grid.yaml, or in the current
        folder.
    storage
        Folder or URI under which the sweep lies.
    executor
        `ray`; `inline` for this process; `array` for this process and all others, on whatever machines, that
        are given the same launch: they meet in the storage.
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
    with draining_on_signals(drain), _leaving_no_shell(store), quiet(log_of(store, LOG)):
        order = LaunchOrder(
            grid=read, store=store, drain=drain, executor=executor, address=address,
            max_failures=max_failures, retry_failed=retry_failed, remeasure=remeasure, compile_mode=compile,
            observer=observer, notify=notify, keep_ray=keep_ray, started=started,
        )  # fmt: skip
        watch, trials = _carried_out(order)
    if drain.breakdown is not None:
        raise _ended_by(drain.breakdown, watch.trained)
    return Outcome(
        status=status_of([trials.digests()], store), trained=watch.trained,
        seconds=time.monotonic() - started, drained=drain.reason, first_error=watch.first_error,
        too_many_failures=watch.too_many_failures, sweep=store.folder.uri,
        split=watch.split(), foretold=watch.foretold_and_taken,
    )  # fmt: skip


def _carried_out(order: LaunchOrder) -> tuple[Watch, Lot]:
    """Train what is missing; how that went, and all trials of the grid."""
    if order.executor == "array":
        from phasediag.sweeps.array import carried_out_in_array

        return carried_out_in_array(order)
    job, runner = order.job(), executor_of(order)
    with order.take() as lease:
        return led(order, lease, job, runner)


@contextmanager
def _leaving_no_shell(store: Store) -> Iterator[None]:
    """Take the folders away again that a launch made and that hold nothing, where it is refused."""
    places = [Path(store.folder.path), *Path(store.folder.path).parents] if store.folder.local else []
    made = list(takewhile(lambda place: not place.exists(), places))
    try:
        yield
    except PhasediagError:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise


def _ended_by(breakdown: Breakdown, trained: int) -> PhasediagError:
    """The error of a launch that broke down after it had committed so many trials."""
    return MachineError(f"{breakdown.error}; {KEPT}") if trained else PhasediagError(breakdown.error)


def completed(grid: Grid) -> Grid:
    """The grid with every file that the user's classes open; torch loads only where there are any."""
    if not grid.sources:
        return grid
    from phasediag.sweeps import reach

    return reach.completed(grid)


def _margin(time_limit_s: float) -> float:
    """Time kept for draining."""
    return min(60.0, 0.1 * time_limit_s)
