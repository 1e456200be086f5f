"""What the trials say of a claim: supported only by what is known, and never by less evidence."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.analysis.independence import NEGLIGIBLE, Independence
from phasediag.analysis.laws import LAWS, REFERENCE, law
from phasediag.analysis.verdict import CLEARLY, bounded, independent, polynomial
from properties import examples


def models(
    gap: float, errors: tuple[float, float] = (1.0, 1.0), flat: float = 500.0
) -> list[dict[str, object]]:
    """A polynomial law and another, so much worse; and a constant."""
    aics = {"power law": 0.0, "exponential": gap, "constant": flat}
    predictions = {"power law": errors[0], "exponential": errors[1], "constant": 9.0}
    return [
        {"name": name, "aic": aic, "delta_aic": aic - min(aics.values()), "prediction": predictions[name]}
        for name, aic in aics.items()
    ]


def test_every_law_states_what_the_verdicts_ask_of_it() -> None:
    assert sum(one.reference for one in LAWS) == 1
    assert [one.name for one in LAWS if not one.trend] == ["constant"]
    assert {law(name).polynomial for name in ("power law", "exponential")} == {True, False}
    assert REFERENCE.parameters[1] == "exponent"
    for kind, direction in product((True, False), ("falling", "growing")):
        of = [
            one
            for one in LAWS
            if one.polynomial is kind and one.trend and one.direction in ("any", direction)
        ]
        assert of, "every direction has laws of either kind to be compared"


@settings(max_examples=examples(60), deadline=None)
@given(st.floats(-100, 100), st.floats(0.1, 20), st.floats(0.1, 20))
def test_polynomial_is_supported_only_where_both_criteria_say_so(
    gap: float, own: float, other: float
) -> None:
    verdict = polynomial("x", "y", models(gap, (own, other)), decades=2.0).verdict
    if verdict == "supported":
        assert gap > CLEARLY
        assert own <= other
    if verdict == "not supported":
        assert gap < -CLEARLY
        assert other <= own
    if abs(gap) <= CLEARLY:
        assert verdict == "cannot tell"
    assert polynomial("x", "y", models(gap, (own, other)), decades=0.5).verdict == "cannot tell"
    assert polynomial("x", "y", models(gap, (own, other), flat=1.0), decades=2.0).verdict != "supported"


def test_what_is_no_number_supports_nothing() -> None:
    claim = polynomial("x", "y", [{**m, "aic": np.inf} for m in models(np.inf)], decades=2.0)
    assert claim.verdict == "cannot tell"
    assert "both are ruled out" in claim.reason
    assert polynomial("x", "y", models(np.inf), decades=2.0).reason.startswith(
        "power law against exponential: the other is ruled out"
    )
    assert bounded("x", "y", np.nan, np.nan, 3).verdict == "cannot tell"
    assert independent("x", "y", None).verdict == "cannot tell"


def dependence(low: float, high: float, bend: float = 0.0, bend_p: float = 1.0) -> Independence:
    return Independence(by="width", values=(8.0, 16.0), exponent=(low + high) / 2, low=low, high=high, p=0.5,
                        bend=bend, bend_p=bend_p)  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(st.floats(-1, 1), st.floats(0, 1))
def test_independence_needs_an_interval_that_is_negligible(low: float, width: float) -> None:
    verdict = independent("x", "y", dependence(low, low + width)).verdict
    inside = low >= -NEGLIGIBLE and low + width <= NEGLIGIBLE
    outside = low > NEGLIGIBLE or low + width < -NEGLIGIBLE
    assert verdict == ("supported" if inside else "not supported" if outside else "cannot tell")
    assert independent("x", "y", dependence(-0.05, 0.05, bend=0.5, bend_p=0.01)).verdict == "cannot tell"


@pytest.mark.parametrize(("dimension", "bound"), [(None, -3.0), (1, -1.0), (4, -2.0), (10, -2.5)])
def test_the_bound_of_theorem_4(dimension: int | None, bound: float) -> None:
    """N <= C gamma^(-3 d / (d + 2))."""
    assert bounded("x", "y", bound + 0.01, bound + 0.1, dimension).verdict == "supported"
    assert bounded("x", "y", bound - 0.1, bound - 0.01, dimension).verdict == "not supported"
    assert bounded("x", "y", bound - 0.1, bound + 0.1, dimension).verdict == "cannot tell"
