"""The numbers of neurons of a sweep of relu networks against those of the exact optima of its data: E15."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag import exact
from phasediag.analysis.comparison import student
from phasediag.analysis.settled_counts import SettledCounts
from phasediag.calibration.relu import REACHED
from phasediag.errors import AnalysisError
from phasediag.tasks.teacher_student import TeacherStudent
from phasediag.trial import Streams

DATA: Final = (
    "inputs", "outputs", "samples", "test_samples", "teacher_width", "teacher_activation", "teacher_depth",
    "teacher_scale", "input_scale", "label_noise", "noise",
)  # fmt: skip
"""What makes the data of a replicate, besides its seed."""
_KEYS: Final = ("inputs", "weight_decay", "replicate")


def relu_optima(trials: pd.DataFrame, notify: Callable[[str], None] = lambda text: None) -> pd.DataFrame:
    """The exact optimum of an infinitely wide relu layer for the data of each replicate and decay.

    Seconds each with 2 inputs, up to a minute with 3.

    Parameters
    ----------
    trials
        Trials of `teacher_student` with one layer of relu and one output, as `load_trials` gives them.
    notify
        Called with a line after each optimum.

    Returns
    -------
    One row each of `inputs`, `weight_decay` and `replicate`: `exact` (its rays), `objective` (the loss with
    its penalty), `duality_gap` (relative: its certificate).

    Raises
    ------
    AnalysisError
        Where trials are none of such networks.
    """
    rows = trials.drop_duplicates(list(_KEYS))
    alike = {"task": "teacher_student", "activation": "relu", "depth": 2, "outputs": 1}
    if any((rows[name] != value).any() for name, value in alike.items()):
        raise AnalysisError(
            "the exact optimum is known of relu networks of depth 2 with one output on teacher_student"
        )
    optima = []
    for _, row in rows.sort_values(list(_KEYS)).iterrows():
        pinned = None if pd.isna(row["data_seed"]) else int(row["data_seed"])
        task = TeacherStudent(
            {name: _plain(row[name]) for name in DATA}, Streams(seed=int(row["seed"]), data_seed=pinned)
        )
        x, y = (part.numpy() for part in task.train_set())
        best = exact.relu_optimum(x, y, exact.gamma_of(row["weight_decay"]), bias=bool(row["bias"]))
        optima.append({
            **{name: row[name] for name in _KEYS}, "exact": best.count, "objective": best.objective,
            "duality_gap": best.gap,
        })  # fmt: skip
        notify(f"{len(optima)} of {len(rows)} optima")
    return pd.DataFrame(optima)


def relu_agreement(
    trials: pd.DataFrame, counts: SettledCounts, squares: pd.Series[float], optima: pd.DataFrame
) -> pd.DataFrame:
    """Each settled network beside the optimum of its data.

    Parameters
    ----------
    trials
        As `settled_counts` took them.
    counts
        Of those, by `directions`.
    squares
        The sum of the squares of each trial's weights, by its id, as `squares_of` gives it.
    optima
        As `relu_optima` gives them.

    Returns
    -------
    One row a settled network: the columns of `optima`, the width, `neurons`, `difference` to the exact
    number, `excess` of its objective, relatively, and `certified`: whether that is below 1e-4.
    """
    rows = counts.replicates[counts.replicates["settled"]]
    rows = rows.merge(trials[["trial_id", "train_loss"]], on="trial_id")
    rows = rows[rows["trial_id"].isin(squares.index)].merge(optima, on=list(_KEYS))
    penalty = rows["weight_decay"].to_numpy() / 2 * squares.reindex(rows["trial_id"]).to_numpy()
    reached = rows["train_loss"].to_numpy() + penalty
    excess = reached / rows["objective"].to_numpy() - 1
    return rows.drop(columns=["gap", "second_gap", "decided", "settled", "train_loss"]).assign(
        difference=rows["neurons"].to_numpy(dtype=np.float64) - rows["exact"].to_numpy(),
        excess=excess, certified=excess < REACHED,
    )  # fmt: skip


def squares_of(norms: pd.DataFrame) -> pd.Series[float]:
    """The sum of the squares of a layer's weights, in and out, of each trial, by its id.

    Parameters
    ----------
    norms
        `load_measurements(sweep, observable="sign_flip", last=True)` of one layer: the norms of its neurons,
        whose in- and outgoing weights are balanced, so that the squares of both add up.
    """
    sums = [float(np.sum(np.asarray(each, dtype=np.float64) ** 2)) for each in norms["distances"]]
    return pd.Series(sums, index=pd.Index(norms["trial_id"], name="trial_id"), name="squares")


def agreement_of_counts(agreement: pd.DataFrame) -> pd.DataFrame:
    """How often and by how much numbers of neurons differ from the exact ones, a replicate being the unit.

    Returns
    -------
    One row each of all settled networks and of the certified ones: `networks`, `equal` (share with the exact
    number), the mean `difference` with its 95 % interval `low`, `high` over replicates.
    """
    rows = []
    for name, part in (("settled", agreement), ("certified", agreement[agreement["certified"]])):
        means = part.groupby("replicate")["difference"].mean().to_numpy(dtype=np.float64)
        mean, low, high = student(means, rounding=0)
        equal = float((part["difference"] == 0).mean()) if len(part) else float("nan")
        rows.append({
            "networks": name, "number": len(part), "equal": equal, "difference": mean, "low": low,
            "high": high,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
