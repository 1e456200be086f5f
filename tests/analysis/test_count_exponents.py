"""Exponents of the number of neurons come back, and the verdicts can fail in every direction."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.count_exponents import (
    BEYOND,
    CANNOT_TELL,
    WITHIN,
    CountExponents,
    count_exponents,
    dimension_trend,
)
from phasediag.analysis.settled_counts import ENTERS, LIMITED, ONE_WIDTH, SettledCounts, settled_counts
from planted_counts import Planted, falling, planted

DIMENSIONS = {1: 2, 2: 3, 4: 5, 8: 9}


def fitted(number: Planted) -> CountExponents:
    return count_exponents({"field": counted(number)}, DIMENSIONS)


@cache
def counted(number: Planted, inputs: tuple[int, ...] = (1, 2, 4, 8)) -> SettledCounts:
    return settled_counts(*planted(number, inputs, widths=(128, 256)), ["inputs"])


def bound(inputs: int) -> float:
    return 3 * DIMENSIONS[inputs] / (DIMENSIONS[inputs] + 2)


def test_planted_powers_come_back_within_the_bound() -> None:
    fit = fitted(falling(lambda inputs: 0.2 + 0.01 * inputs))
    for row in fit.exponents.itertuples():
        truth = 0.2 + 0.01 * {d: i for i, d in DIMENSIONS.items()}[row.dimension]
        assert row.exponent == pytest.approx(truth, abs=0.02)
        assert row.verdict == WITHIN
    assert fit.claims[-1].verdict == "supported"
    assert all("weak evidence" in warning for warning in fit.warnings)


def test_a_rise_beyond_the_bound_is_told() -> None:
    steep = falling(lambda inputs: 1.5 * bound(inputs), amplitude=0.03, scatter=0.05)
    counts = settled_counts(*planted(steep, inputs=[1, 2], decays=40, widths=(128, 256)), ["inputs"])
    assert set(count_exponents({"field": counts}, DIMENSIONS).exponents["verdict"]) == {BEYOND}


def test_cells_whose_width_was_not_tested_are_fitted_where_they_are_asked_for() -> None:
    """By one width, or by two that differ: the exponents are of that width."""
    power = falling(lambda inputs: 0.4)
    for widths, state, number in (
        ((256,), ONE_WIDTH, power),
        ((128, 256), LIMITED, lambda i, x, w, r, f: power(i, x, w, r, f) + 2 * (w == 256)),
    ):
        counts = settled_counts(*planted(number, inputs=[1, 2], widths=widths), ["inputs"])
        assert set(count_exponents({"field": counts}, DIMENSIONS).exponents["verdict"]) == {CANNOT_TELL}
        fit = count_exponents({"field": counts}, DIMENSIONS, states=(ENTERS, state))
        assert set(fit.exponents["verdict"]) == {WITHIN}
        assert fit.exponents["exponent"].between(0.2, 0.45).all()


def test_without_cells_that_enter_there_is_no_verdict() -> None:
    fit = fitted(lambda i, x, w, r, f: 2)
    assert set(fit.exponents["verdict"]) == {CANNOT_TELL}
    assert {claim.verdict for claim in fit.claims} == {"cannot tell"}


def test_a_logarithm_is_not_polynomial_and_a_power_is() -> None:
    power = falling(lambda inputs: 0.33, amplitude=3.2, scatter=0.03)

    def logarithm(inputs: int, decay: float, width: int, replicate: int, factor: float) -> int:
        return int(np.rint(3 + 3.5 * (1 + 0.01 * replicate) * np.log(1 / decay)))

    both = {"power": counted(power, (1,)), "logarithm": counted(logarithm, (1,))}
    for name, counts in both.items():
        said = count_exponents({name: counts}, DIMENSIONS).claims[0].verdict
        assert said == {"power": "supported", "logarithm": "not supported"}[name]
    assert count_exponents(both, DIMENSIONS).claims[0].verdict == "not supported"


def test_an_exponent_that_does_not_hang_on_the_dimension_does_not_rise() -> None:
    flat, down = (counted(falling(e)) for e in (lambda inputs: 0.3, lambda inputs: 0.4 - 0.02 * inputs))
    assert count_exponents({"field": flat}, DIMENSIONS).claims[-1].verdict != "supported"
    falls = count_exponents({"field": down}, DIMENSIONS)
    assert falls.claims[-1].verdict == "not supported"
    assert falls.trend[0] < -0.9


def test_the_trend_needs_three_dimensions() -> None:
    rows = [("field", d, r, 0.1 * d + 0.01 * r) for d in (2, 3, 5) for r in range(4)]
    slopes = pd.DataFrame(rows, columns=["target", "dimension", "replicate", "exponent"])
    assert dimension_trend(slopes)[0] == 1
    assert 0.7 < dimension_trend(slopes)[1] <= dimension_trend(slopes)[2] == 1
    assert np.isnan(dimension_trend(slopes[slopes["dimension"] < 5])[1])
