"""Whether a sweep measured anything at all, and if not, why."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.frame import has_status

MEASURED: Final = "neuron_count"
"""The result that every trial with neurons has: null where nothing was measured."""
NEEDED: Final = (MEASURED, "status", "model", "depth", "measure_layer")
"""The columns from which `unmeasured` tells why."""


def unmeasured(trials: pd.DataFrame) -> str:
    """Why no trial that is ok was measured, in a sentence; empty where one was, or none is ok.

    Parameters
    ----------
    trials
        One row a trial; of `NEEDED`, `neuron_count` must be there.
    """
    if MEASURED not in trials:
        return ""
    ok = has_status(trials, "ok")
    if not ok.any() or trials.loc[ok, MEASURED].notna().any():
        return ""
    return f"nothing is measured: {_reason(trials[ok])}"


def _reason(trials: pd.DataFrame) -> str:
    models = set(trials["model"]) if "model" in trials else set()
    if models and all(":" in str(model) for model in models):
        return "the model states no neuron_groups"
    if "depth" in trials and (trials["depth"] == 1).all():
        return "no network has hidden neurons"
    layers = set(trials["measure_layer"].dropna()) if "measure_layer" in trials else set()
    return f"no network has a layer {', '.join(sorted(map(str, layers))) or 'of neurons to measure'}"


def valueless(trials: pd.DataFrame, order: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """Why an order parameter has no value in any trial that is ok; empty where it has, or none is ok.

    Parameters
    ----------
    values
        The order parameter of each trial, NaN where it has none, shape (trials,).
    """
    ok = has_status(trials, "ok")
    if not ok.any() or np.isfinite(values).any():
        return ""
    alone = "width" in trials and (trials.loc[ok, "width"] == 1).all()
    reason = ": one neuron has no other to be equal to" if alone and order == "degree_normalized" else ""
    return unmeasured(trials) or f"no trial that is ok has a value of '{order}'{reason}"
