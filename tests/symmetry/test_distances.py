from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from native_calls import NATIVE
from phasediag.native import distance_loops as native
from phasediag.symmetry.distances import (
    farthest_first,
    pair_distances,
    spanning_tree,
    tree_edges,
)
from phasediag.symmetry.distances import parts_of as parts_of_vectors
from phasediag.symmetry.order import Part, neighbours, order_neurons, padded
from phasediag.symmetry.vectors import raw_neurons
from properties import examples

from .networks import layers_of, mlp

parities = st.sampled_from([None, "odd", "even"])


def layer(parity, seed, width=5, inputs=3, outputs=2, trials=2):
    return raw_neurons(mlp(trials, (inputs, width, outputs), seed), layers_of(1, parity=parity)[0])


def parts_of(neurons, vectors):
    leading = neurons.incoming.shape[2] + neurons.bias.shape[2]
    return parts_of_vectors(vectors, neurons.parity, leading)


def distance(a, b, parity, inputs):
    """The gauge distance of two neuron vectors, over all flips, in numpy."""
    candidates = [b]
    if parity == "odd":
        candidates.append(-b)
    if parity == "even":
        flip = np.ones_like(b)
        flip[: inputs + 1] = -1
        candidates.append(flip * b)
    return min(np.linalg.norm(a - c) for c in candidates)


@given(parities, st.integers(0, 2**32), st.integers(1, 7))
@settings(max_examples=examples(30))
def test_pair_distances_are_the_smallest_over_all_flips(parity, seed, width):
    neurons = layer(parity, seed, width)
    pairs = pair_distances(parts_of(neurons, neurons.vectors))
    for t, i, j in itertools.product(range(2), range(width), range(width)):
        a, b = neurons.vectors[t, i].numpy(), neurons.vectors[t, j].numpy()
        np.testing.assert_allclose(pairs[t, i, j], distance(a, b, parity, 3), rtol=1e-12, atol=1e-15)


@given(parities, st.integers(0, 2**32), st.integers(1, 12), st.floats(0.01, 4))
@settings(max_examples=examples(60))
def test_classes_are_a_packing_that_covers(parity, seed, width, epsilon):
    """Checked at any epsilon against a traversal by brute force that keeps its centres."""
    neurons = layer(parity, seed, width, trials=1)
    vectors = neurons.vectors[0].numpy()
    centres, points = [np.zeros(vectors.shape[1])], list(vectors)
    expected = []
    while points:
        gaps = [min(distance(p, c, parity, 3) for c in centres) for p in points]
        farthest = int(np.argmax(gaps))
        if gaps[farthest] >= epsilon:
            assert all(distance(points[farthest], c, parity, 3) >= epsilon for c in centres)
        else:
            assert all(min(distance(v, c, parity, 3) for c in centres) < epsilon for v in vectors)
        expected.append(gaps[farthest])
        centres.append(points.pop(farthest))
    parts = parts_of(neurons, neurons.vectors)
    in_place = torch.arange(width)[None]
    norms = neurons.vectors.norm(dim=2)
    insertions = farthest_first(pair_distances(parts), norms, in_place)[0].numpy()
    np.testing.assert_allclose(insertions, expected, rtol=1e-12, atol=1e-14)
    assert (np.diff(insertions) <= 0).all()


@NATIVE
@given(st.sampled_from([torch.float32, torch.float64]), parities, st.integers(0, 2**32), st.integers(1, 40),
       st.integers(1, 3))  # fmt: skip
@settings(max_examples=examples(60))
def test_loops_of_our_own_find_what_torch_finds(dtype, parity, seed, width, threads):
    """Pairs to rounding, symmetric, twins at zero; the traversal of the same pairs bit by bit, with ties."""
    neurons = layer(parity, seed, width, inputs=4, trials=5)
    parts = [
        replace(part, vectors=part.vectors.to(dtype))
        for part in parts_of(neurons, neurons.vectors.round(decimals=1))
    ]
    norms = torch.cat([part.vectors for part in parts], dim=2).norm(dim=2)
    order = torch.rand(norms.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pairs = pair_distances(parts)
        insertions, edges = farthest_first(pairs, norms, order), spanning_tree(pairs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "available", lambda tensor: False)
            torch.testing.assert_close(pairs, pair_distances(parts))
            assert torch.equal(insertions, farthest_first(pairs, norms, order))
            assert torch.equal(edges, spanning_tree(pairs))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(pairs, pairs.transpose(1, 2))
    assert (pairs.diagonal(dim1=1, dim2=2) == 0).all()


@given(parities, st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=examples(40))
def test_the_spanning_tree_keeps_most_exchanges_at_any_threshold(parity, seed, width):
    """Against scipy's tree, and against random trees and the path by norm: none has more short edges."""
    neurons = layer(parity, seed, width)
    parts = parts_of(neurons, neurons.vectors)
    pairs = pair_distances(parts)
    lengths = spanning_tree(pairs)
    draw = np.random.default_rng(seed)
    for t in range(2):
        expected = np.sort(minimum_spanning_tree(pairs[t].numpy()).data)
        np.testing.assert_allclose(lengths[t], expected, rtol=1e-12)
        random = [sorted(float(pairs[t, k, draw.integers(k)]) for k in range(1, width)) for _ in range(5)]
        by_norm = neighbours(order_neurons(parts, neurons.vectors.norm(dim=2), pairs), pairs)[t].sort().values
        for other in (*random, by_norm.tolist()):
            assert all(a <= b * (1 + 1e-12) for a, b in zip(lengths[t].tolist(), other, strict=True))


@given(parities, st.integers(0, 2**32), st.integers(2, 12), st.floats(1e-6, 1))
@settings(max_examples=examples(30))
def test_edges_of_the_tree_move_no_more_than_the_pairs(parity, seed, width, size):
    """Continuous in the weights, unlike distances in the order of norm."""
    neurons = layer(parity, seed, width)
    shift = size * torch.randn(neurons.vectors.shape, dtype=torch.float64)
    pairs, moved = (pair_distances(parts_of(neurons, v)) for v in (neurons.vectors, neurons.vectors + shift))
    most = (moved - pairs).abs().amax()
    assert (spanning_tree(moved) - spanning_tree(pairs)).abs().amax() <= most * (1 + 1e-9)


def test_edges_connect_the_neurons():
    pairs = pair_distances(parts_of(layer(None, 3, 9), layer(None, 3, 9).vectors))
    edges, lengths = tree_edges(pairs)
    for t in range(2):
        assert connected_components(coo_matrix((np.ones(8), edges[t].T.numpy()), shape=(9, 9)))[0] == 1
        torch.testing.assert_close(pairs[t][edges[t, :, 0], edges[t, :, 1]], lengths[t])


@NATIVE
def test_a_trial_is_measured_alike_alone_and_in_company():
    vectors = torch.randn(6, 19, 7, generator=torch.Generator().manual_seed(3))
    together = native.pairs(vectors, flips=True)
    assert all(torch.equal(native.pairs(vectors[i : i + 1], flips=True)[0], together[i]) for i in range(6))


@NATIVE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strips_of_one_trial_are_shared_out_among_threads(dtype: torch.dtype):
    """Whatever the width leaves for the last strip, and however many threads there are."""
    draw = torch.Generator().manual_seed(5)
    before = torch.get_num_threads()
    try:
        for width in (1, 15, 16, 17, 40, 67):
            vectors = torch.randn(1, width, 9, generator=draw, dtype=dtype)
            expected = (vectors[:, :, None] - vectors[:, None]).square().sum(dim=3).sqrt()
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                torch.testing.assert_close(native.pairs(vectors, flips=False), expected)
    finally:
        torch.set_num_threads(before)


@given(parities, st.integers(0, 2**32))
@settings(max_examples=examples(30))
def test_neurons_without_ties_stand_in_order_of_norm(parity, seed):
    neurons = layer(parity, seed, width=9)
    parts = parts_of(neurons, neurons.vectors)
    norms = neurons.vectors.norm(dim=2)
    order = order_neurons(parts, norms, pair_distances(parts))
    assert torch.equal(order, norms.argsort(dim=1))


def test_thousands_of_directions_are_ordered_by_norm_alone(monkeypatch: pytest.MonkeyPatch):
    """Their singular value decomposition would take hours; fewer numbers a neuron have it at any width."""
    monkeypatch.setattr("phasediag.symmetry.order.MOST_DIRECTIONS", 3)
    angle = torch.linspace(0, 3, 6, dtype=torch.float64)
    vectors = torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle], dim=1)[None]
    norms = vectors.norm(dim=2)
    for numbers, by_norm in ((4, True), (3, False)):
        parts = [Part(vectors=vectors[:, :, :numbers], flips=False)]
        order = order_neurons(parts, norms, pair_distances(parts))
        assert torch.equal(order, norms.sort(dim=1, stable=True).indices) == by_norm


def test_ties_are_broken_by_the_leading_singular_vector():
    """Equal norms in one plane: the order is that of the projections, found by numpy."""
    angle = torch.tensor([0.3, 1.5, -0.4, 0.9, 0.0, 2.0], dtype=torch.float64)
    vectors = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=1)[None]
    groups = layers_of(1, bias=False)
    parameters = {"layers.0.weight": vectors[:, :, :2], "layers.1.weight": vectors[:, :, 2:].mT}
    neurons = raw_neurons(parameters, groups[0])
    parts = parts_of(neurons, neurons.vectors)
    order = order_neurons(parts, vectors.norm(dim=2), pair_distances(parts))
    leading = np.linalg.svd(vectors[0].numpy())[2][0]
    projection = vectors[0].numpy() @ leading
    projection *= np.sign(projection.sum())
    assert order[0].tolist() == np.argsort(projection).tolist()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=examples(20))
def test_padding_keeps_the_singular_values(rows, columns, seed):
    matrix = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wide = padded(matrix)
    assert wide.shape[1] % 16 == wide.shape[2] % 16 == 0
    values = torch.linalg.svdvals(wide)
    count = min(rows, columns)
    torch.testing.assert_close(values[:, :count], torch.linalg.svdvals(matrix))
    assert (values[:, count:] < 1e-12).all()
