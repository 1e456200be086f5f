"""Which Parquet files make up a sweep at this moment.

A fragment is what one pack left: `trials/<pack_id>.parquet` and `measurements/<pack_id>.parquet`.
Compaction merges fragments into `merged-*.parquet` files and names in the manifest which merged
files count and which fragments they hold. One rule keeps the two apart: a fragment that the
manifest does not hold replaces all merged rows of its pack. Another one keeps them whole: trials whose
measurements are gone are gone, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from phasediag.errors import StoreError
from phasediag.storage.damage import Damage, DamagedError, warn_of
from phasediag.storage.folder import Entry, Folder
from phasediag.storage.manifest import KINDS, MANIFEST, Kind, Manifest, read_manifest
from phasediag.storage.opening import MERGED, SUFFIX, Source, stated_seal

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of a sweep at one moment."""

    manifest: Manifest
    live: Mapping[Kind, Mapping[str, Entry]]
    """Fragments beside the manifest, by pack."""
    damage: tuple[Damage, ...] = ()
    """What listing the files shows already."""
    met: list[Damage] = field(default_factory=list)
    """The files that could not be believed when they were read."""

    def sources(self, kind: Kind) -> list[Source]:
        """All files of one kind, merged ones first."""
        live, gone = self.live[kind], {damage.path for damage in self.damage}
        lost = self.unmeasured() if kind == "trials" else frozenset()
        return [
            *(
                self.source(f"{kind}/{m.name}", m.packs & (live.keys() | lost))
                for m in self.manifest.merged[kind]
                if f"{kind}/{m.name}" not in gone
            ),
            *(self.source(f"{kind}/{entry.name}") for pack, entry in live.items() if pack not in lost),
        ]

    def sources_of(self, kind: Kind, packs: Collection[str]) -> list[Source]:
        """The files of one kind in which rows of some packs stand."""
        names = {m.name for m in self.manifest.merged[kind] if not m.packs.isdisjoint(packs)}
        names |= {self.live[kind][pack].name for pack in packs if pack in self.live[kind]}
        return [source for source in self.sources(kind) if source.path.partition("/")[2] in names]

    def source(self, path: str, without: frozenset[str] = frozenset()) -> Source:
        """One of its files."""
        known = self.manifest
        return Source(path=path, sweep_id=known.sweep, must_be_sealed=known.sealed, without=without)

    def unmeasured(self, unreadable: Collection[str] = ()) -> frozenset[str]:
        """The packs of which trials are there, but no measurements.

        Parameters
        ----------
        unreadable
            Files of measurements that do not count, by their path in the sweep.
        """
        gone = {*unreadable, *(damage.path for damage in self.damage)}
        merged = self.manifest.merged
        left = {pack for pack in self.live["measurements"] if f"measurements/{pack}{SUFFIX}" not in gone}
        left |= self.manifest.unmeasured
        lost: set[str] = set()
        for file in merged["measurements"]:
            (lost if f"measurements/{file.name}" in gone else left).update(file.packs)
        held = set(self.live["trials"])
        # before all was sealed, it was not kept which packs had left no measurements
        held = held.union(*(m.packs for m in merged["trials"])) if self.manifest.sealed else held | lost
        return frozenset(held - left) | (lost - self.live["measurements"].keys())


def snapshot(sweep: Folder) -> Snapshot:
    """The files of a sweep that make up one consistent state, during a launch and a compaction too.

    Trials are listed before measurements: what was committed by then has its measurements.

    Raises
    ------
    DamagedError
        Where the manifest cannot be believed.
    """
    while True:
        before = read_manifest(sweep, lambda: stated_id(sweep))
        listed = {kind: _listed(sweep, kind) for kind in KINDS}
        try:
            after: bytes | None = sweep.read(MANIFEST)
        except FileNotFoundError:
            after = None
        if after == before.text:
            break
    known = before.manifest
    if not known.sweep and not known.generation:
        _check_that_none_is_lost(sweep, listed)
    live = {
        kind: {
            name.removesuffix(SUFFIX): entry
            for name, entry in listed[kind].items()
            if not name.startswith(MERGED)
            and known.absorbed[kind].get(name.removesuffix(SUFFIX)) != entry.stamp
        }
        for kind in KINDS
    }
    view = Snapshot(manifest=known, live=live, damage=(*before.damage, *_unlike(known, listed)))
    alone = sorted(view.unmeasured() & live["trials"].keys())
    absent = [
        Damage(path=f"measurements/{pack}{SUFFIX}", state="missing", why="its trials are there")
        for pack in alone
    ]
    return Snapshot(manifest=known, live=live, damage=(*view.damage, *absent))


def reading(sweep: Folder, work: Callable[[Snapshot], _Result]) -> _Result:
    """What some work on the files of a sweep gives; done again where compactions deleted one meanwhile.

    However often: a reader may stand still while others write.

    Raises
    ------
    StoreError
        Where a file is gone that no compaction has deleted.

    Warns
    -----
    DamageWarning
        Of files that were left out.
    """
    generation: int | None = None
    while True:
        view = snapshot(sweep)
        try:
            result = work(view)
            break
        except FileNotFoundError as error:
            if view.manifest.generation == generation:
                raise StoreError(
                    f"{sweep.uri}: a file disappeared while it was read ({error}); try again, and do not "
                    "delete Parquet files of a sweep by hand"
                ) from error
            generation = view.manifest.generation
    warn_of(sweep.uri, (*view.damage, *view.met))
    return result


def _listed(sweep: Folder, kind: Kind) -> dict[str, Entry]:
    return {entry.name: entry for entry in (sweep / kind).entries() if entry.name.endswith(SUFFIX)}


def _unlike(known: Manifest, listed: Mapping[Kind, Mapping[str, Entry]]) -> Iterator[Damage]:
    """The merged files that are not there, or not of the size that they had."""
    for kind in KINDS:
        for file in known.merged[kind]:
            entry, path = listed[kind].get(file.name), f"{kind}/{file.name}"
            if entry is None:
                yield Damage(path=path, state="missing", why=f"{MANIFEST} names it")
            elif file.size not in (0, entry.size):
                yield Damage(path=path, state="damaged", why=f"it has {entry.size} bytes, not {file.size}")


def _check_that_none_is_lost(sweep: Folder, listed: Mapping[Kind, Mapping[str, Entry]]) -> None:
    """See to it that a sweep without a manifest never had one.

    Raises
    ------
    DamagedError
        Where it has merged files, which count only where a manifest names them.
    """
    for kind in KINDS:
        for name in listed[kind]:
            if name.startswith(MERGED) and stated_seal(sweep, f"{kind}/{name}") is not None:
                why = f"{kind}/{name} counts only where it names it"
                raise DamagedError(sweep.uri, Damage(path=MANIFEST, state="missing", why=why))


def known_id(sweep: Folder) -> str:
    """The id of the sweep, by its manifest; empty where it has none.

    Raises
    ------
    DamagedError
        Where the manifest cannot be believed.
    """
    return read_manifest(sweep, lambda: stated_id(sweep)).manifest.sweep


def stated_id(sweep: Folder) -> str:
    """The id of the sweep that most of its fragments state; empty where none states one."""
    votes: dict[str, int] = {}
    for kind in KINDS:
        for name in _listed(sweep, kind):
            seal = stated_seal(sweep, f"{kind}/{name}")
            if seal is not None:
                votes[seal.sweep] = votes.get(seal.sweep, 0) + 1
    return max(votes, key=votes.__getitem__) if votes else ""
