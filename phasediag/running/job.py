"""What a worker is given, and what it reports; known without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from phasediag.grids.lot import Expansion
from phasediag.grids.measure import Measure
from phasediag.trial import IntArray, Parameter

if TYPE_CHECKING:
    from phasediag.packing.machine import Machine
    from phasediag.packing.pack import Pack

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
    keep: float = 0.0
    """The share of the trials whose last weights are kept."""
    git_commit: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    """What a machine that trains must have in common with the launch (`running.software`)."""
    expansion: Expansion | None = None
    """Makes the trials of a pack that comes without them; None where all come with them."""
    sweep_id: str = ""
    """The id of the sweep, once it is recorded: what lies elsewhere, or in its place, is not written to."""
    token: str = ""
    """What the lease of the sweep holds: a machine that reads it shares the storage. Empty: not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileWork:
    """A tile to train: positions in the pack, and how many trials its program takes."""

    rows: IntArray
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Why a worker cannot go on with its pack, or with any."""

    error: str
    of_machine: bool
    """Whether its machine is at fault, instead of what it was asked to do."""
    of_tile: bool = False
    """Whether it is that all trials of a tile raised: another machine tells whose fault that is."""
    of_process: bool = False
    """Whether nothing runs in the worker's process any more, as after an error of a GPU."""

    @property
    def of_storage(self) -> bool:
        """Whether it is the storage that does not take what was trained."""
        return not (self.of_machine or self.of_tile or self.of_process)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """Where one worker trains, as it tells of itself."""

    host: str
    """The name of its machine."""
    node: str
    """What stands for the machine: workers of one node fail together."""
    machine: Machine
    """What it has, as projections see it."""
    refusal: str = ""
    """Why it must not train: it has other software than the launch, or another storage; empty: it may."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackClaim:
    """A pack that one worker trains and nobody else."""

    pack: Pack
    final: bool = True
    """Whether trials that raise have failed by that, even if all of a tile do."""
    accepted: frozenset[str] = frozenset()
    """Errors that are known to be the trials' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker tells at the end of a slice of time."""

    place: WorkerPlace
    progress: Progress | None = None
    """The progress of the worker's pack; None where it has none."""
    breakdown: Breakdown | None = None
    """Why it gives its pack back."""


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
