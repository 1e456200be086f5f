"""What a worker is given, and what it reports; known without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from phasediag.grids.measure import Measure
from phasediag.trial import IntArray, Parameter

PHASES: Final = ("compilation", "training", "measurement", "writing")
"""What a worker spends its time on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker must know besides the pack itself."""

    sweep: str
    """URI or path of the sweep."""
    measure: Measure
    parameters: Mapping[str, Parameter]
    sources: Mapping[str, bytes] = field(default_factory=dict)
    """Content of the user's files, by the name that the grid uses."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """What stands for the files of each task and model that is the user's, by the value that names it."""
    git_commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileWork:
    """A tile to train: positions in the pack, and how many trials its program takes."""

    rows: IntArray
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Why a worker cannot go on with any pack."""

    error: str
    of_machine: bool
    """Whether its machine is at fault, instead of what it was asked to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a pack is."""

    trials_done: float
    """Trials' worth of training done, fractions included."""
    resumed: float = 0.0
    """What of it came with a checkpoint."""
    failed: int
    diverged: int
    error: str
    """The error of the first failed trial; empty where none failed."""
    done: bool
    spent: Mapping[str, float] = field(default_factory=dict)
    """Seconds of this worker, by `PHASES`."""
    notice: str = ""
    """What was given up to go on, such as the size of a tile."""
