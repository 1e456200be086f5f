"""How the counts of trials went in the course of their training, as far as a sweep has recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from phasediag.analysis.recount import COUNTS
from phasediag.arrays import FloatArray, IntArray
from phasediag.observables.known import distance_observables
from phasediag.storage.store import Store

if TYPE_CHECKING:
    import os

MOST_MEASUREMENTS: Final = 4_000_000
"""Measurements of all trials and observables together; beyond them the courses are not read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Courses:
    """Counts of trials on their measured layer against the step."""

    trial: Mapping[str, IntArray] = field(default_factory=dict)
    """By column of counts: the position of the trial of each measurement; by trial and step."""
    step: Mapping[str, IntArray] = field(default_factory=dict)
    count: Mapping[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def of(cls, sweep: str | os.PathLike[str], trials: pd.DataFrame) -> Courses:
        """The courses of some trials of a sweep; none of those with stages, which have a way of their own.

        Parameters
        ----------
        sweep
            The folder or URI of the sweep.
        trials
            Some of its trials, as `load_trials` returns them.
        """
        if "stage" in trials or trials.empty:
            return cls()
        rows = Store.at(sweep).required().measurements_table(
            tuple(COUNTS), ordered=False,
            columns=("trial_id", "step", "layer", "observable", "max_degree", "degree"),
        )  # fmt: skip
        if len(rows) > MOST_MEASUREMENTS:
            return cls()
        frame = rows.to_pandas()
        index = pd.Index(trials["trial_id"])
        at = index.get_indexer(pd.Index(frame["trial_id"]))
        here = (at >= 0) & (trials["measure_layer"].to_numpy()[at] == frame["layer"].to_numpy())
        frame = frame.assign(at=at)[here].sort_values(["at", "step"], kind="stable")
        trial: dict[str, IntArray] = {}
        step: dict[str, IntArray] = {}
        count: dict[str, FloatArray] = {}
        for column in dict.fromkeys(COUNTS.values()):
            part = _superseding(frame, column)
            if part["step"].nunique() > 1:
                trial[column] = part["at"].to_numpy(np.int64)
                step[column] = part["step"].to_numpy(np.int64)
                count[column] = part["count"].to_numpy(np.float64)
        return cls(trial=trial, step=step, count=count)


def _superseding(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The measurements that fill a column: of those that stand for one another the one that counts."""
    rules = {name: rule for name, rule in distance_observables().items() if rule.column == column}
    part = frame[frame["observable"].isin(list(rules))]
    rank = part["observable"].map({name: bool(rule.supersedes) for name, rule in rules.items()})
    part = part.assign(rank=rank).sort_values(["at", "step", "rank"], kind="stable")
    part = part.drop_duplicates(["at", "step"], keep="last")
    turned = part["observable"].map({name: rule.complement for name, rule in rules.items()}).astype(bool)
    return part.assign(count=part["degree"].where(~turned, part["max_degree"] - part["degree"]))
