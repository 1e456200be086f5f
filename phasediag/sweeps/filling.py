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
from phasediag.storage.roster import digests_of
from phasediag.storage.store import Store
from phasediag.sweeps.status import Status, rosters, split_rosters, status_of
from phasediag.trial import KINDS


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
    status = status_of([digests_of(planned["trial_id"].to_numpy())], store)
    if not len(store.committed()):
        return Filling(status=status, trials=_to_come(planned))
    trials = load_for(store.folder.uri, columns)
    absent = _to_come(planned[~planned["trial_id"].isin(trials["trial_id"])])
    both = _joined(trials, absent) if len(absent) else trials
    both.attrs = trials.attrs
    return Filling(status=status, trials=both)


def _to_come(planned: pd.DataFrame) -> pd.DataFrame:
    """Rows of trials that are not recorded, each a point of its own."""
    return planned.assign(status="missing", replicate=0, point_id=planned["trial_id"])


def _joined(trials: pd.DataFrame, absent: pd.DataFrame) -> pd.DataFrame:
    """Recorded trials and those to come, of the versions of the recorded ones where these have one."""
    versions = {
        name: trials[name].iloc[0]
        for name in (f"{kind}_source" for kind in KINDS)
        if name in trials and trials[name].nunique() == 1
    }
    truths = [name for name in trials if trials[name].dtype == bool]
    nullable = trials.astype(dict.fromkeys(truths, "boolean"))  # what is to come has none
    return pd.concat([nullable, absent.assign(**versions)], ignore_index=True)


def present_rosters(store: Store) -> list[pa.Table]:
    """The trials of every grid that a statistic takes: of the newest versions and lengths."""
    present, _ = split_rosters(rosters(store, None))
    launches = launches_of(store)
    if len(launches.lengths) < 2:
        return present
    frame = pd.concat([roster.to_pandas() for roster in present]).drop_duplicates("trial_id")
    frame.attrs[LAUNCHES] = replace(launches, sources={}).plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionsWarning)  # whoever draws the trials says it
        kept = pa.array(newest(frame)["trial_id"], pa.string())
    return [roster.filter(pc.is_in(roster["trial_id"], value_set=kept)) for roster in present]
