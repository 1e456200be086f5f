"""Train a sweep on, round after round, until its points are settled.

A round is a grid under the sweep's own name, an extension of those points of another grid that are not
settled: they stand in one file of points. A killed round is completed by the next call, and what was trained
decides what comes next, so that an interrupted call leaves what an undisturbed one leaves.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from phasediag.analysis.extension import Extension, extension
from phasediag.analysis.frames import load_trials
from phasediag.analysis.lengths import points_of
from phasediag.arrays import BoolArray, FloatArray
from phasediag.errors import INTERRUPTED, AnalysisError, PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.storage.launches import LENGTHS, LONGER, UNTIL
from phasediag.storage.schema_arrow import parameter_type
from phasediag.storage.store import Store
from phasediag.sweeps.beginnings import FROM_KEPT
from phasediag.sweeps.designs import KEPT, Design, plain_value, present_designs, read_designs
from phasediag.sweeps.extend import longer, longer_fixed, mark_of, notes_on
from phasediag.sweeps.refine import Train
from phasediag.sweeps.standing import Family, Standing
from phasediag.sweeps.sweep import DEFAULT_STORAGE, Outcome, launch

MOST: Final = 16.0
"""How many times their first steps points are trained at most, where nobody says another number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LongerRound:
    """One round of training on."""

    number: int
    """From 1."""
    factor: float
    """To how many times their first steps it trains."""
    points: int
    """Points that it trains, with all their replicates."""
    of: int
    """Points that there are."""
    trials: int
    coming_s: float
    """Seconds of one worker that it takes, at the pace of the shorter trials; NaN where that is not known."""
    moved: Extension | None = None
    """What its trials were before and are now; None before they are trained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedOn:
    """How training on ended."""

    sweep: str
    rounds: tuple[LongerRound, ...]
    trained: int
    """Trials that this call committed, failed ones among them."""
    points: int
    """Points that there are."""
    unsettled: int
    """Points that are not settled: they were trained for as long as was allowed, or have failed trials."""
    failed: int
    """Points that are not settled because longer trials failed."""
    unknown: int
    """Points of which it is not known whether they are settled; they are not trained on."""
    stopped: str
    """Why it ended early; empty where it did not."""
    exit_code: int
    """0 complete, 1 some trials failed, 130 interrupted."""
    notes: tuple[str, ...]
    """What must be known of the longer trials, in whole sentences."""


def train_until_converged(
    sweep_or_grid: str | Path, most: float = MOST, storage: str = DEFAULT_STORAGE, *,
    order: str = "degree_normalized", train: Train = launch,
    notify: Callable[[str], None] = lambda sentence: None,
    on_round: Callable[[LongerRound], None] = lambda coming: None,
) -> TrainedOn:  # fmt: skip
    """Double the steps of the points that are not settled, until all are, or the largest factor is reached.

    A point is settled where all its trials that are ok are: of a count by the flag of that count, of
    everything else by that of the phase (`converged`), the very flags that diagrams and fits go by. It is
    trained on with all its replicates. Statistics take the longest trials of each point.

    Parameters
    ----------
    sweep_or_grid
        Folder or URI of a sweep, or the path of a grid: that is launched first, and only its points are
        trained on.
    most
        Above 1: of the steps as the grids have them.
    storage
        Where the sweep of a grid lies.
    order
        The order parameter whose points are to be settled: a column or an expression.
    train
        Launches a grid into the sweep.
    notify
        Called with what is completed first, and with each of the notes before anything is trained for longer.
    on_round
        Called before each round, and after it, then with what moved.

    Returns
    -------
    The rounds that were trained, what is settled now, and the exit code of a command.

    Raises
    ------
    PhasediagError
        Where there is no such sweep, a grid varies the length of training by itself, or has a ramp; or as
        `launch` does.
    """
    if not 1 < most < math.inf:
        raise PhasediagError(f"--most {most:g} is not allowed; give a number above 1, such as {MOST:g}")
    with tempfile.TemporaryDirectory(prefix="phasediag-until-") as folder:
        run = _Training(folder=Path(folder), most=most, order=order, train=train, on_round=on_round)
        return run.result(run.opened(sweep_or_grid, storage), notify)


@dataclass(slots=True, kw_only=True)
class _Training:
    """What one call has done so far."""

    folder: Path
    """Where grids are written."""
    most: float
    order: str
    train: Train
    on_round: Callable[[LongerRound], None]
    text: str | None = None
    """The text of the grid whose points are trained on; None: those of all grids."""
    rounds: list[LongerRound] = field(default_factory=list)
    trained: int = 0
    exit_code: int = 0
    stopped: str = ""

    def opened(self, sweep_or_grid: str | Path, storage: str) -> Store:
        """The sweep; a grid is launched."""
        path = Path(str(sweep_or_grid))
        if path.suffix not in (".yaml", ".yml") and not path.is_file():
            return Store.at(sweep_or_grid).required()
        grid = read_grid(path)
        self.text = grid.text
        store = Store.open(storage, grid.name)
        self._launched(self.train(path, sweep=store.folder.uri))
        return store

    def result(self, store: Store, notify: Callable[[str], None]) -> TrainedOn:
        """Train round after round."""
        designs = self._designs(store)
        self._complete(store, designs, notify)
        if not len(store.committed()):
            return self._ended(store, None, ())
        standing = self._standing(store, designs)
        notes = (*notes_on([each for each in designs if not each.extends]), *standing.notes)
        factor, points = standing.coming(self.most)
        for note in notes if points.any() else ():
            notify(note)
        while points.any() and not self.stopped:
            self._round(store, standing, factor, points)
            standing = self._standing(store, self._designs(store))
            factor, points = standing.coming(self.most)
        return self._ended(store, standing, notes)

    def _ended(self, store: Store, standing: Standing | None, notes: tuple[str, ...]) -> TrainedOn:
        """How it ended; nothing stands where no trial is recorded."""
        count = dict.fromkeys(("points", "unsettled", "failed", "unknown"), 0)
        if standing is not None:
            points, late = standing.points, standing.unsettled
            masks = (points, late, late & standing.failed, points & standing.unknown)
            count = {name: int(mask.sum()) for name, mask in zip(count, masks, strict=True)}
        return TrainedOn(
            sweep=store.folder.uri, rounds=tuple(self.rounds), trained=self.trained, stopped=self.stopped,
            exit_code=INTERRUPTED if self.stopped and self.exit_code else self.exit_code, notes=notes,
            **count,
        )  # fmt: skip

    def _designs(self, store: Store) -> list[Design]:
        """The grids whose points are trained on, and their extensions, oldest first."""
        designs = present_designs(read_designs(store, self.folder / "read"))
        bases = {d.name for d in designs if not d.extends and self.text in (None, d.grid.text)}
        return [d for d in designs if (d.extends[0] if d.extends else d.name) in bases]

    def _complete(self, store: Store, designs: Sequence[Design], notify: Callable[[str], None]) -> None:
        """Train what grids that were launched before have left."""
        for design in designs:
            statuses = store.committed().status_of(design.trials.trial_id)
            left = int((~np.isin(statuses, ("ok", "diverged"))).sum())
            if self.stopped or not left:
                continue
            notify(f"{left:,} trials of {design.name} are not done: they come first")
            points = design.grid.points_file
            held = {points: store.grid_sources(design.name)[points]} if points else {}
            path = design.written(self.folder / "missing", design.grid.text, held)
            self._launched(self.train(path, sweep=store.folder.uri))

    def _standing(self, store: Store, designs: Sequence[Design]) -> Standing:
        return Standing.of(load_trials(store.folder.uri), designs, self.order)

    def _round(self, store: Store, standing: Standing, factor: float, points: BoolArray) -> None:
        before = standing.trials_of(points)
        coming = LongerRound(
            number=len(self.rounds) + 1, factor=factor, points=int(points.sum()),
            of=int(standing.points.sum()), trials=len(before), coming_s=_seconds(before, standing, factor),
        )  # fmt: skip
        self.on_round(coming)
        for family in standing.families:
            chosen = points & np.isfinite(family.factor)
            if not chosen.any() or self.stopped:
                continue
            text, files = round_of(family, chosen, factor, self.most)
            path = family.design.written(self.folder / "round", text, files)
            self._launched(self.train(path, sweep=store.folder.uri))
        ratios = sorted(set((factor / standing.factor[points]).tolist()))
        moved = _moved(load_trials(store.folder.uri), before, ratios, self.order)
        done = replace(coming, moved=moved)
        self.rounds.append(done)
        self.on_round(done)

    def _launched(self, outcome: Outcome) -> None:
        self.trained += outcome.trained
        self.exit_code = max(self.exit_code, outcome.exit_code)
        if outcome.drained:
            self.stopped = f"drained: {outcome.drained}; run the same command again to go on"


def round_of(family: Family, points: BoolArray, factor: float, most: float) -> tuple[str, dict[str, bytes]]:
    """The grid that trains some points of another one for longer, everything else as in that one.

    Parameters
    ----------
    points
        Which points, as `Standing` numbers them, shape (points,).
    factor
        To how many times the steps that were launched first.
    most
        The largest factor that was asked for; the grid says so.

    Returns
    -------
    Its text, and the file of its points by name.
    """
    design, by = family.design, factor / family.first
    grid = design.grid
    wanted = (family.point >= 0) & points[family.point]
    wanted &= design.trials.replicate == design.trials.replicate.min()
    listed = design.trials.take(wanted)
    given = set(grid.given)
    if "lr_over_batch" in given and grid.hold == "learning_rate":
        given = (given - {"lr_over_batch"}) | {"batch_size"}  # points cannot say what is held
    columns = {}
    for name in sorted(given):
        values = [plain_value(value) for value in listed.values(name).tolist()]
        values = [longer(name, v, by) if name in LENGTHS and v is not None else v for v in values]
        columns[name] = pa.array(values, parameter_type(grid.parameters[name]))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    content = sink.getvalue().to_pybytes()
    file = f"points-{blake2b(content, digest_size=4).hexdigest()}.parquet"
    kept: dict[str, Any] = {key: design.content[key] for key in KEPT if design.content.get(key) is not None}
    fixed = {name: value for name, value in (kept.get("fixed") or {}).items() if name not in given}
    changed = {"fixed": longer_fixed(fixed, given, by), "points": file}
    kept.pop("exclude", None)
    text = StringIO()
    YAML(typ="safe", pure=True).dump({**kept, **changed}, text)
    first = f"{LONGER}{by:.12g} of {design.name}{UNTIL}{most:g} times\n"
    return f"{first}{mark_of(design)}{text.getvalue()}", {file: content}


def _seconds(before: pd.DataFrame, standing: Standing, factor: float) -> float:
    """What trials take that are trained to so many times their first steps, some from kept weights."""
    if "wall_s" not in before:
        return math.nan
    wall, steps, begun = (_numbers(before, name) for name in ("wall_s", "steps", "from_step"))
    longer = factor / standing.factor[standing.point[before.index.to_numpy()]]
    kept = before["course_id"].notna().to_numpy() & (longer >= FROM_KEPT)
    coming = wall * (longer - kept) / (1 - np.nan_to_num(begun) / steps)
    known = np.isfinite(coming)
    return float(coming[known].mean() * len(before)) if known.any() else math.nan


def _numbers(trials: pd.DataFrame, column: str) -> FloatArray:
    return trials[column].to_numpy(dtype=np.float64, na_value=np.nan)


def _moved(
    trials: pd.DataFrame, before: pd.DataFrame, ratios: Sequence[float], order: str
) -> Extension | None:
    """What some trials were and what they are now that they were trained for longer."""
    point = points_of(trials)
    rows = pd.Index(trials["trial_id"]).get_indexer(before["trial_id"])
    steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    length = np.full(int(point.max()) + 1, np.inf)
    length[point[rows]] = steps[rows]
    try:
        return extension(trials[steps >= length[point]], order, factors=ratios)
    except AnalysisError:
        return None
