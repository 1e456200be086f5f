"""What the trials say of a claim: supported only by what is known, and never by less evidence."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.analysis.comparison import Foretold, ReplicateMeans
from phasediag.analysis.independence import NEGLIGIBLE, Independence
from phasediag.analysis.law_comparison import UNTESTED, LawComparison
from phasediag.analysis.laws import LAWS, REFERENCE, law
from phasediag.analysis.verdict import Claim, bounded, independent, polynomial
from properties import examples


def comparison(shift: float, scatter: float, *, able: bool = True) -> LawComparison:
    """A power law and an exponential, the first of which foretells better by so much, and a constant."""
    rng = np.random.default_rng(0)
    values = 50 + rng.normal(0, scatter, (8, 10))
    data = ReplicateMeans(values=values)
    curves = {"power law": 50.0, "exponential": 50.0, "constant": 5.0}
    curves["exponential" if shift > 0 else "power law"] += abs(shift)
    foretold = {name: Foretold.of(np.full((10, 8), mean), data) for name, mean in curves.items()}
    order = sorted(curves, key=lambda name: -float(foretold[name].scores(data).mean()))
    models = tuple(
        {"name": name, "note": "", "prediction": 1.0, "foretells": able, "behind": 0.0, "behind_error": 1.0}
        for name in order
    )
    return LawComparison(models=models, foretold=foretold, data=data)


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
@given(st.floats(-30, 30), st.floats(0.1, 20))
def test_polynomial_is_supported_only_where_its_law_leads_clearly(shift: float, scatter: float) -> None:
    compared = comparison(shift, scatter)
    verdict = polynomial("x", "y", compared, decades=2.0).verdict
    ahead = compared.lead("power law", "exponential").clear, compared.lead("exponential", "power law").clear
    assert verdict == {(True, False): "supported", (False, True): "not supported"}.get(ahead, "cannot tell")
    assert polynomial("x", "y", compared, decades=0.5).verdict == "cannot tell"
    unable = polynomial("x", "y", comparison(shift, scatter, able=False), decades=2.0)
    assert unable.verdict == "cannot tell"
    assert ("errs by more than 10%" in unable.reason) == any(ahead)


def test_what_is_no_number_supports_nothing() -> None:
    untested = comparison(20, 1)
    models = tuple(
        {**m, "note": UNTESTED, "prediction": np.nan} if m["name"] == "exponential" else m
        for m in untested.models
    )
    claim = polynomial("x", "y", replace(untested, models=models), decades=2.0)
    assert claim.verdict == "cannot tell"
    assert f"the exponential {UNTESTED}" in claim.reason
    theorem = bounded("weight_decay", "neuron_count", np.nan, np.nan, 3)
    assert theorem is not None
    assert theorem.verdict == "cannot tell"
    assert independent("x", "y", None).verdict == "cannot tell"


def dependence(low: float, high: float, changes: bool = False, room: bool = True) -> Independence:
    exponent = 0.5 if changes else 0.0
    cells = pd.DataFrame({
        "x": [0.1, 0.2], "narrow": 8.0, "wide": 16.0, "mean_narrow": 2.0, "mean_wide": 2.0 * 2**exponent,
        "exponent": exponent, "low": exponent - 0.2, "high": exponent + 0.2, "room": [room, True],
    })  # fmt: skip
    return Independence(
        by="width", values=(8.0, 16.0), exponent=(low + high) / 2, low=low, high=high, cells=cells
    )


@settings(max_examples=examples(60), deadline=None)
@given(st.floats(-1, 1), st.floats(0, 1))
def test_independence_needs_an_interval_that_is_negligible(low: float, width: float) -> None:
    verdict = independent("x", "y", dependence(low, low + width)).verdict
    inside = low >= -NEGLIGIBLE and low + width <= NEGLIGIBLE
    outside = low > NEGLIGIBLE or low + width < -NEGLIGIBLE
    assert verdict == ("supported" if inside else "not supported" if outside else "cannot tell")


def test_independence_needs_room_at_every_x_and_no_change_at_any() -> None:
    narrow = independent("x", "y", dependence(-0.05, 0.05, room=False))
    assert narrow.verdict == "cannot tell"
    assert "below 4 times the count, which may yet grow: width 8 is needed" in narrow.reason
    assert "no change is seen, with room, at 1 values, 0.2 to 0.2" in narrow.reason
    assert independent("x", "y", dependence(-0.05, 0.05, changes=True)).verdict == "not supported"
    limited = independent("x", "y", dependence(-0.05, 0.05, changes=True, room=False))
    assert limited.verdict == "not supported"
    assert "it may be limited" in limited.reason


@pytest.mark.parametrize(("dimension", "bound"), [(None, -3.0), (1, -1.0), (4, -2.0), (10, -2.5)])
def test_the_bound_of_theorem_4(dimension: int | None, bound: float) -> None:
    """N <= C gamma^(-3 d / (d + 2)); a weak rise obeys it, and that is said to be no evidence."""

    def said(low: float, high: float) -> Claim:
        claim = bounded("weight_decay", "neuron_count", low, high, dimension)
        assert claim is not None
        return claim

    assert said(bound + 0.01, bound + 0.1).verdict == "supported"
    assert "no evidence for the theorem" in said(bound + 0.01, bound + 0.1).reason
    assert said(bound - 0.1, bound - 0.01).verdict == "not supported"
    assert said(bound - 0.1, bound + 0.1).verdict == "cannot tell"


@pytest.mark.parametrize(("x", "y"), [("weight_decay", "rank"), ("width", "neuron_count"), ("x", "y")])
def test_theorem_4_says_nothing_of_other_counts(x: str, y: str) -> None:
    assert bounded(x, y, -0.5, -0.4, 8) is None
