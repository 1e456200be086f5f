"""A network whose gradient torch differentiates wrongly is trained, but no curvature of it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import phasediag
from phasediag.errors import PhasediagError
from small_sweeps import grid_text, write

NET = """
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from phasediag.symmetry.neurons import NeuronGroup


class Tanh(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - torch.tanh(ctx.saved_tensors[0]) ** 2)


class Once(Tanh):
    backward = staticmethod(once_differentiable(Tanh.backward))


class ByNumbers(Tanh):
    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - torch.tanh(ctx.saved_tensors[0].detach()) ** 2)


def normalized(x):
    return x / x.square().mean(1, keepdim=True).sqrt().detach()


class Net(nn.Module):
    act = staticmethod(torch.tanh)

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 8), nn.Linear(8, outputs)

    def forward(self, x):
        return self.second(self.act(self.first(x)))

    @property
    def neuron_groups(self):
        weights = {"incoming": ("first.weight",), "bias": ("first.bias",), "outgoing": ("second.weight",)}
        return (NeuronGroup(name="hidden.1", **weights),)


class Right(Net):
    act = staticmethod(Tanh.apply)


class Kinked(Net):
    act = staticmethod(torch.relu)


class Single(Net):
    def forward(self, x):
        return super().forward(x.float())


class OnceOnly(Net):
    act = staticmethod(Once.apply)


class Numbers(Net):
    act = staticmethod(ByNumbers.apply)


class Detached(Net):
    act = staticmethod(normalized)
"""
CURVED: dict[str, dict[str, Any]] = {
    "sharpness": {"observables": ["permutation", "sharpness"]},
    "escape": {"observables": ["permutation", "escape"]},
    "the entropic loss": {"entropic": True},
}


def grid_file(folder: Path, model: str, **measure: Any) -> Path:
    write(folder, NET, "net.py")
    fixed = {"model": f"net.py:{model}", "width": None, "steps": 6, "dtype": "float32"}
    text = grid_text({"weight_decay": [0.0, 0.1]}, fixed, measure=measure)
    return write(folder, text.replace("  width: None\n", ""))


@pytest.mark.parametrize(
    ("model", "name"),
    [(m, "sharpness") for m in ("OnceOnly", "Numbers", "Detached")] + [("OnceOnly", n) for n in CURVED],
)
def test_a_curvature_that_would_be_wrong_is_refused_at_plan(tmp_path: Path, model: str, name: str) -> None:
    """Without the check `sharpness` of OnceOnly is that of the last layer alone, with exit code 0."""
    words = rf"net.py:\d+: net.py:{model}: .*, and {name} would be wrong; .*leave {name} out"
    with pytest.raises(PhasediagError, match=words) as refused:
        phasediag.plan(grid_file(tmp_path, model, **CURVED[name]), str(tmp_path))
    assert refused.value.exit_code == 2
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("model", ["Net", "Right", "Kinked", "Single"])
def test_what_torch_differentiates_twice_is_measured(tmp_path: Path, model: str) -> None:
    path = grid_file(tmp_path, model, **CURVED["sharpness"])
    assert len(phasediag.plan(path, str(tmp_path)).survey.missing) == 2


def test_a_network_without_second_derivatives_trains_where_none_are_asked_for(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "OnceOnly", observables=["permutation", "rank"])
    assert len(phasediag.plan(path, str(tmp_path)).survey.missing) == 2
