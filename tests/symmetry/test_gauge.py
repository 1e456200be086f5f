from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.errors import PhasediagError
from phasediag.symmetry.gauge import _root, balanced
from phasediag.symmetry.neurons import NeuronGroup
from properties import examples

from .networks import factors, forward, layers_of, mlp, rescaled

DEGREES = {1: torch.relu, 2: torch.square, 3: lambda x: x**3}
shapes = st.lists(st.integers(1, 6), min_size=3, max_size=6).map(tuple)
seeds = st.integers(0, 2**32)


def norms(parameters, i):
    """Squared norms of the input with bias, and of the output, of the neurons of layer i."""
    into = parameters[f"layers.{i}.weight"].square().sum(2)
    if f"layers.{i}.bias" in parameters:
        into = into + parameters[f"layers.{i}.bias"].square()
    return into, parameters[f"layers.{i + 1}.weight"].square().sum(1)


@given(shapes, seeds, st.sampled_from(sorted(DEGREES)), st.booleans())
@settings(max_examples=examples(40))
def test_every_neuron_is_balanced_and_the_function_stays(sizes, seed, degree, bias):
    parameters = mlp(3, sizes, seed, bias=bias)
    hidden = len(sizes) - 2
    fixed = balanced(parameters, layers_of(hidden, bias=bias, homogeneity=degree))
    for i in range(hidden):
        into, out = norms(fixed, i)
        torch.testing.assert_close(into, degree * out, rtol=1e-10, atol=0)
    x = torch.randn(7, sizes[0], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    before, after = forward(parameters, x, DEGREES[degree]), forward(fixed, x, DEGREES[degree])
    torch.testing.assert_close(after, before, rtol=1e-8, atol=1e-10 * float(before.abs().max()))


@given(shapes, seeds, st.sampled_from(sorted(DEGREES)))
@settings(max_examples=examples(30))
def test_rescaled_copies_have_the_same_gauge(sizes, seed, degree):
    hidden = len(sizes) - 2
    parameters = mlp(2, sizes, seed)
    into = factors(parameters, hidden, seed + 1)
    groups = layers_of(hidden, homogeneity=degree)
    copy = rescaled(parameters, hidden, into, [a**-degree for a in into])
    expected, actual = balanced(parameters, groups), balanced(copy, groups)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-9, atol=1e-12)


def test_the_gauge_has_the_least_norm_of_all_copies():
    sizes, groups = (3, 5, 4, 6, 2), layers_of(3, homogeneity=1)
    parameters = mlp(4, sizes, 11)
    fixed = balanced(parameters, groups)
    scaled = [n for n in parameters if n != "layers.3.bias"]
    least = sum(fixed[n].square().flatten(1).sum(1) for n in scaled)
    for seed in range(20):
        into = [1 + 0.1 * (a.log10()) for a in factors(parameters, 3, seed)]
        other = rescaled(fixed, 3, into, [1 / a for a in into])
        assert (sum(other[n].square().flatten(1).sum(1) for n in scaled) > least).all()


def test_a_chain_of_single_neurons_reaches_the_geometric_mean():
    parameters = {f"layers.{i}.weight": torch.tensor([[[w]]]) for i, w in enumerate([1e-3, 7.0, 50.0, 0.2])}
    fixed = balanced(parameters, layers_of(3, bias=False, homogeneity=1))
    mean = (1e-3 * 7.0 * 50.0 * 0.2) ** 0.25
    for weight in fixed.values():
        assert weight.item() == pytest.approx(mean, rel=1e-6)


def test_neurons_cut_off_from_input_or_output_die_and_take_others_with_them():
    parameters = mlp(1, (2, 3, 3, 1), 0, bias=False)
    parameters["layers.2.weight"][0, 0, 1] = 0.0
    parameters["layers.1.weight"][0, [0, 2], 2] = 0.0
    fixed = balanced(parameters, layers_of(2, bias=False, homogeneity=1))
    assert (fixed["layers.0.weight"][0] == 0).all(dim=1).tolist() == [False, False, True]
    assert (fixed["layers.1.weight"][0] == 0).all(dim=1).tolist() == [False, True, False]
    alive = fixed["layers.1.weight"][0][[0, 2]][:, :2]
    assert (alive != 0).all()


def test_a_bias_keeps_a_neuron_without_input_alive():
    parameters = mlp(1, (2, 3, 1), 0)
    parameters["layers.0.weight"][0, 1] = 0.0
    fixed = balanced(parameters, layers_of(1, homogeneity=1))
    assert fixed["layers.0.bias"][0, 1] != 0


@pytest.mark.parametrize(("dtype", "exponent"), [(torch.float32, 100), (torch.float64, 900)])
def test_zeros_infinities_and_extreme_scales_leave_the_mates_alone(dtype, exponent):
    parameters = mlp(6, (3, 5, 4, 2), 3, dtype)
    for weight in parameters.values():
        weight[1] = 0.0
        weight[2, 0] = torch.nan
        weight[3] = weight[5] * 2.0**-exponent
        weight[4] = weight[5] * 2.0**exponent
    groups = layers_of(2, homogeneity=1)
    fixed = balanced(parameters, groups)
    alone = balanced({n: w[[0, 5]] for n, w in parameters.items()}, groups)
    for name, weight in fixed.items():
        assert (weight[1] == 0).all()
        assert torch.equal(weight[2].nan_to_num(7.0), parameters[name][2].nan_to_num(7.0))
        assert torch.equal(weight[3] * 2.0**exponent, weight[5])
        assert torch.equal(weight[4] * 2.0**-exponent, weight[5])
        assert torch.equal(weight[[0, 5]], alone[name])


@pytest.mark.parametrize("degree", [2, 3, 4, 5, 6, 7, 9])
def test_roots(degree):
    number = torch.logspace(-300, 300, 601, dtype=torch.float64)
    torch.testing.assert_close(_root(number, degree), number ** (1 / degree), rtol=1e-12, atol=0)


def test_layers_that_are_not_homogeneous_stay():
    parameters = mlp(2, (3, 4, 2), 0)
    assert all(torch.equal(w, parameters[n]) for n, w in balanced(parameters, layers_of(1)).items())
    loose = NeuronGroup(name="hidden.1", incoming=("layers.0.weight",), homogeneity=1)
    assert all(torch.equal(w, parameters[n]) for n, w in balanced(parameters, [loose]).items())


def test_tied_and_recurrent_weights_are_refused():
    parameters = {"a": torch.ones(1, 3, 3), "b": torch.ones(1, 3, 3)}
    layer = NeuronGroup(name="one", incoming=("a",), outgoing=("b",), homogeneity=1)
    twin = NeuronGroup(name="two", incoming=("a",), outgoing=("b",), homogeneity=1)
    with pytest.raises(PhasediagError, match="'a' is scaled twice, by layers one and two"):
        balanced(parameters, [layer, twin])
    loop = NeuronGroup(name="loop", incoming=("a",), outgoing=("a",), homogeneity=1)
    with pytest.raises(PhasediagError, match="incoming and outgoing of layer loop"):
        balanced(parameters, [loop])
