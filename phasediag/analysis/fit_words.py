"""How fits of laws are said: a table of them, and in words what is no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan, log10
from typing import Any, Final

from phasediag.analysis.laws import REFERENCE

_EXPLAINED: Final = (
    "behind: by how much the log score of a left-out replicate falls behind that of the first, at values of "
    "x that were left out too, with its standard error over replicates; off: by how much what is foretold "
    "of them errs"
)


def described_models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """The laws line by line, best first, and what their words mean.

    Parameters
    ----------
    models
        As `ScalingFit.models` holds them.
    """
    lines = [f"{'model':<23}{'behind':>18}{'off':>8}{'R2':>8}   parameters"]
    for model in models:
        numbers = model["parameters"]
        values = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        values = values if all(map(isfinite, numbers.values())) else "no fit"
        note = f" ({model['note']})" if model["note"] else ""
        lines.append(
            f"{model['name']:<23}{difference(model):>18}{prediction(model):>8}{_share(model['r2']):>8}"
            f"   {values}{note}"
        )
    lines.append(_EXPLAINED)
    best = models[0]
    if best["name"] != REFERENCE.name:
        power = next(model for model in models if model["name"] == REFERENCE.name)
        clearly = power["behind"] > 3 * power["behind_error"]
        lines.append(
            f"the {best['name']} model ({best['formula']}) foretells these trials "
            f"{'clearly' if clearly else 'hardly'} better"
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
    if short := short_window(window):
        yield f"The window {short}."
    if models[0]["name"] != REFERENCE.name:
        yield f"Another law foretells the counts better than a {REFERENCE.name}: the {models[0]['name']}."


def short_window(window: tuple[float, float]) -> str:
    """That a window is below a decade, as the rest of a sentence; empty where it is not."""
    decades = log10(window[1] / window[0])
    return (
        f"spans {decades:.2g} decades; below one an exponent says little about a law" if decades < 1 else ""
    )


def difference(model: Mapping[str, Any]) -> str:
    """How far a law falls behind the best, with the error of that."""
    behind, error = model["behind"], model["behind_error"]
    if isnan(behind):
        return "untested"
    if behind == 0:
        return "0"
    return f"{behind:.3g} ± {error:.2g}" if isfinite(error) else f"{behind:.3g}"


def prediction(model: Mapping[str, Any]) -> str:
    """The error of what a law foretells, in per cent."""
    error = model["prediction"]
    return "untested" if isnan(error) else f"{error:.{0 if error >= 10 else 1}f} %"


def _share(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "none"
