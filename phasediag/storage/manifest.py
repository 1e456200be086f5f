"""The manifest of a sweep: its id, which merged files count, and which fragments they hold.

It is written twice. A sweep of which one is damaged goes on with the other, which is as new, or older by one
compaction: nothing that an older one names is deleted before both are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from uuid import uuid4

from phasediag.errors import LeaseHeldError, StoreError, SweepGoneError
from phasediag.storage.damage import Damage, DamagedError, damage_of
from phasediag.storage.folder import Folder
from phasediag.storage.lease import take
from phasediag.storage.seal import UnsoundError, sealed_text, unsealed_text

Kind = Literal["trials", "measurements"]
KINDS: Final[tuple[Kind, ...]] = ("trials", "measurements")
MANIFEST: Final = "manifest.json"
COPY: Final = "manifest-copy.json"
COMPACTION: Final = "compact.lease"
"""Who holds it alone writes the manifest, and moves or deletes files that it names."""
VERSION: Final = 2
_PATIENCE_S: Final = 60.0
_MALFORMED: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A file that compaction wrote."""

    name: str
    rows: int
    packs: frozenset[str]
    """The packs that have rows in it."""
    size: int = 0
    """Bytes; 0 where that was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Which sweep this is, which merged files count, and which fragments they hold."""

    sweep: str = ""
    """The id of the sweep, which its files state; empty before there was one."""
    sealed: bool = False
    """Whether every file has a seal, and of every pack it is known whether it left measurements."""
    generation: int = 0
    """Raised by one at every compaction; 0 before the first."""
    merged: Mapping[Kind, tuple[Merged, ...]] = field(
        default_factory=lambda: {"trials": (), "measurements": ()}
    )
    absorbed: Mapping[Kind, Mapping[str, tuple[int, int]]] = field(
        default_factory=lambda: {"trials": {}, "measurements": {}}
    )
    """The stamp of each fragment that was merged, by pack; kept until the next compaction deletes it."""
    unmeasured: frozenset[str] = frozenset()
    """Packs that were merged and had no measurements."""

    def text(self) -> bytes:
        """The manifest as JSON."""
        files = {
            kind: [{"name": m.name, "rows": m.rows, "size": m.size, "packs": sorted(m.packs)} for m in merged]
            for kind, merged in self.merged.items()
        }
        return sealed_text({
            "version": VERSION, "sweep": self.sweep, "sealed": self.sealed, "generation": self.generation,
            "files": files, "unmeasured": sorted(self.unmeasured), "absorbed": dict(self.absorbed),
        })  # fmt: skip

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """The manifest in a JSON text.

        Raises
        ------
        UnsoundError
            Where it is none.
        """
        content, is_sealed = unsealed_text(text)
        version = content.get("version", 1)
        if isinstance(version, int) and version > VERSION:
            raise UnsoundError("newer", f"its version is {version}")
        if version == VERSION and not is_sealed:
            raise UnsoundError("damaged", "its seal is gone")
        try:
            return cls(
                sweep=_text(content["sweep"]), sealed=bool(content["sealed"]),
                unmeasured=frozenset(map(_text, content["unmeasured"])), **_files(content, "files"),
            ) if version == VERSION else cls(**_files(content, "merged"))  # fmt: skip
        except _MALFORMED as error:
            raise UnsoundError("damaged", f"it is not as phasediag writes it: {error!r}") from None


def _files(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What manifests of all versions hold."""
    return {
        "generation": _number(content["generation"]),
        "merged": {
            kind: tuple(
                Merged(
                    name=_text(m["name"]), rows=_number(m["rows"]), size=_number(m.get("size", 0)),
                    packs=frozenset(map(_text, m["packs"])),
                )
                for m in content[key][kind]
            )
            for kind in KINDS
        },
        "absorbed": {
            kind: {
                _text(pack): (_number(stamp[0]), _number(stamp[1]))
                for pack, stamp in content["absorbed"][kind].items()
            }
            for kind in KINDS
        },
    }  # fmt: skip


def _text(value: Any) -> str:
    if not isinstance(value, str) or "/" in value:
        raise TypeError(f"{value!r} is no name")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The manifest of a sweep as it was read."""

    manifest: Manifest
    text: bytes | None
    """The text of the first of its two files; None where there is none."""
    damage: tuple[Damage, ...] = ()
    """What is wrong with one of them."""


def read_manifest(sweep: Folder, witness: Callable[[], str] = str) -> Read:
    """The manifest of a sweep; an empty one where nothing was recorded since there are manifests.

    Parameters
    ----------
    witness
        The id of the sweep as other files state it, empty where none does; asked where the two files are of
        different sweeps.

    Raises
    ------
    DamagedError
        Where neither of its files can be believed.
    """
    texts = {name: _content(sweep, name) for name in (MANIFEST, COPY)}
    if texts[MANIFEST] is not None and texts[MANIFEST] == texts[COPY]:
        texts.pop(COPY)
    sound: dict[str, Manifest] = {}
    damage = []
    for name, text in texts.items():
        try:
            if text is not None:
                sound[name] = Manifest.parse(text)
        except UnsoundError as error:
            if error.state == "newer":
                raise DamagedError(sweep.uri, damage_of(name, error)) from None
            damage.append(replace(damage_of(name, error), copied=True))
    first = texts[MANIFEST]
    if damage and not sound:
        raise DamagedError(sweep.uri, damage[0])
    if not sound:
        return Read(manifest=Manifest(), text=first)
    if MANIFEST not in sound and first is None:
        damage.append(Damage(path=MANIFEST, state="missing", why=f"only {COPY} is there", copied=True))
    chosen, other = sound.get(MANIFEST) or sound[COPY], sound.get(COPY)
    if other is not None and chosen.sweep != other.sweep:
        chosen = _of_this_sweep(sweep, chosen, other, witness())
        name = COPY if chosen is sound[MANIFEST] else MANIFEST
        damage.append(Damage(path=name, state="foreign", why="it is of another sweep", copied=True))
    return Read(manifest=chosen, text=first, damage=tuple(damage))


def _of_this_sweep(sweep: Folder, one: Manifest, other: Manifest, stated: str) -> Manifest:
    for each in (one, other):
        if each.sweep == stated:
            return each
    why = f"{MANIFEST} and {COPY} are of different sweeps, and nothing tells which is of this one"
    raise DamagedError(sweep.uri, Damage(path=MANIFEST, state="foreign", why=why))


def _content(sweep: Folder, name: str) -> bytes | None:
    try:
        return sweep.read(name)
    except FileNotFoundError:
        return None


def write_manifest(sweep: Folder, manifest: Manifest) -> None:
    """Replace the manifest, which counts from its first file on; the caller holds `COMPACTION`."""
    text = manifest.text()
    sweep.write(MANIFEST, text)
    sweep.write(COPY, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lent:
    folder: Folder


@contextmanager
def compacting(sweep: Folder, patience_s: float = 0.0, purpose: str = "compaction") -> Iterator[None]:
    """Hold `COMPACTION` for the time of the block.

    Parameters
    ----------
    patience_s
        How long to wait for who holds it.

    Raises
    ------
    LeaseHeldError
        Where it is held for longer than that.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            lease = take(_Lent(folder=sweep), name=COMPACTION, purpose=purpose)
            break
        except LeaseHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with lease:
        yield


def identity(sweep: Folder, witness: Callable[[], str] = str) -> str:
    """The id of a sweep; given to it here where it has none.

    Raises
    ------
    StoreError
        Where it cannot be read or written.
    """
    known = read_manifest(sweep, witness).manifest
    if known.sweep:
        return known.sweep
    if not sweep.local and not any((sweep / kind).entries() for kind in KINDS):
        write_manifest(sweep, Manifest(sweep=uuid4().hex, sealed=True))
    else:
        with compacting(sweep, _PATIENCE_S, "start"):
            _identify(sweep, witness)
    known = read_manifest(sweep, witness).manifest
    if not known.sweep:
        raise StoreError(f"{sweep.uri}: {MANIFEST} cannot be written; launch again")
    return known.sweep


def expect(sweep: Folder, sweep_id: str) -> None:
    """See to it that this is still the sweep of an id, before something is written to it.

    Raises
    ------
    SweepGoneError
        Where its folder is gone, or another sweep lies there.
    """
    if read_manifest(sweep).manifest.sweep != sweep_id:
        raise SweepGoneError(f"the sweep at {sweep.uri} was moved, removed or replaced meanwhile")


def _identify(sweep: Folder, witness: Callable[[], str]) -> None:
    """Give a sweep an id; one with files of the time before seals is sealed by its next compaction."""
    known = read_manifest(sweep, witness)
    if not known.manifest.sweep:
        empty = known.text is None and not any((sweep / kind).entries() for kind in KINDS)
        sweep_id = witness() or uuid4().hex
        write_manifest(sweep, replace(known.manifest, sweep=sweep_id, sealed=empty))
