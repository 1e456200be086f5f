"""The peer JAX on the job of `gpu.py`: `jit(vmap(scan))` of one network's steps, with Adam by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch shares the device

import jax
import jax.numpy as jnp
from jax import lax

Tree = Any
Array = npt.NDArray[Any]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
WITHIN: Final = 20
"""Steps of one call."""


def loss(weights: Tree, x: Tree, y: Tree) -> Tree:
    for w in weights[:-1]:
        x = jnp.tanh(x @ w.T)
    return jnp.square(x @ weights[-1].T - y).sum(axis=-1).mean()


def trained(state: Tree, rate: Tree, decay: Tree, x: Tree, y: Tree) -> Tree:
    """The state of one network, its weights, both moments and steps, after a step for each batch."""

    def step(state: Tree, batch: Tree) -> tuple[Tree, None]:
        weights, first, second, steps = state
        gradients = jax.grad(loss)(weights, *batch)
        gradients = [g + decay * w for g, w in zip(gradients, weights, strict=True)]
        first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, gradients, strict=True)]
        second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, gradients, strict=True)]
        steps = steps + 1
        by, root = rate / (1 - BETA1**steps), jnp.sqrt(1 - BETA2**steps)
        moves = [by * m / (jnp.sqrt(v) / root + EPSILON) for m, v in zip(first, second, strict=True)]
        return ([w - move for w, move in zip(weights, moves, strict=True)], first, second, steps), None

    return lax.scan(step, state, (x, y))[0]


class Networks:
    """Many networks, in training on the device.

    Parameters
    ----------
    weights
        Of each layer, float32, shape (networks, outputs, inputs).
    rate
        Of all.
    decay
        Shape (networks,).
    x, y
        Batches, shape (steps, samples, numbers), which all networks see; after the last comes the first.
    """

    def __init__(self, weights: Sequence[Array], rate: float, decay: Array, x: Array, y: Array) -> None:
        jax.config.update("jax_default_matmul_precision", "highest")  # no TF32, as in `gpu.py`
        zeros = [[jnp.zeros(w.shape, w.dtype) for w in weights] for _ in range(2)]
        self.state: Tree = ([jnp.asarray(w) for w in weights], *zeros, jnp.zeros(len(decay), jnp.float32))
        self.rate, self.decay = jnp.float32(rate), jnp.asarray(decay)
        self.x, self.y, self.step = jnp.asarray(x), jnp.asarray(y), 0
        self.many: Callable[..., Tree] = jax.jit(
            jax.vmap(trained, in_axes=(0, None, 0, None, None)), donate_argnums=0
        )

    def take(self, steps: int = WITHIN) -> None:
        """So many steps, begun and ended."""
        rows = np.arange(self.step, self.step + steps) % len(self.x)
        self.state = self.many(self.state, self.rate, self.decay, self.x[rows], self.y[rows])
        jax.block_until_ready(self.state)
        self.step += steps

    @property
    def weights(self) -> list[Array]:
        """Of each layer, now."""
        return [np.asarray(w) for w in self.state[0]]


def sees(kind: str) -> bool:
    """Whether JAX trains on such a device, `cuda` or `cpu`."""
    return bool(jax.default_backend() == {"cuda": "gpu"}.get(kind, kind))
