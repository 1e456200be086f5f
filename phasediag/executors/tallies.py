"""What a dispatch counts of packs and places."""

from __future__ import annotations

from dataclasses import dataclass

from phasediag.running.job import Breakdown


@dataclass(slots=True)
class Losses:
    """What a pack has lost since it last got further."""

    workers: int = 0
    nodes: int = 0
    reached: float = 0.0
    """Trials' worth of training in the latest checkpoint that was continued."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A pack given back by a place."""

    name: str
    """The place."""
    why: Breakdown


@dataclass(slots=True)
class Pace:
    """How fast a place is."""

    projected: float = 0.0
    """Seconds of what it has trained."""
    took: float = 0.0

    @property
    def factor(self) -> float:
        """Seconds for a projected one; 1 before it has trained anything."""
        return self.took / self.projected if self.projected and self.took else 1.0
