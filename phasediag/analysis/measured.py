"""Whether a sweep measured anything at all, and if not, why."""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc

from phasediag.analysis.frame import has_status
from phasediag.analysis.frames import load_for
from phasediag.storage.store import Store

MEASURED: Final = "neuron_count"
"""The result that every trial with neurons has: null where nothing was measured."""


def unmeasured(trials: pd.DataFrame) -> str:
    """Why no trial that is ok was measured, in a sentence; empty where one was, or none is ok.

    Parameters
    ----------
    trials
        One row a trial, with `neuron_count`; `model`, `depth` and `measure_layer` tell why.
    """
    if MEASURED not in trials:
        return ""
    ok = has_status(trials, "ok")
    if not ok.any() or trials.loc[ok, MEASURED].notna().any():
        return ""
    return f"nothing is measured: {_reason(trials[ok])}"


def nothing_measured(sweep: str | os.PathLike[str]) -> str:
    """Why a sweep measured nothing, in a sentence; empty where it measured something, or no trial is ok.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    """
    store = Store.at(sweep).required()
    if not len(store.committed()):
        return ""
    rows = store.trials_table(("status", MEASURED), ordered=False)
    ok = pc.equal(rows["status"], "ok")
    if not pc.any(ok).as_py() or pc.any(pc.and_(ok, pc.is_valid(rows[MEASURED]))).as_py():
        return ""
    return unmeasured(load_for(sweep, [MEASURED, "measure_layer"]))


def _reason(trials: pd.DataFrame) -> str:
    models = set(trials["model"]) if "model" in trials else set()
    if models and all(":" in str(model) for model in models):
        return "the model states no neuron_groups"
    if "depth" in trials and (trials["depth"] == 1).all():
        return "no network has hidden neurons"
    layers = set(trials["measure_layer"].dropna()) if "measure_layer" in trials else set()
    return f"no network has a layer {', '.join(sorted(map(str, layers))) or 'of neurons to measure'}"


def valueless(trials: pd.DataFrame, order: str, values: npt.NDArray[np.float64]) -> str:
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
