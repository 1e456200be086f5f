"""E15: the exact optimum of relu networks against an independent method, and its certificate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from phasediag import exact


def data(inputs: int, samples: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs, and the sum of 16 relu of them."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((samples, inputs))
    hidden = np.maximum(x @ draw.standard_normal((inputs, 16)), 0)
    return x, hidden @ draw.standard_normal(16) / 4


def objective(x: np.ndarray, y: np.ndarray, gamma: float, optimum: exact.ReluOptimum) -> float:
    """The loss of the optimum's network with its penalty, from its neurons."""
    *into, out = optimum.neurons.T
    values = np.maximum(x @ np.array(into), 0) @ out + optimum.output_bias
    penalty = (optimum.neurons**2).sum() + optimum.output_bias**2
    return float(np.mean((values - y) ** 2) + gamma * penalty)


@pytest.mark.parametrize("share", [0.1, 0.6])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_lasso_over_many_directions(share: float, seed: int) -> None:
    """Two inputs: masses >= 0 of 720 directions, by scipy's nnls, are a hair above it, at the same rays.

    The penalty is a further row, tiny * sum c + gamma samples / tiny, whose square is linear but for
    (tiny sum c)^2.
    """
    x, y = data(2, seed=seed)
    gamma, tiny = share * exact.relu_threshold(x, y[:, None]), 1e-3
    optimum = exact.relu_optimum(x, y, gamma)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    dense = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    features = np.maximum(x @ dense.T, 0)
    both = np.hstack([features, -features])
    rows = np.vstack([both, np.full(both.shape[1], tiny)])
    masses, _ = nnls(rows, np.append(y, -gamma * len(x) / tiny))
    reached = np.mean((both @ masses - y) ** 2) + 2 * gamma * masses.sum()
    assert optimum.objective <= reached * (1 + 1e-9)
    assert optimum.objective == pytest.approx(reached, rel=2e-4)
    assert objective(x, y, gamma, optimum) == pytest.approx(optimum.objective, rel=1e-9)
    heavy = np.vstack([dense, dense])[masses > 0.02 * masses.max()]
    assert (heavy @ optimum.directions.T).max(axis=1).min() > np.cos(0.05)


@pytest.mark.parametrize(("inputs", "bias"), [(1, True), (2, False), (3, False), (3, True)])
def test_no_direction_correlates_more_than_gamma(inputs: int, bias: bool) -> None:
    """The dual certificate, tried with directions of our own; atoms are where it is reached."""
    x, y = data(inputs)
    optimum = exact.relu_optimum(x, y, 0.1, bias=bias)
    points = np.hstack([x, np.ones((len(x), 1))]) if bias else x
    residual = y - np.maximum(points @ optimum.directions.T, 0) @ optimum.masses - optimum.output_bias
    drawn = np.random.default_rng(1).standard_normal((50_000, points.shape[1]))
    drawn /= np.linalg.norm(drawn, axis=1)[:, None]
    assert np.abs(np.maximum(drawn @ points.T, 0) @ residual).max() / len(x) <= 0.1 * (1 + 1e-6)
    reached = np.maximum(optimum.directions @ points.T, 0) @ residual / len(x)
    np.testing.assert_allclose(reached, 0.1 * np.sign(optimum.masses), rtol=1e-3)
    assert optimum.gap < 1e-6
    assert optimum.correlation < 1 + 1e-6
    if bias:
        assert residual.mean() == pytest.approx(0.1 * optimum.output_bias, rel=1e-9)
    assert 0 < optimum.count <= len(x)


def test_it_vanishes_where_the_origin_becomes_the_minimum() -> None:
    """E2."""
    x, y = data(2)
    threshold = exact.relu_threshold(x, y[:, None])
    assert exact.relu_optimum(x, y, 1.001 * threshold).count == 0
    assert exact.relu_optimum(x, y, 0.98 * threshold).count == 1


def test_one_input_has_a_closed_form() -> None:
    """Without biases the two half-axes are lassos of one number each."""
    x, y = data(1)
    optimum = exact.relu_optimum(x, y, 0.05)
    for side in (1.0, -1.0):
        feature = np.maximum(side * x[:, 0], 0)
        share = np.mean(feature * y)
        mass = np.sign(share) * max(abs(share) - 0.05, 0) / np.mean(feature**2)
        ours = optimum.masses[optimum.directions[:, 0] * side > 0]
        np.testing.assert_allclose(ours, [mass] if mass else [], rtol=1e-6)


@pytest.mark.parametrize(("y", "gamma"), [(np.zeros((5, 2)), 0.1), (np.zeros(5), 0.0)])
def test_what_is_not_known_exactly_is_refused(y: np.ndarray, gamma: float) -> None:
    with pytest.raises(ValueError, match=r"one output alone|must be positive"):
        exact.relu_optimum(np.zeros((5, 2)), y, gamma)
