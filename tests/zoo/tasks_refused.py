"""Tasks that a plan refuses, each for one reason."""

import numpy as np
import torch

from phasediag.training.data import DrawnTask, Task
from phasediag.trial import NonNegativeFloat, Parameter, Role, label_noise_parameters


class Base(Task):
    """A task that is right; the others differ in one thing."""

    declares = ()

    @staticmethod
    def sizes(values):
        return 4, 2

    def train_set(self):
        return self.some("data", 24)

    def test_set(self):
        return self.some("test", 10)

    def some(self, stream, count):
        x = torch.from_numpy(self.streams.generator(stream).standard_normal((count, 4)))
        return x, torch.stack([x[:, 0] * x[:, 1], x[:, 2]], dim=1)


class NoSizes(Task):
    declares = ()

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((24, 4)))
        return x, x[:, :1]

    test_set = train_set


class SizesMethod(Base):
    def sizes(self):
        return 4, 2


class NoTestSet(Task):
    declares = ()

    @staticmethod
    def sizes(values):
        return 4, 1

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((24, 4)))
        return x, x[:, :1]


class NoTask:
    """It has the methods and not the base."""

    def sizes(self):
        return 4, 2


class ReadsDecay(Base):
    """It looks at a parameter of training."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y * (1 + self.values["weight_decay"])


class ReadsUndeclared(Base):
    """It looks at a parameter that nobody has."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y * self.values["frequency"]


class FlatTargets(Base):
    @staticmethod
    def sizes(values):
        return 4, 1

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y[:, 0]


class MoreTargets(Base):
    """Three, where it says two."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, torch.cat([y, y[:, :1]], dim=1)


class MoreInputs(Base):
    def some(self, stream, count):
        x, y = super().some(stream, count)
        return torch.cat([x, x], dim=1), y


class MoreSamples(Base):
    """Another number of targets than of inputs."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y[:-1]


class OtherTestShape(Base):
    def test_set(self):
        x, y = super().test_set()
        return x[:, :3], y


class Empty(Base):
    def train_set(self):
        return self.some("data", 0)


class EmptyTest(Base):
    def test_set(self):
        return self.some("test", 0)


class Arrays(Base):
    def some(self, stream, count):
        x = self.streams.generator(stream).standard_normal((count, 4))
        return x, x[:, :2]


class Lone(Base):
    """Inputs without targets."""

    def some(self, stream, count):
        return super().some(stream, count)[0]


class NotFinite(Base):
    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, torch.log(y)


class NotFiniteTest(Base):
    def test_set(self):
        x, y = super().test_set()
        x[3, 1] = float("inf")
        return x, y


class ComplexData(Base):
    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y.to(torch.complex128)


class LossOfEach(Base):
    """One number a sample."""

    @staticmethod
    def loss(prediction, target):
        return (prediction - target).square().sum(dim=1)


class LossMethod(Base):
    """A loss that wants the task."""

    def loss(self, prediction, target):
        return (prediction - target).square().mean()


class LossNumber(Base):
    """A number of Python."""

    @staticmethod
    def loss(prediction, target):
        return float((prediction - target).square().mean())


class LossNothing(Base):
    @staticmethod
    def loss(prediction, target):
        (prediction - target).square().mean()


class LossRandom(Base):
    @staticmethod
    def loss(prediction, target):
        return ((prediction - target) * (1 + 0.1 * torch.randn_like(target))).square().mean()


class LossDetached(Base):
    """Nothing to differentiate."""

    @staticmethod
    def loss(prediction, target):
        return (prediction.detach() - target).square().mean()


class LossCounting(Base):
    calls = 0

    @classmethod
    def loss(cls, prediction, target):
        cls.calls += 1
        return (prediction - target).square().mean() * (1 + cls.calls / 100)


class LossBroadcast(Base):
    """The mean of the targets against each prediction is the user's own affair; a raise is not."""

    @staticmethod
    def loss(prediction, target):
        return (prediction - target.T).square().mean()


class NoisyTwice(Base):
    """It uses label_noise itself, and the noise is added to the targets once more."""

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

    def train_set(self):
        x, y = super().train_set()
        flip = torch.from_numpy(
            self.streams.generator("noise").random((len(x), 1)) < self.values["label_noise"]
        )
        return x, torch.where(flip, -y, y)


class NoiseShape(Base):
    """Noise of one number a sample."""

    declares = label_noise_parameters()

    def unit_noise(self, generator, count):
        return torch.from_numpy(generator.standard_normal(count))


class NoiseNotFinite(Base):
    declares = label_noise_parameters()

    def unit_noise(self, generator, count):
        return torch.full((count, 2), torch.inf, dtype=torch.float64)


class FreshWithoutDraw(Base):
    """It says that its data are fresh, and cannot draw."""

    always_fresh = True


class DrawShape(DrawnTask):
    always_fresh = True
    declares = (
        Parameter(
            name="test_samples", type=int, default=10, neutral=10, role=Role.STRUCTURAL, meaning="Test set."
        ),
    )

    @staticmethod
    def sizes(values):
        return 4, 1

    def draw(self, generator, count):
        x = torch.from_numpy(generator.standard_normal((count, 4)))
        return x, x[:, 0]


class Raising(Base):
    def train_set(self):
        raise FileNotFoundError("the shared disk is away")


class RaisingTest(Base):
    def test_set(self):
        return self.some("test", 10)[2]


class LossNotANumber(Base):
    @staticmethod
    def loss(prediction, target):
        return (prediction - target).square().mean() * (target - target).sum() / (target - target).sum()


class LossInfinite(Base):
    """A relative error, of targets that are 0."""

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, y.clamp(min=0)

    @staticmethod
    def loss(prediction, target):
        return ((prediction - target) / target).square().mean()


class LossOfObject(Base):
    """A loss that is chosen by the constructor, which nobody would ask for."""

    def __init__(self, values, streams):
        super().__init__(values, streams)
        self.loss = torch.nn.functional.l1_loss


class OneLogit(Base):
    """Two classes by one number: the largest output is always the same."""

    classes = 2

    @staticmethod
    def sizes(values):
        return 4, 1

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, (y[:, :1] > 0).double()


class OneMoreOutput(Base):
    """An output that is no class, and that label noise would draw."""

    classes = 2

    @staticmethod
    def sizes(values):
        return 4, 3

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, torch.nn.functional.one_hot((y[:, 0] > 0).long(), 3).double()


class SeveralAtOnce(Base):
    """Several classes may be right."""

    classes = 2

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, (y > 0).double()


class NoisySigns(Base):
    """Classes by signs, of which label noise would make zeros and ones."""

    declares = label_noise_parameters()
    classes = 2

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, 2 * torch.nn.functional.one_hot((y[:, 0] > 0).long(), 2).double() - 1


class NoisyBeyondAll(Base):
    """A share of labels that is no share."""

    declares = label_noise_parameters()
    classes = 2

    def some(self, stream, count):
        x, y = super().some(stream, count)
        return x, torch.nn.functional.one_hot((y[:, 0] > 0).long(), 2).double()


class ClassesOfObject(Base):
    """Known once it has seen its data."""

    def __init__(self, values, streams):
        super().__init__(values, streams)
        self.classes = 2


class ClassesProperty(Base):
    @property
    def classes(self):
        return 2


class NamedClasses(Base):
    classes = ("cat", "dog")


class FreshProperty(DrawnTask):
    declares = ()

    @property
    def always_fresh(self):
        return True

    @staticmethod
    def sizes(values):
        return 4, 1

    def draw(self, generator, count):
        x = torch.from_numpy(generator.standard_normal((count, 4)))
        return x, x[:, :1]


class RaisingConstructor(Base):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        raise ValueError("no such corpus")


class RaisingSizes(Base):
    @staticmethod
    def sizes(values):
        return values["corpus"], 2


class SizesOfText(Base):
    @staticmethod
    def sizes(values):
        return "4", "2"


class GlobalRandom(Base):
    """Numbers that are drawn from no stream of the replicate."""

    def some(self, stream, count):
        x = torch.randn(count, 4, dtype=torch.float64)
        return x, x[:, :2]


class GlobalNumpy(Base):
    def some(self, stream, count):
        x = torch.from_numpy(np.random.standard_normal((count, 4)))
        return x, x[:, :2]
