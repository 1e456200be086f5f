"""A model of your own, written for one network; whatever torch.nn offers may stand here."""

import torch
from torch import nn

from phasediag.symmetry.neurons import NeuronGroup


class Net(nn.Module):
    """Two linear layers with a gain between them."""

    def __init__(self, inputs: int, outputs: int, width: int = 8, gain: float = 1.0) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width, bias=False)
        self.second = nn.Linear(width, outputs, bias=False)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples (samples, inputs) to predictions (samples, outputs)."""
        return self.second(self.gain * self.first(x))

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """Which weights belong to which neuron: axis 0 of incoming weights, axis 1 of outgoing ones."""
        hidden = NeuronGroup(
            name="hidden.1",
            incoming=("first.weight",),
            outgoing=("second.weight",),
            parity="odd",
        )
        return (hidden,)
