"""Many fits at once end where scipy's ends one by one."""

import numpy as np
from scipy import optimize

from phasediag.analysis.least_squares import jacobian, least_squares, one_step, squares

T = np.linspace(0, 2, 15)
STEPS = np.array([1e-4, 1e-4])


def decays(fits=20, seed=0):
    """Noisy curves a exp(-b t), and their residuals."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 2, (fits, 2))
    values = truth[:, :1] * np.exp(-truth[:, 1:] * T) + rng.normal(0, 0.02, (fits, len(T)))

    def residuals(parameters, numbers):
        off = parameters[:, :1] * np.exp(-parameters[:, 1:] * T) - values[numbers]
        return np.where(parameters[:, :1] > 0, off, np.nan)

    return residuals, truth


def test_each_fit_ends_at_its_own_minimum():
    residuals, truth = decays()
    solution = least_squares(residuals, np.ones_like(truth), STEPS, tolerance=1e-12)
    for number, row in enumerate(solution):
        alone = optimize.least_squares(lambda p, n=number: residuals(p[None], np.array([n]))[0], [1.0, 1.0])
        np.testing.assert_allclose(row, alone.x, atol=1e-5)


def test_a_fit_without_residuals_stays_where_it_is():
    residuals, truth = decays()
    starts = np.ones_like(truth)
    starts[3, 0] = -1.0
    solution = least_squares(residuals, starts, STEPS)
    np.testing.assert_array_equal(solution[3], [-1, 1])
    assert np.isinf(squares(residuals(solution[[3]], np.array([3]))))
    assert (solution[[0, 1, 2, 4], 0] > 0.3).all()


def test_one_step_from_a_minimum_is_right_to_first_order():
    residuals, truth = decays(fits=1)
    best = least_squares(residuals, truth, STEPS, tolerance=1e-14)
    slopes = jacobian(residuals, best, np.zeros(1, dtype=np.int64), STEPS)[0]
    moved = 1e-3 * np.cos(T)

    def shifted(parameters, numbers):
        return residuals(parameters, numbers) + moved

    near = one_step(shifted, best, slopes)
    exact = least_squares(shifted, best, STEPS, tolerance=1e-14)
    assert np.abs(exact - best).max() > 1e-4
    np.testing.assert_allclose(near, exact, atol=1e-5)
