"""phasediag's engine against its peers on the same work, each at its best setting.

python benchmarks/peers.py --job width-16 --job width-64 --job chain --job resnet --job transformer

First all train the same trials for some steps, from phasediag's initial weights, data and batches. Where
losses differ by more than rounding, nothing is told of time and the exit code is 1.

Engines (JAX, a batched loop by hand, phasediag, the bare products) get one thread on one core. They
train a tile from its start, in turns, JAX in a process of its own; the CPU time of the process counts, so
that a busy machine disturbs little, and compilation is left out. Each tries every size of tile; the best
ones take more turns, and ratios are medians over these. phasediag draws its batches while it is timed, the
others are given theirs.

Ray Tune and joblib train one network a process; they are timed by the clock on all cores, start-up apart, and
told as time of one core. Ray Tune at its best practice counts as fair where it stays below 1.25 times a
plain loop, which is timed as the engines are. Of the resnet and the transformer, one network a process is
that loop, which takes turns with the engines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import peer_loops
from peer_engines import Batched, Engine, Jax, Loop, Phasediag, Products, Timed, jax_on, one_core
from peer_jobs import JOBS, STEPS, Job, trials_of, work_of
from peer_work import Array, Work
from rich.console import Console
from rich.table import Table

from phasediag.trial import Trials

LOOPED: Final = 4
"""Trials whose losses are compared where networks are trained one by one."""
SEARCH_ROUNDS: Final = 3
SEARCH_SECONDS: Final = 0.25
"""Of one engine's turn, as the next."""
TURN_SECONDS: Final = 0.75
WIDTH: Final = 150
"""Columns of text that the tables take."""
OURS: Final = "phasediag"
BEST_TUNE: Final = "Ray Tune, reuse_actors=True"
LOOP: Final = "plain PyTorch loop"
FAIR: Final = 1.25
JAX: Final = "JAX jit(vmap(scan))"
BATCHED: Final = "batched by hand, in place"
FLOOR: Final = "bare batched products"
SPEEDUPS: Final[Mapping[tuple[str, str], float]] = {
    ("width-16", JAX): 1.5, ("width-64", JAX): 1.2, ("resnet", JAX): 1.5, ("transformer", JAX): 1.5,
}  # fmt: skip
"""Targets: at least so many times the peer's speed."""
SHARES: Final[Mapping[tuple[str, str], float]] = {("width-64", FLOOR): 0.6}
"""Targets: at least so much of the products' rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A peer that trains one network a process."""

    trial_s: float
    """Seconds of one core."""
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What was measured of the engines; times in seconds a trial and step, by engine."""

    by_tile: Mapping[str, Mapping[int, float]]
    """Medians by size of tile."""
    turns: Mapping[str, list[float]]
    """Of every turn at the best size."""

    @property
    def best(self) -> dict[str, int]:
        """The best size of tile."""
        return {name: min(seconds, key=seconds.__getitem__) for name, seconds in self.by_tile.items()}

    def ratios(self, name: str) -> Array:
        """How many times phasediag's time an engine takes, turn by turn."""
        return np.array(self.turns[name]) / np.array(self.turns[OURS])


class OtherWorkError(click.ClickException):
    """Peers do not do the same work."""


def deviation(losses: Array, ours: Array, start: Array) -> float:
    """The largest difference of losses, in units of the largest change since the start."""
    largest = float(np.abs(losses - ours[: len(losses)]).max() / np.abs(ours - start).max())
    return largest if np.isfinite(largest) else np.inf


def agreed(job: Job, losses: Mapping[str, Array], start: Array) -> dict[str, float]:
    """The deviation of each peer from phasediag.

    Raises
    ------
    OtherWorkError
        Where one is above the tolerance.
    """
    deviations = {name: deviation(each, losses[OURS], start) for name, each in losses.items()}
    if bad := [f"{name} by {each:.1e}" for name, each in deviations.items() if not each <= job.tolerance]:
        raise OtherWorkError(
            f"{job.name}: after {job.compared_steps} steps losses differ from phasediag's: {', '.join(bad)} "
            f"of their largest change; up to {job.tolerance:g} is rounding, so this is not the same work"
        )
    return deviations


def compared(job: Job, trainers: Mapping[str, Engine], start: Array) -> dict[str, Array]:
    """The losses of each engine's smallest tile, which agree."""
    losses = {name: engine.losses(job.tiles[0], job.compared_steps) for name, engine in trainers.items()}
    agreed(job, losses, start)
    return losses


def in_turns(
    engines: Mapping[str, Timed], tiles: Mapping[str, int], steps: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds a trial and step of all engines' turns, each at its size of tile."""
    turns: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            turns[name].append(engine.seconds(tiles[name], seconds) / tiles[name] / steps)
    return turns


def measured(job: Job, engines: Mapping[str, Timed], rounds: int) -> Engines:
    """Try every size of tile, then let all take turns at their best one."""
    by_tile: dict[str, dict[int, float]] = {name: {} for name in engines}
    for size in job.tiles:
        tiles = dict.fromkeys(engines, size)
        turns = in_turns(engines, tiles, job.timed_steps, SEARCH_ROUNDS, SEARCH_SECONDS)
        for name, seconds in turns.items():
            by_tile[name][size] = float(np.median(seconds))
    best = Engines(by_tile=by_tile, turns={}).best
    return Engines(by_tile=by_tile, turns=in_turns(engines, best, job.timed_steps, rounds, TURN_SECONDS))


def tuned(path: str, few: int, many: int, reuse: bool, compared_steps: int) -> dict[str, Any]:
    """What `peer_tune.py` measures."""
    command = [sys.executable, str(Path(__file__).with_name("peer_tune.py")), path]
    numbers = {"few": few, "many": many, "steps": STEPS, "compared": LOOPED, "compared-steps": compared_steps}
    command += [f"--{name}={number}" for name, number in numbers.items()] + ["--reuse"] * reuse
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def one_by_one(path: str, few: int, many: int, steps: int) -> tuple[dict[str, Alone], dict[str, Array]]:
    """Ray Tune, joblib and a plain loop on the work of a file: times, and losses after so many steps."""
    cores = peer_loops.CORES
    ways: dict[str, Alone] = {}
    losses: dict[str, Array] = {}
    for name, reuse, part in (("Ray Tune, defaults", False, 5), (BEST_TUNE, True, 1)):
        answer = tuned(path, max(2, few // part), max(4, many // part), reuse, steps)
        losses[name] = np.array(answer["losses"])
        remark = (
            f"{answer['trial_s']:.3f} s a trial on {cores} cores, start-up {answer['startup_s']:.1f} s apart"
        )
        ways[name] = Alone(trial_s=answer["trial_s"] * cores, remark=remark)
    losses["joblib"] = np.array(peer_loops.with_joblib(path, range(LOOPED), steps))
    seconds = peer_loops.joblib_s(path, 6 * cores, STEPS)
    ways["joblib"] = Alone(trial_s=seconds * cores, remark=f"{seconds:.3f} s a trial on {cores} cores")
    losses[LOOP] = np.array([peer_loops.train(path, i, steps) for i in range(LOOPED)])
    seconds = peer_loops.loop_s(path, 5, STEPS)
    unfairness = ways[BEST_TUNE].trial_s / seconds
    fairness = "fair" if unfairness < FAIR else "not fair, is the machine quiet?"
    ways[LOOP] = Alone(trial_s=seconds, remark=f"best Ray Tune takes {unfairness:.2f} x this: {fairness}")
    return ways, losses


def tiles_table(job: Job, engines: Engines) -> Table:
    """What the choice of the tile does."""
    table = Table("tile", *engines.by_tile, title=f"{job.title}\nµs of a core, a trial and step, by tile")
    for size in job.tiles:
        cells = [
            f"{'[bold]' * (engines.best[name] == size)}{digits(seconds[size] * 1e6)}"
            for name, seconds in engines.by_tile.items()
        ]
        table.add_row(f"{size:,}", *cells)
    return table


def peers_table(
    job: Job, work: Work, engines: Engines, single: Mapping[str, Alone], deviations: Mapping[str, float]
) -> Table:
    """All peers of one job."""
    table = Table(
        "", "tile", "µs of a core,\na trial and step", "GFLOP/s", "over phasediag\n(turns from, to)",
        "losses\ndiffer by", "", title=job.title,
        caption=f"losses after {job.compared_steps} steps, in units of their largest change; "
        f"up to {job.tolerance:g} is rounding",
    )  # fmt: skip
    ours = float(np.median(engines.turns[OURS]))
    rows = {name: (1, peer.trial_s / STEPS, peer.remark) for name, peer in single.items()}
    rows |= {
        name: (engines.best[name], float(np.median(turns)), verdict(job, name, engines))
        for name, turns in engines.turns.items()
    }
    for name, (tile, each, remark) in rows.items():
        ratio, rate = f"{digits(each / ours)} x", f"{work.operations / each / 1e9:.3g}"
        if name in engines.turns:
            turns = engines.ratios(name)
            ratio = f"{digits(np.median(turns))} x ({digits(turns.min())}, {digits(turns.max())})"
        differ = f"{deviations[name]:.0e}" if name in deviations else ""
        table.add_row(name, f"{tile:,}", digits(each * 1e6), rate, ratio, differ, remark)
    return table


def verdict(job: Job, name: str, engines: Engines) -> str:
    """Whether the target on this peer is met."""
    ratio, key = float(np.median(engines.ratios(name))), (job.name, name)
    remark = f"phasediag reaches {ratio:.0%} of this" if name == FLOOR else ""
    if key in SPEEDUPS:
        return f"target {SPEEDUPS[key]:g} x: {outcome(ratio >= SPEEDUPS[key])}"
    return f"{remark}; target {SHARES[key]:.0%}: {outcome(ratio >= SHARES[key])}" if key in SHARES else remark


def digits(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def outcome(met: bool) -> str:
    return "[green]met[/]" if met else "[red]missed[/]"


def compare(job: Job, rounds: int, few: int, many: int, engines_only: bool) -> None:
    """Check that all do the same work, time them, print the tables."""
    trials = trials_of(job.grid)
    work = work_of(trials, job.timed_steps)
    with tempfile.TemporaryDirectory(prefix="phasediag-peers-") as folder:
        path = work.save(Path(folder, "work.npz"))
        with one_core(), jax_on(path) as jax:
            trainers = trainers_of(trials, work, jax)
            start = trainers[OURS].losses(job.tiles[0], 0)
            losses = compared(job, trainers, start)
            floor = {FLOOR: Products(work)} if work.model == "chain" else {}
            engines = measured(job, {**trainers, **floor}, rounds)
        single: dict[str, Alone] = {}
        if job.tuned and not engines_only:
            small = work.first(job.tiles[0]).save(Path(folder, "small.npz"))
            single, more = one_by_one(str(small), few, many, job.compared_steps)
            losses |= more
    deviations = agreed(job, losses, start)
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(tiles_table(job, engines))
    console.print(peers_table(job, work, engines, single, deviations))


def trainers_of(trials: Trials, work: Work, jax: Jax, compiled: bool = True) -> dict[str, Engine]:
    """The engines that train, by name."""
    ours = Phasediag(trials, work.timed_steps, compiled)
    by_hand = {BATCHED: Batched(work)} if work.model == "chain" else {LOOP: Loop(work)}
    return {JAX: jax, **by_hand, OURS: ours}


@click.command(help=__doc__)
@click.option(
    "--job", "names", multiple=True, type=click.Choice([j.name for j in JOBS]), help="Default: all."
)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--few", default=40, show_default=True, help="Tune trials of the shorter run, 1/5 with defaults."
)
@click.option("--many", default=120, show_default=True, help="Tune trials of the longer run, likewise.")
@click.option("--engines-only", is_flag=True, help="Leave out Ray Tune, joblib and the plain loop.")
def main(names: tuple[str, ...], rounds: int, few: int, many: int, engines_only: bool) -> None:
    if find_spec("jax") is None:
        raise click.UsageError("JAX is not installed; pip install -c constraints.txt -e '.[bench]'")
    for job in JOBS:
        if not names or job.name in names:
            compare(job, rounds, few, many, engines_only)


if __name__ == "__main__":
    main()
