"""Which claims about the count of neurons the trials support, which not, and which they cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from phasediag.analysis.fit_words import prediction
from phasediag.analysis.independence import NEGLIGIBLE, Independence
from phasediag.analysis.laws import law

Answer = Literal["supported", "not supported", "cannot tell"]
CLEARLY: Final = 10.0
"""Differences of AIC above this leave essentially no support (K. P. Burnham and D. R. Anderson, 2002)."""
HARDLY: Final = 4.0
"""Differences below this do not decide."""

LEAST_DECADES: Final = 1.0
"""A window narrower than this tells no law from another: a steep power and a cut-off look alike."""
LARGEST_ERROR: Final = 5.0
"""A law whose prediction errs by more foretells nothing: about 1 is what scatter alone makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim and what the trials say of it."""

    claim: str
    verdict: Answer
    reason: str


def polynomial(x: str, y: str, models: Sequence[Mapping[str, Any]], decades: float) -> Claim:
    """Whether y is polynomial in x: by information criterion, and by prediction outside the window.

    Parameters
    ----------
    models
        The laws as `ScalingFit.models` holds them.
    decades
        The width of the window.
    """
    trends = [model for model in models if law(model["name"]).trend]
    best, other = (
        min((m for m in trends if law(m["name"]).polynomial is kind), key=lambda m: float(m["aic"]))
        for kind in (True, False)
    )
    gap = float(other["aic"] - best["aic"])
    errors = float(best["prediction"]), float(other["prediction"])
    evidence = f"{best['name']} against {other['name']}: {_better(gap)}"
    if not np.isnan(errors).all():
        evidence += f", prediction error {prediction(errors[0])} against {prediction(errors[1])}"
    flat = min(float(m["delta_aic"]) for m in models if not law(m["name"]).trend)
    verdict: Answer = "cannot tell"
    if flat < HARDLY:
        evidence = f"{y} hardly changes over the window"
    elif decades < LEAST_DECADES:
        evidence += f"; a law is told from another over {LEAST_DECADES:g} decade or more"
    elif gap > CLEARLY and not errors[0] > errors[1]:
        foretold_by = [float(m["prediction"]) for m in trends if law(m["name"]).polynomial]
        least = min((error for error in foretold_by if not np.isnan(error)), default=np.inf)
        verdict = "cannot tell" if least > LARGEST_ERROR else "supported"
        best_error = f" (best {prediction(least)})" if np.isfinite(least) else ""
        evidence += f"; yet no polynomial law foretells the rest{best_error}" * (least > LARGEST_ERROR)
    elif gap < -CLEARLY and not errors[1] > errors[0]:
        verdict = "not supported"
    elif abs(gap) > CLEARLY:
        evidence += "; the two criteria disagree"
    reason = f"{evidence}; window of {decades:.1f} decades"
    return Claim(claim=f"{y} is polynomial in {x}", verdict=verdict, reason=reason)


def _better(gap: float) -> str:
    """By how much an information criterion prefers the first of two laws."""
    if np.isfinite(gap):
        return f"AIC better by {gap:.1f}"
    if np.isnan(gap):
        return "both are ruled out"
    return "the other is ruled out" if gap > 0 else "it is ruled out"


def independent(x: str, y: str, dependence: Independence | None) -> Claim:
    """Whether y is independent of the width at the same x."""
    name = "width" if dependence is None else dependence.by
    claim = f"{y} is independent of {name} at the same {x}"
    if dependence is None:
        return Claim(claim=claim, verdict="cannot tell", reason=f"the trials have one {name}")
    widths = ", ".join(f"{value:g}" for value in dependence.values)
    reason = f"{y} ~ {name}^{dependence.exponent:.2f} over {name} {widths}"
    if np.isnan(dependence.low):
        return Claim(claim=claim, verdict="cannot tell", reason=f"{reason}; 3 replicates are needed")
    reason += f", 95 % interval [{dependence.low:.2f}, {dependence.high:.2f}]"
    verdict: Answer = "cannot tell"
    if dependence.low > NEGLIGIBLE or dependence.high < -NEGLIGIBLE:
        verdict = "not supported"
    elif dependence.low >= -NEGLIGIBLE and dependence.high <= NEGLIGIBLE:
        bends = dependence.bend_p < 0.05 and abs(dependence.bend) > NEGLIGIBLE
        verdict = "cannot tell" if bends else "supported"
        reason += (
            f", but the exponent of {x} changes with {name} (p = {dependence.bend_p:.2g})" if bends else ""
        )
    return Claim(claim=claim, verdict=verdict, reason=f"{reason} (negligible: below {NEGLIGIBLE})")


def bounded(x: str, y: str, low: float, high: float, dimension: int | None) -> Claim:
    """Whether the exponent obeys Theorem 4: y <= C x^(-3 d / (d + 2)), d the length of a neuron's vector.

    Source: Theorem 4 as restored in the notes on the paper (N <= C gamma^(-3d/(d+2)), at most gamma^-3).

    Parameters
    ----------
    low, high
        The interval of the exponent.
    dimension
        d; None: unknown, and the bound is -3.
    """
    bound = -3.0 if dimension is None else -3 * dimension / (dimension + 2)
    claim = f"{y} rises no faster than {x}^{bound:.2f} (Theorem 4" + (
        f", d = {dimension})" if dimension is not None else ", any d)"
    )
    if np.isnan(low):
        return Claim(claim=claim, verdict="cannot tell", reason="the exponent has no interval")
    verdict: Answer = "supported" if low >= bound else "not supported" if high < bound else "cannot tell"
    reason = f"exponent in [{low:.2f}, {high:.2f}]; the theorem is an upper bound, so a weak rise obeys it"
    return Claim(claim=claim, verdict=verdict, reason=reason)
