"""What `phasediag launch` adds to the bare engine, what a second worker brings, when a first rate shows.

python benchmarks/overhead.py --minutes 5

The job is that of `baseline_ray_tune.py` at width 16, with so many trials that the bare engine needs the
given minutes: whole tiles, as `plan` sizes them, trained in one process a core with one thread each, all at
once, compilation and everything else left out, before and after the launch, as the machine drifts. The same
trials are launched as a user does: a new process, a local Ray, an empty storage and an empty compile cache.
Two smaller grids, launched with all workers and with one, give the cost of a trial as a slope, without
whatever is fixed; there the cache is warm. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

import baseline_ray_tune as baseline
import click
import torch
from launch_vs_ray_tune import LAUNCH, grid_text
from rich.console import Console
from rich.table import Table

from phasediag.grids.grid import parse_grid
from phasediag.packing.pack import Pack
from phasediag.sweeps import sweep
from phasediag.training.tiles import Program

OVERHEAD: Final = (0.05, 15.0)
"""Target: at most this part of the bare engine's time, and so many seconds."""
FIRST_RATE_S: Final = 20.0
SPEEDUP: Final = 1.8
ETA: Final = 0.2
SMALLER: Final = (0.1, 0.4)
"""Sizes of the grids of the slopes, in parts of the large one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One `phasediag launch`, from the shell's point of view."""

    wall_s: float
    first_rate_s: float
    """From the command to the first line of progress with a rate above zero."""
    split: Mapping[str, float] = field(default_factory=dict)
    """Part of the workers' time by what it was spent on."""
    forecast_s: float
    """Seconds that the launch said to be left at a tenth of its trials."""
    taken_s: float


def packs_of(trials: int) -> Sequence[Pack]:
    """The packs of a launch of the benchmark's grid on this machine."""
    with tempfile.TemporaryDirectory(prefix="phasediag-bench-") as folder:
        grid = Path(folder, "grid.yaml")
        grid.write_text(grid_text(trials))
        return sweep.plan(grid, folder, compile_mode="on").packs


_barrier: Barrier | None = None


def meet_at(barrier: Barrier) -> None:
    """Remember, in a process of the bare engine, where all wait for each other."""
    global _barrier
    _barrier = barrier


def bare_trials_per_s(size: int, seconds: float) -> float:
    """Trials a second of this process, by whole tiles, while the others train too."""
    torch.set_num_threads(1)
    trials = parse_grid(grid_text(size), Path("grid.yaml")).trials()
    program = Program(trials.record(0), Path(), torch.device("cpu"), compiled=True)
    program.tile(trials).advance(10)
    assert _barrier is not None
    _barrier.wait()
    started, tiles = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        program.tile(trials).advance(baseline.STEPS)
        tiles += 1
    return tiles * size / (time.perf_counter() - started)


def bare_engine(size: int, workers: int, seconds: float) -> float:
    """Trials a second of `workers` processes of one thread each."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    with ProcessPoolExecutor(workers, context, initializer=meet_at, initargs=(barrier,)) as pool:
        return sum(pool.map(partial(bare_trials_per_s, size), [seconds] * workers))


def launch(trials: int, workers: int, cache: Path) -> Launch:
    """Run `phasediag launch` on a grid of `trials` trials into an empty storage, and time the process."""
    with tempfile.TemporaryDirectory(prefix="phasediag-bench-") as folder:
        grid = Path(folder, "grid.yaml")
        grid.write_text(grid_text(trials))
        command = [sys.executable, "-c", LAUNCH, "launch", str(grid), "--storage", folder, "--profile"]
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(cache), "TRITON_CACHE_DIR": str(cache), "RAY_ADDRESS": "",
            "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": workers}),
        }  # fmt: skip
        started, first, said = time.perf_counter(), float("inf"), ""
        with subprocess.Popen(
            command, env=environment, cwd=Path(__file__).parents[1], text=True, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                print(f"{time.perf_counter() - started:7.1f} s  {line}", end="", file=sys.stderr)
                said += line
                rate = re.search(r"([\d.]+) trials/s", line)
                if rate is not None and float(rate[1]) > 0:
                    first = min(first, time.perf_counter() - started)
        wall_s = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"the launch of {trials} trials ended with exit code {process.returncode}")
    return Launch(wall_s=wall_s, first_rate_s=first, **described(said))


def described(said: str) -> dict[str, object]:
    """What `--profile` printed: parts of the workers' time, and the ETA at a tenth."""
    split = re.findall(r"([a-z-]+) ([\d.]+) s \(", said)
    total = sum(float(seconds) for _, seconds in split)
    left = re.search(r"left at a tenth: ([\d.]+) s said, ([\d.]+) s taken", said)
    return {
        "split": {phase: float(seconds) / total for phase, seconds in split},
        "forecast_s": float(left[1]) if left else float("nan"),
        "taken_s": float(left[2]) if left else float("nan"),
    }


def report(
    trials: int,
    rates: tuple[float, float],
    large: Launch,
    costs: Mapping[int, tuple[float, float]],
    workers: int,
) -> tuple[Table, bool]:
    """The table, and whether every target is met."""
    before, after = rates
    bare_s = 2 * trials / (before + after)
    share, seconds = OVERHEAD
    wrong = abs(large.forecast_s - large.taken_s) / large.taken_s
    speedup = costs[1][0] / costs[workers][0]
    wanted = SPEEDUP / 2 * workers
    rows = [
        ("bare engine", f"{bare_s:.1f} s", f"{before:.1f} trials/s before, {after:.1f} after", None),
        ("launch", f"{large.wall_s:.1f} s", "", None),
        ("  overhead", f"{large.wall_s - bare_s:.1f} s", f"at most {share * bare_s + seconds:.1f} s",
         large.wall_s - bare_s <= share * bare_s + seconds),
        ("  first line with a rate", f"{large.first_rate_s:.1f} s", f"at most {FIRST_RATE_S:.0f} s",
         large.first_rate_s <= FIRST_RATE_S),
        ("  ETA at a tenth", f"{large.forecast_s:.0f} s for {large.taken_s:.0f} s: {wrong:.0%} off",
         f"at most {ETA:.0%}", wrong <= ETA),
        *((f"  {phase}", f"{part:.1%}", "of the workers' time", None) for phase, part in large.split.items()),
        *((f"{count} workers", f"{cost * 1e3:.2f} ms a trial", f"{fixed:.1f} s fixed", None)
          for count, (cost, fixed) in costs.items()),
        (f"{workers} workers over one", f"{speedup:.2f} x", f"at least {wanted:.1f} x", speedup >= wanted),
    ]  # fmt: skip
    table = Table("", "measured", "target or remark", "", title=f"{trials:,} trials, {workers} workers")
    for name, measured, target, met in rows:
        table.add_row(name, measured, target, "" if met is None else "met" if met else "[bold]missed")
    return table, all(met is not False for *_, met in rows)


@click.command(help=__doc__)
@click.option("--minutes", default=5.0, show_default=True, help="Of the bare engine on the large grid.")
@click.option("--engine-seconds", default=30.0, show_default=True, help="Over which the engine is timed.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(min=2))
def main(minutes: float, engine_seconds: float, workers: int) -> None:
    with tempfile.TemporaryDirectory(prefix="phasediag-bench-cache-") as folder:
        empty, warm = Path(folder, "empty"), Path(folder, "warm")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(warm)
        size = packs_of(4096)[0].tile_size
        before = bare_engine(size, workers, engine_seconds)
        trials = rounded(60 * minutes * before)
        large = launch(trials, workers, empty)
        rates = before, bare_engine(size, workers, engine_seconds)
        few, many = (rounded(part * trials) for part in SMALLER)
        costs = {}
        for count in (workers, 1):
            few_s, many_s = (launch(size, count, empty).wall_s for size in (few, many))
            cost = (many_s - few_s) / (many - few)
            costs[count] = (cost, few_s - few * cost)
    table, met = report(trials, rates, large, costs, workers)
    Console().print(table)
    if not met:
        sys.exit(1)


def rounded(trials: float) -> int:
    """A number of trials that factors well: a multiple of 256."""
    return max(1, round(trials / 256)) * 256


if __name__ == "__main__":
    main()
