"""What a pass computes, counted: products, results, and what convolutions gather."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasediag.models.resnet18 import ResNet18
from phasediag.packing.pack import cost_of
from phasediag.training import arithmetic
from phasediag.training.arithmetic import Arithmetic, arithmetic_of
from phasediag.training.network import network_of
from trained_tiles import grid_of

SAMPLES = 4
OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs, width: int = 16):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))

class Images(nn.Module):
    def __init__(self, inputs, outputs, channels: int = 8):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, channels, 3, padding=1), nn.Linear(channels, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x.reshape(-1, 1, 8, 8))).mean((2, 3)))
"""


def counted(module: nn.Module, *shape: int) -> Arithmetic:
    x = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return arithmetic_of(lambda: module(x), SAMPLES)


def test_products_are_those_known_of_resnet18() -> None:
    """555,417,600 in convolutions of images of 32 x 32 and 64 channels, and a readout of 512 by 10."""
    seen = counted(ResNet18(inputs=3072, outputs=10, channels=64), 3072)
    assert seen.products == 555_417_600 + 5_120


@pytest.mark.parametrize(
    ("layer", "shape", "gathered"),
    [
        (nn.Conv2d(3, 5, 3, padding=1), (3, 6, 6), 36 * 27),
        (nn.Conv2d(4, 6, 3, groups=2), (4, 6, 6), 16 * 36),
        (nn.Conv1d(2, 7, 5, stride=2), (2, 11), 4 * 10),
        (nn.ConvTranspose2d(4, 3, 2, stride=2), (4, 5, 5), 25 * 12),
        (nn.Linear(3, 2), (3,), 0),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, nn.Module) else None,
)
def test_what_convolutions_gather(layer: nn.Module, shape: tuple[int, ...], gathered: int) -> None:
    assert counted(layer, *shape).gathered == gathered


def test_products_of_attention_and_of_any_two_tensors() -> None:
    """Logits of 5 x 7 keys of 3 numbers in two heads, values of 4; then 5 x 4 x 6 products, a row each."""
    queries, keys, values = (torch.ones(SAMPLES, 2, *shape) for shape in ((5, 3), (7, 3), (7, 4)))
    matrix = torch.ones(4, 6)

    def run() -> Tensor:
        return functional.scaled_dot_product_attention(queries, keys, values) @ matrix

    with torch.no_grad():
        assert arithmetic_of(run, SAMPLES).products == 2 * (5 * 7 * 3 + 5 * 7 * 4 + 5 * 4 * 6)


def test_views_are_no_results() -> None:
    def run(x: Tensor) -> Tensor:
        return torch.tanh(x.reshape(SAMPLES, 2, 3).transpose(1, 2)).flatten(1).relu_()

    x = torch.ones(SAMPLES, 6)
    seen = arithmetic_of(lambda: run(x), SAMPLES)
    assert seen.numbers == 6  # of tanh and of a copy by flatten, in place of which relu_ writes; two are one


def of_grid(tmp_path: Path, **fixed: Any) -> Any:
    (tmp_path / "net.py").write_text(OWN)
    values = {"task": "teacher_student", "inputs": 64, "outputs": 1, "samples": 32, "batch_size": 8,
              "steps": 3} | fixed  # fmt: skip
    grid = grid_of(values, {"weight_decay": [0.0, 0.1]}, tmp_path / "grid.yaml")
    record = grid.trials().record(0)
    return cost_of(network_of(record, grid.folder), record)


def test_a_network_of_ones_own_costs_what_the_same_one_of_phasediag_does(tmp_path: Path) -> None:
    own = of_grid(tmp_path, model="net.py:Net", width=16)
    assert own == of_grid(tmp_path, model="mlp", depth=2, width=16, activation="tanh", bias=True)


def test_convolutions_are_projected_by_their_places(tmp_path: Path) -> None:
    """Each weight of a convolution is used once a place: 64 times."""
    cost = of_grid(tmp_path, model="net.py:Images", channels=8)
    assert cost.flops == 6 * 8 * (64 * 8 * 9 + 8)
    assert cost.gathered == 8 * 64 * 9


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_where_pytorch_does_not_show_its_operators_layers_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refused(called: object) -> None:
        raise error("no such mode")

    expected = of_grid(tmp_path, model="net.py:Net", width=16)
    monkeypatch.setattr(arithmetic, "seen_operators", refused)
    assert of_grid(tmp_path, model="net.py:Net", width=16) == expected
