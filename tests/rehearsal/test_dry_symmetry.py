"""A user's `neuron_groups` that states what her function does not have is told, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import phasediag
from phasediag.rehearsal.dry_symmetry import broken_symmetries
from phasediag.symmetry.neurons import NeuronGroup

RIGHT = NeuronGroup(name="h", incoming=("first.weight",), bias=("first.bias",), outgoing=("second.weight",))


class Layered(nn.Module):
    """Two layers with an activation between them, and a gain of each neuron where asked."""

    def __init__(self, activation: Any, gain: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)
        nn.init.zeros_(self.first.bias)
        self.gain = nn.Parameter(torch.ones(4)) if gain else None
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.activation(self.first(x))
        out: Tensor = self.second(hidden if self.gain is None else self.gain * hidden)
        return out


class Turned(nn.Module):
    """`x @ a`, whose neurons are counted by axis 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.second = nn.Parameter(torch.randn(4, 4)), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(x @ self.a))
        return out


@pytest.mark.parametrize(
    ("module", "group", "message"),
    [
        (Layered(torch.tanh), replace(RIGHT, parity="odd"), ""),
        (Layered(torch.relu), replace(RIGHT, homogeneity=1), ""),
        (Layered(torch.square), replace(RIGHT, parity="even", homogeneity=2), ""),
        (Layered(torch.tanh, gain=True), replace(RIGHT, bias=("first.bias", "gain")), ""),
        (Layered(torch.tanh), replace(RIGHT, outgoing=()), ""),
        (Layered(torch.relu), replace(RIGHT, parity="odd"), "parity: odd"),
        (Layered(torch.tanh), replace(RIGHT, parity="even"), "parity: even"),
        (Layered(torch.tanh), replace(RIGHT, homogeneity=1), "homogeneity: 1"),
        (Layered(torch.square), replace(RIGHT, homogeneity=1), "homogeneity: 1"),
        (Layered(torch.tanh), replace(RIGHT, bias=()), "exchanged"),
        (Layered(torch.tanh, gain=True), RIGHT, "exchanged"),
        (Turned(), NeuronGroup(name="h", incoming=("a",), outgoing=("second.weight",)), "exchanged"),
    ],
)
def test_what_a_group_states_is_tried_on_the_function(
    module: nn.Module, group: NeuronGroup, message: str
) -> None:
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    broken = broken_symmetries(module, (group,), x)
    assert [message in sentence for sentence in broken] == [True] * bool(message)
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


MODEL = """
import torch
from torch import nn

from phasediag.symmetry.neurons import NeuronGroup


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 4), nn.Linear(4, outputs)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

    @property
    def neuron_groups(self):
        group = NeuronGroup(
            name="hidden.1", incoming=("first.weight",), bias=("first.bias",), outgoing=("second.weight",),
            parity="odd",
        )
        return (group,)
"""


def test_a_plan_says_it(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    path = tmp_path / "grid.yaml"
    path.write_text(
        "name: odd\nfixed: {task: teacher_student, model: 'net.py:Net', samples: 8, test_samples: 8}\n"
        "axes: {weight_decay: [0.1]}\n"
    )
    plan = phasediag.plan(path, str(tmp_path / "sweeps"))
    assert any("net.py:Net" in note and "parity: odd" in note for note in plan.notes)
