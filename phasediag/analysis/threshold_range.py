"""The counts of trials at every threshold of a range, from the distances that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.analysis.frame import numbers
from phasediag.analysis.recount import COUNT_COLUMNS, NO_DISTANCE, RESTS_ON, passages
from phasediag.analysis.stages import NEEDED, staged
from phasediag.arrays import FloatArray
from phasediag.columns import STAGES
from phasediag.errors import AnalysisError
from phasediag.storage.store import Store

if TYPE_CHECKING:
    import os

RANGE: Final = tuple(2.0 ** (step / 8) for step in range(-32, 33))
"""Factors of the threshold at which a trial was recorded: from 1/16 to 16, eight to a doubling."""
RECORDED: Final = RANGE.index(1.0)
"""The place of the recorded threshold among them."""
MOST_DISTANCES: Final = 20_000_000
"""Distances of all observables together beyond which no range is made."""
OF_SMALL: Final = frozenset(("degree_of_symmetry",))
"""The columns that count distances below the threshold; the others count those that are not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThresholdRange:
    """On which side of each threshold of `RANGE` the distances of some trials are."""

    passed: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """By the column that counts them, shape (trials, distances): at how many thresholds, the smallest ones,
    a distance is the larger; `NO_DISTANCE` where a trial has fewer. Empty where that is not known."""
    reason: str = ""
    """Why it is not known; empty where it is."""

    @classmethod
    def of(cls, sweep: str | os.PathLike[str], trials: pd.DataFrame) -> ThresholdRange:
        """The range of some trials of a sweep.

        Parameters
        ----------
        sweep
            The folder or URI of the sweep.
        trials
            Some of its trials, as `load_trials` returns them.
        """
        keys = ["trial_id", "stage"] if "stage" in trials else ["trial_id"]
        store = Store.at(sweep).required()
        rows = staged(store.trials_table(_columns(store)))
        rows = rows.filter(pc.is_in(rows["trial_id"], value_set=pa.array(trials["trial_id"], pa.string())))
        try:
            passed = passages(store, rows, RANGE)
        except AnalysisError as error:
            return cls(reason=str(error))
        if sum(each.size for each in passed.values()) > MOST_DISTANCES:
            return cls(reason="there are too many distances; make the report of a part, with --where")
        index = pd.MultiIndex.from_frame(rows.select(keys).to_pandas())
        place = index.get_indexer(pd.MultiIndex.from_frame(trials[keys]))
        own = cls(passed={name: values[place] for name, values in passed.items()})
        for name in own.passed:
            if not np.array_equal(own.counts(name, RECORDED), numbers(trials, name), equal_nan=True):
                return cls(reason=f"{name} was recorded by other rules than today's")
        return own

    def counts(self, column: str, place: int) -> FloatArray:
        """What a column counts at a threshold of the range, NaN where it has no value, shape (trials,).

        It reckons as the page of a report does.

        Parameters
        ----------
        place
            Of the threshold in `RANGE`.
        """
        passed = self.passed[column]
        known = passed != NO_DISTANCE
        chosen = known & ((passed <= place) if column in OF_SMALL else (passed > place))
        counted: FloatArray = np.where(known.any(axis=1), chosen.sum(axis=1), np.nan)
        return counted


def _columns(store: Store) -> list[str]:
    stages = store.trials_table([STAGES.name], ordered=False)[STAGES.name]
    needed = [*RESTS_ON, "threshold_absolute", "threshold_relative", "max_degree", *COUNT_COLUMNS]
    return list(dict.fromkeys([*needed, *(NEEDED if stages.null_count < len(stages) else ())]))
