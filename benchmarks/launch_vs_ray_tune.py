"""`phasediag launch`, start-up and compilation included, against best-practice Ray Tune's bare slope.

python benchmarks/launch_vs_ray_tune.py --trials 4096

Both train the job of `baseline_ray_tune.py`. Ray Tune is given its cost a trial between 40 and 120 trials,
without its start-up; phasediag is timed as a user sees it: a new process, the default executor, an empty
storage and an empty compile cache (`--warm` keeps the user's). The slope counts as fair where it stays
below 1.25 times a plain loop spread over the workers; otherwise the ratio flatters phasediag, and the exit
code is 1.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import baseline_ray_tune as baseline
import click
import pyarrow.dataset
from rich.console import Console
from rich.table import Table

FAIR: Final = 1.25
AXES: Final = (
    "weight_decay:  {{logspace: [1e-3, 1e-1], num: {}}}",
    "lr_over_batch: {{logspace: [1e-4, 1e-3], num: {}}}",
    "label_noise:   {{logspace: [1e-2, 1], num: {}}}",
    "init_scale:    {{linspace: [0.5, 1.5], num: {}}}",
)
LAUNCH: Final = "import sys; from phasediag.cli import main; sys.exit(main())"
"""What the console script `phasediag` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """One `phasediag launch`, from the shell's point of view."""

    wall_s: float
    trials: int
    """Rows of status ok or diverged in the store."""


def factors(count: int) -> list[int]:
    """Four factors of `count`, as equal as its prime factors let them be."""
    sizes = [1, 1, 1, 1]
    for prime in sorted(prime_factors(count), reverse=True):
        sizes[sizes.index(min(sizes))] *= prime
    return sizes


def prime_factors(count: int) -> list[int]:
    """Prime factors of `count`, with their multiplicity."""
    for divisor in range(2, math.isqrt(count) + 1):
        if count % divisor == 0:
            return [divisor, *prime_factors(count // divisor)]
    return [count] if count > 1 else []


def grid_text(trials: int, width: int = baseline.WIDTH) -> str:
    """A grid of `trials` trials of the baseline's job."""
    axes = [
        f"  {axis.format(size)}" if size > 1 else f"  {axis.split(':')[0]}: [0.01]"
        for axis, size in zip(AXES, factors(trials), strict=True)
    ]
    return "\n".join(
        [
            "name: benchmark",
            "fixed:",
            "  task: teacher_student",
            f"  inputs: {baseline.INPUTS}",
            f"  outputs: {baseline.OUTPUTS}",
            f"  samples: {baseline.SAMPLES}",
            "  teacher_width: 4",
            f"  teacher_depth: {baseline.DEPTH}",
            "  model: mlp",
            f"  depth: {baseline.DEPTH}",
            f"  width: {width}",
            "  activation: tanh",
            f"  batch_size: {baseline.BATCH}",
            f"  steps: {baseline.STEPS}",
            "axes:",
            *axes,
            "",
        ]
    )


def launch(trials: int, warm: bool, width: int = baseline.WIDTH) -> Launched:
    """Run `phasediag launch` on a grid of `trials` trials into an empty storage, and time the process."""
    with tempfile.TemporaryDirectory(prefix="phasediag-bench-") as folder:
        grid = Path(folder, "grid.yaml")
        grid.write_text(grid_text(trials, width))
        environment = dict(os.environ)
        if not warm:
            cache = str(Path(folder, "cache"))
            environment.update(TORCHINDUCTOR_CACHE_DIR=cache, TRITON_CACHE_DIR=cache)
        command = [sys.executable, "-c", LAUNCH, "launch", str(grid), "--storage", f"{folder}/sweeps"]
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[1])
        wall_s = time.perf_counter() - start
        rows = pyarrow.dataset.dataset(f"{folder}/sweeps/benchmark/trials", format="parquet")
        done = rows.count_rows(filter=pyarrow.dataset.field("status").isin(["ok", "diverged"]))
    if done != trials:
        raise RuntimeError(f"the store holds {done} finished trials of {trials}")
    return Launched(wall_s=wall_s, trials=done)


def report(loop_s: float, slope: baseline.Slope, launched: Launched, workers: int, width: int) -> Table:
    """The table of one run."""
    launch_s = launched.wall_s / launched.trials
    unfairness = slope.trial_s / (loop_s / workers)
    verdict = f"fair below {FAIR}" if unfairness < FAIR else f"not fair: above {FAIR}; is the machine quiet?"
    title = f"{launched.trials:,} trials of width {width}, {baseline.STEPS:,} steps, {workers} workers"
    table = Table("", "s a trial", "remark", title=title)
    table.add_row("plain PyTorch loop", f"{loop_s:.4f}", "one process, one thread")
    table.add_row("Ray Tune", f"{slope.trial_s:.4f}", f"slope; start-up {slope.startup_s:.1f} s apart")
    table.add_row("  over plain loop / workers", f"{unfairness:.2f} x", verdict)
    table.add_row("phasediag launch", f"{launch_s:.4f}", f"whole process, {launched.wall_s:.1f} s")
    table.add_row("plain loop / workers / phasediag", f"{loop_s / workers / launch_s:.1f} x", "")
    table.add_row("[bold]Ray Tune / phasediag", f"[bold]{slope.trial_s / launch_s:.1f} x", "")
    return table


@click.command(help=__doc__)
@click.option("--trials", default=4096, show_default=True, type=click.IntRange(min=1))
@click.option("--few", default=40, show_default=True, help="Tune trials of the shorter run.")
@click.option("--many", default=120, show_default=True, help="Tune trials of the longer run.")
@click.option(
    "--workers", default=os.cpu_count() or 1, show_default=True, help="Ray Tune's, one thread each."
)
@click.option("--warm", is_flag=True, help="Let phasediag find what an earlier run compiled.")
@click.option("--width", default=baseline.WIDTH, show_default=True, help="Of the networks.")
def main(trials: int, few: int, many: int, workers: int, warm: bool, width: int) -> None:
    loop_s = baseline.plain_loop_s(10, width)
    slope = baseline.slope(few, many, workers, width)
    launched = launch(trials, warm, width)
    Console().print(report(loop_s, slope, launched, workers, width))
    if slope.trial_s >= FAIR * loop_s / workers:
        sys.exit(1)


if __name__ == "__main__":
    main()
