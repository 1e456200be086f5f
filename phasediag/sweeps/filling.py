"""A sweep while it fills: its trials, those that are still to come too."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.analysis.frames import load_for
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.storage.launches import LAUNCHES, launches_of
from phasediag.storage.store import Store
from phasediag.sweeps.status import Status, rosters, split_rosters, status_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filling:
    """A sweep at one moment."""

    status: Status
    trials: pd.DataFrame
    """The recorded trials, as `load_trials` returns them, and a row for each that is to come: its parameters,
    and the status `missing`."""


def filling(store: Store, columns: tuple[str, ...]) -> Filling:
    """Look at a sweep.

    Parameters
    ----------
    columns
        Parameters and results that will be looked at, or expressions of them.
    """
    planned = pd.concat([roster.to_pandas() for roster in present_rosters(store)], ignore_index=True)
    planned = planned.drop_duplicates("trial_id")
    status = status_of([pa.array(planned["trial_id"], pa.string())], store)
    if not len(store.committed()):
        return Filling(status=status, trials=planned.assign(status="missing", replicate=0))
    trials = load_for(store.folder.uri, columns)
    truths = [name for name in trials if trials[name].dtype == bool]
    trials = trials.astype(dict.fromkeys(truths, "boolean"))  # what is to come has none
    absent = planned[~planned["trial_id"].isin(trials["trial_id"])].assign(status="missing", replicate=0)
    constant = {
        name: trials[name].iloc[0] for name in trials
        if name not in absent and name not in ("status", "replicate") and trials[name].nunique() == 1
    }  # fmt: skip
    both = pd.concat([trials, absent.assign(**constant)], ignore_index=True) if len(absent) else trials
    both.attrs = trials.attrs
    return Filling(status=status, trials=both)


def present_rosters(store: Store) -> list[pa.Table]:
    """The trials of every grid that a statistic takes: of the newest versions and lengths."""
    present, _ = split_rosters(rosters(store, None))
    launches = launches_of(store)
    if len(launches.lengths) < 2:
        return present
    frame = pd.concat([roster.to_pandas() for roster in present]).drop_duplicates("trial_id")
    frame.attrs[LAUNCHES] = replace(launches, sources={}).plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionsWarning)
        kept = pa.array(newest(frame)["trial_id"], pa.string())
    return [roster.filter(pc.is_in(roster["trial_id"], value_set=kept)) for roster in present]
