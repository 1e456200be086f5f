"""A graph computes the same after its operators were joined, and joins only what nothing else takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from phasediag.training.compilation import replacements, traced
from phasediag.training.products import suits

pytestmark = pytest.mark.skipif(
    not suits(torch.ones(1, 1, 1), torch.ones(1, 1, 1)), reason="products are replaced on AVX2 only"
)
CPU = torch.device("cpu")


def factors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 32, 20), (3, 20, 13), (3, 13, 7))
    return [torch.randn(shape, generator=generator) / 4 for shape in shapes]


def joined(function: Callable[..., list[Tensor]]) -> GraphModule:
    return traced(function, factors(), replacements(CPU))


def operators(module: GraphModule) -> list[str]:
    return [str(node.target).split(".")[1] for node in module.graph.nodes if node.op == "call_function"]


def gradients(x: Tensor, v: Tensor, w: Tensor) -> list[Tensor]:
    """Of the sum of squares of a network with a hidden layer of tanh, for its two layers."""

    def loss(v: Tensor, w: Tensor) -> Tensor:
        return (torch.tanh(x @ v) @ w).square().sum()

    return list(torch.func.grad(loss, argnums=(0, 1))(v, w))


def test_forward_and_backward_are_joined_and_compute_the_same() -> None:
    module = joined(gradients)
    assert {"products_tanh", "products_tanh_backward"} <= set(operators(module))
    assert not {"bmm", "tanh", "tanh_backward"} & set(operators(module))
    exact = gradients(*(tensor.double() for tensor in factors()))
    for found, expected in zip(module(*factors()), exact, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_product_that_something_else_takes_stays() -> None:
    def both(x: Tensor, v: Tensor, w: Tensor) -> list[Tensor]:
        before = x @ v
        return [before, torch.tanh(before)]

    module = joined(both)
    assert "products_tanh" not in operators(module)
    before, after = module(*factors())
    torch.testing.assert_close(after, torch.tanh(before))


def test_a_tanh_of_no_product_is_the_ratio_of_polynomials() -> None:
    module = joined(lambda x, v, w: [torch.tanh(x)])
    assert "div" in operators(module)
    assert "tanh" not in operators(module)
    torch.testing.assert_close(module(*factors())[0], torch.tanh(factors()[0]))


def test_double_precision_keeps_torchs_operators() -> None:
    doubles = [tensor.double() for tensor in factors()]
    module = traced(gradients, doubles, replacements(CPU))
    assert {"bmm", "tanh"} <= set(operators(module))
    for found, expected in zip(module(*doubles), gradients(*doubles), strict=True):
        torch.testing.assert_close(found, expected)


def descended(x: Tensor, v: Tensor, w: Tensor) -> list[Tensor]:
    """The weights after steps of SGD on `gradients`; the second of three trials stays as it is."""
    active = torch.tensor([True, False, True])
    rate = torch.tensor([0.001, 0.002, 0.003], dtype=x.dtype)
    decay = torch.tensor([0.5, 0.4, 0.0], dtype=x.dtype)
    weights = [v, w]
    for _ in range(3):
        pairs = list(zip(weights, gradients(x, *weights), strict=True))
        moved = [u - rate.view(3, 1, 1) * (g + decay.view(3, 1, 1) * u) for u, g in pairs]
        weights = [torch.where(active.view(3, 1, 1), u, old) for u, old in zip(moved, weights, strict=True)]
    return weights


def test_the_step_of_sgd_is_joined_and_computes_the_same() -> None:
    module = joined(descended)
    assert operators(module).count("products_descent") == 6
    assert not {"where", "sub"} & set(operators(module))
    exact = descended(*(tensor.double() for tensor in factors()))
    for found, expected in zip(module(*factors()), exact, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    for found, old in zip(module(*factors()), factors()[1:], strict=True):
        assert torch.equal(found[1], old[1])


def test_a_step_whose_gradient_is_kept_is_not_joined() -> None:
    def stepped(x: Tensor, v: Tensor, w: Tensor) -> list[Tensor]:
        _, gradient = gradients(x, v, w)
        rate = torch.full((3,), 0.1)
        moved = w - rate.view(3, 1, 1) * (gradient + rate.view(3, 1, 1) * w)
        return [gradient, torch.where((rate > 0).view(3, 1, 1), moved, w)]

    assert "products_descent" not in operators(joined(stepped))
