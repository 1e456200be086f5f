"""What a refinement is asked for, what is known after each of its rounds, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a refinement is to reach, and what it may take; the fields are those of `refine`."""

    x: str
    y: str
    order: str
    level: float
    resolution: float
    budget: int | None
    diverged: bool
    beyond: bool
    dry_run: bool
    interval: float | None
    explore: float

    def __str__(self) -> str:
        wish = "" if self.interval is None else f", interval {self.interval:g}"
        return f"{self.x} by {self.y}, {self.order} at {self.level:g}, resolution {self.resolution:g}{wish}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is known of the boundary after so many rounds, and what the next one would take."""

    number: int
    """0: before anything was added."""
    added: int
    """Trials that this round added."""
    spent: int
    """Trials of all refinements of the sweep."""
    trials: int
    """All trials of the refined slices."""
    dense: int
    """Trials of regular grids over these slices with cells as small as the largest on the boundary."""
    cells: int
    """Cells that the boundary runs through."""
    size_x: float
    """Of the largest of these along x, in `unit_x`; 0 where neighbouring whole numbers are reached."""
    size_y: float
    unit_x: str
    unit_y: str
    rows: int
    """Rows of the diagram that the boundary crosses."""
    width: float
    """Median width of its 95 % interval, in `unit_x`; NaN with fewer than 3 replicates."""
    coming: int
    """Trials of the next round; 0 where the resolution is reached."""
    repeats: int
    """Those of them that are replicates of points that are there."""
    explored: int
    """Those of them off the boundary, which look for islands."""
    finer: int
    """Trials of regular grids over these slices with cells half as large: what the next round may take."""
    coming_s: float
    """Seconds of one worker that the next round takes, at the mean of the trials so far."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refinement:
    """How a refinement ended."""

    sweep: str
    rounds: tuple[Round, ...]
    boundary: pd.DataFrame
    """Of the phase diagram at the end."""
    stopped: str
    """Why it ended before the resolution was reached; empty where it did not."""
    exit_code: int
    """0 resolution or budget reached, 1 some trials failed, 2 refused at once, 130 interrupted."""
