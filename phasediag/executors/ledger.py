"""Which packs wait, and who has which: workers claim one after the other.

One object for every executor: it knows neither Ray nor the store. A worker's place has at most one pack; a
pack is with one place at most. One thread gives packs out; others, which tell how a launch goes, may ask
meanwhile what waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from phasediag.packing.stock import PACK_SECONDS, Stock, next_pack

if TYPE_CHECKING:
    from phasediag.packing.machine import Machine
    from phasediag.packing.pack import Pack
    from phasediag.packing.structure import Structure

MOST_PLACES: Final = 1000
"""For which a launch asks a cluster: about as many as one Tune loop serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Work of one program that nobody has claimed."""

    structure: Structure
    seconds: float
    """The projected seconds of all that waits."""
    each: float
    """The projected seconds of one of its packs, roughly the smallest."""
    compiled: bool


class Ledger:
    """The packs of a launch that wait, and those that are claimed.

    Parameters
    ----------
    stocks
        Trials from which packs are cut as they are claimed.
    packs
        To be handed out first, as they are: those with checkpoints.
    machine
        What workers have, as far as it is known before any has told.
    """

    def __init__(self, stocks: Sequence[Stock], packs: Sequence[Pack], machine: Machine) -> None:
        self.stocks, self.machine = stocks, machine
        self._ready = deque(packs)
        self._held: dict[str, Pack] = {}
        self._changing = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether nothing waits and nobody has anything."""
        return not self._held and not self.left

    @property
    def left(self) -> bool:
        """Whether something waits."""
        return bool(self._ready) or any(len(stock) for stock in self.stocks)

    @property
    def claimed(self) -> int:
        """Places that have a pack."""
        return len(self._held)

    def held(self, place: str) -> Pack | None:
        """What a place has claimed."""
        return self._held.get(place)

    def claim(
        self, place: str, machine: Machine, pace: float = 1.0, may: Callable[[Pack], bool] = lambda pack: True
    ) -> Pack | None:
        """Give a place its next pack: one that was given back, or one that is cut for its machine.

        Parameters
        ----------
        pace
            Seconds that the place takes for a projected one.
        may
            Whether it is to have a pack that was given back.

        Returns
        -------
        None where there is none for it now.
        """
        assert place not in self._held, place
        with self._changing:
            again = next((pack for pack in self._ready if may(pack)), None)
            if again is not None:
                self._ready.remove(again)
            taken = again or next_pack(self.stocks, machine, pace)
        if taken is not None:
            self._held[place] = taken
        return taken

    def finish(self, place: str) -> None:
        """Take in that a place has trained and committed its pack."""
        del self._held[place]

    def end(self, place: str) -> Pack | None:
        """End the claim of a place that has not finished; gives back what it had."""
        return self._held.pop(place, None)

    def offer(self, packs: Sequence[Pack]) -> None:
        """Let packs be claimed before all others."""
        with self._changing:
            self._ready.extendleft(reversed(packs))

    def waiting(self) -> list[Waiting]:
        """What nobody has claimed, program by program; any thread may ask."""
        with self._changing:
            return [*map(_given_back, self._ready), *(self._left_of(s) for s in self.stocks if len(s))]

    def _left_of(self, stock: Stock) -> Waiting:
        return Waiting(
            structure=stock.structure, seconds=stock.seconds(self.machine),
            each=stock.last_seconds(self.machine), compiled=stock.way(self.machine).compiled,
        )  # fmt: skip

    def staff(self, workers: int) -> None:
        """Let packs be cut for so many workers."""
        with self._changing:
            for stock in self.stocks:
                stock.staff(workers)

    def useful(self, machine: Machine) -> int:
        """How many such machines a launch asks a cluster for: each has `PACK_SECONDS` of what waits."""
        seconds = sum(stock.seconds(machine) for stock in self.stocks)
        seconds += sum(pack.projected_seconds for pack in self._ready)
        return max(1, min(MOST_PLACES, round(seconds / PACK_SECONDS)))

    def places(self, workers: int) -> int:
        """How many of so many workers find a pack that waits."""
        parts = len(self._ready)
        for stock in self.stocks:
            parts += stock.parts(self.machine, workers)
            if parts >= workers:
                return workers
        return parts


def _given_back(pack: Pack) -> Waiting:
    seconds = pack.projected_seconds
    return Waiting(structure=pack.structure, seconds=seconds, each=seconds, compiled=pack.compiled)
