"""Networks that cannot be trained in packs as they are, each for one reason that a plan tells."""

import argparse
import itertools
import os
import random
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm
from torch.utils.checkpoint import checkpoint

from phasediag.symmetry.neurons import NeuronGroup

CALLS = {"forward": 0}


class Base(nn.Module):
    """Two layers; what is odd is in the subclasses."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(self.middle(torch.tanh(self.first(x))))

    def middle(self, h):
        return h


# ---- layers with randomness or a memory -------------------------------------------------------------


class DroppedEncoder(nn.Module):
    """A layer of a transformer with its default dropout of 0.1."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.head(self.layer(x.view(-1, 4, 4)).flatten(1))


class RandomReLU(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.act = nn.RReLU()

    def middle(self, h):
        return self.act(h)


class PlainMeans(Base):
    """Running statistics that are plain means: their weight is a number that is read from a tensor."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.norm = nn.BatchNorm1d(width, momentum=None)

    def middle(self, h):
        return self.norm(h)


class OldSpectral(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.first = spectral_norm(self.first)


class LSTM(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.memory, self.head = nn.LSTM(4, width, batch_first=True), nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 4, 4))[0][:, -1])


class GRU(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.memory, self.head = nn.GRU(4, width, batch_first=True), nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 4, 4))[0][:, -1])


class Elman(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 6):
        super().__init__()
        self.memory, self.head = nn.RNN(4, width, batch_first=True), nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.memory(x.view(-1, 4, 4))[0][:, -1])


class ComplexWeights(nn.Module):
    def __init__(self, inputs: int, outputs: int, modes: int = 5):
        super().__init__()
        self.spectral = nn.Parameter(torch.randn(modes, dtype=torch.cfloat))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        spectrum = torch.fft.rfft(x)[:, : len(self.spectral)] * self.spectral
        return self.head(torch.fft.irfft(spectrum, n=x.shape[-1]))


# ---- a forward that remembers -----------------------------------------------------------------------


class Counter(Base):
    """Soft at first, hard after 20 calls."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.calls = 0

    def middle(self, h):
        self.calls += 1
        return h * (1.0 if self.calls < 20 else 2.0)


class SubmoduleCounter(Base):
    class Warm(nn.Module):
        steps_seen = 0

        def forward(self, h):
            self.steps_seen += 1
            return h * min(1.0, self.steps_seen / 100)

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.warm = self.Warm()

    def middle(self, h):
        return self.warm(h)


class ClassCounter(Base):
    calls = 0

    def middle(self, h):
        type(self).calls += 1
        return h * (1 + type(self).calls / 100)


class GlobalCounter(Base):
    def middle(self, h):
        CALLS["forward"] += 1
        return h * (1 + CALLS["forward"] / 100)


class EnvironmentCounter(Base):
    def middle(self, h):
        calls = int(os.environ.get("ZOO_CALLS", "0"))
        os.environ["ZOO_CALLS"] = str(calls + 1)
        return h * (1.0 if calls < 50 else 2.0)


class ClosureCounter(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        calls = 0

        def warm(h):
            nonlocal calls
            calls += 1
            return h * (1 + calls / 100)

        self.warm = warm

    def middle(self, h):
        return self.warm(h)


class BufferCounter(Base):
    """As num_batches_tracked has it."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("calls", torch.zeros(()))

    def middle(self, h):
        self.calls += 1
        return h * torch.exp(-self.calls / 100)


class MovingMean(Base):
    """A running mean of the activations, replaced at every pass."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("mean", torch.zeros(width))

    def middle(self, h):
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(dim=0)
        return h - self.mean


class Cached(Base):
    """The activations of the last pass."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.last = None

    def middle(self, h):
        previous, self.last = self.last, h.detach().mean(dim=0)
        return h if previous is None else h - 0.1 * previous


class Logged(Base):
    """A list that grows, and changes nothing."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.log = []

    def middle(self, h):
        self.log.append(h.shape)
        return h * (1 + len(self.log) / 100)


class CountingHook(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.seen = {"calls": 0}
        self.first.register_forward_hook(self.count)

    def count(self, module, given, output):
        self.seen["calls"] += 1
        return output * (1 + self.seen["calls"] / 100)


class SelfChanging(Base):
    """A weight that forward clips in place."""

    def middle(self, h):
        with torch.no_grad():
            self.second.weight.clamp_(-0.5, 0.5)
        return h


class Generated(Base):
    """A generator that a replicate would share between its trials."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.generator = np.random.default_rng(0)

    def middle(self, h):
        return h * float(self.generator.uniform(0.5, 1.5))


# ---- random numbers, branches on data, numbers outside torch -----------------------------------------


class NoisyForward(Base):
    def middle(self, h):
        return h + 0.1 * torch.randn_like(h)


class NoisyByNumpy(Base):
    def middle(self, h):
        return h * (1 + 0.1 * np.random.rand())


class NoisyByPython(Base):
    def middle(self, h):
        return h * random.choice([0.9, 1.1])


class ShuffledForward(Base):
    def middle(self, h):
        return h[:, torch.randperm(h.shape[1])]


class Branch(Base):
    def middle(self, h):
        if h.sum() > 0:
            return h
        return 2 * h


class Loop(Base):
    def middle(self, h):
        while h.norm() > 1:
            h = h / 2
        return h


class Item(Base):
    def middle(self, h):
        return h / h.abs().max().item()


class ByNumpy(Base):
    def middle(self, h):
        return h * torch.from_numpy(np.tanh(h.detach().numpy()))


class BooleanIndex(Base):
    """The size of what is chosen depends on the data."""

    def middle(self, h):
        return h + h[h > 0].mean()


class OverwrittenInput(Base):
    """It changes the data that it is given."""

    def forward(self, x):
        x -= x.mean(dim=0)
        return super().forward(x)


# ---- construction -----------------------------------------------------------------------------------


class Lazy(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.first = nn.LazyLinear(width)


class Uninitialised(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gain = nn.Parameter(torch.full((width,), float("nan")))

    def middle(self, h):
        return h * self.gain


class ComplexPhase(Base):
    """Beside a parameter of whole numbers, which is no fault."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gain = nn.Parameter(torch.full((width,), 2), requires_grad=False)
        self.phase = nn.Parameter(torch.ones(width, dtype=torch.complex64))

    def middle(self, h):
        return h * self.gain * self.phase.real


class DrawnAttribute(Base):
    """A plain tensor that differs from replicate to replicate: it should be a buffer."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.direction = torch.randn(width)

    def middle(self, h):
        return h * self.direction


class DrawnNumber(Base):
    """A plain number that differs from replicate to replicate."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gain = random.random()

    def middle(self, h):
        return h * self.gain


class UnseededBuffer(Base):
    """Numbers that no seed fixes."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("direction", torch.from_numpy(np.random.default_rng().normal(size=width)))

    def middle(self, h):
        return h * self.direction


class UnseededGain(Base):
    """The same of a parameter."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gain = nn.Parameter(torch.from_numpy(np.random.default_rng().normal(size=width)))

    def middle(self, h):
        return h * self.gain


class CountedInstances(Base):
    """Each instance is another one."""

    made = 0

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        type(self).made += 1
        self.gain = 1 + self.made / 10

    def middle(self, h):
        return h * self.gain


class DrawnSign(Base):
    """A plain truth value, the same for two replicates by chance."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.flip = random.random() < 0.5

    def middle(self, h):
        return -h if self.flip else h


class DrawnShape(nn.Module):
    """A width that is drawn."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        width = int(torch.randint(4, 1000, ()))
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class Raising(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        raise RuntimeError("no licence for this architecture")


class Misfit(Base):
    """A layer that does not fit."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.second = nn.Linear(width + 1, outputs)


class RaisingForward(Base):
    def middle(self, h):
        return h + self.nowhere


class StepsArgument(Base):
    """A recurrent net whose argument has the name of a parameter of training."""

    def __init__(self, inputs: int, outputs: int, steps: int = 3):
        super().__init__(inputs, outputs)
        self.steps = steps

    def middle(self, h):
        return h * self.steps


class MomentumArgument(Base):
    def __init__(self, inputs: int, outputs: int, momentum: float = 0.1):
        super().__init__(inputs, outputs)
        self.momentum = momentum

    def middle(self, h):
        return h * (1 - self.momentum)


class SamplesArgument(Base):
    """The name of a parameter of the task."""

    def __init__(self, inputs: int, outputs: int, samples: int = 5):
        super().__init__(inputs, outputs)
        self.samples = samples

    def middle(self, h):
        return h / self.samples


class RankArgument(Base):
    """The name of a column of the result."""

    def __init__(self, inputs: int, outputs: int, rank: int = 2):
        super().__init__(inputs, outputs)
        self.low, self.high = nn.Linear(8, rank, bias=False), nn.Linear(rank, 8, bias=False)

    def middle(self, h):
        return h + self.high(self.low(h))


class Unannotated(Base):
    def __init__(self, inputs, outputs, width=8):
        super().__init__(inputs, outputs, width)


class AnyOther(Base):
    def __init__(self, inputs: int, outputs: int, **options):
        super().__init__(inputs, outputs, **options)


class NoModule:
    def __init__(self, inputs: int, outputs: int):
        self.w = torch.zeros(outputs, inputs)

    def __call__(self, x):
        return x @ self.w.T


class PlainList(nn.Module):
    """Layers in a list of Python's, of which no optimizer hears."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.layers = [nn.Linear(inputs, width), nn.Linear(width, width)]
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


class PlainGains(Base):
    """The same of parameters, equal for all replicates."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gains = {"of": (nn.Parameter(torch.ones(width)),)}

    def middle(self, h):
        return h * self.gains["of"][0]


class PlainLeaf(Base):
    """A tensor that asks for a gradient, and is no parameter."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gain = torch.ones(width, requires_grad=True)

    def middle(self, h):
        return h * self.gain


class Cycled(Base):
    """A gain that changes late, kept in an iterator of Python's."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.gains = itertools.cycle([1.0] * 40 + [3.0])

    def middle(self, h):
        return h * next(self.gains)


class HeadAlone(Base):
    """Of which an optimizer is given one layer."""

    def parameters(self, recurse=True):
        return self.second.parameters(recurse)


class NothingToTrain(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.requires_grad_(False)


# ---- what is no number at the start ---------------------------------------------------------------------


class Cold(Base):
    """A temperature that may be 0."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, temperature: float = 0.0):
        super().__init__(inputs, outputs, width)
        self.temperature = temperature

    def middle(self, h):
        return torch.softmax(h / self.temperature, dim=-1)


class Logarithm(Base):
    """Of what is negative as often as not."""

    def middle(self, h):
        return torch.log(h)


class RootAtZero(Base):
    """A finite loss, and a slope that is none: the norm of zeros."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.shift = nn.Parameter(torch.zeros(width))

    def middle(self, h):
        return h + self.shift.square().sum().sqrt()


# ---- what comes out ---------------------------------------------------------------------------------


class Squeezed(Base):
    """One number a sample, without its axis."""

    def forward(self, x):
        return super().forward(x)[:, 0]


class Transposed(Base):
    def forward(self, x):
        return super().forward(x).T


class TooMany(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs + 1, width)


class Pair(Base):
    def forward(self, x):
        return super().forward(x), x


class OfOneSample(Base):
    """It takes the mean over samples."""

    def forward(self, x):
        return super().forward(x).mean(dim=0)


class Nothing(Base):
    def forward(self, x):
        super().forward(x)


class DoubleOutput(Base):
    """Another precision than what it is given."""

    def forward(self, x):
        return super().forward(x).to(torch.float16)


# ---- neuron groups ----------------------------------------------------------------------------------


class MisspeltGroups(Base):
    @property
    def neuron_groups(self):
        return (NeuronGroup(name="hidden.1", incoming=(self.frist_name,), outgoing=("second.weight",)),)


class GroupsMethod(Base):
    def neuron_groups(self):
        return (NeuronGroup(name="hidden.1", incoming=("first.weight",), outgoing=("second.weight",)),)


class MissingInGroups(Base):
    neuron_groups = (NeuronGroup(name="hidden.1", incoming=("first.wieght",), outgoing=("second.weight",)),)


class WrongAxisInGroups(Base):
    """The second layer's bias has another size than the neurons."""

    neuron_groups = (
        NeuronGroup(
            name="hidden.1", incoming=("first.weight",), bias=("second.bias",), outgoing=("second.weight",)
        ),
    )


class GroupsOfOneName(Base):
    """Two layers, one name."""

    neuron_groups = (
        NeuronGroup(name="hidden.1", incoming=("first.weight",), outgoing=("second.weight",)),
        NeuronGroup(name="hidden.1", incoming=("second.weight",)),
    )


class ParameterTwice(Base):
    """Its neurons would be longer than they are."""

    neuron_groups = (NeuronGroup(name="hidden.1", incoming=("first.weight", "first.weight")),)


class CountsInNamespace(Base):
    """Arguments of a command line, and a count among them."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.args = argparse.Namespace(calls=0)

    def middle(self, h):
        self.args.calls += 1
        return h * (1.0 if self.args.calls < 30 else 2.0)


class GrowingBuffer(Base):
    """A memory of all passes."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("memory", torch.zeros(1, width))

    def middle(self, h):
        if self.training:
            self.memory = torch.cat([self.memory, h.detach().mean(dim=0, keepdim=True)])
        return h


class OneGroup(Base):
    """A group that is no list of groups."""

    neuron_groups = NeuronGroup(name="hidden.1", incoming=("first.weight",), outgoing=("second.weight",))


class TextGroups(Base):
    neuron_groups = ("first", "second")


class HookAfterGradients(Base):
    """Torch calls the hook once `backward` has filled `.grad`."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.first.weight.register_post_accumulate_grad_hook(halve)


def halve(parameter):
    parameter.grad.mul_(0.5)


class Checkpointed(Base):
    def middle(self, h):
        return checkpoint(torch.tanh, h, use_reentrant=False)


class Sign(torch.autograd.Function):
    """Straight through; as torch's tutorials write it."""

    @staticmethod
    def forward(ctx, h):
        return h.sign()

    @staticmethod
    def backward(ctx, slope):
        return slope


class OldFunction(Base):
    def middle(self, h):
        return Sign.apply(h)


class MaxNorm(nn.Module):
    """An embedding that scales its rows in place as it reads them, once they have grown."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.embed = nn.Embedding(4, width, max_norm=10.0)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.embed((x > 0).long()).mean(dim=1)))


class RenormedInPlace(Base):
    """A weight that each pass brings back to a length."""

    def forward(self, x):
        with torch.no_grad():
            self.first.weight.div_(self.first.weight.norm())
        return super().forward(x)


class Pruned(Base):
    """A weight that a hook makes of the parameter and its mask."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        prune.random_unstructured(self.first, "weight", amount=0.5)


class OldWeightNorm(Base):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nn.utils.weight_norm(self.first)


class ViewOfAParameter(Base):
    """A part of a weight, taken once, by the constructor."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.half = self.first.weight[: width // 2]

    def forward(self, x):
        return super().forward(x) + (x @ self.half.T).sum(dim=-1, keepdim=True)


class StartInOneMemory(Base):
    """A copy of the start that is none: each step changes it, too."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__(inputs, outputs, width)
        self.register_buffer("start", self.first.weight.detach())

    def forward(self, x):
        return super().forward(x) - (x @ self.start.T).sum(dim=-1, keepdim=True)


class GumbelSoftmax(nn.Module):
    """Draws by `exponential_`, which no trial has of its own."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        h = self.first(x)
        return self.second(nn.functional.gumbel_softmax(h, tau=2.0) if self.training else h.softmax(dim=-1))
