"""How fits of laws are said: a table of them, and in words what is no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any, Final

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
    if best["name"] != "power law":
        power = next(model for model in models if model["name"] == "power law")
        support = "somewhat" if power["delta_aic"] < 4 else "clearly"
        untested = "; what it says outside of the trials it was fitted to is untested"
        lines.append(
            f"the {best['name']} model ({best['formula']}) describes these trials {support} better"
            + untested * isnan(best["prediction"])
        )
    return lines


def difference(value: float) -> str:
    """A difference of information criteria."""
    return f"{value:.1f}" if isfinite(value) else _RULED_OUT


def prediction(value: float) -> str:
    """An error of prediction outside of what was fitted."""
    return f"{value:.3g}" if isfinite(value) else _UNTESTED if isnan(value) else _RULED_OUT


def _share(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "none"
