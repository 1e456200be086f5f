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


def predicted(weights: Tree, x: Tree, tanh: bool) -> Tree:
    for w in weights[:-1]:
        x = jnp.tanh(x @ w.T) if tanh else x @ w.T
    return x @ weights[-1].T


def loss(weights: Tree, rates: Tree, samples: Tree, tanh: bool) -> Tree:
    """Of one trial."""
    x, y, noise = samples
    _, _, noise_scale = rates
    return jnp.square(predicted(weights, x, tanh) - y - noise_scale * noise).sum(axis=-1).mean()


def trained(weights: Tree, rates: Tree, world: Tree, tanh: bool) -> Tree:
    """The weights of one trial after all batches: rows of the data, or samples where there are no data."""
    data, batches = world
    rate, decay, _ = rates

    def step(weights: Tree, batch: Tree) -> tuple[Tree, None]:
        samples = batch if data is None else tuple(part[batch] for part in data)
        gradients = jax.grad(loss)(weights, rates, samples, tanh)
        return [w - rate * (g + decay * w) for w, g in zip(weights, gradients, strict=True)], None

    return lax.scan(step, weights, batches)[0]


class Tile:
    """The first trials of the work, on the device; those of one replicate share its data."""

    def __init__(self, work: Work, trials: int, steps: int) -> None:
        cut = work.first(trials)
        self.replicates = cut.replicates
        self.weights = [self._by_replicate(w) for w in cut.weights]
        self.rates = [self._by_replicate(v) for v in (cut.learning_rate, cut.weight_decay, cut.label_noise)]
        data, rows = cut.data, cut.rows[:, :steps]
        if work.fresh:
            shape = (self.replicates, steps, work.batch, -1)
            batches = [part[:, : steps * work.batch].reshape(shape) for part in data]
            self.world = None, [self._of_replicates(part) for part in batches]
        else:
            self.world = [self._of_replicates(part) for part in data], self._of_replicates(rows)
        self.measured = [self._of_replicates(part) for part in cut.measured]
        self.train = jax.jit(self._over_trials(partial(trained, tanh=work.tanh)))
        self.losses = jax.jit(self._over_trials(partial(loss, tanh=work.tanh)))

    def _by_replicate(self, part: np.ndarray) -> Tree:
        """Shape (trials, ...), to (replicates, points, ...) where there are several replicates."""
        points = () if self.replicates == 1 else (self.replicates, -1)
        return jnp.asarray(part.reshape(*points, *part.shape[1:]) if points else part)

    def _of_replicates(self, part: np.ndarray) -> Tree:
        return jnp.asarray(part if self.replicates > 1 else part[0])

    def _over_trials(self, one: Callable[..., Tree]) -> Callable[..., Tree]:
        points = jax.vmap(one, in_axes=(0, 0, None))
        return points if self.replicates == 1 else jax.vmap(points)

    def run(self) -> Tree:
        return jax.block_until_ready(self.train(self.weights, self.rates, self.world))


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
            yield np.ravel(tile.losses(tile.run(), tile.rates, tile.measured)).tolist()


def main(path: Path) -> None:
    work = load(path)
    jax.config.update("jax_enable_x64", work.weights[0].dtype == np.float64)
    for answer in answers(work, iter(sys.stdin)):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
