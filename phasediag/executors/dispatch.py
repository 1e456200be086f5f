"""Who trains what next: the ledger's claims, and what becomes of them where a worker or a machine fails.

A machine's fault is no trial's result. A pack that is given back goes to another machine; a machine that has
given back two is benched. Where a worker dies, its pack goes on from its checkpoint elsewhere, as often
as it gets further; one that does not is split until the trial that ends its workers is alone. A pack that is
in the store is trained, whoever had it and has not told so.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from phasediag.errors import StoreError
from phasediag.executors.commits import Commits
from phasediag.executors.ledger import MOST_PLACES, Ledger
from phasediag.executors.tallies import GivenBack, Losses, Pace
from phasediag.executors.watch import Watch
from phasediag.packing.stock import PACK_SECONDS
from phasediag.running.job import Breakdown, Job, PackClaim, Progress, WorkerPlace, WorkerReport
from phasediag.running.splitting import split
from phasediag.storage.store import Store

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack

STRIKES: Final = 2
"""How often a machine may give a pack back, be it the same one; then it is benched."""
WORKER_DEATHS: Final = 2
"""A pack goes to so many more workers after one died under it, if it gets no further; then it is split."""
NODE_LOSSES: Final = 5
"""A pack goes to so many more workers after a machine was lost, if it gets no further; then it is split."""
GATHERING_SECONDS: Final = 120.0
"""Within which the places come that are there as a launch starts; then those that are there are all."""
STARTS: Final = 6
"""Workers that may fail to start, one after the other, before the launch ends: none of them could."""


@dataclass(slots=True, kw_only=True)
class Dispatch:
    """Answers the reports of places, and gives up what is lost."""

    ledger: Ledger
    watch: Watch
    job: Job
    store: Store
    commits: Commits
    """Tells of packs whose places have not."""
    most: int = MOST_PLACES
    """Places at once, at most."""
    least: int = 1
    """Places at least for which packs are cut."""
    expected: int = 1
    """Places that are there as the launch starts."""
    grows: bool = False
    """Whether more may come."""
    strikes: int = 1
    """How often a machine may give a pack back; then it is benched."""
    _present: int = 0
    """Places for which there was room when that was asked last."""
    _met: int = 0
    """Places that there were at once, at most."""
    _first: float | None = None
    """When the first of them had told of itself, in seconds of the clock."""
    _fault: Breakdown | None = None
    """The latest of a machine."""
    _places: dict[str, WorkerPlace] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)
    """The pace of all places together."""
    _paces: defaultdict[str, Pace] = field(default_factory=lambda: defaultdict(Pace))
    _losses: defaultdict[str, Losses] = field(default_factory=lambda: defaultdict(Losses))
    _given_back: defaultdict[str, dict[str, list[GivenBack]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """By node: the packs that it has given back, each time that it has."""
    _accepted: set[str] = field(default_factory=set)
    _returned: set[str] = field(default_factory=set)
    """The packs that wait and were with a place before."""
    _unstarted: int = 0

    def wanted(self, present: int) -> int:
        """How many places are to be asked for.

        All that are there, and of those that would have to come as many as would be busy for `PACK_SECONDS`
        each, at the pace that was measured; none that would find no pack.

        Parameters
        ----------
        present
            Those for which there is room on the machines that are there.
        """
        self._present = present
        seconds = self._pace.factor * sum(each.seconds for each in self.ledger.waiting())
        coming = self.ledger.claimed + round(seconds / PACK_SECONDS) if self.grows else 0
        busy = self.ledger.claimed + self.ledger.places(self.most)
        return max(1, min(self.most, busy, max(present, coming)))

    def answer(self, name: str, report: WorkerReport) -> PackClaim | None:
        """Take in what a place tells, and give it a pack if it has none.

        Parameters
        ----------
        name
            Of the place.

        Returns
        -------
        None where it has one, where there is none for it, and where the launch drains.
        """
        if name not in self._places:
            self._join(name, report.place)
        if report.progress is not None:
            self._take(name, report.progress)
        if report.breakdown is not None:
            self._break(name, report.breakdown)
            if report.breakdown.of_process:
                return None
        if self.ledger.held(name) or self.watch.ending.due():
            return None
        return self._claim(name)

    def lost(self, name: str, error: str, *, of_node: bool = False) -> None:
        """Take in that the worker of a place is gone; another one may come in its stead.

        Parameters
        ----------
        error
            What ended it, in a line.
        of_node
            Whether its machine is gone.
        """
        pack, place = self._ended(name), self._places.pop(name, None)
        if place is None:
            self._count_start(error)
            return
        self._vacate(name)
        where = (
            f"the machine {place.host} was lost" if of_node else f"a worker on {place.host} died ({error})"
        )
        if pack is None:
            self.watch.tell(where, again=True)
            return
        self._count_loss(pack, where, error, of_node=of_node)

    def leave(self, name: str) -> None:
        """Take in that a place goes, and has kept what its pack had reached: nothing is lost."""
        pack, place = self._ended(name), self._places.pop(name, None)
        if place is None:
            return
        self._vacate(name)
        if pack is not None:
            self.watch.forget(pack.pack_id)
            self._return(pack)
            sentence = f"a place on {place.host} ends early; its pack of {len(pack)} trials goes on"
            self.watch.tell(f"{sentence} from its checkpoint", again=True)

    def _count_loss(self, pack: Pack, where: str, error: str, *, of_node: bool = False) -> None:
        """Let a pack go on from its checkpoint, or split it where it got no further too often."""
        self.watch.forget(pack.pack_id)
        losses = self._losses[pack.pack_id]
        losses.nodes, losses.workers = losses.nodes + of_node, losses.workers + (not of_node)
        if losses.workers <= WORKER_DEATHS and losses.nodes <= NODE_LOSSES:
            self._return(pack)
            sentence = f"{where}; its pack of {len(pack)} trials goes on from its checkpoint"
            self.watch.tell(sentence, again=True)
            return
        self._split(pack, where, error)

    def _join(self, name: str, place: WorkerPlace) -> None:
        self._places[name], self._unstarted = place, 0
        self._met = max(self._met, len(self._places))
        self._first = self._first or time.monotonic()
        self._staff()
        if place.refusal:
            refused = Breakdown(error=f"{place.host} cannot train: {place.refusal}", of_machine=True)
            if not self._end_if_all_benched(refused):
                self.watch.tell(f"the machine {place.host} trains nothing: {place.refusal}")

    def _suspect(self, name: str, pack: Pack, breakdown: Breakdown) -> None:
        """Count a pack against a device under it, unless it has broken another machine's as well."""
        place = self._places[name]
        others = [
            packs for node, packs in self._given_back.items() if node != place.node and pack.pack_id in packs
        ]
        for packs in others:
            del packs[pack.pack_id]
        if others:
            return
        self._given_back[place.node][pack.pack_id] = [GivenBack(name, breakdown)]
        if self._benched(place) and not self._end_if_all_benched(breakdown):
            self.watch.tell(f"the machine {place.host} trains nothing more: {breakdown.error}")

    def _vacate(self, name: str) -> None:
        self._paces.pop(name, None)
        self._staff()

    def _staff(self) -> None:
        """Tell how many train: those that are there, once all are that there were as the launch started."""
        there = len(self._places)
        self.watch.staffed(there if self._met >= self.expected else max(there, self.expected))

    def _count_start(self, error: str) -> None:
        """Count a worker that failed before it could tell of itself."""
        self._unstarted += 1
        if self._unstarted < STARTS:
            self.watch.tell(f"a worker could not start: {error}")
        elif not self._places:
            self.watch.ending.fail(Breakdown(error=f"no worker could start: {error}", of_machine=True))

    def _take(self, name: str, progress: Progress) -> None:
        """Take in how far the pack of a place is."""
        pack = self.ledger.held(name)
        if pack is None:
            return
        losses = self._losses.get(pack.pack_id)
        if losses is not None and progress.resumed > losses.reached:
            self._losses[pack.pack_id] = Losses(reached=progress.resumed)
        self.watch.report(pack.pack_id, progress)
        if progress.done:
            self.ledger.finish(name)
            self._measure(name, pack, progress)
            self._settle(name, pack, progress)

    def _settle(self, name: str, pack: Pack, progress: Progress) -> None:
        """Take in that a pack is committed, by this place as far as is known."""
        self._losses.pop(pack.pack_id, None)
        self._returned.discard(pack.pack_id)
        self._judge(pack, progress)
        self._forgive(name)

    def _ended(self, name: str) -> Pack | None:
        """End the claim of a place that has not finished; gives back what is not in the store either."""
        pack = self.ledger.end(name)
        return None if pack is None or self._already_in_store(name, pack) else pack

    def _already_in_store(self, name: str, pack: Pack) -> bool:
        """Let a pack count as trained if it is in the store, though nobody has told so."""
        progress = self.commits.of(pack)
        if progress is None:
            return False
        self.watch.report(pack.pack_id, progress)
        self._settle(name, pack, progress)
        with suppress(StoreError):  # spent, it is dropped by the next launch
            self.store.drop_checkpoint(pack.pack_id)
        return True

    def _return(self, pack: Pack) -> None:
        """Let another place have a pack that was not finished."""
        self._returned.add(pack.pack_id)
        self.ledger.offer([pack])

    def _handed_out(
        self, name: str, place: WorkerPlace, pace: float, may: Callable[[Pack], bool]
    ) -> Pack | None:
        """The next pack for a place; of those that came back none that has turned up in the store since."""
        while True:
            pack = self.ledger.claim(name, place.machine, pace, may)
            if pack is None or pack.pack_id not in self._returned or not self._already_in_store(name, pack):
                return pack
            self.ledger.finish(name)

    def _measure(self, name: str, pack: Pack, progress: Progress) -> None:
        """Take in how fast a place was."""
        share = 1 - progress.resumed / len(pack)
        took = sum(progress.spent.values()) - progress.spent.get("compilation", 0.0)
        for pace in (self._pace, self._paces[name]):
            pace.projected += share * pack.projected_seconds
            pace.took += took

    def _judge(self, pack: Pack, progress: Progress) -> None:
        """Where a pack was given back and is done now: its errors were its own if they came again."""
        for packs in self._given_back.values():
            own = {each.why.error for each in packs.get(pack.pack_id, ()) if each.why.of_tile}
            if own and progress.failed:
                self._accepted |= own
                del packs[pack.pack_id]

    def _forgive(self, name: str) -> None:
        """Forget that the storage refused what a place had trained: it was away, and is there again."""
        node = self._places[name].node
        left = {
            pack_id: [each for each in times if each.name != name or not each.why.of_storage]
            for pack_id, times in self._given_back[node].items()
        }
        self._given_back[node] = {pack_id: times for pack_id, times in left.items() if times}

    def _claim(self, name: str) -> PackClaim | None:
        place = self._places[name]
        if self._benched(place):
            if self._fault is not None:
                self._end_if_all_benched(self._fault)
            return None
        others = {each.node for each in self._places.values() if not self._benched(each)} - {place.node}
        alone = not others and self._gathered

        def may(pack: Pack) -> bool:
            """Whether no other machine should rather have it."""
            if pack.pack_id not in self._given_back[place.node]:
                return True
            tried = all(pack.pack_id in self._given_back[other] for other in others)
            return alone or (bool(others) and tried)

        pace = self._paces.get(name, self._pace)
        if self.grows:
            there = max(self.least, self._present, len(self._places), self.ledger.useful(place.machine))
            self.ledger.staff(min(self.most, there))
        pack = self._handed_out(name, place, pace.factor, may)
        if pack is None:
            return None
        self.watch.begin(pack)
        tried = any(pack.pack_id in packs for packs in self._given_back.values())
        return PackClaim(pack=pack, final=tried or alone, accepted=frozenset(self._accepted))

    def _break(self, name: str, breakdown: Breakdown) -> None:
        """Let a pack go elsewhere, and bench the machine that gives back too many."""
        place, pack = self._places[name], self._ended(name)
        if breakdown.of_process and pack is not None:
            if self.grows:
                self._suspect(name, pack, breakdown)
            self._count_loss(pack, f"{place.host}: {breakdown.error}", breakdown.error)
            return
        if pack is not None:
            self.watch.forget(pack.pack_id)
            self._return(pack)
            self._given_back[place.node].setdefault(pack.pack_id, []).append(GivenBack(name, breakdown))
        if self._end_if_all_benched(breakdown):
            return
        if self._benched(place):
            self.watch.tell(f"the machine {place.host} trains nothing more: {breakdown.error}")
        elif pack is not None:
            self.watch.tell(f"{place.host}: {breakdown.error}: its pack of {len(pack)} trials goes elsewhere")

    def _benched(self, place: WorkerPlace) -> bool:
        given_back = sum(map(len, self._given_back[place.node].values()))
        return bool(place.refusal) or given_back >= self.strikes

    def _end_if_all_benched(self, breakdown: Breakdown) -> bool:
        """End the launch where no machine is left that trains, and none is about to come; whether it does."""
        self._fault = breakdown
        if not self._gathered:
            return False
        places = self._places.values()
        ends = bool(places) and all(self._benched(place) for place in places)
        if ends:
            self.watch.ending.fail(replace(breakdown, of_tile=False))
        return ends

    @property
    def _gathered(self) -> bool:
        """Whether the places have come that are there as the launch starts."""
        if not self.grows or self._met >= self.expected:
            return True
        return self._first is not None and time.monotonic() - self._first > GATHERING_SECONDS

    def _split(self, pack: Pack, where: str, error: str) -> None:
        """Take a pack apart that ends its workers."""
        try:
            parts = split(pack, self.job, self.store, error)
        except StoreError as refused:
            self._return(pack)
            self.watch.tell(f"{where}; its pack of {len(pack)} trials goes on whole: {refused}", again=True)
            return
        del self._losses[pack.pack_id]
        for own, progress in parts.committed:
            self.watch.begin(own)
            self.watch.report(own.pack_id, progress)
        self.ledger.offer(parts.packs)
        if parts.packs:
            sizes = " and ".join(str(len(each)) for each in parts.packs)
            sentence = f"{where}; its pack of {len(pack)} trials is split: {sizes} to train"
            self.watch.tell(sentence, again=True)

    @property
    def over(self) -> bool:
        """Whether nothing is left to train, or the launch drains."""
        return self.ledger.over or self.watch.ending.due()

    @property
    def places(self) -> Mapping[str, WorkerPlace]:
        """The places that have told of themselves and live, by name."""
        return self._places
