"""The engine alone: microseconds a trial and step on one core, and the share of bare batched products.

python benchmarks/engine.py --width 16 --width 64

The job is that of `baseline_ray_tune.py`, in tiles as `plan` sizes them, in float32 on one thread,
compilation left out. The rows are timed in turns within one process, in time of this thread, so that their
ratios hold on a busy machine: the step as phasediag runs it, the step without compilation, and the bare
products of one step (`torch.bmm`, forward and backward).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import baseline_ray_tune as baseline
import click
import torch
from launch_vs_ray_tune import grid_text
from rich.console import Console
from rich.table import Table

from phasediag.grids.grid import parse_grid
from phasediag.packing.pack import cost_of
from phasediag.training import tiles as train
from phasediag.training.network import network_of
from phasediag.trial import Trials

CPU: Final = torch.device("cpu")
STEPS: Final = 64
"""Of one call."""
ROUND_SECONDS: Final = 0.3
"""Of one row's turn."""


def trials_of(width: int, count: int) -> Trials:
    """`count` trials of the benchmark's grid."""
    return parse_grid(grid_text(count, width), Path("grid.yaml")).trials()


def tile_size(width: int) -> int:
    """Trials of a tile, as phasediag chooses them."""
    values = trials_of(width, 1).record(0)
    return cost_of(network_of(values, Path()), values).tile


def stepping(trials: Trials, compiled: bool) -> tuple[Callable[[], None], int]:
    """A call that trains a tile, and the steps that it takes."""
    tile = train.Program(trials.record(0), Path(), CPU, compiled).tile(trials)
    tile.advance(1)
    return lambda: tile.advance(tile.step + STEPS), STEPS


def products(width: int, tile: int) -> tuple[Callable[[], None], float]:
    """A call that does the products of one step, and its operations a trial."""
    sizes = [baseline.INPUTS, *[width] * (baseline.DEPTH - 1), baseline.OUTPUTS]
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer, (before, after) in enumerate(pairwise(sizes)):
        x, w = torch.randn(tile, baseline.BATCH, before), torch.randn(tile, after, before)
        g = torch.randn(tile, baseline.BATCH, after)
        pairs += [(x, w.transpose(1, 2)), (g.transpose(1, 2), x)]
        if layer:
            pairs.append((g, w))
    outs = [torch.bmm(a, b) for a, b in pairs]
    operations = sum(2.0 * a.shape[1] * a.shape[2] * b.shape[2] for a, b in pairs)

    def run() -> None:
        for (a, b), out in zip(pairs, outs, strict=True):
            torch.bmm(a, b, out=out)

    return run, operations


def timed(calls: dict[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, float]:
    """Seconds of a step of each call, the median of rounds in which all take turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, steps) in calls.items():
            count, start = 0, time.thread_time()
            while time.thread_time() - start < ROUND_SECONDS:
                call()
                count += 1
            found[name].append((time.thread_time() - start) / (count * steps))
    return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in found.items()}


def report(width: int, tile: int, seconds: dict[str, float], operations: float) -> Table:
    """The table of one width."""
    table = Table("", "µs a trial and step", "GFLOP/s", "over phasediag", title=f"width {width}, tile {tile}")
    for name, each in seconds.items():
        ratio = each / seconds["phasediag"]
        rate = operations * tile / each / 1e9
        table.add_row(name, f"{each / tile * 1e6:.2f}", f"{rate:.1f}", f"{ratio:.2f} x")
    share = seconds["bare products"] / seconds["phasediag"]
    table.add_row("share of the products' rate", "", f"{share:.0%}", "")
    return table


@click.command(help=__doc__)
@click.option("--width", "widths", multiple=True, default=(16, 64), show_default=True)
@click.option("--tile", type=click.IntRange(min=2), help="Trials of a tile; default: as plan sizes it.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
def main(widths: tuple[int, ...], tile: int | None, rounds: int) -> None:
    torch.set_num_threads(1)
    for width in widths:
        size = tile or tile_size(width)
        trials = trials_of(width, size)
        bare, operations = products(width, size)
        calls = {
            "phasediag": stepping(trials, True), "vmap(step), eager": stepping(trials, False),
            "bare products": (bare, 1),
        }  # fmt: skip
        Console().print(report(width, size, timed(calls, rounds), operations))


if __name__ == "__main__":
    main()
