"""The batches of the replicates that a tile holds; and `Task`, where users' files import it from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.training.task import DrawnTask, GeneratedTask, Task
from phasediag.trial import integer

__all__ = ["Batches", "DrawnTask", "GeneratedTask", "Samples", "Task", "block_steps"]

BLOCK_STEPS: Final = 256
"""Steps drawn from one position of a stream, at most; a power of two."""
BLOCK_NUMBERS: Final = 2**18
"""Numbers that a block holds for one replicate, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples of several replicates, one leading axis each."""

    x: Tensor
    """Inputs, shape (replicates, samples, inputs)."""
    y: Tensor
    """Noise-free targets, shape (replicates, samples, outputs)."""
    noise: Tensor
    """What label noise is made of (`Task.unit_noise`), shape (replicates, samples, outputs or 1 + outputs);
    of test sets, which have none, zeros."""


class Batches:
    """The batch of every step for the replicates ("worlds") that the trials of a tile live in.

    What step t draws is a function of (seed, stream, t) and of the shapes alone: samples are drawn
    in whole blocks of steps, each from its own position of the streams.

    Parameters
    ----------
    worlds
        One task object for each replicate and data set; all of the same shapes.
    batch_size
        Samples a step; 0 is the full batch.
    fresh_noise
        Whether label noise is drawn at every step.
    dtype, device
        Of the tensors given out.
    """

    def __init__(
        self,
        worlds: Sequence[Task],
        batch_size: int,
        fresh_noise: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.worlds = worlds
        self.fresh = worlds[0].fresh
        self.fresh_noise = fresh_noise
        self.dtype, self.device = dtype, device
        self._sets = [] if self.fresh else [_finite(world, world.train_set(), dtype) for world in worlds]
        quenched = not (self.fresh or fresh_noise)
        self._quenched = [self._first_noise(i) for i in range(len(worlds))] if quenched else []
        self.full = batch_size == 0
        self.batch_size = len(self._sets[0][0]) if self.full else batch_size
        inputs, outputs = worlds[0].sizes(worlds[0].values)
        self.steps = block_steps(self.batch_size * (inputs + 2 * outputs))
        self._block = lru_cache(maxsize=1)(self._draw)

    @property
    def constant(self) -> bool:
        """Whether every step has the same batch."""
        return self.full and not self.fresh_noise and not self.worlds[0].augments

    def at(self, step: int) -> Samples:
        """The batch of one step, shapes (replicates, batch_size, ...)."""
        block, offset = (0, 0) if self.constant else divmod(step, self.steps)
        drawn = self._block(block)
        return Samples(x=drawn.x[offset], y=drawn.y[offset], noise=drawn.noise[offset])

    def run(self, step: int, most: int) -> Samples:
        """The batches of at most so many steps, shapes (steps, replicates, batch_size, ...)."""
        block, offset = (0, 0) if self.constant else divmod(step, self.steps)
        drawn = self._block(block)
        if self.constant:
            x, y, noise = (part.expand(most, -1, -1, -1) for part in (drawn.x, drawn.y, drawn.noise))
        else:
            x, y, noise = (part[offset : offset + most] for part in (drawn.x, drawn.y, drawn.noise))
        return Samples(x=x, y=y, noise=noise)

    def training_set(self) -> Samples:
        """All training data as `train_loss` sees it: fresh data are drawn once more, with fresh noise."""
        parts = []
        for i, world in enumerate(self.worlds):
            if self.fresh:
                x, y = _drawn(world).fresh_set("data", integer(world.values["test_samples"]))
                parts.append((x, y, self._first_noise(i, len(x))))
            else:
                x, y = self._sets[i]
                parts.append((x, y, self._quenched[i] if self._quenched else self._first_noise(i)))
        return self._stacked(parts)

    def test_set(self) -> Samples:
        """Noise-free test data."""
        sets = [_finite(world, world.test_set(), self.dtype) for world in self.worlds]
        width = int(self.worlds[0].redraws_labels())
        return self._stacked([(x, y, y.new_zeros(*y.shape[:-1], width + y.shape[-1])) for x, y in sets])

    def _first_noise(self, index: int, count: int | None = None) -> Tensor:
        world = self.worlds[index]
        count = len(self._sets[index][0]) if count is None else count
        return world.unit_noise(world.streams.generator("noise", position=2**40), count)

    def _draw(self, block: int) -> Samples:
        steps = 1 if self.constant else self.steps
        parts = [
            tuple(part.reshape(steps, self.batch_size, -1) for part in self._draw_one(i, block, steps))
            for i in range(len(self.worlds))
        ]
        stacked = self._stacked(parts)
        return Samples(
            x=stacked.x.transpose(0, 1).contiguous(),
            y=stacked.y.transpose(0, 1).contiguous(),
            noise=stacked.noise.transpose(0, 1).contiguous(),
        )

    def _draw_one(self, index: int, block: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._samples_of(index, block, steps, self.batch_size)

    def _samples_of(
        self, index: int, block: int, steps: int, batch_size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and noise of a world for the steps of a block, shapes (steps * batch_size, ...)."""
        world = self.worlds[index]
        count = steps * batch_size
        batch = world.streams.generator("batch", block)
        rows: Tensor | None = None
        if self.fresh:
            x, y = _drawn(world).draw(batch, count)
        else:
            samples = len(self._sets[index][0])
            draws = np.tile(np.arange(samples), steps) if self.full else batch.integers(0, samples, count)
            rows = torch.from_numpy(draws)
            x, y = (part[rows] for part in self._sets[index])
            if world.augments:
                x = world.augmented(x, batch)
        if rows is not None and self._quenched:
            noise = self._quenched[index][rows]
        else:
            noise = world.unit_noise(world.streams.generator("noise", block), count)
        return x, y, noise

    def _stacked(self, parts: Sequence[tuple[Tensor, ...]]) -> Samples:
        columns = (torch.stack(column).detach() for column in zip(*parts, strict=True))
        x, y, noise = (column.to(self.device, self.dtype) for column in columns)
        return Samples(x=x, y=y, noise=noise)


def _finite(world: Task, data: tuple[Tensor, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The data; refused where training on them, in the trials' dtype, would look as if it diverged."""
    if not all(bool(torch.isfinite(part.to(dtype)).all()) for part in data):
        name = str(world.values.get("task", type(world).__name__))
        raise PhasediagError(
            f"task {name} gives inputs or targets that are not finite in {dtype}; scale them"
        )
    return data


def _drawn(world: Task) -> DrawnTask:
    if not isinstance(world, DrawnTask):
        name = type(world).__name__
        raise PhasediagError(f"task {name} says that its data are fresh but is no DrawnTask")
    return world


def block_steps(numbers: int) -> int:
    """Steps of a block: the largest power of two that keeps one replicate's block in bounds."""
    fitting = max(1, BLOCK_NUMBERS // max(1, numbers))
    return min(BLOCK_STEPS, 1 << (fitting.bit_length() - 1))
