"""Many simplex searches at once take the steps that scipy takes for each alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from phasediag.analysis.simplex import minima
from phasediag.arrays import FloatArray, IntArray

XATOL, FATOL = 1e-4, 1e-6


def valley(parameters: FloatArray, tilt: FloatArray) -> FloatArray:
    """Rosenbrock's, bent by the tilt of each problem, in as many dimensions as there are parameters."""
    first, next_ = parameters[:, :-1], parameters[:, 1:]
    return np.asarray(((1 + tilt[:, None] - first) ** 2 + 30 * (next_ - first**2) ** 2).sum(axis=1))


def walled(parameters: FloatArray, tilt: FloatArray) -> FloatArray:
    """A cone that is infinite beyond a wall, and flat in places: equal losses and shrinking simplices."""
    cone = np.round(np.abs(parameters - tilt[:, None]).sum(axis=1), 1)
    return np.where(parameters[:, 0] > 1.5, np.inf, cone)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("loss", [valley, walled])
@pytest.mark.parametrize("iterations", [7, 400])
def test_each_problem_ends_where_scipy_ends(loss, size: int, iterations: int) -> None:
    rng = np.random.default_rng(size)
    tilts, starts = rng.normal(0, 0.5, 40), rng.normal(0, 1, (40, size))
    steps = np.linspace(0.2, 0.4, size)

    def losses(parameters: FloatArray, problems: IntArray) -> FloatArray:
        return loss(parameters, tilts[problems])

    ends = minima(losses, starts, steps, xatol=XATOL, fatol=FATOL, iterations=iterations)
    for problem, start in enumerate(starts):
        simplex = np.vstack([start, start + np.diag(steps)])
        options = {"xatol": XATOL, "fatol": FATOL, "maxiter": iterations + 1, "initial_simplex": simplex}
        with np.errstate(invalid="ignore"):  # infinite losses less infinite ones
            alone = minimize(
                lambda p, at=problem: losses(p[None], np.array([at]))[0], start,
                method="Nelder-Mead", options=options,
            ).x  # fmt: skip
        np.testing.assert_allclose(ends[problem], alone, rtol=1e-9, atol=1e-9)


def test_what_has_ended_is_evaluated_no_more() -> None:
    """One easy problem among hard ones takes its own number of evaluations."""
    counts = np.zeros(3, dtype=np.int64)

    def losses(parameters: FloatArray, problems: IntArray) -> FloatArray:
        np.add.at(counts, problems, 1)
        return valley(parameters, np.array([0.0, 0.3, 0.6])[problems])

    starts = np.array([[1.0, 1.0], [-2.0, 2.0], [3.0, -1.0]])
    minima(losses, starts, np.array([1e-5, 1e-5]), xatol=1e-4, fatol=1e-6, iterations=500)
    assert counts[0] < counts[1:].min()
