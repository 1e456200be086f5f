"""How fits of laws are said: a table of them, and in words what is no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan, log10
from typing import Any, Final

from phasediag.analysis.laws import REFERENCE

_UNTESTED: Final = "untested"
_RULED_OUT: Final = "ruled out"
_NOTES: Final[Mapping[str, str]] = {
    _UNTESTED: "too few values of x, or no counts, in two thirds of the window to fit the law there",
    _RULED_OUT: "the law says 0, or no number at all, where there are counts",
}


def described_models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """The laws line by line, best first, and what their words mean.

    Parameters
    ----------
    models
        As `ScalingFit.models` holds them.
    """
    lines = [f"{'model':<18}{'delta AIC':>10}{'R2':>8}{'prediction':>12}   parameters"]
    for model in models:
        values = ", ".join(f"{name} {value:.4g}" for name, value in model["parameters"].items())
        lines.append(
            f"{model['name']:<18}{difference(model['delta_aic']):>10}{_share(model['r2']):>8}"
            f"{prediction(model['prediction']):>12}   {values if isfinite(model['aic']) else 'no fit'}"
        )
    words = " ".join(lines)
    lines += [f"{word}: {meaning}" for word, meaning in _NOTES.items() if f" {word} " in words]
    best = models[0]
    if best["name"] != REFERENCE.name:
        power = next(model for model in models if model["name"] == REFERENCE.name)
        support = "somewhat" if power["delta_aic"] < 4 else "clearly"
        untested = "; what it says outside of the trials it was fitted to is untested"
        lines.append(
            f"the {best['name']} model ({best['formula']}) describes these trials {support} better"
            + untested * isnan(best["prediction"])
        )
    return lines


def exponent_in_words(exponent: float, low: float, high: float) -> str:
    """`-0.50 (95 % interval -0.52 to -0.48)`, with a true minus sign."""
    bounds = "no interval" if isnan(low) else f"95\u00a0% interval {low:.2f} to {high:.2f}"
    return f"{exponent:.2f} ({bounds})".replace("-", "\N{MINUS SIGN}")


def about_fit(
    left_out: Mapping[str, int], window: tuple[float, float], models: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """What must be known of a fit: trials left out, a short window, another law that does better.

    Parameters
    ----------
    left_out, window, models
        As `ScalingFit` holds them.
    """
    late = left_out.get("not converged", 0)
    if late:
        yield f"{late:,} trials that have not converged were left out of the fit."
    decades = log10(window[1] / window[0])
    if decades < 1:
        yield (f"The window spans {decades:.2g} decades; below one an exponent says little about a law.")
    if models[0]["name"] != REFERENCE.name:
        yield f"Another law describes the counts better than a {REFERENCE.name}: the {models[0]['name']}."


def difference(value: float) -> str:
    """A difference of information criteria."""
    return f"{value:.1f}" if isfinite(value) else _RULED_OUT


def prediction(value: float) -> str:
    """An error of prediction outside of what was fitted."""
    return f"{value:.3g}" if isfinite(value) else _UNTESTED if isnan(value) else _RULED_OUT


def _share(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "none"
