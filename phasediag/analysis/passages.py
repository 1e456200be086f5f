"""First passages of distances through their threshold, from recorded steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError
from phasediag.observables.known import distance_observables


def first_passages(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Between which recorded steps each generator first broke.

    Parameters
    ----------
    rows
        Measurements of one counted observable on one layer, of several trials and steps.

    Returns
    -------
    passages
        One row a trial and generator: `trial_id`, `generator` (the k-th to break, from 1), `time` (in steps),
        `early`, `late`, `broken`. Of those that never break `time` is the last recorded step.
    at_once
        How many were broken at the first recorded step; they have no row.

    Raises
    ------
    AnalysisError
        Where the observable counts nothing, or was recorded at one step only.
    """
    (observable,) = rows["observable"].unique()
    rule = distance_observables().get(str(observable))
    if rule is None or rows["max_degree"].isna().any():
        raise AnalysisError(f"{observable} counts no generators; take permutation, sign_flip or classes")
    if rows.groupby("trial_id")["step"].nunique().max() < 3:
        raise AnalysisError("these trials were measured at their ends only; set `measure: {every: ...}`")
    table: list[dict[str, Any]] = []
    at_once = 0
    for trial, course in rows.groupby("trial_id"):
        course = course.sort_values("step")
        top = int(course["max_degree"].iloc[0])
        degree = course["degree"].to_numpy(dtype=np.float64)
        broken = top - degree if rule.of_symmetry else degree
        steps = course["step"].to_numpy(dtype=np.float64)
        margins = _margins(course)
        for k in range(1, top + 1):
            passed = np.flatnonzero(broken >= k)
            if len(passed) and passed[0] == 0:
                at_once += 1
                continue
            place = {"trial_id": trial, "generator": k}
            if not len(passed):
                table.append(
                    {**place, "time": steps[-1], "early": steps[-1], "late": np.inf, "broken": False}
                )
                continue
            at = int(passed[0])
            early, late = steps[at - 1], steps[at]
            share = _share(margins, at, k)
            table.append(
                {
                    **place,
                    "time": early + share * (late - early),
                    "early": early,
                    "late": late,
                    "broken": True,
                }
            )
    columns = ["trial_id", "generator", "time", "early", "late", "broken"]
    if not table:
        raise AnalysisError(f"no generator of {observable} was unbroken at the first step: none can break")
    return pd.DataFrame(table, columns=columns), at_once


def _margins(course: pd.DataFrame) -> FloatArray | None:
    """log(distance / threshold) at each step, descending, shape (steps, generators); None: not stored."""
    if "distances" not in course or course["distances"].isna().any():
        return None
    distances = np.stack(course["distances"].to_list()).astype(np.float64)
    epsilon = course["epsilon"].to_numpy(dtype=np.float64)[:, None]
    with np.errstate(divide="ignore"):
        return np.asarray(-np.sort(-np.log(distances / epsilon), axis=1))


def _share(margins: FloatArray | None, at: int, k: int) -> float:
    """How far between the two recorded steps the k-th largest distance crosses."""
    if margins is None:
        return 0.5
    before, after = margins[at - 1, k - 1], margins[at, k - 1]
    if not (np.isfinite(before) and before < 0 <= after):
        return 0.5
    return float(before / (before - after))
