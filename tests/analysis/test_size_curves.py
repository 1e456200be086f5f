"""The scaling function against its definition, solved alone; errors over replicates; planted corrections."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from phasediag.analysis.least_squares import squares
from phasediag.analysis.scaling_function import DEGREE, ScalingFunction
from phasediag.analysis.size_curves import Form, SizeCurves
from phasediag.arrays import FloatArray

SIZES, REPLICATES = (8, 16, 32), 6


def curves(form: Form, seed: int = 0) -> SizeCurves:
    """Noisy curves, each at its own x and not in order, a third of the trials missing."""
    rng = np.random.default_rng(seed)
    frame = pd.concat(
        [pd.DataFrame({"width": size, "x": np.repeat(rng.uniform(0.1, 2, 9), REPLICATES)}) for size in SIZES],
        ignore_index=True,
    ).assign(replicate=lambda f: np.arange(len(f)) % REPLICATES)
    frame = frame.sample(frac=0.67, random_state=seed)
    y = frame["width"].to_numpy() ** 0.3 / (1 + frame["x"].to_numpy()) * rng.uniform(0.8, 1.2, len(frame))
    return SizeCurves.of(frame, y, "x", "width", form)


def by_hand(made: ScalingFunction, parameters: FloatArray, mean: FloatArray) -> float:
    """Chi squared of y = L^a (1 + d t) (F(z) + g L^-omega), or of its logarithm, by a dense solution."""
    of, (a, b, *more) = made.curves, parameters
    size, log_size = of.size, np.log(of.size)
    match of.form:
        case "power":
            z, up, target, error = np.log(of.x) + b * log_size, a * log_size, np.log(mean), of.error / of.mean
        case "shift":
            z, up, target, error = of.x + b * log_size, size**a, mean, of.error
        case _:
            t = of.x - more[0]
            c, d = more[1:] or (0.0, 0.0)
            z, up, target, error = (t + c * t**2) * size**b, size**a * (1 + d * t), mean, of.error
    share = (z - z.min()) / np.ptp(z)
    knots = np.concatenate([np.zeros(DEGREE + 1), made.inner, np.ones(DEGREE + 1)])
    columns = [BSpline(knots, row, DEGREE)(share) for row in np.eye(len(made.inner) + DEGREE + 1)]
    if made.omega is not None:
        columns.append(size**-made.omega)
    design = np.stack(columns, axis=1)
    known = np.isfinite(target)
    if of.form == "power":
        target = target - up
    else:
        design = design * up[:, None]
    design, target = (design / error[:, None])[known], (target / error)[known]
    return float(np.sum((target - design @ np.linalg.lstsq(design, target, rcond=None)[0]) ** 2))


@pytest.mark.parametrize("omega", [None, 0.8])
@pytest.mark.parametrize("form", ["power", "critical", "shift"])
def test_chi_squared_is_that_of_the_definition(form: Form, omega: float | None) -> None:
    made = curves(form)
    rng = np.random.default_rng(1)
    share = np.full(REPLICATES, 1 / REPLICATES)
    means = made.drawn(rng.multinomial(REPLICATES, share, size=30).astype(float)).values
    assert np.isnan(means).any(), "some cells are not drawn"
    used = np.full(len(made.x), True)
    function = ScalingFunction(curves=made, inner=np.array([0.3, 0.6]), omega=omega, used=used)
    parameters = rng.normal(0.3, 0.1, (30, function.parameters))
    parameters[0, :2] = 0
    parameters[1, 1:3] = (9, -9)[: function.parameters - 1]
    chi_squared = squares(
        function.residuals(means, np.broadcast_to(function.curves.error, means.shape))(
            parameters, np.arange(30)
        )
    )
    assert chi_squared[1] == np.inf, "scaled so far apart that no curves overlap"
    others = np.arange(30) != 1
    pairs = zip(parameters[others], means[others], strict=True)
    np.testing.assert_allclose(chi_squared[others], [by_hand(function, *each) for each in pairs], rtol=1e-6)


def test_cells_that_do_not_enter_do_not_matter() -> None:
    made = curves("power")
    used = made.x < 1.2
    function = ScalingFunction(curves=made, inner=np.array([0.5]), omega=None, used=used)
    at, one = np.array([[0.3, 0.1]]), np.zeros(1, dtype=np.int64)
    means = made.mean[None]
    other = np.where(used, means, 100 * means)
    errors = np.broadcast_to(function.curves.error, means.shape)
    np.testing.assert_array_equal(
        function.residuals(means, errors)(at, one), function.residuals(other, errors)(at, one)
    )


def test_errors_over_replicates_are_pooled_as_far_as_the_cells_are_alike() -> None:
    """Cells whose true relative spread is one have nearly one relative error, and that is the true one."""
    rng = np.random.default_rng(3)
    axes = [SIZES, np.geomspace(0.5, 1, 60), range(10)]
    frame = pd.MultiIndex.from_product(axes, names=["width", "x", "replicate"]).to_frame(index=False)
    y = frame["width"].to_numpy() / frame["x"].to_numpy() * (1 + rng.normal(0, 0.1, len(frame)))
    made = SizeCurves.of(frame, y, "x", "width", "power")
    np.testing.assert_allclose(made.error / made.mean, 0.1 / np.sqrt(10), rtol=0.2)
