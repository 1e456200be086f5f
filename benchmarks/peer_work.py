"""The work that all peers do alike, as arrays in one file; imports nothing but numpy.

A trial is a network trained by plain SGD with weight decay on |f(x) - y - label_noise * noise|^2, summed over
outputs, mean over the batch. Models, by the values in `settings`: `chain`, weight layers without biases and
with one activation between them (`tanh`: that, or nothing); `resnet18` and `transformer`, as phasediag has
them and with its names of weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SAMPLES: Final = ("x", "y", "noise")
NAMED: Final = ("weights", "buffers")
RATES: Final = ("learning_rate", "weight_decay", "label_noise")
ABOUT: Final = ("model", "operations", "timed_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Trials from their initial weights on, replicate by replicate, each replicate with the same points."""

    model: str
    settings: Mapping[str, Any]
    """What the model is built from."""
    weights: Mapping[str, Array]
    """What is trained, with a leading axis of trials; of chains by layer, shape (trials, outputs, inputs)."""
    buffers: Mapping[str, Array]
    """The statistics that passes in training leave, likewise."""
    operations: float
    """Of the products of one trial and step, forward and backward."""
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

    def first(self, trials: int) -> Work:
        """The work of the first so many trials; whole replicates where there are several."""
        points = self.trials // self.replicates
        replicates = 1 if self.replicates == 1 else trials // points
        if trials > self.trials or (self.replicates > 1 and trials % points):
            raise ValueError(f"a tile of {trials} out of {self.replicates} replicates of {points} points")
        return replace(
            self, weights={name: w[:trials] for name, w in self.weights.items()},
            buffers={name: b[:trials] for name, b in self.buffers.items()}, rows=self.rows[:replicates],
            learning_rate=self.learning_rate[:trials], weight_decay=self.weight_decay[:trials],
            label_noise=self.label_noise[:trials], data=tuple(part[:replicates] for part in self.data),
            measured=tuple(part[:replicates] for part in self.measured),
        )  # fmt: skip

    def save(self, path: Path) -> Path:
        arrays = {f"{kind}/{name}": array for kind in NAMED for name, array in getattr(self, kind).items()}
        for name, data, measured in zip(SAMPLES, self.data, self.measured, strict=True):
            arrays |= {f"data_{name}": data, f"measured_{name}": measured}
        arrays |= {name: getattr(self, name) for name in (*RATES, "rows")}
        about = {name: getattr(self, name) for name in ABOUT} | {"settings": dict(self.settings)}
        arrays["about"] = np.array(json.dumps(about))
        np.savez(path, **arrays)
        return path


def load(path: Path) -> Work:
    """What `Work.save` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    named = {
        kind: {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{kind}/")}
        for kind in NAMED
    }
    return Work(
        **named, **json.loads(str(arrays["about"])),
        data=tuple(arrays[f"data_{name}"] for name in SAMPLES),
        measured=tuple(arrays[f"measured_{name}"] for name in SAMPLES),
        **{name: arrays[name] for name in (*RATES, "rows")},
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
