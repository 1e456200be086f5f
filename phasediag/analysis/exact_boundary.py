"""Which exact result, if any, gives the boundary of a diagram."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from phasediag.analysis.frame import coded
from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray
from phasediag.exact import gamma_of, noise_rebound, noise_threshold, permutation_threshold

Curve = Callable[[FloatArray], FloatArray]
ExactResult = Literal["E1", "E5", "E9"]

_E5: Final[Mapping[str, Any]] = {
    "task": "scalar_linear", "model": "mlp", "depth": 2, "activation": "linear", "bias": False,
    "optimizer": "sgd", "momentum": 0.0, "input_distribution": "rademacher",
}  # fmt: skip
_E9: Final[Mapping[str, Any]] = {"task": "hermite", "model": "hermite", "optimizer": "sgd", "batch_size": 0}
_E1: Final[Mapping[str, Any]] = {
    "task": "linear_map", "model": "mlp", "depth": 2, "activation": "linear", "bias": False,
    "optimizer": "sgd", "batch_size": 0, "label_noise": 0,
}  # fmt: skip
_TRAINED: Final[Mapping[str, Any]] = {
    "control": "none", "schedule": "constant", "warmup_steps": 0, "gradient_clip": None, "layer_rates": None,
}  # fmt: skip
"""As what is known exactly is trained; an earlier sweep has no column for what it could not do."""
_SYSTEMS: Final[Mapping[ExactResult, Mapping[str, Any]]] = {"E1": _E1, "E5": _E5, "E9": _E9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A boundary that is known exactly, as `draw_curve` takes it."""

    name: str
    curve: Curve
    along: Literal["x", "y"]
    again: Curve | None = None
    """The second boundary of the same result, where there is one."""


def known_boundary(trials: pd.DataFrame, diagram: PhaseDiagram) -> Known | None:
    """The exact boundary of these trials in the plane of this diagram.

    Known are the rank of two linear layers on all of a noise-free linear map (E1; order parameter
    `rank`) against weight decay and anything else, the collapse by label noise of two linear layers
    under SGD (E5; `log_rate`) against label noise and one of weight decay, learning rate or its ratio to
    the batch size, and the permutation symmetry of `hermite` networks (E9; `degree_normalized`) against
    weight decay and width; all without control, and with one learning rate for all steps and layers.

    Parameters
    ----------
    trials
        Those of one facet: what is no axis must have one value.

    Returns
    -------
    None where no exact result applies.
    """
    result = exact_result(diagram)
    otherwise = any(name in trials and _given(trials, name) != {value} for name, value in _TRAINED.items())
    crossed = "loss" in trials and not _given(trials, "loss") <= {None, "squared"}
    if result is None or otherwise or crossed or not _all(trials, _SYSTEMS[result]):
        return None
    axes = {diagram.x, diagram.y}
    if result == "E1":
        return _along(diagram, "weight_decay", "exact (E1)", _rank_threshold(trials, axes, diagram.level))
    if result == "E5":
        (other,) = axes - {"label_noise"}
        known = _along(diagram, "label_noise", "exact (E5)", _noise_curve(trials, other, noise_threshold))
        return known and replace(known, again=_noise_curve(trials, other, noise_rebound))
    return _along(diagram, "weight_decay", "exact (E9)", _equal_threshold(trials))


def exact_result(diagram: PhaseDiagram) -> ExactResult | None:
    """The exact result about the plane and order parameter of a diagram, if its trials are of that system.

    Returns
    -------
    None where there is no result, whatever the trials.
    """
    axes = {diagram.x, diagram.y}
    if diagram.order == "rank" and "weight_decay" in axes:
        return "E1"
    if diagram.order == "log_rate" and "label_noise" in axes:
        return "E5"
    return "E9" if diagram.order == "degree_normalized" and axes == {"weight_decay", "width"} else None


def _along(diagram: PhaseDiagram, located: str, name: str, curve: Curve | None) -> Known | None:
    """The curve that gives the axis `located` as a function of the other one."""
    return curve and Known(name=name, curve=curve, along="y" if diagram.x == located else "x")


def _equal_threshold(trials: pd.DataFrame) -> Curve | None:
    """Weight decay at the boundary of E9 as a function of width."""
    weights = trials["teacher_weights"].iloc[0] if _only(trials, "teacher_weights") is not None else None
    if weights is None:
        return None
    return lambda widths: np.array([2 * permutation_threshold(weights, width) for width in widths])


def _rank_threshold(trials: pd.DataFrame, axes: set[str], level: float) -> Curve | None:
    """Weight decay at which the rank of E1 passes a level; NaN at widths that do not reach it."""
    if level <= 0 or _only(trials, "singular_values") is None:
        return None
    modes, mode = np.sort(trials["singular_values"].iloc[0])[::-1], int(np.ceil(level))
    if mode > len(modes):
        return None
    wide = "width" in axes
    return lambda others: np.where(wide & (others < mode), np.nan, 2 * modes[mode - 1])


def _noise_curve(trials: pd.DataFrame, other: str, exact: Callable[..., float]) -> Curve | None:
    """Label noise at the boundary that `exact` gives as a function of another parameter."""
    free = {"learning_rate", "lr_over_batch"} if other in ("learning_rate", "lr_over_batch") else {other}
    needed = ["signal", "learning_rate", "weight_decay", "batch_size", "noise_distribution"]
    if not free & {"learning_rate", "weight_decay"}:
        return None
    fixed = {name: _only(trials, name) for name in needed if name not in free}
    if any(value is None for value in fixed.values()):
        return None

    def at(values: FloatArray) -> FloatArray:
        return np.array([_sigma(fixed, other, float(value), exact) for value in values])

    return at


def _sigma(fixed: Mapping[str, Any], other: str, value: float, exact: Callable[..., float]) -> float:
    batch = int(fixed["batch_size"])
    given = {**fixed, other: value}
    rate = value * batch if other == "lr_over_batch" else float(given["learning_rate"])
    gamma, signal = gamma_of(float(given["weight_decay"])), float(fixed["signal"])
    if signal <= gamma:
        return np.nan
    try:
        return exact(signal, rate, gamma, batch, fixed["noise_distribution"])
    except ValueError:  # no noise near the small-rate limit makes the origin attract at so large a rate
        return np.nan


def _all(trials: pd.DataFrame, wanted: Mapping[str, Any]) -> bool:
    return all(_only(trials, name) == value for name, value in wanted.items())


def _given(trials: pd.DataFrame, name: str) -> set[Any]:
    """The values of a column, None for null."""
    column = trials[name]
    values = set(map(str, column.dropna())) if column.dtype == object else set(column.dropna())
    return values | ({None} if column.isna().any() else set())


def _only(trials: pd.DataFrame, name: str) -> Any:
    """The one value of a column; None where it has several or is missing."""
    if name not in trials:
        return None
    values = coded(trials[name])[1]
    return values[0] if len(values) == 1 else None
