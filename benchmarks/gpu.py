"""The engine on a GPU: steps a second, the share of the memory roof, the ratio to one network a process.

python benchmarks/gpu.py

The job: an MLP of 5 weight layers, width 64, 20 inputs, 10 outputs, tanh, batch 32, Adam, float32 without
TF32. One process, no Ray. The tile is as large as the memory of the device allows; if that was too much, it
is halved. A step is one step of one network; compilation and the first calls are left out.

One network a process is the plain PyTorch loop, `zero_grad`, `backward`, `torch.optim.Adam`, with its batches
on the device already; beside it the same loop as one CUDA graph with `Adam(capturable=True)`. Where JAX is
installed and sees the device, its `jit(vmap(scan))` trains as many networks as fit. All start from the
weights of the tile and see its batches; the table stands only if they end with its weights.

Traffic is counted in words of float32 that pass between memory and the processors if every kernel reads and
writes each of its tensors once. With P weights, P1 of them in the first layer, and B samples a step:

- state: weights and both moments read and written, gradients written and read, weights read by the
  products forward and backward: 10 P - P1, about 40 bytes a weight;
- each number of a hidden layer and sample: 4 to make and use it forward (product out, activation in and out,
  next product in), 4 to come back through the activation (gradient out and in, value in, gradient out), 3 for
  the products backward (value in once, gradient in twice): 11, and 10 in the first hidden layer;
- each output and sample: 5 (product out, loss in, gradient out and, for two products, in).

The batch that all networks share stays in the cache. The roof is the rate at which a copy of a large tensor
reads and writes, measured in the same run, divided by this traffic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from phasediag.grids.grid import parse_grid
from phasediag.packing.machine import device_of, finish, machine_of, room
from phasediag.packing.pack import cost_of
from phasediag.running.rows import device_name
from phasediag.training.graphs import recorded
from phasediag.training.network import network_of
from phasediag.training.steps import Vmapped
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials

DEPTH: Final = 5
INPUTS, OUTPUTS, BATCH = 20, 10, 32
RATIO, SHARE = 300.0, 0.3
"""Targets: steps a second over those of one network a process; share of the memory roof."""
COMPARED_STEPS: Final = 20
TOLERANCE: Final = 1e-3
"""Of the weights after `COMPARED_STEPS`, relative to the largest: Adam divides by small numbers."""
COPIED: Final = 2**30
"""Bytes of the tensor that is copied for the roof, on a GPU."""
PLAIN: Final = "one network a process"
GRID: Final = """\
name: gpu
fixed:
  {{task: teacher_student, inputs: {inputs}, outputs: {outputs}, samples: 1000, teacher_width: 4,
   teacher_depth: 5, model: mlp, depth: {depth}, width: {width}, activation: tanh, batch_size: {batch},
   optimizer: adam, learning_rate: 1e-3, steps: 1000000, init_scale: 0.5}}
axes:
  weight_decay: {{logspace: [1e-4, 1e-2], num: {count}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one way of training does."""

    networks: int
    steps_s: float
    """Steps of one network, of all networks together, a second."""


def trials_of(width: int, count: int) -> Trials:
    """Networks of the job that differ in their weight decay."""
    sizes = {"inputs": INPUTS, "outputs": OUTPUTS, "depth": DEPTH, "batch": BATCH}
    return parse_grid(GRID.format(width=width, count=count, **sizes), Path("grid.yaml")).trials()


def tile_size(width: int, device: torch.device) -> int:
    """Networks that fill the device, by the projection of phasediag."""
    values = trials_of(width, 2).record(0)
    cost = cost_of(network_of(values, Path()), values, machine_of(float(device.type == "cuda")))
    return max(2, min(cost.tile, int(room(device) / (2 * cost.bytes))))


def traffic(width: int) -> float:
    """Bytes that a step of one network moves."""
    sizes = [INPUTS, *[width] * (DEPTH - 1), OUTPUTS]
    layers = [before * after for before, after in pairwise(sizes)]
    hidden = BATCH * width * (11 * (DEPTH - 1) - 1)
    return 4.0 * (10 * sum(layers) - layers[0] + hidden + 5 * BATCH * OUTPUTS)


def bandwidth(device: torch.device, copied: int) -> float:
    """Bytes a second that a copy reads and writes, the best of ten."""
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        finish(device)
        start = time.perf_counter()
        target.copy_(source)
        finish(device)
        best = min(best, time.perf_counter() - start)
    return 2 * copied / best


def timed(call: Callable[[], None], device: torch.device, seconds: float) -> float:
    """Seconds of a call, from as many as take at least so long; fewer went before to warm up."""
    count = 1
    while True:
        finish(device)
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish(device)
        taken = time.perf_counter() - start
        if taken >= seconds and count > 1:
            return taken / count
        count = max(2 * count, min(10 * count, int(1.2 * count * seconds / taken)))


class Plain:
    """The network of a trial as anyone would train it, from its own start and on its own batches."""

    def __init__(self, tile: Tile, row: int, capturable: bool = False) -> None:
        self.step = 0
        weights = [weight[row].clone() for weight in tile.weights.values()]
        layers: list[nn.Module] = []
        for weight in weights:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=tile.device)
            layer.weight = nn.Parameter(weight)
            layers += [layer, nn.Tanh()]
        self.module = nn.Sequential(*layers[:-1])
        steps = [tile.batches.at(step) for step in range(tile.batches.steps)]
        self.x, self.y = torch.stack([s.x[0] for s in steps]), torch.stack([s.y[0] for s in steps])
        rate, decay = (float(tile.rates[name][row]) for name in ("learning_rate", "weight_decay"))
        self.optimizer = torch.optim.Adam(
            self.module.parameters(), lr=rate, weight_decay=decay, capturable=capturable
        )

    def take(self) -> None:
        """One step."""
        number = self.step % len(self.x)
        self._take(self.x[number], self.y[number])
        self.step += 1

    def _take(self, x: Tensor, y: Tensor) -> None:
        loss = (self.module(x) - y).square().sum(dim=1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def graphed(self) -> Callable[[], None]:
        """The same steps as one CUDA graph."""
        x, y = self.x[0].clone(), self.y[0].clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._take(x, y)
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad()
        replay = recorded(lambda: self._take(x, y))

        def take() -> None:
            number = self.step % len(self.x)
            x.copy_(self.x[number])
            y.copy_(self.y[number])
            replay()
            self.step += 1

        return take


def tile_of(width: int, count: int, device: torch.device) -> Tile:
    """So many networks of the job at their start, uncompiled."""
    trials = trials_of(width, count)
    return Program(trials.record(0), Path(), device, False).tile(trials)


def check_same_work(width: int, device: torch.device) -> float:
    """How far the plain loop ends from the engine; as `apart` tells it."""
    tile = tile_of(width, 2, device)
    plain = Plain(tile, 1)
    for _ in range(COMPARED_STEPS):
        plain.take()
    tile.advance(COMPARED_STEPS)
    return apart(PLAIN, [own.detach().cpu()[None] for own in plain.module.parameters()], tile, slice(1, 2))


def apart(name: str, ends: Iterable[Any], tile: Tile, rows: slice) -> float:
    """How far networks that were trained in another way end from those of a tile.

    Parameters
    ----------
    name
        Of the other way.
    ends
        Its weights in the order of the tile's, each of shape (networks, ...): what NumPy takes for arrays.
    rows
        The same networks in the tile.

    Returns
    -------
    The largest difference of any weight, relative to the largest weight of its parameter.

    Raises
    ------
    ClickException
        Where they have not done the same work.
    """
    differences = []
    for other, weight in zip(ends, tile.weights.values(), strict=True):
        own = weight[rows].cpu().numpy()
        differences.append(float(np.abs(np.asarray(other) - own).max() / np.abs(own).max()))
    largest = max(differences)
    if not largest < TOLERANCE:
        raise click.ClickException(f"{name}: not the same work, the weights end {largest:.1e} apart")
    return largest


def jax_of(tile: Tile, count: int) -> Any:
    """The first networks of a tile in JAX, from their own start and on their own batches."""
    import gpu_jax

    plain = Plain(tile, 0)
    weights = [weight[:count].detach().cpu().numpy() for weight in tile.weights.values()]
    rates = {name: tile.rates[name][:count].cpu().numpy() for name in ("learning_rate", "weight_decay")}
    x, y = plain.x.cpu().numpy(), plain.y.cpu().numpy()
    return gpu_jax.Networks(weights, float(rates["learning_rate"][0]), rates["weight_decay"], x, y)


def by_jax(width: int, size: int, device: torch.device, seconds: float) -> Rate:
    """JAX with so many networks, or half as often as it takes until they fit.

    Raises
    ------
    ClickException
        Where it does not do the same work.
    """
    import gpu_jax

    tile = tile_of(width, 2, device)
    networks = jax_of(tile, 2)
    networks.take(COMPARED_STEPS)
    tile.advance(COMPARED_STEPS)
    apart("JAX", networks.weights, tile, slice(2))
    while True:
        tile = tile_of(width, size, device)
        networks = jax_of(tile, size)
        del tile
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            networks.take()
            taken = timed(networks.take, device, seconds) / gpu_jax.WITHIN
        except RuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or size < 4:
                raise
            size //= 2
        else:
            return Rate(networks=size, steps_s=size / taken)


def alone(width: int, device: torch.device, seconds: float) -> dict[str, Rate]:
    """One network a process: the plain loop, and on a GPU the same as a CUDA graph."""
    tile = tile_of(width, 2, device)
    ways = {PLAIN: Plain(tile, 1).take}
    if device.type == "cuda":
        ways["the same, as a CUDA graph"] = Plain(tile, 1, capturable=True).graphed()
    return {name: Rate(networks=1, steps_s=1 / timed(take, device, seconds)) for name, take in ways.items()}


def engine(width: int, size: int, device: torch.device, seconds: float, *, in_place: bool) -> Rate:
    """The compiled engine at the largest tile, from `size` on downward, for which there is memory."""
    while True:
        try:
            return _engine(width, size, device, seconds, in_place=in_place)
        except torch.OutOfMemoryError:
            if size < 4:
                raise
        size //= 2


def _engine(width: int, size: int, device: torch.device, seconds: float, *, in_place: bool) -> Rate:
    trials = trials_of(width, size)
    program = Program(trials.record(0), Path(), device, True)
    program.steps = way = Vmapped(program.network, device, compiled=True)
    way.in_place = in_place
    tile = program.tile(trials)
    steps = way.steps_a_call(size, tile.batches.batch_size)
    tile.advance(3 * steps)  # compiled, recorded, replayed
    taken = timed(lambda: tile.advance(tile.step + steps), device, seconds)
    return Rate(networks=size, steps_s=size * steps / taken)


def rates(width: int, tile: int | None, device: torch.device, seconds: float) -> dict[str, Rate]:
    """All ways of training, phasediag's own last."""
    measured = alone(width, device, seconds)
    size = tile or tile_size(width, device)
    if find_spec("jax"):
        import gpu_jax

        if gpu_jax.sees(device.type):
            measured["JAX, jit(vmap(scan))"] = by_jax(width, size, device, seconds)
    if device.type == "cuda":
        measured["phasediag without CUDA graphs"] = engine(width, size, device, seconds, in_place=False)
        torch.cuda.empty_cache()
    name = "phasediag"
    measured[name] = engine(width, size, device, seconds, in_place=device.type == "cuda")
    return measured


def report(measured: Mapping[str, Rate], moved: float, copied_s: float, title: str) -> Table:
    """The table, and whether the targets are reached; a step in ms is one of all networks together."""
    headings = ("", "networks", "steps a second", "ms a step", "GB/s", "of the roof", "ratio")
    table = Table(*headings, title=title, caption_justify="left")
    for name, rate in measured.items():
        through = rate.steps_s * moved
        table.add_row(
            name, f"{rate.networks:,}", f"{rate.steps_s:,.0f}", f"{1e3 * rate.networks / rate.steps_s:.3g}",
            f"{through / 1e9:,.3g}", f"{through / copied_s:.1%}",
            f"{rate.steps_s / measured[PLAIN].steps_s:,.1f} x",
        )  # fmt: skip
    best = measured["phasediag"].steps_s
    ratio, share = best / measured[PLAIN].steps_s, best * moved / copied_s
    table.caption = (
        f"roof: {copied_s / 1e9:,.3g} GB/s by a copy, {moved / 1e3:,.1f} kB a step and network, "
        f"{copied_s / moved:,.0f} steps a second\n"
        f"target on a GPU, width 64: ratio at least {RATIO:.0f} x, {_reached(ratio >= RATIO)}; "
        f"of the roof at least {SHARE:.0%}, {_reached(share >= SHARE)}"
    )
    return table


def _reached(reached: bool) -> str:
    return "reached" if reached else "missed"


@click.command(help=__doc__)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--width", default=64, show_default=True, type=click.IntRange(min=1))
@click.option("--tile", type=click.IntRange(min=2), help="Networks; default: as many as fill the device.")
@click.option("--seconds", default=3.0, show_default=True, help="Of each row, timed.")
@click.option("--copied", default=COPIED, show_default=True, help="Bytes of the tensor copied for the roof.")
def main(device: str, width: int, tile: int | None, seconds: float, copied: int) -> None:
    where = device_of(1.0) if device == "cuda" else torch.device("cpu")
    if where.type != device:
        raise click.ClickException("torch sees no CUDA device; --device cpu tries the benchmark out")
    difference = check_same_work(width, where)
    copied_s = bandwidth(where, copied)
    title = f"{device_name(where)}, width {width}; same work: weights {difference:.0e} apart"
    Console().print(report(rates(width, tile, where, seconds), traffic(width), copied_s, title))


if __name__ == "__main__":
    main()
