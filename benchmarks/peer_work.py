"""The work that all peers do alike, as arrays in one file; imports nothing but numpy.

A trial is a chain of weight layers without biases and with one activation between them, trained by plain
SGD with weight decay on |f(x) - y - label_noise * noise|^2, summed over outputs, mean over the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SAMPLES: Final = ("x", "y", "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Trials from their initial weights on, replicate by replicate, each replicate with the same points."""

    weights: tuple[Array, ...]
    """Of each layer, shape (trials, outputs, inputs)."""
    learning_rate: Array
    """Shape (trials,), as are the next two."""
    weight_decay: Array
    label_noise: Array
    data: tuple[Array, Array, Array]
    """x, y and unit noise to draw batches from, shape (replicates, samples, numbers)."""
    rows: Array
    """The samples of every batch, int32, shape (replicates, steps, batch)."""
    measured: tuple[Array, Array, Array]
    """x, y and unit noise of the loss that is compared, shape (replicates, samples, numbers)."""
    tanh: bool
    """Whether tanh stands between the layers, or nothing."""
    timed_steps: int
    """Steps of a training that is timed."""

    @property
    def trials(self) -> int:
        return len(self.learning_rate)

    @property
    def replicates(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> int:
        return self.rows.shape[1]

    @property
    def batch(self) -> int:
        return self.rows.shape[2]

    @property
    def fresh(self) -> bool:
        """Whether no sample is used twice, in order."""
        samples = np.arange(self.steps * self.batch).reshape(self.steps, self.batch)
        return self.data[0].shape[1] == samples.size and bool((self.rows == samples).all())

    @property
    def operations(self) -> float:
        """Of the products of one trial and step, forward and backward."""
        sizes = [w.shape[1] * w.shape[2] for w in self.weights]
        return 2.0 * self.batch * (3 * sum(sizes) - sizes[0])

    def first(self, trials: int) -> Work:
        """The work of the first so many trials; whole replicates where there are several."""
        points = self.trials // self.replicates
        replicates = 1 if self.replicates == 1 else trials // points
        if trials > self.trials or (self.replicates > 1 and trials % points):
            raise ValueError(f"a tile of {trials} out of {self.replicates} replicates of {points} points")
        return replace(
            self, weights=tuple(w[:trials] for w in self.weights), rows=self.rows[:replicates],
            learning_rate=self.learning_rate[:trials], weight_decay=self.weight_decay[:trials],
            label_noise=self.label_noise[:trials], data=tuple(part[:replicates] for part in self.data),
            measured=tuple(part[:replicates] for part in self.measured),
        )  # fmt: skip

    def save(self, path: Path) -> Path:
        arrays = {f"weights_{layer}": w for layer, w in enumerate(self.weights)}
        for name, data, measured in zip(SAMPLES, self.data, self.measured, strict=True):
            arrays |= {f"data_{name}": data, f"measured_{name}": measured}
        for name in ("learning_rate", "weight_decay", "label_noise", "rows", "tanh", "timed_steps"):
            arrays[name] = np.asarray(getattr(self, name))
        np.savez(path, **arrays)
        return path


def load(path: Path) -> Work:
    """What `Work.save` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    layers = sum(name.startswith("weights_") for name in arrays)
    return Work(
        weights=tuple(arrays[f"weights_{layer}"] for layer in range(layers)),
        data=tuple(arrays[f"data_{name}"] for name in SAMPLES),
        measured=tuple(arrays[f"measured_{name}"] for name in SAMPLES),
        tanh=bool(arrays["tanh"]), timed_steps=int(arrays["timed_steps"]),
        **{name: arrays[name] for name in ("learning_rate", "weight_decay", "label_noise", "rows")},
    )  # fmt: skip


def turn(start: Callable[[], Callable[[], None]], seconds: float) -> float:
    """CPU seconds of one training by this process, the mean of as many as fill so many seconds.

    `start` makes a training ready; what it takes for that does not count.
    """
    spent, trained = 0.0, 0
    while spent < seconds:
        train = start()
        before = time.process_time()
        train()
        spent += time.process_time() - before
        trained += 1
    return spent / trained
