"""Initial weights: their distribution, and the chain that `balanced` makes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.errors import PhasediagError
from phasediag.training.initial import initial_weights

SIZES = st.lists(st.integers(1, 12), min_size=2, max_size=5)


def chain(sizes: list[int]) -> dict[str, tuple[int, ...]]:
    return {f"layers.{i}.weight": (after, before) for i, (before, after) in enumerate(pairwise(sizes))}


@pytest.mark.parametrize("shape", [(200, 300), (300, 50), (40, 10, 5, 5)])
def test_kaiming_has_its_standard_deviation(shape: tuple[int, ...]) -> None:
    """sqrt(2 / fan_in); the sample deviation of n normals is right to 1 / sqrt(2 n)."""
    weights = initial_weights({"a.weight": shape}, "kaiming_normal", np.random.default_rng(0))["a.weight"]
    fan_in = int(np.prod(shape[1:]))
    error = 4 / np.sqrt(2 * weights.size)
    assert weights.std() == pytest.approx(np.sqrt(2 / fan_in), rel=error)
    assert abs(weights.mean()) < 4 * np.sqrt(2 / fan_in / weights.size)
    standard = weights.ravel() / np.sqrt(2 / fan_in)
    assert (standard**4).mean() == pytest.approx(3, abs=5 * np.sqrt(96 / weights.size))


@pytest.mark.parametrize("init", ["kaiming_normal", "balanced"])
def test_biases_start_at_zero_and_gains_at_one(init: str) -> None:
    shapes = {
        "layers.0.weight": (4, 3),
        "layers.0.bias": (4,),
        "norm.weight": (4,),
        "layers.1.weight": (2, 4),
    }
    weights = initial_weights(shapes, init, np.random.default_rng(0))
    assert list(weights) == list(shapes)
    assert {name: w.shape for name, w in weights.items()} == shapes
    np.testing.assert_array_equal(weights["layers.0.bias"], 0)
    np.testing.assert_array_equal(weights["norm.weight"], 1)


@given(SIZES, st.integers(0, 99))
def test_balanced_layers_are_aligned_with_equal_singular_values(sizes: list[int], seed: int) -> None:
    weights = list(initial_weights(chain(sizes), "balanced", np.random.default_rng(seed)).values())
    for layer in weights:
        np.testing.assert_allclose(np.linalg.svd(layer, compute_uv=False), 1, rtol=1e-12)
    product = np.eye(sizes[0])
    for layer in weights:
        product = layer @ product
    singular = np.linalg.svd(product, compute_uv=False)
    narrowest = min(sizes)
    np.testing.assert_allclose(singular[:narrowest], 1, rtol=1e-10)
    np.testing.assert_allclose(singular[narrowest:], 0, atol=1e-10)


@given(st.integers(2, 8), st.integers(2, 4), st.integers(0, 99))
def test_balanced_square_layers_keep_the_balance_law(size: int, depth: int, seed: int) -> None:
    """W_(l+1)^T W_(l+1) = W_l W_l^T, and signs so that the product is the identity."""
    weights = list(
        initial_weights(chain([size] * (depth + 1)), "balanced", np.random.default_rng(seed)).values()
    )
    for before, after in pairwise(weights):
        np.testing.assert_allclose(after.T @ after, before @ before.T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.multi_dot(weights[::-1]), np.eye(size), atol=1e-12)


@given(st.integers(1, 6), st.integers(0, 999))
def test_a_balanced_chain_of_width_one_is_all_ones(depth: int, seed: int) -> None:
    weights = initial_weights(chain([1] * (depth + 1)), "balanced", np.random.default_rng(seed))
    assert [w.tolist() for w in weights.values()] == [[[1.0]]] * depth


@pytest.mark.parametrize("shapes", [{"weight": (3, 1), "b.weight": (3, 1)}, {"conv.weight": (4, 3, 2)}])
def test_balanced_refuses_what_is_no_chain(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(PhasediagError, match="kaiming_normal"):
        initial_weights(shapes, "balanced", np.random.default_rng(0))


def test_the_generator_alone_decides() -> None:
    one, same, other = (
        initial_weights(chain([3, 4, 2]), "kaiming_normal", np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
        assert not np.allclose(one[name], other[name])
