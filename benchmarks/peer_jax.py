"""The peer JAX, in a process of its own: `jit(vmap(scan))` on one thread.

python benchmarks/peer_jax.py WORK.npz

Reads one order a line and answers it with one line of JSON: `{"trials": 64, "steps": 50}` with the losses
after so many steps, `{"trials": 64, "seconds": 0.5}` with the CPU seconds of one training, the mean of such
a turn.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.update(
    JAX_PLATFORMS="cpu",
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from peer_work import Work, load, turn

Tree = Any


def chain(settings: Tree, weights: Tree, buffers: Tree, x: Tree, training: bool) -> tuple[Tree, Tree]:
    """The prediction, and the statistics that the pass leaves; likewise below."""
    *hidden, last = settings["layers"]
    for name in hidden:
        x = jnp.tanh(x @ weights[name].T) if settings["tanh"] else x @ weights[name].T
    return x @ weights[last].T, buffers


def transformer(settings: Tree, weights: Tree, buffers: Tree, x: Tree, training: bool) -> tuple[Tree, Tree]:
    length, heads, width = (settings[name] for name in ("length", "heads", "head_width"))
    stream = x.reshape(len(x), length, -1) @ weights["embedding.weight"].T

    def by_head(name: str, stream: Tree) -> Tree:
        return (stream @ weights[name].T).reshape(len(x), length, heads, width).transpose(0, 2, 1, 3)

    for n in range(settings["attention_layers"]):
        block = f"blocks.{n}"
        query, key, value = (by_head(f"{block}.{name}.weight", stream) for name in ("query", "key", "value"))
        mixed = jax.nn.softmax(query @ key.swapaxes(-1, -2) / width**0.5) @ value
        joined = mixed.transpose(0, 2, 1, 3).reshape(len(x), length, -1)
        stream = stream + joined @ weights[f"{block}.output.weight"].T
    return stream[:, -1] @ weights["readout.weight"].T, buffers


def resnet18(settings: Tree, weights: Tree, buffers: Tree, x: Tree, training: bool) -> tuple[Tree, Tree]:
    left: dict[str, Tree] = {}
    side = round((x.shape[1] / 3) ** 0.5)

    def convolved(name: str, x: Tree, stride: int = 1) -> Tree:
        w = weights[f"{name}.weight"]
        edges, axes = [(w.shape[2] // 2,) * 2] * 2, ("NCHW", "OIHW", "NCHW")
        return lax.conv_general_dilated(x, w, (stride, stride), edges, dimension_numbers=axes)

    def normalized(name: str, x: Tree) -> Tree:
        mean, variance = (buffers[f"{name}.running_{each}"] for each in ("mean", "var"))
        if training:
            count = x.size // x.shape[1]
            now = x.mean((0, 2, 3)), x.var((0, 2, 3))
            left[f"{name}.running_mean"] = 0.9 * mean + 0.1 * now[0]
            left[f"{name}.running_var"] = 0.9 * variance + 0.1 * now[1] * (count / (count - 1))
            mean, variance = now
        scale = weights[f"{name}.weight"] * lax.rsqrt(variance + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + weights[f"{name}.bias"][:, None, None]

    stream = jax.nn.relu(normalized("norm", convolved("stem", x.reshape(-1, 3, side, side))))
    for n in range(8):
        block, stride = f"blocks.{n}", 2 if n and n % 2 == 0 else 1
        inner = jax.nn.relu(normalized(f"{block}.norm1", convolved(f"{block}.conv1", stream, stride)))
        if f"{block}.shortcut.weight" in weights:
            stream = normalized(f"{block}.norm", convolved(f"{block}.shortcut", stream, stride))
        stream = jax.nn.relu(normalized(f"{block}.norm2", convolved(f"{block}.conv2", inner)) + stream)
    prediction = stream.mean((2, 3)) @ weights["readout.weight"].T + weights["readout.bias"]
    return prediction, {**buffers, **left}


MODELS = {"chain": chain, "resnet18": resnet18, "transformer": transformer}


def loss(
    weights: Tree, buffers: Tree, rates: Tree, samples: Tree, model: Callable[..., Tree], training: bool
) -> tuple[Tree, Tree]:
    """Of one trial, and the statistics that the pass leaves."""
    x, y, noise = samples
    _, _, noise_scale = rates
    prediction, left = model(weights, buffers, x, training)
    return jnp.square(prediction - y - noise_scale * noise).sum(axis=-1).mean(), left


def trained(
    weights: Tree, buffers: Tree, rates: Tree, world: Tree, model: Callable[..., Tree]
) -> tuple[Tree, Tree]:
    """Weights and statistics of one trial after all batches: rows of the data, or samples without data."""
    data, batches = world
    rate, decay, _ = rates

    def step(state: Tree, batch: Tree) -> tuple[Tree, None]:
        weights, buffers = state
        samples = batch if data is None else tuple(part[batch] for part in data)
        gradients, left = jax.grad(loss, has_aux=True)(weights, buffers, rates, samples, model, True)
        return (jax.tree.map(lambda w, g: w - rate * (g + decay * w), weights, gradients), left), None

    return lax.scan(step, (weights, buffers), batches)[0]


class Tile:
    """The first trials of the work, on the device; those of one replicate share its data."""

    def __init__(self, work: Work, trials: int, steps: int) -> None:
        cut = work.first(trials)
        self.replicates = cut.replicates
        self.start = [
            {name: self._by_replicate(array) for name, array in each.items()}
            for each in (cut.weights, {n: b for n, b in cut.buffers.items() if not n.endswith("_tracked")})
        ]
        self.rates = [self._by_replicate(v) for v in (cut.learning_rate, cut.weight_decay, cut.label_noise)]
        data, rows = cut.data, cut.rows[:, :steps]
        if work.fresh:
            shape = (self.replicates, steps, work.batch, -1)
            batches = [part[:, : steps * work.batch].reshape(shape) for part in data]
            self.world = None, [self._of_replicates(part) for part in batches]
        else:
            self.world = [self._of_replicates(part) for part in data], self._of_replicates(rows)
        self.measured = [self._of_replicates(part) for part in cut.measured]
        model = partial(MODELS[work.model], work.settings)
        self.train = jax.jit(self._over_trials(partial(trained, model=model)))
        self.measure = jax.jit(self._over_trials(lambda *given: loss(*given, model, False)[0]))

    def _by_replicate(self, part: np.ndarray) -> Tree:
        """Shape (trials, ...), to (replicates, points, ...) where there are several replicates."""
        points = () if self.replicates == 1 else (self.replicates, -1)
        return jnp.asarray(part.reshape(*points, *part.shape[1:]) if points else part)

    def _of_replicates(self, part: np.ndarray) -> Tree:
        return jnp.asarray(part if self.replicates > 1 else part[0])

    def _over_trials(self, one: Callable[..., Tree]) -> Callable[..., Tree]:
        points = jax.vmap(one, in_axes=(0, 0, 0, None))
        return points if self.replicates == 1 else jax.vmap(points)

    def run(self) -> Tree:
        return jax.block_until_ready(self.train(*self.start, self.rates, self.world))

    def losses(self) -> list[float]:
        """Of the trials when all batches are done."""
        of_all: list[float] = np.ravel(self.measure(*self.run(), self.rates, self.measured)).tolist()
        return of_all


def answers(work: Work, orders: Iterator[str]) -> Iterator[Any]:
    @cache
    def compiled(trials: int) -> Tile:
        tile = Tile(work, trials, work.timed_steps)
        tile.run()
        return tile

    for line in orders:
        order = json.loads(line)
        if "seconds" in order:
            tile = compiled(order["trials"])
            yield turn(lambda tile=tile: tile.run, order["seconds"])
        else:
            tile = Tile(work, order["trials"], order["steps"])
            yield tile.losses()


def main(path: Path) -> None:
    work = load(path)
    jax.config.update("jax_enable_x64", work.data[0].dtype == np.float64)
    for answer in answers(work, iter(sys.stdin)):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
