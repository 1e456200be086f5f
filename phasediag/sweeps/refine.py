"""Refine a boundary: round after round, launch the points that tell where it runs.

A round is a grid of explicit points under the sweep's own name, launched as any other grid: what the
store holds is not trained again, and a killed refinement goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from phasediag.analysis.frames import load_trials
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.refinement import (
    Axis,
    Lattice,
    Place,
    Point,
    Proposal,
    RowCrossing,
    Side,
    crossings_of,
    places_of,
)
from phasediag.errors import BAD_INPUT, INTERRUPTED, PhasediagError
from phasediag.storage.store import Store
from phasediag.sweeps.designs import (
    Design,
    Key,
    Slice,
    check_axes,
    facets_of,
    longest_designs,
    present_designs,
    read_designs,
    slices_of,
)
from phasediag.sweeps.rounds import Goal, Refinement, Round
from phasediag.sweeps.survey import make_survey
from phasediag.sweeps.sweep import Outcome, launch
from phasediag.trial import formatted


class Train(Protocol):
    """Launches a grid file into a sweep."""

    def __call__(self, grid: Path, *, sweep: str) -> Outcome:
        """Launch a grid; `sweep` is the folder or URI of the sweep."""


UNSEEN: Final = Place(side=Side.UNKNOWN)


def refine(
    sweep: str | Path,
    goal: Goal,
    *,
    select: Callable[[pd.DataFrame], pd.DataFrame] = lambda trials: trials,
    train: Train = launch,
    on_round: Callable[[Round], None] = lambda done: None,
) -> Refinement:
    """Add trials to a sweep where the boundary of its phase diagram runs, until it is resolved.

    In each round the cells of the diagram that lie on both sides of the level are halved along both
    axes, and rows are continued to where their side is sure; every other axis is a facet, refined for
    itself. New points have the replicates of the sweep. Where an interval is wished, the points beside a
    crossing whose interval is wider get twice their replicates instead, and their cells are no longer
    halved below half that width. What a killed refinement left undone is trained first.

    Parameters
    ----------
    sweep
        Folder or URI of a sweep whose grids form lattices in the axes of the goal.
    goal
        Which boundary, how finely, and with how many trials.
    select
        Keeps the trials of the slices to refine.
    train
        Launches the grid of a round.
    on_round
        Called before the first round and after each.

    Raises
    ------
    PhasediagError
        Where there is no such sweep, no such axes, or no lattice; or as `launch` does.
    """
    store = Store.at(sweep).required()
    with tempfile.TemporaryDirectory(prefix="phasediag-refine-") as folder:
        designs = longest_designs(present_designs(read_designs(store, Path(folder))))
        base = check_axes([design for design in designs if not design.refines], goal.x, goal.y)
        begun = [design for design in designs if design.refines]
        own = {trial for design in designs if not design.refines for trial in design.trials.trial_id}
        work = _RunningRefinement(
            store=store, folder=Path(folder), base=base, goal=goal, select=select, train=train,
            facets=facets_of(base, goal.x, goal.y),
            spent=len({t for d in begun for t in d.trials.trial_id} - own),
        )  # fmt: skip
        if not goal.dry_run:
            work.finish(begun)
        work.run(on_round)
    if not work.rounds:
        work.boundary = work.diagram().boundary
    return Refinement(
        sweep=store.folder.uri, rounds=tuple(work.rounds), boundary=work.boundary,
        stopped=work.ending.reason, exit_code=work.ending.exit_code,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SliceState:
    """A slice, and what its trials say so far."""

    slice: Slice
    key: Key
    points: int
    """Points that are planned or recorded in it."""
    proposal: Proposal
    repeats: Mapping[Point, int]
    """How many replicates points that are there are to have, where they were not asked for before."""
    besides: int
    """Trials of its points beyond the replicates of its grid."""
    added: int
    """Trials by which `repeats` are more than there are."""

    @property
    def replicates(self) -> int:
        return self.slice.design.grid.replicates

    @property
    def coming(self) -> int:
        """Trials of the next round."""
        return sum(self.fresh.values()) + self.added

    @property
    def fresh(self) -> dict[Point, int]:
        """The replicates of each new point: those of the grid, or of its neighbours where these have more."""
        return {point: max(count, self.replicates) for point, count in self.proposal.points.items()}

    def largest(self, axis: Axis, *, divisible: bool) -> float:
        """The largest cell on the boundary along an axis; 0 where there is none, or none to be halved."""
        along_x = axis is self.slice.x
        spans = [(c.left, c.right) if along_x else (c.bottom, c.top) for c in self.proposal.crossed]
        if divisible:
            spans = [span for span in spans if axis.middle(*span) is not None]
        return max((axis.size(*span) for span in spans), default=0.0)

    @property
    def dense(self) -> int:
        """Points of a regular grid with cells as small as the largest on the boundary."""
        return prod(axis.count(self.largest(axis, divisible=False)) for axis in (self.slice.x, self.slice.y))

    @property
    def finer(self) -> int:
        """Points of a regular grid with cells half as large as the largest on the boundary."""
        axes = ((self.slice.x, self.slice.columns), (self.slice.y, self.slice.rows))
        halves = (axis.count(self.largest(axis, divisible=False) / 2) for axis, _ in axes)
        return prod(max(half, len(values)) for half, (_, values) in zip(halves, axes, strict=True))


@dataclass(slots=True, kw_only=True)
class _RefinementEnd:
    """What a refinement did that its end tells of, and why it ended."""

    reason: str = ""
    """Why it ends before the resolution is reached; empty as long as it goes on."""
    launched: bool = False
    drained: bool = False
    failed: bool = False
    """Whether some trial did."""
    refused: bool = False
    """Whether a regular grid takes fewer trials."""

    @property
    def exit_code(self) -> int:
        """0 resolution or budget reached, 1 some trials failed, 2 refused at once, 130 interrupted."""
        if self.refused and not self.launched:
            return BAD_INPUT
        return INTERRUPTED if self.drained else int(self.failed)

    def after(self, outcome: Outcome) -> None:
        """Take note of how a launch ended."""
        self.launched = True
        self.failed |= outcome.status.failed > 0
        self.drained = outcome.exit_code == INTERRUPTED
        if outcome.drained:
            self.reason = f"drained: {outcome.drained}; run the same command again to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """What earlier rounds asked for in one slice of a design."""

    points: set[Point] = field(default_factory=set)
    """New points: those that `exclude` removes are not asked for again."""
    replicates: dict[Point, int] = field(default_factory=dict)
    """How many replicates points that were there were to have."""

    def note(self, view: _SliceState) -> None:
        """Keep what the next round asks for."""
        self.points.update(view.proposal.points)
        self.replicates.update(view.repeats)


@dataclass(slots=True, kw_only=True, eq=False)
class _RunningRefinement:
    """A refinement that runs."""

    store: Store
    folder: Path
    """For the grids of its rounds."""
    base: Sequence[Design]
    """The grids that it refines, without those of refinements."""
    goal: Goal
    """With the level that the order parameter declares, once a diagram was made, where none was asked for."""
    select: Callable[[pd.DataFrame], pd.DataFrame]
    train: Train
    facets: tuple[str, ...]
    spent: int
    """Trials of all refinements of the sweep."""
    earlier: defaultdict[tuple[str, Key], _Earlier] = field(default_factory=lambda: defaultdict(_Earlier))
    """By the name of a design and the key of a slice."""
    rounds: list[Round] = field(default_factory=list)
    boundary: pd.DataFrame = field(default_factory=pd.DataFrame)
    ending: _RefinementEnd = field(default_factory=_RefinementEnd)
    seconds: float = float("nan")
    """The time that a trial takes one worker, in the mean."""

    def finish(self, begun: Sequence[Design]) -> None:
        """Train what earlier refinements planned and did not come to."""
        for design in begun:
            if not self.ending.reason and len(make_survey(design.grid, self.store).missing):
                self._launch(design, design.grid.text)

    def run(self, on_round: Callable[[Round], None]) -> None:
        """Round after round, until the resolution or the budget is reached or a launch drains."""
        added = 0
        while not self.ending.reason:
            diagram = self.diagram()
            views = self._views(diagram)
            self.boundary = diagram.boundary
            done = self._round(added, views)
            self.rounds.append(done)
            on_round(done)
            if not done.coming:
                return
            self.ending.reason = self._hindrance(done)
            if self.ending.reason:
                return
            added = done.coming
            self.spent += added
            self._launch_points(views)

    def _hindrance(self, done: Round) -> str:
        """Why the next round is not begun; empty where it is."""
        if self.goal.dry_run:
            return "dry run: nothing was trained"
        if self.goal.budget is not None and self.spent + done.coming > self.goal.budget:
            return (
                f"the next round takes {done.coming:,} trials, and {self.spent:,} of the budget of "
                f"{self.goal.budget:,} are spent; raise --budget to go on"
            )
        if not self.goal.beyond and done.trials + done.coming - done.repeats > done.finer:
            self.ending.refused = True
            goal = self.goal
            return (
                f"the next round takes {done.coming:,} trials, {done.trials + done.coming:,} in all, where a "
                f"regular grid with cells half as large takes {done.finer:,}: {goal.order} crosses "
                f"{goal.level:g} {'nearly everywhere' if done.cells else 'nowhere'}; look at --x, --y, "
                "--order, --level, or go on with --yes"
            )
        return ""

    def diagram(self) -> PhaseDiagram:
        """The phase diagram of what the store holds now."""
        trials = self.select(load_trials(self.store.folder.uri))
        self.seconds = float(trials["wall_s"].mean())
        goal = self.goal
        made = phase_diagram(
            trials, x=goal.x, y=goal.y, order=goal.order, level=goal.level, facet=self.facets
        )
        self.goal = replace(goal, level=made.level)
        return made

    def _views(self, diagram: PhaseDiagram) -> list[_SliceState]:
        """The slices that the diagram shows, each with its proposal."""
        groups: dict[Key, pd.DataFrame] = {(): diagram.cells}
        if self.facets:
            texts = [diagram.cells[name].map(_text) for name in self.facets]
            groups = {tuple(map(str, key)): cells for key, cells in diagram.cells.groupby(texts)}
        x, y, order = self.goal.x, self.goal.y, self.goal.order
        seen = {key: places_of(cells, x, y, order, diagram.level) for key, cells in groups.items()}
        rows: dict[Key, pd.DataFrame] = {(): diagram.boundary}
        if self.facets:
            texts = [diagram.boundary[name].map(_text) for name in self.facets]
            rows = {tuple(map(str, key)): each for key, each in diagram.boundary.groupby(texts)}
        views = [
            self._view(each, key, seen[key], crossings_of(rows[key], y))
            for design in self.base
            for key, each in slices_of(design, x, y, self.facets).items()
            if key in seen
        ]
        if not views:
            raise PhasediagError(
                f"the sweep has no lattice of two or more values of {x} and of {y} whose other "
                "parameters are the same; launch a grid with both as axes"
            )
        return views

    def _view(
        self, each: Slice, key: Key, seen: dict[Point, Place], crossings: Sequence[RowCrossing]
    ) -> _SliceState:
        earlier = self.earlier[each.design.name, key]
        planned = each.points | earlier.points
        places = {**dict.fromkeys(planned, UNSEEN), **seen}
        lattice = Lattice(x=each.x, y=each.y, columns=each.columns, rows=each.rows, places=places)
        goal = self.goal
        proposal = lattice.propose(
            goal.resolution, diverged=goal.diverged, crossings=crossings, interval=goal.interval,
            explore=goal.explore,
        )  # fmt: skip
        own = each.design.grid.replicates
        repeats = {
            point: count
            for point, count in proposal.repeated.items()
            if count > max(earlier.replicates.get(point, 0), own)
        }
        return _SliceState(
            slice=each, key=key, points=len(places), proposal=proposal, repeats=repeats,
            besides=sum(max(0, place.replicates - own) for place in places.values()),
            added=sum(count - max(places[point].replicates, own) for point, count in repeats.items()),
        )  # fmt: skip

    def _round(self, added: int, views: Sequence[_SliceState]) -> Round:
        crossed = self.boundary.dropna(subset="position")
        x, y = views[0].slice.x, views[0].slice.y
        coming = sum(view.coming for view in views)
        bounded = crossed[["low", "high"]][np.isfinite(crossed[["low", "high"]]).all(axis=1)]
        widths = [x.size(*pair) for pair in bounded.itertuples(index=False)]
        rows = len(crossed[list(crossed.columns[: crossed.columns.get_loc("position")])].drop_duplicates())
        return Round(
            number=len(self.rounds), added=added, spent=self.spent,
            trials=sum(view.points * view.replicates + view.besides for view in views),
            dense=sum(view.dense * view.replicates for view in views),
            cells=sum(len(view.proposal.crossed) for view in views),
            size_x=max(view.largest(view.slice.x, divisible=True) for view in views),
            size_y=max(view.largest(view.slice.y, divisible=True) for view in views),
            unit_x=x.unit, unit_y=y.unit, rows=rows,
            width=float(np.median(widths)) if widths else float("nan"),
            coming=coming, coming_s=coming * self.seconds, repeats=sum(view.added for view in views),
            explored=sum(view.fresh[point] for view in views for point in view.proposal.explored),
            finer=sum(view.finer * view.replicates for view in views),
        )  # fmt: skip

    def _launch_points(self, views: Sequence[_SliceState]) -> None:
        """New points and more replicates, for every design: those of a sweep may differ in what is fixed."""
        for design in self.base:
            grids: dict[int, list[dict[str, Any]]] = {}
            for view in views:
                if view.slice.design is design:
                    self.earlier[design.name, view.key].note(view)
                    for point, count in (*view.fresh.items(), *view.repeats.items()):
                        grids.setdefault(count, []).append(view.slice.point(*point))
            for count, points in sorted(grids.items()):
                if not self.ending.reason:
                    self._launch(design, design.extended(points, f"of {design.name}: {self.goal}", count))

    def _launch(self, design: Design, text: str) -> None:
        self.ending.after(self.train(design.written(self.folder, text), sweep=self.store.folder.uri))


def _text(value: Any) -> str:
    """A facet's value in a diagram as it stands in an identity."""
    if isinstance(value, np.generic):
        value = value.item()
    return "null" if value is None or value != value else formatted(value)
