"""What a task is: the contract between a source of data and everything that trains on it.

It needs no torch before a task is built, so that a grid which names a task is read without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from phasediag.trial import Constraint, Parameter, Streams, Value, integer

if TYPE_CHECKING:
    from torch import Tensor


class Task(ABC):
    """One source of data, as one replicate sees it.

    A subclass states `declares` (its parameters), `constraints`, and its training and test sets; all
    tensors here are float64 on the CPU.

    Parameters
    ----------
    values
        A trial's record.
    streams
        Of the replicate: the only source of randomness.
    """

    declares: ClassVar[tuple[Parameter, ...]]
    constraints: ClassVar[tuple[Constraint, ...]] = ()
    """Rules between parameters, checked where a grid names this task or one derived from it."""
    always_fresh: ClassVar[bool] = False
    """Whether every step draws new samples (`samples` 0 does that too, where a task has it)."""
    population: ClassVar[bool] = False
    """Whether `batch_size: 0` is the exact population loss."""
    classes: ClassVar[int] = 0
    """Number of classes; 0 where the targets are no classes."""

    def __init__(self, values: Mapping[str, Value], streams: Streams) -> None:
        self.values = values
        self.streams = streams

    @staticmethod
    @abstractmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """How many numbers a sample has, and how many its target, from the trial's record."""

    @abstractmethod
    def train_set(self) -> tuple[Tensor, Tensor]:
        """The fixed inputs, (samples, inputs), and noise-free targets, (samples, outputs).

        Only called where data are not fresh. Floating point, on the CPU; converted to the trial's dtype.
        """

    @abstractmethod
    def test_set(self) -> tuple[Tensor, Tensor]:
        """Inputs, (test_samples, inputs), and noise-free targets, (test_samples, outputs), for `test_loss`.

        Floating point, on the CPU; converted to the trial's dtype.
        """

    def unit_noise(self, generator: np.random.Generator, count: int) -> Tensor:
        """What `noisy` makes label noise of, whatever its strength.

        Returns
        -------
        Normal numbers of variance 1, shape (count, outputs). Where there are classes, for each sample a
        number from 0 to 1 and another label, drawn evenly, as one-hot: shape (count, 1 + outputs).
        """
        outputs = self.sizes(self.values)[1]
        if not self.classes:
            return tensor(generator.standard_normal((count, outputs)))
        chance, label = generator.random((count, 1)), generator.integers(0, outputs, count)
        return tensor(np.hstack([chance, np.eye(outputs)[label]]))

    @classmethod
    def redraws_labels(cls) -> bool:
        """Whether label noise is the share of labels that are drawn anew, rather than added to the targets.

        So it is where there are classes, unless the task states a `unit_noise` of its own, to be added.
        """
        return cls.classes > 0 and cls.unit_noise is Task.unit_noise

    @classmethod
    def noisy(cls, y: Tensor, noise: Tensor, label_noise: Tensor) -> Tensor:
        """Targets with their label noise.

        Parameters
        ----------
        y
            Noise-free targets, shape (..., outputs).
        noise
            As `unit_noise` gives it, shape (..., outputs) or (..., 1 + outputs).
        label_noise
            Scalar: the standard deviation of what is added, or the share of labels that are drawn anew.
        """
        import torch

        if cls.redraws_labels():
            return torch.where(noise[..., :1] < label_noise, noise[..., 1:], y)
        return y + label_noise * noise

    @staticmethod
    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        """Squared error, summed over outputs, mean over samples: (samples, outputs) to a scalar.

        A class with another loss that is a mean over samples too, none of which sees the others, states
        `mean_over_samples = True`: then trials of several batch sizes may share a program.
        """
        return (prediction - target).square().sum(dim=-1).mean()

    @property
    def augments(self) -> bool:
        """Whether every step sees its samples changed at random, by `augmented`; not where data are fresh."""
        return False

    def augmented(self, x: Tensor, generator: np.random.Generator) -> Tensor:
        """Inputs as a step sees them, shape (count, inputs) as given; losses are taken on what is given."""
        del generator
        return x

    @property
    def fresh(self) -> bool:
        """Whether every step draws new samples."""
        full_population = self.population and self.values["batch_size"] == 0
        return not full_population and (self.always_fresh or self.values.get("samples") == 0)


class DrawnTask(Task):
    """A task whose samples, with their noise-free targets, can be drawn without end."""

    @abstractmethod
    def draw(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Inputs (count, inputs) and noise-free targets (count, outputs)."""

    def train_set(self) -> tuple[Tensor, Tensor]:
        """The fixed inputs, (samples, inputs), and noise-free targets, (samples, outputs).

        Only called where data are not fresh. Floating point, on the CPU; converted to the trial's dtype.
        """
        return self.fresh_set("data", integer(self.values["samples"]))

    def test_set(self) -> tuple[Tensor, Tensor]:
        """Inputs, (test_samples, inputs), and noise-free targets, (test_samples, outputs), for `test_loss`.

        Floating point, on the CPU; converted to the trial's dtype.
        """
        return self.fresh_set("test", integer(self.values["test_samples"]))

    def fresh_set(self, stream: Literal["data", "test"], count: int) -> tuple[Tensor, Tensor]:
        """`count` samples from the start of a stream, and their noise-free targets.

        Shapes (count, inputs) and (count, outputs).
        """
        return self.draw(self.streams.generator(stream), count)


class GeneratedTask(DrawnTask):
    """A task whose samples can be drawn without end, and whose targets are a function of them."""

    @abstractmethod
    def sample(self, generator: np.random.Generator, count: int) -> Tensor:
        """Inputs, shape (count, inputs)."""

    @abstractmethod
    def target(self, x: Tensor) -> Tensor:
        """Noise-free targets of inputs (count, inputs): shape (count, outputs)."""

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Inputs (count, inputs) and noise-free targets (count, outputs)."""
        x = self.sample(generator, count)
        return x, self.target(x)


def tensor(array: npt.NDArray[np.float64]) -> Tensor:
    """Numbers that numpy has drawn, as torch has them: float64, on the CPU."""
    import torch

    return torch.from_numpy(array)
