from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from native_calls import NATIVE
from phasediag.measuring.layer_distances import measure
from phasediag.native import distance_loops as native
from phasediag.observables.threshold import Threshold, living_scale
from phasediag.symmetry import rays
from phasediag.symmetry.rays import merged_rays
from properties import examples

from .networks import layers_of, mlp, planted, requests

seeds = st.integers(0, 2**32)
INPUTS = 3


def directions(vectors, parity=None):
    """What the observable stores of a layer of homogeneity 1 with these neuron vectors, numpy."""
    asked = requests(1, ("directions",))
    (measured,) = measure(planted(vectors, INPUTS), layers_of(1, parity=parity, homogeneity=1), asked)
    return measured.distances.numpy(), measured.norms.numpy()


def count(vectors, relative=0.05):
    distances, norms = directions(vectors)
    epsilon = Threshold(absolute=1e-9, relative=relative).epsilon(norms)
    return (distances >= epsilon[:, None]).sum(axis=1).tolist()


def spread_rays(draw, kinds):
    """Balanced neuron vectors of norms 0.5 to 2, all more than 20 degrees apart; shape (kinds, 6)."""
    parts = []
    while len(parts) < kinds:
        into, out = draw.normal(size=INPUTS + 1), draw.normal(size=2)
        unit = np.concatenate([into / np.linalg.norm(into), out / np.linalg.norm(out)]) / np.sqrt(2)
        if all(unit @ other / np.linalg.norm(other) < np.cos(np.pi / 9) for other in parts):
            parts.append(unit * draw.uniform(0.5, 2))
    return np.array(parts)


def split(draw, vectors, copies):
    """Each vector as so many on its ray, of random shares of its squared norm, all in random order."""
    shares = draw.dirichlet(np.ones(copies), size=len(vectors))
    pieces = (np.sqrt(shares)[:, :, None] * vectors[:, None, :]).reshape(-1, vectors.shape[1])
    return pieces[draw.permutation(len(pieces))]


@given(seeds, st.integers(1, 6), st.integers(1, 30), st.integers(0, 30))
@settings(max_examples=examples(40))
def test_rays_are_counted_however_they_are_split(seed, kinds, copies, dead):
    """And however wide the layer is: the distances of the rays are the same in units of the scale."""
    draw = np.random.default_rng(seed)
    weights = spread_rays(draw, kinds)
    pieces = np.concatenate([split(draw, weights, copies), np.zeros((dead, weights.shape[1]))])
    vectors, alone = (torch.from_numpy(each)[None] for each in (pieces, weights))
    assert count(vectors) == count(alone) == [kinds]
    (distances, norms), (expected, own) = directions(vectors), directions(alone)
    relative, wanted = distances[0] / living_scale(norms), expected[0] / living_scale(own)
    np.testing.assert_allclose(relative[:kinds], wanted, rtol=1e-6)
    np.testing.assert_allclose(relative[kinds:], 0, atol=1e-6)


def test_classes_count_the_splits_of_a_ray():
    """What `directions` is for: 2 rays as 32 neurons, whose norms differ."""
    draw = np.random.default_rng(1)
    vectors = torch.from_numpy(split(draw, spread_rays(draw, 2), 16))[None]
    (classes,) = measure(planted(vectors, INPUTS), layers_of(1, homogeneity=1), requests(1, ("classes",)))
    epsilon = Threshold().epsilon(classes.norms.numpy())
    assert (classes.distances.numpy() >= epsilon[:, None]).sum() > 10
    assert count(vectors) == [2]


@given(seeds, st.floats(0.01, 100))
@settings(max_examples=examples(20))
def test_a_scaled_layer_has_scaled_distances(seed, factor):
    vectors = torch.from_numpy(spread_rays(np.random.default_rng(seed), 5))[None]
    np.testing.assert_allclose(directions(factor * vectors)[0], factor * directions(vectors)[0], rtol=1e-9)


@pytest.mark.parametrize(("parity", "sign"), [("odd", [-1] * 6), ("even", [-1] * 4 + [1] * 2)])
def test_flipped_copies_are_on_one_ray(parity, sign):
    vector = spread_rays(np.random.default_rng(2), 1)[0]
    pair = torch.from_numpy(np.stack([vector, 0.3 * vector * np.array(sign)]))[None]
    distances, _ = directions(pair, parity)
    assert distances[0, 1] < 1e-7 * distances[0, 0]
    assert directions(pair)[0][0, 1] > 0.1 * distances[0, 0]


@given(st.floats(0.01, 1.5), st.floats(0.1, 1))
def test_two_neurons_are_as_far_apart_as_the_second_singular_value_says(angle, share):
    pair = np.array([[1.0, 0.0], [share * np.cos(angle), share * np.sin(angle)]])
    second = np.sqrt(2) * np.linalg.svd(pair)[1][1]
    distances = merged_rays(torch.from_numpy(pair)[None], 0)[0].numpy()
    assert distances[1] == pytest.approx(min(second, share), rel=1e-9)
    if share == 1:
        assert second == pytest.approx(np.linalg.norm(pair[0] - pair[1]))


def test_equal_norms_are_as_far_apart_as_their_vectors():
    pair = torch.tensor([[[1.0, 0.0], [np.cos(0.3), np.sin(0.3)]]], dtype=torch.float64)
    assert float(merged_rays(pair, 0)[0, 1]) == pytest.approx(float((pair[0, 0] - pair[0, 1]).norm()))


@pytest.mark.parametrize("parity", [None, "odd", "even"])
def test_nothing_is_free_where_the_activation_is_not_of_homogeneity_1(parity):
    parameters, groups = mlp(3, (3, 9, 2), 5), layers_of(1, parity=parity, homogeneity=2)
    along_rays, classes = measure(parameters, groups, requests(1, ("directions", "classes")))
    assert torch.equal(along_rays.distances, classes.distances)


@NATIVE
@given(seeds, st.integers(1, 24), st.sampled_from([0, 3, 5]), st.integers(1, 3))
@settings(max_examples=examples(40))
def test_loops_of_our_own_merge_as_torch_does(seed, width, turned, threads):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(5, width, 5, generator=generator, dtype=torch.float64)
    half = width // 2
    vectors[:, :half] = vectors[:, width - half :] * torch.rand(5, half, 1, generator=generator).double()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = native.merged_rays(vectors, turned)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(ours, rays._merged(vectors, turned), rtol=1e-9, atol=1e-12)
    assert (ours.diff(dim=1) >= 0).all()
    assert torch.equal(native.merged_rays(vectors[3:4], turned)[0], ours[3])
