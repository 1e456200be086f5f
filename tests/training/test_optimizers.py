"""One network's updates against `torch.optim`, and the properties that tell optimizers apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from phasediag.registry import component
from phasediag.training.optimizers import Optimizer

STEPS = 25
SHAPES = {"layers.0.weight": (4, 3), "layers.0.bias": (4,), "layers.1.weight": (2, 4)}
OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")

Pull = Callable[[Tensor], Tensor]


def pull(w: Tensor) -> Tensor:
    """Gradient of a function that is neither convex nor symmetric."""
    return torch.sin(w) + 0.1 * w**3 - 0.2


def start(dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in SHAPES.items()
    }


def optimizer(name: str, momentum: float = 0.0) -> Optimizer:
    """One of phasediag's, with its defaults but for the momentum."""
    part = component("optimizer", name, Path())
    given = {n: p.default for n, p in part.parameters.items()} | (
        {"momentum": momentum} if "momentum" in part.parameters else {}
    )
    made: Optimizer = part.cls(**given)
    return made


def ours(
    name: str, rate: float, decay: float, dtype: torch.dtype, gradient: Pull = pull
) -> dict[str, Tensor]:
    momentum = 0.9 if name == "momentum" else 0.0
    made = optimizer("sgd" if name == "momentum" else name, momentum)
    weights = start(dtype)
    moments = {moment: {n: torch.zeros_like(w) for n, w in weights.items()} for moment in made.moments}
    rates = {
        "learning_rate": torch.tensor(rate, dtype=dtype),
        "weight_decay": torch.tensor(decay, dtype=dtype),
    }
    for step in range(STEPS):
        gradients = {n: gradient(w) for n, w in weights.items()}
        weights, moments = made.update(weights, gradients, moments, rates, torch.tensor(step + 1))
    return weights


def theirs(
    name: str, rate: float, decay: float, dtype: torch.dtype, gradient: Pull = pull
) -> dict[str, Tensor]:
    weights = {n: torch.nn.Parameter(w) for n, w in start(dtype).items()}
    made: torch.optim.Optimizer
    if name in ("sgd", "momentum"):
        momentum = 0.9 if name == "momentum" else 0.0
        made = torch.optim.SGD(weights.values(), lr=rate, weight_decay=decay, momentum=momentum)
    else:
        cls = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        made = cls(weights.values(), lr=rate, weight_decay=decay)
    for _ in range(STEPS):
        for w in weights.values():
            w.grad = gradient(w.detach())
        made.step()
    return {n: w.detach() for n, w in weights.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(rate=st.floats(1e-4, 0.1), decay=st.sampled_from([0.0, 1e-3, 0.3]))
def test_updates_are_those_of_torch(name: str, rate: float, decay: float) -> None:
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        expected = theirs(name, rate, decay, dtype)
        for key, weights in ours(name, rate, decay, dtype).items():
            torch.testing.assert_close(weights, expected[key], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_adaptive_step_is_the_learning_rate(name: str) -> None:
    """The bias corrections cancel at step 1, also in float32, where 1 - 0.999 loses digits."""
    made = optimizer(name)
    one = torch.ones(1, dtype=torch.float32)
    moments = {"first": {"w": 0 * one}, "second": {"w": 0 * one}}
    rates = {"learning_rate": torch.tensor(0.5), "weight_decay": torch.tensor(0.0)}
    moved, _ = made.update({"w": 0 * one}, {"w": 3 * one}, moments, rates, torch.tensor(1))
    assert float(moved["w"]) == pytest.approx(-0.5, rel=1e-6)


def test_optimizers_differ() -> None:
    """An update that ignored its decay, momentum or coupling would pass for another one."""
    weights = {
        (name, decay): ours(name, 0.05, decay, torch.float64)["layers.0.weight"]
        for name in OPTIMIZERS
        for decay in (0.0, 0.3)
    }
    same = {("adam", 0.0), ("adamw", 0.0)}
    for one, first in weights.items():
        for other, second in weights.items():
            close = torch.allclose(first, second, rtol=1e-6)
            assert close == (one == other or {one, other} == same)


def test_decay_alone_shrinks_by_its_own_law() -> None:
    """Without a gradient: sgd and adamw multiply by (1 - lr * decay) each step, adam does not."""
    factor = (1 - 0.1 * 0.5) ** STEPS
    for name in ("sgd", "adamw"):
        for key, weights in ours(name, 0.1, 0.5, torch.float64, torch.zeros_like).items():
            torch.testing.assert_close(weights, factor * start(torch.float64)[key], rtol=1e-12, atol=0)
    adam = ours("adam", 0.01, 0.5, torch.float64, torch.zeros_like)["layers.0.weight"]
    assert not torch.allclose(
        adam, (1 - 0.01 * 0.5) ** STEPS * start(torch.float64)["layers.0.weight"], rtol=1e-3
    )


def test_moments_belong_to_the_optimizer() -> None:
    assert optimizer("sgd").moments == ()
    assert optimizer("sgd", 0.5).moments == ("velocity",)
    assert optimizer("adam").moments == optimizer("adamw").moments == ("first", "second")
