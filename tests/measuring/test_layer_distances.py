from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.errors import PhasediagError
from phasediag.measuring import layer_distances as module
from phasediag.measuring.layer_distances import Request, log_norm, measure, neurons
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold
from phasediag.symmetry.neurons import NeuronGroup
from properties import examples
from symmetry.networks import IN_GAUGE, factors, layers_of, mlp, permuted, planted, requests, rescaled, signs

shapes = st.lists(st.integers(1, 7), min_size=3, max_size=6).map(tuple)
seeds = st.integers(0, 2**32)
activations = st.sampled_from([(None, None), ("odd", None), ("even", 2), ("odd", 1), ("odd", 3), (None, 1)])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
law = settings(max_examples=examples(40))


def counts(result, threshold=None):
    threshold = threshold or Threshold(absolute=1e-6, relative=1e-3)
    distances, norms = result.distances.numpy(), result.norms.numpy()
    return (
        distance_observables()[result.observable]
        .count(distances, threshold.epsilon(norms), threshold.absolute)
        .tolist()
    )


def assert_same(actual, expected, rtol=1e-7):
    for a, b in zip(actual, expected, strict=True):
        scale = b.norms.abs().amax(dim=1, keepdim=True)
        torch.testing.assert_close(a.distances / scale, b.distances / scale, rtol=rtol, atol=rtol)
        torch.testing.assert_close(a.norms / scale, b.norms / scale, rtol=rtol, atol=rtol)


def clones(seed, dtype, parity, inputs=3, outputs=2):
    """A layer of classes of clones in random order, some of equal norm, with dead neurons.

    Returns the vectors (1, width, numbers) and the numbers of living classes and dead neurons.
    """
    draw = np.random.default_rng(seed)
    numbers = inputs + 1 + outputs
    kinds = int(draw.integers(1, 6))
    centres = draw.normal(size=(kinds, numbers)) + draw.choice([0.0, 2.0])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    centres *= draw.choice([1.0, 1.0, 2.0], size=(kinds, 1))
    dead = int(draw.integers(0, 4))
    rows = np.concatenate(
        [np.repeat(centres, draw.integers(1, 5, size=kinds), axis=0), np.zeros((dead, numbers))]
    )
    rows = rows[draw.permutation(len(rows))]
    flip = draw.choice([-1.0, 1.0], size=(len(rows), 1))
    if parity == "odd":
        rows = rows * flip
    if parity == "even":
        rows[:, : inputs + 1] *= flip
    return torch.tensor(rows[None], dtype=dtype), kinds, dead


@pytest.mark.parametrize("parity", [None, "odd", "even"])
@dtypes
@given(seed=seeds)
@settings(max_examples=examples(40))
def test_planted_clones_are_counted_exactly(parity, dtype, seed):
    vectors, kinds, dead = clones(seed, dtype, parity)
    width = vectors.shape[1]
    results = measure(planted(vectors, 3), layers_of(1, parity=parity), requests(1, IN_GAUGE))
    permutation, sign_flip, classes = (counts(result)[0] for result in results)
    assert permutation == width - kinds - (dead > 0)
    assert sign_flip == dead
    assert classes == kinds
    assert [result.distances.shape[1] for result in results] == [width - 1, width, width]


@pytest.mark.parametrize("homogeneity", [1, 2])
@given(seed=seeds)
@settings(max_examples=examples(40))
def test_planted_clones_hidden_by_relabelling_and_rescaling_are_measured_alike(homogeneity, seed):
    """Equal norms are equal only to rounding here: ties must be broken alike all the same."""
    vectors, _, _ = clones(seed, torch.float64, None)
    groups, asked = layers_of(1, homogeneity=homogeneity), requests(1, IN_GAUGE)
    balance = planted(vectors, 3)
    into = balance["layers.0.weight"].square().sum(2) + balance["layers.0.bias"].square()
    out = balance["layers.1.weight"].square().sum(1)
    even = [torch.where(into > 0, (vectors.norm(dim=2) / into.sqrt()).nan_to_num(), 1.0)]
    equal = rescaled(balance, 1, even, [(vectors.norm(dim=2) / out.sqrt()).nan_to_num() * homogeneity**-0.5])
    factor = factors(equal, 1, seed)
    hidden = permuted(rescaled(equal, 1, factor, [a**-homogeneity for a in factor]), 1, seed)
    before, after = measure(equal, groups, asked), measure(hidden, groups, asked)
    assert [counts(result) for result in after] == [counts(result) for result in before]
    assert_same(after, before)


@pytest.mark.parametrize("spread", [1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2])
@dtypes
def test_two_classes_of_equal_norm_keep_fourteen_exchanges(dtype, spread):
    """Whatever their spread below epsilon and the dtype; the order of norm interleaves the classes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(
        torch.randn(20, 2, 6, generator=generator, dtype=torch.float64), dim=2
    )
    noise = spread * torch.randn(20, 16, 6, generator=generator, dtype=torch.float64)
    parameters = planted((centres.repeat_interleave(8, dim=1) + noise).to(dtype), 3)
    (permutation,) = measure(parameters, layers_of(1), requests(1, ("permutation",)))
    assert counts(permutation, Threshold(absolute=1e-9, relative=0.05)) == [14] * 20


@pytest.mark.parametrize("width", [2, 4, 16, 256, 1024])
def test_two_neurons_are_counted_alike_however_many_are_dead(width):
    vectors = torch.zeros(1, width, 6, dtype=torch.float64)
    vectors[0, :2, 0], vectors[0, 1, 1] = 1, 0.08
    (classes,) = measure(planted(vectors, 3), layers_of(1), requests(1, ("classes",)))
    assert counts(classes, Threshold(absolute=1e-9, relative=0.1)) == [1]


def two_classes(angles, sign):
    """Neurons of equal norm in a plane; noise far below the tolerance of ties shuffles each class."""
    angle, sign = (torch.tensor(x, dtype=torch.float64) for x in (angles, sign))
    vectors = sign[:, None] * torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=1)
    generator = torch.Generator().manual_seed(0)
    vectors = vectors[None] + 1e-11 * torch.randn(1, len(angle), 3, generator=generator, dtype=torch.float64)
    return {"layers.0.weight": vectors[:, :, :2], "layers.1.weight": vectors[:, :, 2:].mT}


def test_mirror_images_are_told_apart_by_the_sign_of_the_second_projection():
    parameters = two_classes([0.4, -0.4] * 8, [1, 1, -1, -1] * 4)
    asked = requests(1, ("norm_order", *IN_GAUGE))
    results = measure(parameters, layers_of(1, bias=False, parity="odd"), asked)
    assert [counts(result) for result in results] == [[14], [14], [0], [2]]


def test_ties_of_a_mate_that_need_more_projections_change_nothing():
    """The ties of the first trial break at the first projection, those of its mate at the second."""
    first, mate = two_classes([0.1, 1.1, 0.1, 0.1] * 3, [1] * 12), two_classes([0.4, -0.4] * 6, [1] * 12)
    groups, asked = layers_of(1, bias=False), requests(1, ("norm_order", *IN_GAUGE))
    alone = measure(first, groups, asked)
    both = measure({n: torch.cat([first[n], mate[n]]) for n in first}, groups, asked)
    assert [counts(result) for result in both] == [[10, 10], [10, 10], [0, 0], [2, 2]]
    for result, expected in zip(both, alone, strict=True):
        assert torch.equal(result.distances[:1], expected.distances)


@given(shapes, seeds, activations)
@law
def test_measures_are_invariant_under_relabelling(sizes, seed, activation):
    hidden, (parity, homogeneity) = len(sizes) - 2, activation
    groups = layers_of(hidden, parity=parity, homogeneity=homogeneity)
    parameters = mlp(2, sizes, seed)
    other = permuted(parameters, hidden, seed)
    asked = requests(hidden)
    assert_same(measure(other, groups, asked), measure(parameters, groups, asked))


@given(shapes, seeds, st.sampled_from([("odd", None), ("odd", 1), ("even", None), ("even", 2)]))
@law
def test_measures_are_invariant_under_flips(sizes, seed, activation):
    hidden, (parity, homogeneity) = len(sizes) - 2, activation
    groups = layers_of(hidden, parity=parity, homogeneity=homogeneity)
    parameters = mlp(2, sizes, seed)
    flips = signs(parameters, hidden, seed)
    out = flips if parity == "odd" else [torch.ones_like(flip) for flip in flips]
    asked = requests(hidden)
    other = measure(rescaled(parameters, hidden, flips, out), groups, asked)
    assert_same(other, measure(parameters, groups, asked))


@given(shapes, seeds, st.sampled_from([1, 2, 3]))
@law
def test_measures_in_the_gauge_are_invariant_under_rescaling(sizes, seed, homogeneity):
    hidden = len(sizes) - 2
    groups = layers_of(hidden, homogeneity=homogeneity)
    parameters = mlp(2, sizes, seed)
    into = factors(parameters, hidden, seed)
    other = rescaled(parameters, hidden, into, [a**-homogeneity for a in into])
    asked = requests(hidden, IN_GAUGE)
    assert_same(measure(other, groups, asked), measure(parameters, groups, asked))


@dtypes
@pytest.mark.parametrize(("parity", "homogeneity"), [(None, None), ("odd", 1), ("even", 2), (None, 1)])
@pytest.mark.parametrize("sizes", [(20, 64, 64), (3, 16, 17, 5), (5, 7, 9, 11, 1)])
def test_a_trial_is_measured_alike_in_every_tile(dtype, parity, homogeneity, sizes, monkeypatch):
    hidden = len(sizes) - 2
    groups = layers_of(hidden, parity=parity, homogeneity=homogeneity)
    parameters = mlp(9, sizes, 5, dtype)
    for weight in parameters.values():
        weight[2] = 0.0
        weight[3] = torch.inf
        weight[4, :] = weight[4, :1]
    asked = requests(hidden)
    together = measure(parameters, groups, asked)
    assert not any(torch.isnan(r.distances[[0, 1, 2, 4, 5, 6, 7, 8]]).any() for r in together)
    assert all(torch.isnan(r.distances[3]).all() and torch.isnan(r.norms[3]).all() for r in together)
    for length in (module.CHUNK, 1):
        monkeypatch.setattr(module, "CHUNK", length)
        for rows in ([8, 7, 6, 5, 4, 3, 2, 1, 0], [5, 3], [1, 4, 8], [7, 7], [6]):
            part = measure({n: w[rows] for n, w in parameters.items()}, groups, asked)
            for result, expected in zip(part, together, strict=True):
                assert torch.equal(result.distances.nan_to_num(-1), expected.distances[rows].nan_to_num(-1))
                assert torch.equal(result.norms.nan_to_num(-1), expected.norms[rows].nan_to_num(-1))


@dtypes
@given(shape=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=seeds)
@settings(max_examples=examples(25))
def test_rank_counts_the_planted_dimensions(dtype, shape, seed):
    draw = np.random.default_rng(seed)
    width, inputs = shape
    rank = int(draw.integers(0, min(shape) + 1))
    left, right = (np.linalg.qr(draw.normal(size=(n, n)))[0][:, :rank] for n in shape)
    values = draw.uniform(0.5, 2, size=rank)
    parameters = mlp(1, (inputs, width, 2), seed, dtype)
    parameters["layers.0.weight"] = torch.tensor((left * values) @ right.T, dtype=dtype)[None]
    (result,) = measure(parameters, layers_of(1, homogeneity=1), requests(1, ("rank",)))
    assert result.distances.shape[1] == min(shape)
    assert counts(result) == [rank]
    np.testing.assert_allclose(result.distances[0, :rank], np.sort(values)[::-1], rtol=1e-5)


@dtypes
def test_zero_networks_and_single_neurons(dtype):
    for width in (1, 4):
        parameters = {n: torch.zeros_like(w) for n, w in mlp(3, (2, width, 2), 0, dtype).items()}
        for parity, homogeneity in ((None, None), ("odd", 1), ("even", 2)):
            groups = layers_of(1, parity=parity, homogeneity=homogeneity)
            results = measure(parameters, groups, requests(1))
            assert {len(r.distances) for r in results} == {3}
            assert results[0].distances.shape[1] == width - 1
            assert all((r.distances == 0).all() and r.distances.dtype == dtype for r in results)
            assert [counts(r, Threshold())[0] for r in results] == [width - 1, width - 1, width, 0, 0, 0]


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 2.0**-100), (torch.float64, 2.0**-700)])
def test_measures_scale_with_the_weights_without_underflow(dtype, scale):
    parameters = mlp(3, (4, 6, 3), 0, dtype)
    small = {n: w * scale for n, w in parameters.items()}
    groups = layers_of(1, parity="odd", homogeneity=1)
    asked = requests(1, IN_GAUGE)
    for a, b in zip(measure(small, groups, asked), measure(parameters, groups, asked), strict=True):
        assert torch.equal(a.distances / scale, b.distances)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 1e-30), (torch.float32, 1e30), (torch.float64, 1e-200), (torch.float64, 1e200)],
)
def test_log_norm_of_extreme_weights(dtype, scale):
    ones = mlp(5, (4, 6, 3), 1)
    group = layers_of(1)[0]
    flat = torch.cat(
        [ones[n].flatten(1) for n in ("layers.0.weight", "layers.0.bias", "layers.1.weight")], dim=1
    )
    expected = flat.norm(dim=1).log() + math.log(scale)
    actual = log_norm({n: (w * scale).to(dtype) for n, w in ones.items()}, group)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=0)


@dtypes
def test_log_norm_of_zero_is_finite_and_the_smallest(dtype):
    zero = {n: torch.zeros_like(w) for n, w in mlp(2, (4, 6, 3), 1, dtype).items()}
    smallest = math.log(torch.finfo(dtype).smallest_normal)
    assert log_norm(zero, layers_of(1)[0]).tolist() == pytest.approx([smallest] * 2, rel=1e-6)


@dtypes
def test_log_norm_does_not_depend_on_the_tile(dtype):
    parameters = mlp(37, (4, 6, 3), 1, dtype)
    together = log_norm(parameters, layers_of(1)[0])
    for rows in ([36], [0, 1, 2], list(range(36, -1, -1))):
        assert torch.equal(
            log_norm({n: w[rows] for n, w in parameters.items()}, layers_of(1)[0]), together[rows]
        )


def test_one_weight_a_neuron_has_no_gauge():
    group = NeuronGroup(name="hidden.1", incoming=("weight",), parity="odd", homogeneity=1)
    parameters = {"weight": torch.tensor([[1.0, -1.0, 0.0, 3.0]])}
    names = ("permutation", "norm_order", "classes")
    permutation, by_norm, classes = measure(parameters, [group], requests(1, names))
    assert permutation.distances.tolist() == [[1.0, 1.0, 2.0]]
    assert by_norm.distances.tolist() == [[1.0, 2.0, 2.0]]
    assert classes.distances.tolist() == [[3.0, 1.0, 1.0, 0.0]]


def test_neurons_hold_the_vectors_in_the_gauge():
    parameters = {
        "layers.0.weight": torch.tensor([[[3.0, 4.0]]]),
        "layers.0.bias": torch.tensor([[0.0]]),
        "layers.1.weight": torch.tensor([[[20.0]]]),
    }
    group = layers_of(1, parity="odd", homogeneity=1)[0]
    measured = neurons(parameters, group, [group])
    assert measured.vectors.tolist() == [[[6.0, 8.0, 0.0, 10.0]]]
    assert measured.parity == "odd"


def test_faults_name_the_layer_and_what_there_is():
    parameters, groups = mlp(1, (2, 3, 1), 0), layers_of(1)
    with pytest.raises(PhasediagError, match=r"no layer 'hiden.1'.*did you mean 'hidden.1'"):
        measure(parameters, groups, [Request(observable="rank", layer="hiden.1")])
    lost = NeuronGroup(name="hidden.1", incoming=("layers.7.weight",))
    with pytest.raises(PhasediagError, match=r"'layers.7.weight', the network has layers.0.weight"):
        measure(parameters, [lost], requests(1))
    crossed = NeuronGroup(name="hidden.1", incoming=("layers.0.weight",), outgoing=("layers.0.weight",))
    with pytest.raises(PhasediagError, match="disagree on the number of neurons"):
        measure(parameters, [crossed], requests(1))
