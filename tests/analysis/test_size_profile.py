"""Intervals along the valley of chi squared, for sums of squares whose profiles are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from phasediag.analysis.size_profile import along_the_valley
from phasediag.arrays import FloatArray, IntArray

DATA = np.zeros(3)


def fit(residuals: Callable[[FloatArray], FloatArray], best: FloatArray) -> SimpleNamespace:
    """A fit whose best parameters are known, as far as the profile asks for it."""

    def over(values: FloatArray, errors: FloatArray) -> Callable[[FloatArray, IntArray], FloatArray]:
        return lambda parameters, draws: np.stack([residuals(row) for row in parameters])

    curves = SimpleNamespace(mean=DATA, error=DATA)
    return SimpleNamespace(
        parameters=best, chi2=float(np.sum(residuals(best) ** 2)), differences=np.full(len(best), 1e-4),
        function=SimpleNamespace(residuals=over, curves=curves),
    )  # fmt: skip


def linear(p: FloatArray) -> FloatArray:
    return np.array([[3.0, 1.0], [1.0, -2.0], [0.5, 4.0]]) @ (p - np.array([0.4, -1.0]))


def bent(p: FloatArray) -> FloatArray:
    """The second parameter follows the square of the first, whose own error is that of its exponential."""
    return np.array([(np.exp(p[0]) - 1) / 0.2, (p[1] - p[0] ** 2) / 0.001])


def test_of_a_parabola_the_ends_stay() -> None:
    best = np.array([0.4, -1.0])
    half = np.array([0.3, 0.1])
    low, high = along_the_valley(fit(linear, best), best - half, best + half)  # type: ignore[arg-type]
    np.testing.assert_allclose([low, high], [best - half, best + half], rtol=1e-3)


@pytest.mark.parametrize("errors", [1.0, 2.0])
def test_the_ends_follow_a_bent_valley(errors: float) -> None:
    """Of exp(p) = 1 +- 0.2: p is -0.223 to 0.182 where first order says +-0.2."""
    best = np.zeros(2)
    half = np.array([0.2 * errors, np.nan])
    low, high = along_the_valley(fit(bent, best), best - half, best + half)  # type: ignore[arg-type]
    expected = np.log1p([-0.2 * errors, 0.2 * errors])
    np.testing.assert_allclose([low[0], high[0]], expected, rtol=0.02)
    assert np.isnan([low[1], high[1]]).all()


def test_a_rise_that_never_comes_leaves_the_end_open() -> None:
    best = np.zeros(2)
    low, high = along_the_valley(
        fit(lambda p: np.array([np.tanh(p[0]) / 0.2, p[1]]), best),  # type: ignore[arg-type]
        np.array([-0.3, -1.0]),
        np.array([0.3, 1.0]),
    )
    assert np.isfinite([low, high]).all()
    low, high = along_the_valley(
        fit(lambda p: np.array([np.tanh(p[0]), p[1]]), best),  # type: ignore[arg-type]
        np.array([-1.5, -1.0]),
        np.array([1.5, 1.0]),
    )
    assert (low[0], high[0]) == (-np.inf, np.inf)
