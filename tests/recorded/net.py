import torch
from torch import nn

from phasediag.symmetry.neurons import NeuronGroup


class Net(nn.Module):
    """Two layers, a temperature and a fixed projection in front."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 3, temperature: float = 1.0):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.temperature = temperature
        self.register_buffer("projection", torch.eye(inputs) * 0.5)
        self.neuron_groups = [
            NeuronGroup(
                name="hidden.1", incoming=("first.weight",), bias=("first.bias",), outgoing=("second.weight",)
            )
        ]

    def forward(self, x):
        return self.second(torch.tanh(self.first(x @ self.projection) / self.temperature))
