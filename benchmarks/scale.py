"""What a launch of very many tiny trials costs its driver, with a stub in place of training.

python benchmarks/scale.py

Grids of `--trials` trials each are launched on `--places` places: grid, survey, lease, roster, ledger,
dispatch and watch are those of a launch; a place takes a pack as it would come to a worker, and tells at once
that it is done, in the order in which places would be free if training took as long as projected. Nothing is
trained and no fragment is written. Each launch runs in a process of its own. `--ray` launches on a local Ray
besides, with as many actors as places, each of which says that its pack is done without training it.

Of each launch: the peak of the driver's memory, what of it is more than that of the smallest launch, a trial;
seconds until the first place has its first pack; packs; bytes that a place is sent, a pack and a trial;
seconds of the driver a pack, from a report to the answer, and of a place to unpack what it is sent.
"""

from __future__ import annotations

import heapq
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

GRID: Final = """\
name: scale
fixed: {task: teacher_student, model: mlp, depth: 2, steps: @steps@}
max_trials: 1000000000
axes:
  weight_decay:  {logspace: [1e-4, 1], num: 25}
  lr_over_batch: {logspace: [1e-4, 1e-2], num: 20}
  label_noise:   {linspace: [0, 1], num: @noises@}
  width:         [8, 16]
replicates: 5
measure: {observables: [permutation, sign_flip]}
resources: {workers: @places@}
"""
UNIT: Final = 25 * 20 * 2 * 5
"""Trials of the grid for one value of label_noise."""


@dataclass(slots=True, kw_only=True)
class Cost:
    """What a launch cost."""

    trials: int
    places: int
    kind: str = "stubs"
    packs: int = 0
    trained: int = 0
    read_s: float = 0.0
    """Until the grid was read."""
    first_s: float = 0.0
    """Until the first claim was sent."""
    driver_s: float = 0.0
    """From reports to answers, packing included."""
    place_s: float = 0.0
    """To unpack what was sent."""
    sent: int = 0
    """Bytes of all claims."""
    job: int = 0
    """Bytes of what every place is given once."""
    peak_mb: float = 0.0
    peak_first_mb: float = 0.0
    """Peak of memory until the first claim was sent."""
    wall_s: float = 0.0
    largest: int = 0
    """Bytes of the largest claim."""


def peak_mb() -> float:
    """Peak of this process's resident memory, 10^6 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / 1e6


def grid_of(trials: int, places: int, steps: int) -> str:
    noises = max(1, round(trials / UNIT))
    text = GRID.replace("@noises@", str(noises)).replace("@places@", str(places))
    return text.replace("@steps@", str(steps))


class Stubs:
    """Places that say that their packs are done, in the order in which they would be."""

    def __init__(self, cost: Cost, started: float) -> None:
        self.cost, self.started = cost, started

    @contextmanager
    def ready(self, folder: Any, trials: int) -> Iterator[Any]:
        """All of them at once."""
        from phasediag.executors.executor import Staff

        yield Staff(now=self.cost.places, grows=True)

    def run(self, dispatch: Any, job: Any) -> None:
        """Answer reports until nothing is left."""
        from phasediag.packing.machine import CPU
        from phasediag.running.job import Progress, WorkerPlace, WorkerReport

        cost = self.cost
        cost.job = len(pickle.dumps(job, pickle.HIGHEST_PROTOCOL))
        free = [(0.0, number, 0.0, 0) for number in range(cost.places)]
        places = [WorkerPlace(host=f"host {n}", node=f"node {n}", machine=CPU) for n in range(cost.places)]
        while free:
            at, number, seconds, trained = heapq.heappop(free)
            progress = None
            if trained:
                progress = Progress(
                    trials_done=trained, failed=0, diverged=0, error="", done=True,
                    spent={"training": seconds},
                )  # fmt: skip
            began = time.perf_counter()
            claim = dispatch.answer(f"{number}", WorkerReport(place=places[number], progress=progress))
            sent = b"" if claim is None else pickle.dumps(claim, pickle.HIGHEST_PROTOCOL)
            cost.driver_s += time.perf_counter() - began
            if claim is None:
                continue
            if not cost.packs:
                cost.first_s, cost.peak_first_mb = time.monotonic() - self.started, peak_mb()
            began = time.perf_counter()
            pack = pickle.loads(sent).pack.made_by(job.expansion)
            assert len(pack.trials.trial_id) == len(pack.trials.point_id) == len(pack.trials)
            cost.place_s += time.perf_counter() - began
            cost.packs, cost.trained = cost.packs + 1, cost.trained + len(pack.trials)
            cost.sent, cost.largest = cost.sent + len(sent), max(cost.largest, len(sent))
            took = pack.projected_seconds
            heapq.heappush(free, (at + took, number, took, len(pack.trials)))


def counted(answer: Callable[..., Any], cost: Cost, started: float) -> Callable[..., Any]:
    """The dispatch's answer, with what it costs."""

    def answering(dispatch: Any, name: str, report: Any) -> Any:
        began = time.perf_counter()
        claim = answer(dispatch, name, report)
        cost.driver_s += time.perf_counter() - began
        if claim is not None:
            if not cost.packs:
                cost.first_s, cost.peak_first_mb = time.monotonic() - started, peak_mb()
            sent = len(pickle.dumps(claim, pickle.HIGHEST_PROTOCOL))
            cost.packs, cost.trained = cost.packs + 1, cost.trained + len(claim.pack)
            cost.sent, cost.largest = cost.sent + sent, max(cost.largest, sent)
        return claim

    return answering


@contextmanager
def actors_that_train_nothing() -> Iterator[None]:
    """Let the places of Ray Tune say that their packs are done."""
    from phasediag.executors.ray_tune import trainable, tuning

    class Stub(trainable.PlaceTrainable):  # type: ignore[misc]
        """A place that trains nothing."""

        def take(self, claim: Any) -> None:
            self.claim = claim

        def step(self) -> dict[str, Any]:
            import ray

            from phasediag.running.job import Progress, WorkerReport

            claim, self.claim = getattr(self, "claim", None), None
            progress = None
            if claim is None:
                time.sleep(0.2)
            else:
                pack = claim.pack.made_by(self.worker.job.expansion)
                progress = Progress(
                    trials_done=len(pack.trials), failed=0, diverged=0, error="", done=True,
                    spent={"training": pack.projected_seconds},
                )  # fmt: skip
            report = WorkerReport(place=self.worker.place, progress=progress)
            return {"report": report, "handle": ray.get_runtime_context().current_actor}

    own, tuning.PlaceTrainable = tuning.PlaceTrainable, Stub  # type: ignore[misc]
    try:
        yield
    finally:
        tuning.PlaceTrainable = own  # type: ignore[misc]


def launched(trials: int, places: int, steps: int, ray: bool, storage: str) -> Cost:
    """One launch, in this process."""
    started = time.monotonic()
    from phasediag.executors.dispatch import Dispatch
    from phasediag.executors.drain import Drain
    from phasediag.grids.grid import read_grid
    from phasediag.storage.store import Store
    from phasediag.sweeps.launching import LaunchOrder, executor_of, led

    cost = Cost(trials=trials, places=places, kind="Ray" if ray else "stubs")
    path = Path(storage, "grid.yaml")
    path.write_text(grid_of(trials, places, steps))
    grid = read_grid(path)
    cost.read_s = time.monotonic() - started
    store = Store.open(storage, grid.name)
    order = LaunchOrder(
        grid=grid, store=store, drain=Drain(), executor="ray" if ray else "inline", address=None,
        max_failures=None, retry_failed=False, remeasure=False, compile_mode="auto",
        observer=lambda watch: None, notify=lambda text: None, keep_ray=False, started=started,
    )  # fmt: skip
    with order.take() as lease:
        if ray:
            Dispatch.answer = counted(Dispatch.answer, cost, started)  # type: ignore[method-assign]
            with actors_that_train_nothing():
                led(order, lease, order.job(), executor_of(order))
        else:
            led(order, lease, order.job(), Stubs(cost, started))
    cost.wall_s, cost.peak_mb = time.monotonic() - started, peak_mb()
    assert cost.trained == trials, (cost.trained, trials)
    return cost


def apart(command: Sequence[str], places: int) -> Cost:
    """A launch in a process of its own."""
    environment = os.environ | {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": places}), "RAY_ADDRESS": ""}
    with tempfile.TemporaryDirectory(prefix="phasediag-scale-") as storage:
        done = subprocess.run(
            [sys.executable, __file__, *command, "--storage", storage], env=environment, text=True,
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def table_of(costs: Sequence[Cost]) -> Table:
    """A column a launch."""
    table = Table("", *(f"{c.trials:,} on {c.places} {c.kind}" for c in costs))
    least = costs[0]
    rows: list[tuple[str, Callable[[Cost], str]]] = [
        ("peak memory of the driver, MB", lambda c: f"{c.peak_mb:.0f}"),
        ("  of it until the first pack is sent", lambda c: f"{c.peak_first_mb:.0f}"),
        ("  more than the first launch, bytes a trial", lambda c: "" if c.trials == least.trials else
         f"{1e6 * (c.peak_mb - least.peak_mb) / (c.trials - least.trials):.0f}"),
        ("seconds until the grid is read", lambda c: f"{c.read_s:.2f}"),
        ("seconds until the first pack is sent", lambda c: f"{c.first_s:.2f}"),
        ("seconds of the whole launch", lambda c: f"{c.wall_s:.1f}"),
        ("packs", lambda c: f"{c.packs:,}"),
        ("trials a pack", lambda c: f"{c.trained / c.packs:,.0f}"),
        ("bytes to a place once (the job)", lambda c: f"{c.job:,}" if c.job else ""),
        ("bytes to a place a pack", lambda c: f"{c.sent / c.packs:,.0f}"),
        ("  the largest", lambda c: f"{c.largest:,}"),
        ("bytes to a place a trial", lambda c: f"{c.sent / c.trained:.0f}"),
        ("driver, ms a pack", lambda c: f"{1e3 * c.driver_s / c.packs:.1f}"),
        ("driver, us a trial", lambda c: f"{1e6 * c.driver_s / c.trained:.2f}"),
        ("place, ms to unpack a pack", lambda c: f"{1e3 * c.place_s / c.packs:.1f}" if c.place_s else ""),
    ]  # fmt: skip
    for name, shown in rows:
        table.add_row(name, *(shown(cost) for cost in costs))
    return table


@click.command(help=__doc__)
@click.option(
    "--trials",
    multiple=True,
    type=click.IntRange(min=2 * UNIT),
    default=(10_000, 100_000, 1_000_000),
    show_default=True,
)
@click.option("--places", multiple=True, type=int, default=(8, 64), show_default=True)
@click.option("--steps", default=2000, show_default=True, help="Of each trial, as far as projections go.")
@click.option("--ray", is_flag=True, help="On actors of a local Ray, too.")
@click.option("--storage", hidden=True, help="Launch here, in this process, and print what it cost.")
def main(trials: Sequence[int], places: Sequence[int], steps: int, ray: bool, storage: str | None) -> None:
    if storage is not None:
        print(json.dumps(asdict(launched(trials[0], places[0], steps, ray, storage))))
        return
    console = Console(width=200)
    for count in places:
        command = ["--places", str(count), "--steps", str(steps)]
        kinds = [[], ["--ray"]] if ray else [[]]
        costs = [apart([*command, "--trials", str(each), *kind], count) for kind in kinds for each in trials]
        console.print(table_of(costs))


if __name__ == "__main__":
    main()
