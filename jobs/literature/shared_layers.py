"""The teacher and student of arXiv:2509.01349: they share their first and last layers, the middle one learns.

y = z . tanh(W tanh(M x)), with 3 inputs, M of 32 x 3, W of 16 x 32 and z of 16 normal numbers over the root
of their fan-in. M and z are the same in all networks. W is the teacher's, another one in each replicate;
the student starts at init_scale (sigma_W of the paper) times such a matrix.
"""

from __future__ import annotations

import torch
from torch import nn

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable
from phasediag.shared_parameters import TEST_SAMPLES, samples
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.data import DrawnTask

INPUTS, FIRST, SECOND = 3, 32, 16


def shared_layers() -> tuple[torch.Tensor, torch.Tensor]:
    """M of shape (32, 3) and z of shape (1, 16)."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(FIRST, INPUTS, generator=generator, dtype=torch.float64) / INPUTS**0.5
    return first, torch.randn(1, SECOND, generator=generator, dtype=torch.float64) / SECOND**0.5


class Teacher(DrawnTask):
    """Normal inputs; targets of a teacher that is another one in each replicate, without noise."""

    declares = (samples(1000), TEST_SAMPLES)

    @staticmethod
    def sizes(values):
        return INPUTS, 1

    def __init__(self, values, streams):
        super().__init__(values, streams)
        drawn = streams.generator("teacher").standard_normal((SECOND, FIRST)) / FIRST**0.5
        self.weight = torch.from_numpy(drawn)

    def draw(self, generator, count):
        first, last = shared_layers()
        x = torch.from_numpy(generator.standard_normal((count, INPUTS)))
        return x, torch.tanh(torch.tanh(x @ first.T) @ self.weight.T) @ last.T


class Student(nn.Module):
    """The same, of which `middle` is trained; for `init: own`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first, last = shared_layers()
        self.register_buffer("first", first.float())
        self.register_buffer("last", last.float())
        self.middle = nn.Linear(FIRST, SECOND, bias=False)
        nn.init.normal_(self.middle.weight, std=FIRST**-0.5)

    def forward(self, x):
        return torch.tanh(self.middle(torch.tanh(x @ self.first.T))) @ self.last.T

    @property
    def neuron_groups(self):
        return (NeuronGroup(name="hidden.1", incoming=("middle.weight",)),)


class SingularValues(NumberObservable):
    """The largest singular value of the layer's incoming weights."""

    columns = (
        Column(name="largest", meaning="Largest singular value.", label="largest singular value", level=5.0),
    )
    starting = (Column(name="largest_at_start", meaning="The same at step 0.", null_when_diverged=False),)
    uses_data = False

    def measure(self, network):
        return torch.linalg.svdvals(network.raw.incoming)[:1]
