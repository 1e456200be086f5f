"""Tasks as people write them."""
# ruff: noqa: N812

import csv
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from phasediag.tasks.digits import Digits
from phasediag.tasks.teacher_student import TeacherStudent
from phasediag.training.data import DrawnTask, GeneratedTask, Task
from phasediag.trial import (
    NonNegativeFloat,
    Parameter,
    PositiveFloat,
    PositiveInt,
    Role,
    label_noise_parameters,
)

SAMPLES = Parameter(
    name="samples", type=int, default=24, neutral=24, role=Role.STRUCTURAL, meaning="Training set; 0: fresh."
)
TEST_SAMPLES = Parameter(
    name="test_samples", type=PositiveInt, default=12, neutral=12, role=Role.STRUCTURAL, meaning="Test set."
)


class Bare(Task):
    """What the base class asks for, and nothing else."""

    @staticmethod
    def sizes(values):
        return 4, 1

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((24, 4)))
        return x, x[:, :1] ** 2

    def test_set(self):
        x = torch.from_numpy(self.streams.generator("test").standard_normal((9, 4)))
        return x, x[:, :1] ** 2


class Wave(GeneratedTask):
    """A sine of a frequency of its own, fresh or not."""

    declares = (
        SAMPLES,
        TEST_SAMPLES,
        Parameter(
            name="frequency",
            type=PositiveFloat,
            default=1.0,
            neutral=1.0,
            role=Role.BATCHED,
            meaning="Of it.",
        ),
        Parameter(
            name="terms", type=PositiveInt, default=2, neutral=2, role=Role.BATCHED, meaning="How many."
        ),
        *label_noise_parameters(),
    )

    @staticmethod
    def sizes(values):
        return 1, 1

    def sample(self, generator, count):
        return torch.from_numpy(generator.uniform(-2, 2, (count, 1)))

    def target(self, x):
        return sum(
            torch.sin(self.values["frequency"] * k * x) / k for k in range(1, self.values["terms"] + 1)
        )


class Parity(DrawnTask):
    """Signs, and the product of three of them; drawn together."""

    declares = (SAMPLES, TEST_SAMPLES)

    @staticmethod
    def sizes(values):
        return 5, 1

    def draw(self, generator, count):
        x = torch.from_numpy(generator.choice([-1.0, 1.0], (count, 5)))
        return x, x[:, :3].prod(dim=1, keepdim=True)


class AlwaysFresh(DrawnTask):
    always_fresh = True
    declares = (TEST_SAMPLES, *label_noise_parameters(noise=False))

    @staticmethod
    def sizes(values):
        return 3, 2

    def draw(self, generator, count):
        x = torch.from_numpy(generator.standard_normal((count, 3)))
        return x, torch.stack([x[:, 0] * x[:, 1], x[:, 2].abs()], dim=1)


class Regression(Task):
    """Three targets; other tasks here differ from it in one thing."""

    declares = label_noise_parameters()

    @staticmethod
    def sizes(values):
        return 4, 3

    def train_set(self):
        return self.some("data", 24)

    def test_set(self):
        return self.some("test", 10)

    def some(self, stream, count):
        matrix = torch.from_numpy(self.streams.generator("teacher").standard_normal((4, 3))) / 2
        x = torch.from_numpy(self.streams.generator(stream).standard_normal((count, 4)))
        return x, torch.tanh(x @ matrix)


class SumOverSamples(Regression):
    @staticmethod
    def loss(prediction, target):
        return (prediction - target).square().sum() / 2


class MeanOfAll(Regression):
    @staticmethod
    def loss(prediction, target):
        return F.mse_loss(prediction, target)


class Huber(Regression):
    mean_over_samples = True

    @staticmethod
    def loss(prediction, target):
        return F.huber_loss(prediction, target, delta=0.5)


class Correlated(Regression):
    """A loss in which the samples of a batch see each other."""

    @staticmethod
    def loss(prediction, target):
        p, t = prediction - prediction.mean(dim=0), target - target.mean(dim=0)
        return 1 - (p * t).sum() / (p.square().sum() * t.square().sum() + 1e-6).sqrt()


class Weighted(Regression):
    """Heavier outputs, from a table of the class."""

    weights = torch.tensor([1.0, 2.0, 0.5])

    @classmethod
    def loss(cls, prediction, target):
        return (cls.weights * (prediction - target).abs()).sum(dim=1).mean()


class Logistic(Regression):
    """Labels of one sign or the other."""

    @staticmethod
    def sizes(values):
        return 4, 1

    def some(self, stream, count):
        x = torch.from_numpy(self.streams.generator(stream).standard_normal((count, 4)))
        return x, torch.sign(x[:, :1] + x[:, 1:2])

    @staticmethod
    def loss(prediction, target):
        return F.softplus(-prediction * target).mean()


class CrossEntropy(Task):
    """Three classes, one-hot, label noise left out."""

    classes = 3
    declares = ()

    @staticmethod
    def sizes(values):
        return 4, 3

    def train_set(self):
        return self.some("data", 24)

    def test_set(self):
        return self.some("test", 10)

    def some(self, stream, count):
        generator = self.streams.generator(stream)
        centres = torch.tensor([[1.0, 0, 0, 1], [0, 1, -1, 0], [-1, 0, 1, 0]], dtype=torch.float64)
        label = torch.from_numpy(generator.integers(0, 3, count))
        x = centres[label] + 0.5 * torch.from_numpy(generator.standard_normal((count, 4)))
        return x, F.one_hot(label, 3).to(torch.float64)

    @staticmethod
    def loss(prediction, target):
        return -(target * prediction.log_softmax(dim=-1)).sum(dim=-1).mean()


class TorchCrossEntropy(CrossEntropy):
    """The same by torch's function, which takes shares of classes."""

    @staticmethod
    def loss(prediction, target):
        return F.cross_entropy(prediction, target)


class SmoothedLabels(CrossEntropy):
    @staticmethod
    def loss(prediction, target):
        return F.cross_entropy(prediction, target, label_smoothing=0.1)


class IndexOfClass(CrossEntropy):
    """The index of the class is taken in the loss."""

    @staticmethod
    def loss(prediction, target):
        return F.nll_loss(F.log_softmax(prediction, dim=-1), target.argmax(dim=-1))


class NoisyClasses(CrossEntropy):
    """With label noise: a share of the labels drawn anew."""

    declares = label_noise_parameters()


class SquaredClasses(NoisyClasses):
    """Classes by squared error."""

    loss = staticmethod(Task.loss)


class OwnNoise(Regression):
    """Noise of two values."""

    def unit_noise(self, generator, count):
        return torch.from_numpy(generator.choice([-1.0, 1.0], (count, 3)))


class FewNoisy(Regression):
    """Noise of one output alone, heavy tails."""

    def unit_noise(self, generator, count):
        noise = torch.zeros(count, 3, dtype=torch.float64)
        noise[:, 1] = torch.from_numpy(generator.standard_t(5, count))
        return noise


class Flipped(Task):
    """It does with label_noise what it likes, and nothing is added besides."""

    declares = (
        Parameter(
            name="label_noise",
            type=NonNegativeFloat,
            default=0.0,
            neutral=0.0,
            role=Role.BATCHED,
            meaning="Share.",
        ),
    )

    @staticmethod
    def sizes(values):
        return 4, 1

    def train_set(self):
        generator = self.streams.generator("data")
        x = torch.from_numpy(generator.standard_normal((24, 4)))
        y = torch.sign(x[:, :1])
        flip = torch.from_numpy(generator.random((24, 1)) < self.values["label_noise"])
        return x, torch.where(flip, -y, y)

    def test_set(self):
        x = torch.from_numpy(self.streams.generator("test").standard_normal((8, 4)))
        return x, torch.sign(x[:, :1])

    def unit_noise(self, generator, count):
        return torch.zeros(count, 1, dtype=torch.float64)


class FromFile(Task):
    """Points of a file beside it."""

    declares = label_noise_parameters()

    def __init__(self, values, streams):
        super().__init__(values, streams)
        with (Path(__file__).parent / "points.csv").open() as file:
            rows = [[float(v) for v in row] for row in list(csv.reader(file))[1:]]
        self.points = torch.tensor(rows, dtype=torch.float64)

    @staticmethod
    def sizes(values):
        return 2, 1

    def train_set(self):
        return self.points[:20, :2], self.points[:20, 2:]

    def test_set(self):
        return self.points[20:, :2], self.points[20:, 2:]


class LargerTest(Regression):
    """A test set larger than the training set, of one sample each way."""

    def train_set(self):
        return self.some("data", 5)

    def test_set(self):
        return self.some("test", 61)


class Steeper(TeacherStudent):
    """A built-in task with another target."""

    def target(self, x):
        return super().target(x) ** 2


class HalfDigits(Digits):
    """The upper halves of the pictures."""

    @staticmethod
    def sizes(values):
        return 32, 10

    def train_set(self):
        x, y = super().train_set()
        return x[:, :32], y

    def test_set(self):
        x, y = super().test_set()
        return x[:, :32], y


class SinglePrecision(Regression):
    """float32 where float64 is asked for."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x.float(), y.float()


class WholeTargets(Regression):
    """Counts as integers."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, (2 * y).round().long()


class TeacherModule(Regression):
    """A teacher of torch.nn, whose outputs still hang on its graph."""

    def some(self, stream, count):
        generator = self.streams.generator("teacher")
        teacher = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        for parameter in teacher.parameters():
            parameter.data = torch.from_numpy(generator.standard_normal(parameter.shape))
        x = torch.from_numpy(self.streams.generator(stream).standard_normal((count, 4)))
        return x, teacher(x)


class Autoencoder(Regression):
    """The target is the input, the same tensor."""

    @staticmethod
    def sizes(values):
        return 4, 4

    def some(self, stream, count):
        x, _ = super().some(stream, count)
        return x, x


class Views(Regression):
    """Tensors that are views, expanded and transposed."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x.T.contiguous().T, y[:1].expand(count, -1)


class ModularAddition(Task):
    """a + b modulo 5, both one-hot: every pair; half of them for training."""

    classes = 5
    declares = (
        Parameter(
            name="share", type=float, default=0.5, neutral=0.5, role=Role.STRUCTURAL, meaning="For training."
        ),
    )

    @staticmethod
    def sizes(values):
        return 10, 5

    def train_set(self):
        return self.part(slice(None, int(25 * self.values["share"])))

    def test_set(self):
        return self.part(slice(int(25 * self.values["share"]), None))

    def part(self, rows):
        order = self.streams.generator("data").permutation(25)[rows]
        a, b = torch.from_numpy(order // 5), torch.from_numpy(order % 5)
        one_hot = [F.one_hot(v, 5).double() for v in (a, b, (a + b) % 5)]
        return torch.cat(one_hot[:2], dim=1), one_hot[2]


class Series(Task):
    """The next value of an autoregression, by windows."""

    declares = label_noise_parameters()

    @staticmethod
    def sizes(values):
        return 6, 1

    def train_set(self):
        return self.windows("data", 40)

    def test_set(self):
        return self.windows("test", 20)

    def windows(self, stream, length):
        shocks = self.streams.generator(stream).standard_normal(length)
        series = np.zeros(length)
        for t in range(1, length):
            series[t] = 0.9 * series[t - 1] + shocks[t]
        windows = torch.from_numpy(series).unfold(0, 7, 1)
        return windows[:, :6], windows[:, 6:]


class Lists(Task):
    """A parameter that is a list."""

    declares = (
        Parameter(
            name="spectrum", type=tuple[float, ...], default=(2.0, 1.0, 0.5), neutral=(2.0, 1.0, 0.5),
            role=Role.BATCHED, meaning="Of the inputs.",
        ),
    )  # fmt: skip

    @staticmethod
    def sizes(values):
        return 3, 1

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((24, 3)))
        x = x * torch.tensor(self.values["spectrum"], dtype=torch.float64)
        return x, x.prod(dim=1, keepdim=True)

    test_set = train_set


class OwnMoments(Regression):
    """Inputs of mean 0 and deviation 1 over the training set, by which the test set is taken, too."""

    def train_set(self):
        x, y = super().train_set()
        self.mean, self.deviation = x.mean(dim=0), x.std(dim=0)
        return (x - self.mean) / self.deviation, y

    def test_set(self):
        x, y = super().test_set()
        return (x - self.mean) / self.deviation, y
