"""How far a sweep is, without torch and without expanding its grids again."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.identity import ID_BYTES, Digests, Ids
from phasediag.storage.holder import Holder
from phasediag.storage.launches import extension_of
from phasediag.storage.lease import held_by
from phasediag.storage.quarantine import quarantined
from phasediag.storage.roster import digests_of, sources_of, unpacked
from phasediag.storage.store import Store
from phasediag.trial import KINDS

CONVERGENCE: Final = ("converged", "more_steps", "count_converged", "count_more_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a sweep is."""

    total: int
    """Trials of all grids launched under its name."""
    done: int
    ok: int
    diverged: int
    failed: int
    missing: int
    in_training: float = 0.0
    """What of the missing a running launch has trained in packs that are not yet committed: trials' worth."""
    rate: float | None = None
    """Trials a second of the launch that is running, as it says itself; None where none is."""
    eta_s: float | None = None
    unconverged: int | None = None
    """Trials that should have trained for longer, of those that were the longest of their point; None where
    that was not looked at."""
    more_steps: float | None = None
    """How many more steps they need, in the median (an estimate); None where there are none."""
    more_steps_most: int | None = None
    """How many more steps the one needs that needs most; None where there are none."""
    count_unconverged: int | None = None
    """Trials of which some count may change yet; None where that was not looked at."""
    count_more_steps: float | None = None
    """How many more steps these need, in the median (an estimate); None where there are none."""
    count_more_steps_most: int | None = None
    """How many more steps the one of these needs that needs most; None where there are none."""
    quarantined: tuple[str, ...] = ()
    """The files that were set aside, since they were damaged or of another sweep."""
    earlier: int = 0
    """Trials of earlier versions of the user's files, which no present grid wants; counted nowhere else."""

    @property
    def in_words(self) -> str:
        """`312/3,520 trials, 0 failed, 85.1 trials/s, 30 s left`."""
        training = f" (and {self.in_training:,.0f} in training)" if round(self.in_training) else ""
        parts = [f"{self.done:,}/{self.total:,} trials{training}", f"{self.failed:,} failed"]
        if self.diverged:
            parts.append(f"{self.diverged:,} diverged")
        if not self.missing:
            parts.append("complete")
        elif self.rate is None:
            parts.append("no launch is running")
        else:
            parts.append(f"{self.rate:.1f} trials/s")
            if self.eta_s is not None:
                parts.append(f"{duration(self.eta_s)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as `under a second`, `45 s`, `12 min` or `3 h 05 min`."""
    if 0 < seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def about(seconds: float) -> str:
    """A time that is estimated: `about 45 s`, or `under a second`."""
    return duration(seconds) if 0 < seconds < 1 else f"about {duration(seconds)}"


def status(sweep: str | Path) -> Status:
    """How far a sweep is, over all grids that were launched under its name.

    Raises
    ------
    StoreError
        Where there is no such sweep.
    """
    store = Store.at(sweep).required()
    present, earlier = split_rosters(rosters(store, KINDS))
    ids = [digests_of(roster["trial_id"]) for roster in present]
    counted = status_of(ids, store, convergence=True)
    if any(extension_of(text) for _, text in store.grids()):
        counted = replace(counted, **_convergence_of_the_longest(store))
    return replace(counted, earlier=len(earlier), quarantined=tuple(quarantined(store.folder)))


def split_rosters(rosters: Sequence[tuple[str, pa.Table]]) -> tuple[list[pa.Table], pa.Array]:
    """The trials of every grid that are of the newest versions of the user's files, and the ids of others.

    Parameters
    ----------
    rosters
        As `rosters` gives them, oldest first, with the columns of `KINDS`.
    """
    newest: dict[str, str] = {}
    for _, roster in rosters:
        newest |= sources_of(roster)
    present, left = [], []
    for _, roster in rosters:
        old = [name for name, digest in sources_of(roster).items() if newest[name] != digest]
        masks = [pc.is_in(roster[kind], value_set=pa.array(old, pa.string())) for kind in KINDS if old]
        if masks:
            superseded = pc.fill_null(reduce(pc.or_, masks), False)
            left.append(roster["trial_id"].filter(superseded))
            roster = roster.filter(pc.invert(superseded))
        present.append(roster)
    earlier = pc.unique(pa.chunked_array([c for ids in left for c in ids.chunks], pa.string()))
    for roster in present if left else ():
        earlier = earlier.filter(pc.invert(pc.is_in(earlier, value_set=roster["trial_id"].combine_chunks())))
    return present, earlier


def rosters(store: Store, columns: Collection[str] | None = ()) -> list[tuple[str, pa.Table]]:
    """The trials of every grid of a sweep, oldest first, by the grid's name.

    Those kept beside the grids are taken where they count, and made out anew, with torch, where not.

    Parameters
    ----------
    columns
        The parameters wanted besides `trial_id`; None: all.
    """
    rosters = []
    with tempfile.TemporaryDirectory(prefix="phasediag-grids-") as folder:
        for name, text in store.grids():
            kept = store.roster(name, text, columns)
            rosters.append(
                (name, _expanded(store, name, text, Path(folder), columns) if kept is None else kept)
            )
    return rosters


def _expanded(store: Store, name: str, text: str, folder: Path, columns: Collection[str] | None) -> pa.Table:
    """The trials of a grid, by reading it."""
    from phasediag.sweeps.recorded import roster_of_grid, stored_grid

    grid = stored_grid(store, name, text, folder / name)
    return unpacked(pa.concat_tables(roster_of_grid(grid, grid.lot()).tables()), columns)


def status_of(ids: Sequence[Digests], store: Store, *, convergence: bool = False) -> Status:
    """How far a store is with these trials, each counted once.

    Parameters
    ----------
    ids
        Trial ids, in as many arrays as it pleases; each array holds an id once.
    convergence
        Whether to tell how many of them are unconverged.
    """
    wanted = Ids(ids[0] if len(ids) == 1 else np.concatenate([np.zeros((0, ID_BYTES), dtype=np.uint8), *ids]))
    total = len(wanted) if len(ids) == 1 else wanted.distinct
    columns = ("trial_id", "status", "started_at", *(CONVERGENCE if convergence else ()))
    rows = store.trials_table(columns, ordered=False)
    here = pa.array(wanted.find(digests_of(rows["trial_id"])) >= 0)
    of = rows["status"].filter(here)
    counts = {name: pc.sum(pc.equal(of, name)).as_py() or 0 for name in ("ok", "diverged", "failed")}
    missing = total - sum(counts.values())
    holder = held_by(store)
    news = dict(holder.news) if holder else {}
    in_training = min(missing, max(0.0, news.get("in_training") or 0.0))
    rate = news.get("rate") or _rate(rows, holder)
    eta_s = news.get("eta_s") or ((missing - in_training) / rate if rate else None)
    return Status(
        total=total, done=counts["ok"] + counts["diverged"], ok=counts["ok"],
        diverged=counts["diverged"], failed=counts["failed"], missing=missing,
        in_training=in_training, rate=rate, eta_s=eta_s,
        **(_convergence(rows.filter(here)) if convergence else {}),
    )  # fmt: skip


def _convergence(rows: pa.Table) -> dict[str, Any]:
    """How many trials are unconverged and how many more steps they need, as recorded with each."""
    if not len(rows):
        return {}
    needs: dict[str, Any] = {}
    for of in ("", "count_"):
        late = pc.fill_null(pc.equal(rows[f"{of}converged"], False), False)
        needed = rows.filter(late)[f"{of}more_steps"].drop_null().to_numpy()
        needs[f"{of}unconverged"] = pc.sum(late).as_py() or 0
        if len(needed):
            needs |= {
                f"{of}more_steps": float(np.median(needed)), f"{of}more_steps_most": int(needed.max()),
            }  # fmt: skip
    return needs


def _convergence_of_the_longest(store: Store) -> dict[str, Any]:
    """What `_convergence` tells, of the trials that statistics take where some were trained for longer."""
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.versions import VersionsWarning, newest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionsWarning)
        taken = newest(load_trials(store.folder.uri), pooled=True)["trial_id"]
    rows = store.trials_table(("trial_id", *CONVERGENCE), ordered=False)
    fields = ("more_steps", "more_steps_most", "count_more_steps", "count_more_steps_most")
    longest = rows.filter(pc.is_in(rows["trial_id"], value_set=pa.array(taken, pa.string())))
    return dict.fromkeys(fields) | _convergence(longest)


def _rate(rows: pa.Table, holder: Holder | None) -> float | None:
    """Trials a second of the launch that holds the lease; None where none does."""
    if holder is None:
        return None
    since = datetime.fromisoformat(holder.since)
    started = rows["started_at"]
    fresh = pc.sum(pc.greater_equal(started, pa.scalar(since, started.type))).as_py() or 0
    return float(fresh / max((datetime.now(UTC) - since).total_seconds(), 1.0))
