"""Which exact result, if any, gives the boundary of a diagram."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.frame import coded
from phasediag.analysis.phases import PhaseDiagram
from phasediag.exact import gamma_of, noise_threshold, permutation_threshold

FloatArray = npt.NDArray[np.float64]

_E5: Final[Mapping[str, Any]] = {
    "task": "scalar_linear", "model": "mlp", "depth": 2, "activation": "linear", "bias": False,
    "optimizer": "sgd", "momentum": 0.0, "input_distribution": "rademacher",
}  # fmt: skip
_E9: Final[Mapping[str, Any]] = {"task": "hermite", "model": "hermite", "optimizer": "sgd", "batch_size": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A boundary that is known exactly, as `draw_curve` takes it."""

    name: str
    curve: Callable[[FloatArray], FloatArray]
    along: Literal["x", "y"]


def known_boundary(trials: pd.DataFrame, diagram: PhaseDiagram) -> Known | None:
    """The exact boundary of these trials in the plane of this diagram.

    Known are the collapse by label noise of two linear layers under SGD (E5; order parameter
    `log_rate`) against label noise and one of weight decay, learning rate or its ratio to the batch
    size, and the permutation symmetry of `hermite` networks (E9; `degree_normalized`) against weight
    decay and width.

    Parameters
    ----------
    trials
        Those of one facet: what is no axis must have one value.

    Returns
    -------
    None where no exact result applies.
    """
    axes = {diagram.x, diagram.y}
    if diagram.order == "log_rate" and "label_noise" in axes and _all(trials, _E5):
        (other,) = axes - {"label_noise"}
        at = _noise_threshold(trials, other)
        return at and Known(name="exact (E5)", curve=at, along="y" if diagram.y == other else "x")
    if diagram.order == "degree_normalized" and axes == {"weight_decay", "width"} and _all(trials, _E9):
        weights = trials["teacher_weights"].iloc[0] if len(coded(trials["teacher_weights"])[1]) == 1 else None
        if weights is not None:
            curve: Callable[[FloatArray], FloatArray] = lambda widths: np.array(  # noqa: E731
                [2 * permutation_threshold(weights, width) for width in widths]
            )
            return Known(name="exact (E9)", curve=curve, along="y" if diagram.y == "width" else "x")
    return None


def _noise_threshold(trials: pd.DataFrame, other: str) -> Callable[[FloatArray], FloatArray] | None:
    """Label noise at the boundary as a function of another parameter."""
    free = {"learning_rate", "lr_over_batch"} if other in ("learning_rate", "lr_over_batch") else {other}
    needed = ["signal", "learning_rate", "weight_decay", "batch_size", "noise_distribution"]
    if not free & {"learning_rate", "weight_decay"}:
        return None
    fixed = {name: _only(trials, name) for name in needed if name not in free}
    if any(value is None for value in fixed.values()):
        return None

    def at(values: FloatArray) -> FloatArray:
        return np.array([_sigma(fixed, other, float(value)) for value in values])

    return at


def _sigma(fixed: Mapping[str, Any], other: str, value: float) -> float:
    batch = int(fixed["batch_size"])
    given = {**fixed, other: value}
    rate = value * batch if other == "lr_over_batch" else float(given["learning_rate"])
    gamma, signal = gamma_of(float(given["weight_decay"])), float(fixed["signal"])
    return (
        noise_threshold(signal, rate, gamma, batch, fixed["noise_distribution"]) if signal > gamma else np.nan
    )


def _all(trials: pd.DataFrame, wanted: Mapping[str, Any]) -> bool:
    return all(_only(trials, name) == value for name, value in wanted.items())


def _only(trials: pd.DataFrame, name: str) -> Any:
    """The one value of a column; None where it has several or is missing."""
    if name not in trials:
        return None
    values = coded(trials[name])[1]
    return values[0] if len(values) == 1 else None
