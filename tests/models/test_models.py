"""The architectures, and what they tell of their neurons."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss

from phasediag.models._activations import ACTIVATIONS
from phasediag.models.hermite import Hermite
from phasediag.models.mlp import MLP
from phasediag.shared_parameters import ActivationName

X = torch.linspace(-3, 3, 61, dtype=torch.float64)


def test_a_grid_may_name_every_activation_and_no_other() -> None:
    assert get_args(ActivationName) == tuple(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_symmetries_that_they_tell(name: str) -> None:
    """And no others: a wrong parity or degree would put neurons into a wrong gauge."""
    activation = ACTIVATIONS[name]
    f = activation.apply
    odd, even = torch.allclose(f(-X), -f(X)), torch.allclose(f(-X), f(X))
    assert activation.parity == ("odd" if odd else "even" if even else None)
    degrees = [k for k in (1, 2, 3, 4) if torch.allclose(f(2.5 * X), 2.5**k * f(X))]
    assert activation.homogeneity == (degrees[0] if degrees else None)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_at_zero_are_derivatives(name: str) -> None:
    """Of relu, the mean of both sides."""
    activation = ACTIVATIONS[name]
    h = torch.tensor([1e-5], dtype=torch.float64)
    slope = (activation.apply(h) - activation.apply(-h)) / (2 * h)
    assert activation.slope_at_zero == pytest.approx(float(slope), abs=1e-9)


@pytest.mark.parametrize("name", ["gelu", "swish", "sin", "tanh", "relu"])
def test_activations_are_the_usual_functions(name: str) -> None:
    x = X.numpy()
    phi = np.array([0.5 * (1 + torch.erf(v / sqrt(2)).item()) for v in X])
    usual: dict[str, Any] = {
        "gelu": x * phi, "swish": x / (1 + np.exp(-x)), "sin": np.sin(x), "tanh": np.tanh(x),
        "relu": np.where(x > 0, x, 0),
    }  # fmt: skip
    np.testing.assert_allclose(ACTIVATIONS[name].apply(X).numpy(), usual[name], atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_an_mlp_names_each_hidden_neuron_once(depth: int, bias: bool) -> None:
    """Permuting the named parameters of a group leaves the function as it is; nothing is left out."""
    network = MLP(inputs=3, outputs=2, depth=depth, width=5, activation="gelu", bias=bias).double()
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert [group.name for group in network.neuron_groups] == [f"hidden.{i}" for i in range(1, depth)]
    parameters = dict(network.named_parameters())
    assert len(parameters) == depth * (2 if bias else 1)
    for group in network.neuron_groups:
        before = network(x)
        order = torch.tensor([2, 0, 1, 4, 3])
        with torch.no_grad():
            for name in (*group.incoming, *group.bias):
                parameters[name].copy_(parameters[name][order].clone())
            assert not torch.allclose(network(x), before)
            for name in group.outgoing:
                parameters[name].copy_(parameters[name][:, order].clone())
        torch.testing.assert_close(network(x), before)


@pytest.mark.parametrize(
    ("activation", "depth", "bias", "slope"),
    [
        ("tanh", 2, False, 1.0), ("linear", 2, False, 1.0), ("sin", 2, False, 1.0), ("relu", 2, False, None),
        ("gelu", 2, False, None), ("square", 2, False, None), ("tanh", 3, False, None),
        ("tanh", 2, True, None), ("tanh", 1, False, None),
    ],
)  # fmt: skip
def test_the_collapse_slope_is_told_only_where_it_is_exact(
    activation: str, depth: int, bias: bool, slope: float | None
) -> None:
    assert MLP.collapse_slope({"activation": activation, "depth": depth, "bias": bias}) == slope


def test_hermite_neurons_are_orthogonal_polynomials() -> None:
    """Projections on He_1 and He_2 / sqrt(2) give the sums of the weights and of their squares."""
    network = Hermite(inputs=1, outputs=1, width=3).double()
    weights = torch.tensor([[0.3], [-1.1], [0.8]], dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(weights)
    nodes, shares = hermegauss(8)
    with torch.no_grad():
        f = network(torch.from_numpy(nodes)[:, None]).numpy().ravel()
    shares = shares / sqrt(2 * pi)
    moments = [
        shares @ (f * basis) for basis in (np.ones(8), nodes, (nodes**2 - 1) / sqrt(2), nodes**3 - 3 * nodes)
    ]
    np.testing.assert_allclose(moments, [0, 0.0, 0.3**2 + 1.1**2 + 0.8**2, 0], atol=1e-12)
    (group,) = network.neuron_groups
    assert (group.name, group.incoming, group.bias, group.outgoing) == ("hidden.1", ("weight",), (), ())
    assert group.parity is None
    assert group.homogeneity is None
