"""What was run, on what, at what cost, and how much of it is there: as tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.axes import parameters_of
from phasediag.analysis.frame import coded, has_status
from phasediag.analysis.labels import label

STATES: Final = ("ok", "diverged", "failed", "missing")
_RAN_WITH: Final = ("phasediag_version", "git_commit", "torch_version", "device")
_MOST_ERRORS: Final = 10
_MOST_VALUES: Final = 12


def axes_table(trials: pd.DataFrame, axes: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """One row an axis, as `axes_of` gives them: `parameter`, `meaning`, `values`, `which`."""
    rows = []
    for name, values in axes.items():
        few = len(values) <= _MOST_VALUES
        which = ", ".join(map(_text, values)) if few else f"{_text(values[0])} to {_text(values[-1])}"
        rows.append({"parameter": name, "meaning": label(name), "values": len(values), "which": which})
    replicates = trials["replicate"].nunique() if "replicate" in trials else 1
    rows.append({"parameter": "replicate", "meaning": "independent seed at a point", "values": replicates,
                 "which": ""})  # fmt: skip
    return pd.DataFrame(rows)


def fixed_table(trials: pd.DataFrame, axes: Collection[str]) -> pd.DataFrame:
    """One row a parameter that is no axis: `parameter`, `value`; 'follows' where the axes set it."""
    rows = []
    for name in parameters_of(trials):
        if name in axes:
            continue
        values = coded(trials[name])[1]
        if len(values) == 1 and not _is_null(values[0]):
            rows.append({"parameter": name, "value": _text(values[0])})
        elif len(values) > 1:
            ends = f"{_text(values[0])} to {_text(values[-1])}"
            rows.append({"parameter": name, "value": f"follows from the axes: {ends}"})
    for name in ("threshold_absolute", "threshold_relative", "measure_layer"):
        if name in trials:
            rows.append({"parameter": name, "value": ", ".join(map(_text, trials[name].dropna().unique()))})
    return pd.DataFrame(rows, columns=["parameter", "value"])


def completeness(trials: pd.DataFrame, planned: int) -> pd.DataFrame:
    """One row a state: `state`, `trials`, `share` of those planned (per cent)."""
    counts = {state: int(has_status(trials, state).sum()) for state in STATES[:3]}
    planned = max(planned, len(trials))
    counts["missing"] = planned - len(trials)
    share = [100 * count / planned for count in counts.values()]
    return pd.DataFrame({"state": list(counts), "trials": list(counts.values()), "share": share})


def machines(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a combination of versions and device: those, `trials`, `packs`, `seconds` of training."""
    names = [name for name in _RAN_WITH if name in trials]
    known = trials.assign(**{name: trials[name].fillna("unknown").replace("", "unknown") for name in names})
    if "wall_s" not in trials or "pack_id" not in trials or not names:
        return pd.DataFrame(columns=[*names, "trials", "packs", "seconds"])
    grouped = known.groupby(names).agg(
        trials=("wall_s", "size"), packs=("pack_id", "nunique"), seconds=("wall_s", "sum")
    )
    return grouped.reset_index()


def cost(trials: pd.DataFrame) -> pd.DataFrame:
    """What the sweep took, one row a quantity: `quantity`, `value`."""
    rows: list[tuple[str, str]] = []
    if "wall_s" in trials:
        total = float(trials["wall_s"].sum())
        rows.append(("time of training, all workers together", duration(total)))
        rows.append(("time of training a trial", duration(total / max(len(trials), 1))))
    if "steps_done" in trials:
        rows.append(("steps of training", f"{trials['steps_done'].sum():,.0f}"))
    if "started_at" in trials and trials["started_at"].notna().any():
        first, last = trials["started_at"].min(), trials["started_at"].max()
        rows.append(("first pack started", f"{first:%Y-%m-%d %H:%M:%S} UTC"))
        rows.append(("last pack started", f"{last:%Y-%m-%d %H:%M:%S} UTC"))
    return pd.DataFrame(rows, columns=["quantity", "value"])


def errors_table(trials: pd.DataFrame) -> pd.DataFrame:
    """The commonest errors of failed trials: `error`, `trials`, `example` (a trial_id)."""
    failed = trials[has_status(trials, "failed")]
    if failed.empty or "error" not in failed:
        return pd.DataFrame(columns=["error", "trials", "example"])
    grouped = failed.assign(error=failed["error"].fillna("unknown")).groupby("error", sort=False)
    table = grouped.agg(trials=("trial_id", "size"), example=("trial_id", "first")).reset_index()
    return table.sort_values("trials", ascending=False, kind="stable").head(_MOST_ERRORS)


def duration(seconds: float) -> str:
    """A time as it is said: `4.2 ms`, `38 s`, `12 min`, `3.5 h`."""
    units: Sequence[tuple[float, str]] = ((3600, "h"), (60, "min"), (1, "s"))
    for size, unit in units:
        if seconds >= 2 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _text(value: Any) -> str:
    if _is_null(value):
        return "none"
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
