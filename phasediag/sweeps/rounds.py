"""What a refinement is asked for, what is known after each of its rounds, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import pandas as pd

from phasediag.errors import PhasediagError

EXPLORE: Final = 0.1
"""Share of a round's points that look for islands, besides, where nobody says another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a refinement is to reach, and what it may take.

    Raises
    ------
    PhasediagError
        Where a resolution or an interval is not positive, or a share is none.
    """

    x: str
    y: str
    """Two axes of the sweep. Whole-numbered parameters (width) stay whole."""
    order: str = "degree_normalized"
    level: float | None = None
    """The boundary is where the mean of the column `order` crosses this value; None: what it declares."""
    resolution: float = 0.02
    """Largest cell on the boundary: decades on logarithmic axes, share of the range on linear ones."""
    interval: float | None = None
    """Wished width of the boundary's 95 % interval, in units of the resolution; None: whatever comes out."""
    explore: float = EXPLORE
    """Share of each round's points, besides, that cut the largest cells off the boundary: a region that no
    corner of the lattice shows is seen there."""
    budget: int | None = None
    """Most trials of all refinements of the sweep together; a round that does not fit is not begun."""
    diverged: bool = False
    """Whether to refine the border of the diverged trials too."""
    beyond: bool = False
    """Whether to go on where a round takes more trials than a regular grid with cells half as large."""
    dry_run: bool = False
    """Whether only to tell what the first round would take."""

    def __post_init__(self) -> None:
        if not 0 < self.resolution < inf:
            raise PhasediagError(f"--resolution {self.resolution:g} is not allowed; give a positive number")
        if self.interval is not None and not 0 < self.interval < inf:
            raise PhasediagError(f"--interval {self.interval:g} is not allowed; give a positive number")
        if not 0 <= self.explore <= 1:
            raise PhasediagError(f"--explore {self.explore:g} is not allowed; give a share, 0 to 1")

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
    """The size of the largest of these cells along x, in `unit_x`; 0 where neighbouring whole numbers are
    reached."""
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
    """Trials of the next round that are replicates of points that are there."""
    explored: int
    """Trials of the next round off the boundary, which look for islands."""
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
    """The boundary of the phase diagram at the end."""
    stopped: str
    """Why it ended before the resolution was reached; empty where it did not."""
    exit_code: int
    """0 resolution or budget reached, 1 some trials failed, 2 refused at once, 130 interrupted."""
