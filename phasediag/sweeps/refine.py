"""Refine a boundary: round after round, launch the points that tell where it runs.

A round is a grid of explicit points under the sweep's own name, launched as any other grid: what the
store holds is not trained again, and a killed refinement goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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


EXPLORE: Final = 0.1
"""Share of a round's points that look for islands, besides, where nobody says another."""
UNSEEN: Final = Place(side=Side.UNKNOWN)


def refine(
    sweep: str | Path,
    x: str,
    y: str,
    *,
    order: str = "degree_normalized",
    level: float = 0.5,
    resolution: float = 0.02,
    budget: int | None = None,
    diverged: bool = False,
    beyond: bool = False,
    dry_run: bool = False,
    interval: float | None = None,
    explore: float = EXPLORE,
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
        Folder or URI of a sweep whose grids form lattices in x and y.
    x, y
        Two of its axes. Whole-numbered parameters (width) stay whole.
    order, level
        The boundary is where the mean of this column crosses this value.
    resolution
        Largest cell on the boundary: decades on logarithmic axes, share of the range on linear ones.
    budget
        Most trials of all refinements of this sweep together; a round that does not fit is not begun.
    diverged
        Refine the border of the diverged trials too.
    beyond
        Go on where a round takes more trials than a regular grid with cells half as large.
    dry_run
        Only tell what the first round would take.
    interval
        Wished width of the boundary's 95 % interval, in units of the resolution; None: whatever comes out.
    explore
        Share of each round's points, besides, that cut the largest cells off the boundary: a region that no
        corner of the lattice shows is seen there.
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
    if not 0 < resolution < np.inf:
        raise PhasediagError(f"--resolution {resolution:g} is not allowed; give a positive number")
    if interval is not None and not 0 < interval < np.inf:
        raise PhasediagError(f"--interval {interval:g} is not allowed; give a positive number")
    if not 0 <= explore <= 1:
        raise PhasediagError(f"--explore {explore:g} is not allowed; give a share, 0 to 1")
    goal = Goal(
        x=x, y=y, order=order, level=level, resolution=resolution, budget=budget, diverged=diverged,
        beyond=beyond, dry_run=dry_run, interval=interval, explore=explore,
    )  # fmt: skip
    store = Store.at(sweep).required()
    with tempfile.TemporaryDirectory(prefix="phasediag-refine-") as folder:
        designs = longest_designs(present_designs(read_designs(store, Path(folder))))
        base = check_axes([design for design in designs if not design.refines], x, y)
        begun = [design for design in designs if design.refines]
        own = {trial for design in designs if not design.refines for trial in design.trials.trial_id}
        work = _Work(
            store=store, folder=Path(folder), base=base, goal=goal, select=select, train=train,
            facets=facets_of(base, x, y), spent=len({t for d in begun for t in d.trials.trial_id} - own),
        )  # fmt: skip
        if not dry_run:
            work.finish(begun)
        work.run(on_round)
    if not work.rounds:
        work.boundary = work.diagram().boundary
    code = INTERRUPTED if work.drained else int(work.failed)
    if work.refused and not work.launched:
        code = BAD_INPUT
    return Refinement(
        sweep=store.folder.uri, rounds=tuple(work.rounds), boundary=work.boundary, stopped=work.stopped,
        exit_code=code,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
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


@dataclass(slots=True, kw_only=True, eq=False)
class _Work:
    """A refinement that runs."""

    store: Store
    folder: Path
    base: Sequence[Design]
    goal: Goal
    select: Callable[[pd.DataFrame], pd.DataFrame]
    train: Train
    facets: tuple[str, ...]
    spent: int
    repeated: dict[tuple[str, Key], dict[Point, int]] = field(default_factory=dict)
    """Replicates that points were asked to have in earlier rounds, by design and slice."""
    tried: dict[tuple[str, Key], set[Point]] = field(default_factory=dict)
    """Points of earlier rounds, by design and slice: those that `exclude` removes are not asked again."""
    rounds: list[Round] = field(default_factory=list)
    boundary: pd.DataFrame = field(default_factory=pd.DataFrame)
    stopped: str = ""
    drained: bool = False
    failed: bool = False
    refused: bool = False
    launched: bool = False
    seconds: float = float("nan")
    """Of one worker a trial, in the mean."""

    def finish(self, begun: Sequence[Design]) -> None:
        """Train what earlier refinements planned and did not come to."""
        for design in begun:
            if not self.stopped and len(make_survey(design.grid, self.store).missing):
                self._launch(design, design.grid.text)

    def run(self, on_round: Callable[[Round], None]) -> None:
        """Round after round, until the resolution or the budget is reached or a launch drains."""
        added = 0
        while not self.stopped:
            diagram = self.diagram()
            views = self._views(diagram)
            self.boundary = diagram.boundary
            done = self._round(added, views)
            self.rounds.append(done)
            on_round(done)
            if not done.coming:
                return
            self.stopped = self._hindrance(done)
            if self.stopped:
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
            self.refused = True
            goal = self.goal
            return (
                f"the next round takes {done.coming:,} trials, {done.trials + done.coming:,} in all, where a "
                f"regular grid with cells half as large takes {done.finer:,}: {goal.order} crosses "
                f"{goal.level:g} nearly everywhere; look at --x, --y, --order, --level, or go on with --yes"
            )
        return ""

    def diagram(self) -> PhaseDiagram:
        """The phase diagram of what the store holds now."""
        trials = self.select(load_trials(self.store.folder.uri))
        self.seconds = float(trials["wall_s"].mean())
        goal = self.goal
        return phase_diagram(
            trials, x=goal.x, y=goal.y, order=goal.order, level=goal.level, facet=self.facets
        )

    def _views(self, diagram: PhaseDiagram) -> list[_View]:
        """The slices that the diagram shows, each with its proposal."""
        groups: dict[Key, pd.DataFrame] = {(): diagram.cells}
        if self.facets:
            texts = [diagram.cells[name].map(_text) for name in self.facets]
            groups = {tuple(map(str, key)): cells for key, cells in diagram.cells.groupby(texts)}
        x, y, order, level = self.goal.x, self.goal.y, self.goal.order, self.goal.level
        seen = {key: places_of(cells, x, y, order, level) for key, cells in groups.items()}
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
    ) -> _View:
        planned = each.points | self.tried.get((each.design.name, key), set())
        places = {**dict.fromkeys(planned, UNSEEN), **seen}
        lattice = Lattice(x=each.x, y=each.y, columns=each.columns, rows=each.rows, places=places)
        goal = self.goal
        proposal = lattice.propose(
            goal.resolution, diverged=goal.diverged, crossings=crossings, interval=goal.interval,
            explore=goal.explore,
        )  # fmt: skip
        own, asked = each.design.grid.replicates, self.repeated.get((each.design.name, key), {})
        repeats = {p: n for p, n in proposal.repeated.items() if n > max(asked.get(p, 0), own)}
        return _View(
            slice=each, key=key, points=len(places), proposal=proposal, repeats=repeats,
            besides=sum(max(0, place.replicates - own) for place in places.values()),
            added=sum(count - max(places[point].replicates, own) for point, count in repeats.items()),
        )  # fmt: skip

    def _round(self, added: int, views: Sequence[_View]) -> Round:
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

    def _launch_points(self, views: Sequence[_View]) -> None:
        """New points and more replicates, for every design: those of a sweep may differ in what is fixed."""
        for design in self.base:
            grids: dict[int, list[dict[str, Any]]] = {}
            for view in views:
                if view.slice.design is design:
                    self.tried.setdefault((design.name, view.key), set()).update(view.proposal.points)
                    self.repeated.setdefault((design.name, view.key), {}).update(view.repeats)
                    for point, count in (*view.fresh.items(), *view.repeats.items()):
                        grids.setdefault(count, []).append(view.slice.point(*point))
            for count, points in sorted(grids.items()):
                if not self.stopped:
                    self._launch(design, design.extended(points, f"of {design.name}: {self.goal}", count))

    def _launch(self, design: Design, text: str) -> None:
        self.launched = True
        outcome = self.train(design.written(self.folder, text), sweep=self.store.folder.uri)
        self.failed |= outcome.status.failed > 0
        self.drained = outcome.exit_code == INTERRUPTED
        if outcome.drained:
            self.stopped = f"drained: {outcome.drained}; run the same command again to go on"


def _text(value: Any) -> str:
    """A facet's value in a diagram as it stands in an identity."""
    if isinstance(value, np.generic):
        value = value.item()
    return "null" if value is None or value != value else formatted(value)
