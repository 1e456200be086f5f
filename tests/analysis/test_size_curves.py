"""The quality of a collapse, against the definition of Houdayer and Hartmann written out point by point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.size_curves import CollapseQuality, Form, SizeCurves
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


def by_hand(made: SizeCurves, parameters: FloatArray, mean: FloatArray, errors: FloatArray) -> float:
    """S = mean of (y - Y)^2 / (dy^2 + dY^2), Y on the weighted parabola through two points to each side."""
    (x,), (y,), (error,) = made.scaled(parameters[None], mean[None], errors[None])
    known = np.isfinite(y)
    terms = []
    for i in np.flatnonzero(known):
        near: list[int] = []
        for group in set(made.group) - {made.group[i]}:
            own = sorted(np.flatnonzero(known & (made.group == group)), key=lambda j: x[j])
            below, above = [j for j in own if x[j] < x[i]], [j for j in own if x[j] >= x[i]]
            if below and above:
                near += below[-2:] + above[:2]
        if len(near) < 3:
            continue
        design = np.stack([np.ones(len(near)), x[near] - x[i], (x[near] - x[i]) ** 2], axis=1)
        covariance = np.linalg.inv(design.T @ (design / error[near][:, None] ** 2))
        curve = covariance @ design.T @ (y[near] / error[near] ** 2)
        terms.append((y[i] - curve[0]) ** 2 / (error[i] ** 2 + covariance[0, 0]))
    return float(np.mean(terms)) if 2 * len(terms) >= known.sum() else float("inf")


@pytest.mark.parametrize("form", ["power", "critical"])
def test_the_quality_is_that_of_the_definition(form: Form) -> None:
    made = curves(form)
    rng = np.random.default_rng(1)
    weights = rng.multinomial(REPLICATES, np.full(REPLICATES, 1 / REPLICATES), size=30).astype(float)
    means = made.means(weights)
    assert np.isnan(means.mean).any(), "some cells are not drawn"
    parameters = rng.normal(0.3, 0.5, (30, 2 if form == "power" else 3))
    parameters[0, :2] = 0
    parameters[1, 1] = 9
    found = CollapseQuality(made, means)(parameters, np.arange(30))
    assert found[1] == np.inf, "scaled so far apart that no curves overlap"
    np.testing.assert_allclose(
        found,
        [by_hand(made, *each) for each in zip(parameters, means.mean, means.error, strict=True)],
        rtol=1e-6,
    )


def test_some_draws_are_as_they_are_among_all() -> None:
    made = curves("power")
    means = made.means(np.eye(REPLICATES) + 1)
    parameters = np.random.default_rng(2).normal(0.3, 0.2, (REPLICATES, 2))
    quality = CollapseQuality(made, means)
    chosen = np.array([4, 1])
    np.testing.assert_array_equal(
        quality(parameters[chosen], chosen), quality(parameters, np.arange(REPLICATES))[chosen]
    )


def test_errors_over_replicates_are_pooled_as_far_as_the_cells_are_alike() -> None:
    """Cells whose true relative spread is one have nearly one relative error, and that is the true one."""
    rng = np.random.default_rng(3)
    axes = [SIZES, np.geomspace(0.5, 1, 60), range(10)]
    frame = pd.MultiIndex.from_product(axes, names=["width", "x", "replicate"]).to_frame(index=False)
    y = frame["width"].to_numpy() / frame["x"].to_numpy() * (1 + rng.normal(0, 0.1, len(frame)))
    means = SizeCurves.of(frame, y, "x", "width", "power").means()
    np.testing.assert_allclose(means.error / means.mean, 0.1 / np.sqrt(10), rtol=0.2)
