"""The engine alone: microseconds a trial and step on one core, and its share of what the core can do.

python benchmarks/engine.py --width 16 --width 64

The job is that of `baseline_ray_tune.py`, in tiles as `plan` sizes them, in float32 on one thread,
compilation left out. The rows are timed in turns within one process, in time of this thread, so that their
ratios hold on a busy machine: the step as phasediag runs it, the step without compilation, the bare
products of one step (`torch.bmm`, forward and backward), and the core's peak, which are fused multiply-adds
on registers and nothing else, by narrow vectors and by wide ones where there are any. Operations are those
of the products alone: forward, and backward but for the gradient of the inputs.

A second table tells where the time of the native step goes, kernel by kernel, by the processor's counter,
which itself takes a few parts in a hundred. The first one tells the peaks of one core and of all at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import baseline_ray_tune as baseline
import click
import torch
from engine_parts import Part, by_kind, timed_kernels
from engine_peak import Peak, peaks, rate, rate_of_all
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
OURS: Final = "phasediag"
BARE: Final = "bare products"


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
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, steps) in calls.items():
            count, start = 0, time.thread_time()
            while time.thread_time() - start < ROUND_SECONDS:
                call()
                count += 1
            taken[name].append((time.thread_time() - start) / (count * steps))
    return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in taken.items()}


def best(peaks_here: list[Peak], seconds: dict[str, float]) -> float:
    """Operations of a second at the peak of float32."""
    return max(each.operations / seconds[each.name] for each in peaks_here)


def report(
    width: int, tile: int, seconds: dict[str, float], operations: float, peaks_here: list[Peak]
) -> Table:
    """The table of one width."""
    table = Table("", "µs a trial and step", "GFLOP/s", "over phasediag", title=f"width {width}, tile {tile}")
    for name in [each for each in seconds if each not in {peak.name for peak in peaks_here}]:
        each = seconds[name]
        rate = operations * tile / each / 1e9
        ratio = each / seconds[OURS]
        table.add_row(name, f"{each / tile * 1e6:.2f}", f"{rate:.1f}", f"{ratio:.2f} x")
    for peak in peaks_here:
        table.add_row(f"peak, {peak.name}", "", f"{peak.operations / seconds[peak.name] / 1e9:.1f}", "")
    table.add_row("share of the products' rate", "", f"{seconds[BARE] / seconds[OURS]:.0%}", "")
    reached = operations * tile / seconds[OURS] / best(peaks_here, seconds)
    table.add_row("share of the peak", "", f"{reached:.1%}", "")
    return table


def profiled(trials: Trials, seconds: float) -> list[Part]:
    """The kernels of the native step, timed for so many seconds."""
    with timed_kernels() as profile:
        advance, _ = stepping(trials, True)
        profile.reset()
        start = time.thread_time()
        while time.thread_time() - start < seconds:
            advance()
        return profile.parts()


def parts_table(parts: list[Part], share: float) -> Table:
    """Where the time goes; `share` is that of the peak which the step reaches."""
    ticks, operations = by_kind(parts, lambda p: p.ticks), by_kind(parts, lambda p: p.operations)
    total, products = sum(ticks.values()), sum(operations.values())
    table = Table("kernels of a step", "share of the time", "of the peak", title="where the time goes")
    for kind, each in sorted(ticks.items(), key=lambda item: -item[1]):
        reached = share * (operations[kind] / products) / (each / total) if operations[kind] else None
        table.add_row(kind, f"{each / total:.1%}", "" if reached is None else f"{reached:.0%}")
    return table


def peaks_table(peaks_here: list[Peak], cores: int) -> Table:
    """The peaks of one core, alone and while all are busy."""
    table = Table("fused multiply-adds", "one core", f"each of {cores} at once", title="GFLOP/s")
    for peak in peaks_here:
        alone, busy = rate(peak, ROUND_SECONDS), rate_of_all(peak, ROUND_SECONDS, cores)
        table.add_row(peak.name, f"{alone / 1e9:.1f}", f"{busy / 1e9:.1f}")
    return table


@click.command(help=__doc__)
@click.option("--width", "widths", multiple=True, default=(16, 64), show_default=True)
@click.option("--tile", type=click.IntRange(min=2), help="Trials of a tile; default: as plan sizes it.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
def main(widths: tuple[int, ...], tile: int | None, rounds: int) -> None:
    torch.set_num_threads(1)
    console, all_peaks = Console(), peaks()
    console.print(peaks_table(all_peaks, len(os.sched_getaffinity(0))))
    single = [peak for peak in all_peaks if peak.dtype == torch.float32]
    for width in widths:
        size = tile or tile_size(width)
        trials = trials_of(width, size)
        bare, operations = products(width, size)
        calls = {
            OURS: stepping(trials, True), "vmap(step), eager": stepping(trials, False), BARE: (bare, 1),
            **{peak.name: (peak.call, 1) for peak in single},
        }  # fmt: skip
        seconds = timed(calls, rounds)
        console.print(report(width, size, seconds, operations, single))
        share = operations * size / seconds[OURS] / best(single, seconds)
        console.print(parts_table(profiled(trials, ROUND_SECONDS), share))


if __name__ == "__main__":
    main()
