"""The state of every file of a sweep, and what is safe to do about it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from phasediag.storage.compaction import compact
from phasediag.storage.damage import QUARANTINE, WEIGHTS, Damage, DamagedError, DamageWarning
from phasediag.storage.folder import TEMPORARY, Folder
from phasediag.storage.fragments import in_parallel, threads_on
from phasediag.storage.kept_grids import GRID, GRIDS, SEAL, KeptGrids
from phasediag.storage.kept_weights import ENDING, packs_with_weights, read_kept
from phasediag.storage.lease import fault_of_lease
from phasediag.storage.lease_file import LEASE
from phasediag.storage.manifest import (
    COMPACTION,
    COPY,
    KINDS,
    MANIFEST,
    Manifest,
    compacting,
    read_manifest,
    write_manifest,
)
from phasediag.storage.opening import MERGED, SUFFIX, Source, examined
from phasediag.storage.quarantine import move_to_quarantine
from phasediag.storage.roster import ROSTER, roster_state
from phasediag.storage.seal import UnsoundError, UnsoundState, bundle_fault
from phasediag.storage.snapshots import Snapshot, known_id, snapshot, stated_id
from phasediag.storage.store import CHECKPOINTS, STATE

LEASES: Final = (LEASE, COMPACTION)

FileStatus = Literal["intact", "unsealed", "replaced", "set aside", "unknown"] | UnsoundState


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """One file of a sweep."""

    path: str
    state: FileStatus
    """`unsealed` was written before there were seals; `replaced` waits for the next compaction."""
    why: str = ""
    copied: bool = False
    """Whether nothing is lost with it."""

    @classmethod
    def of(cls, damage: Damage) -> FileState:
        """The state of a damaged file."""
        return cls(path=damage.path, state=damage.state, why=damage.why, copied=damage.copied)

    @property
    def sound(self) -> bool:
        """Whether nothing need be done about it."""
        return self.state in ("intact", "unsealed", "replaced", "set aside", "unknown")


def examine(sweep: Folder, *, weights: bool = True) -> list[FileState]:
    """The state of every file of a sweep, all of which are read; by path.

    Parameters
    ----------
    weights
        Whether kept weights are read, too.

    Raises
    ------
    StoreError
        Where a file cannot be read.
    """
    states = [*_of_manifest(sweep), *_of_leases(sweep), *_of_checkpoints(sweep)]
    states += _of_weights(sweep) if weights else ()
    try:
        view = snapshot(sweep)
    except DamagedError as error:
        states.append(FileState.of(error.damage))
        view = Snapshot(manifest=Manifest(), live={kind: {} for kind in KINDS})
    states += [*_of_rows(sweep, view), *_of_grids(sweep, view.manifest.sweep)]
    known = {state.path for state in states}
    states += [each for each in _others(sweep) if each.path not in known]
    return sorted({state.path: state for state in states}.values(), key=lambda state: state.path)


def _of_manifest(sweep: Folder) -> Iterator[FileState]:
    try:
        known = read_manifest(sweep, lambda: stated_id(sweep))
        damaged = {damage.path: damage for damage in known.damage}
        if known.manifest.sweep and sweep.entry(COPY) is None:
            yield FileState(path=COPY, state="missing", why=f"{MANIFEST} is there", copied=True)
    except DamagedError as error:
        damaged = {error.damage.path: error.damage}
    for name in (MANIFEST, COPY):
        if name in damaged:
            yield FileState.of(damaged[name])
        elif sweep.entry(name) is not None:
            try:
                sealed = bool(Manifest.parse(sweep.read(name)).sweep)
                yield FileState(path=name, state="intact" if sealed else "unsealed")
            except UnsoundError as error:
                yield FileState(path=name, state=error.state, why=error.why)


def _of_leases(sweep: Folder) -> Iterator[FileState]:
    for name in LEASES:
        if sweep.entry(name) is not None:
            fault = fault_of_lease(sweep, name)
            yield FileState(path=name, state="damaged" if fault else "intact", why=fault, copied=True)


def _known_id(sweep: Folder) -> str:
    """The id of a sweep; empty where its manifest cannot be believed."""
    try:
        return known_id(sweep)
    except DamagedError:
        return ""


def _of_weights(sweep: Folder) -> Iterator[FileState]:
    sweep_id = _known_id(sweep)
    for pack in packs_with_weights(sweep):
        try:
            read_kept(sweep, pack, sweep_id)
        except DamagedError as error:
            yield FileState.of(error.damage)
        else:
            yield FileState(path=f"{WEIGHTS}/{pack}{ENDING}", state="intact")


def _of_checkpoints(sweep: Folder) -> Iterator[FileState]:
    folder, sweep_id = sweep / CHECKPOINTS, _known_id(sweep)
    for file in folder.files():
        path = PurePosixPath(file)
        if path.name == STATE:
            content = (folder / str(path.parent)).read(STATE)
            state, why = bundle_fault(content, pack=str(path.parent), sweep=sweep_id)
            yield FileState(path=f"{CHECKPOINTS}/{file}", state=state, why=why)


def _of_rows(sweep: Folder, view: Snapshot) -> list[FileState]:
    counted = {f"{kind}/{m.name}" for kind in KINDS for m in view.manifest.merged[kind]}
    live = {f"{kind}/{e.name}" for kind in KINDS for e in view.live[kind].values()}
    there = [f"{kind}/{e.name}" for kind in KINDS for e in (sweep / kind).entries()]
    files = [path for path in there if path.endswith(SUFFIX)]
    read = [path for path in files if path in counted | live]
    states = [FileState(path=path, state="replaced") for path in files if path not in counted | live]
    states += in_parallel(lambda path: _of_parquet(sweep, view.source(path)), read, threads_on(sweep))
    return [*states, *map(FileState.of, view.damage)]


def _of_parquet(sweep: Folder, source: Source) -> FileState:
    try:
        sealed = examined(sweep, source).sealed
    except FileNotFoundError:
        return FileState(path=source.path, state="replaced")
    except DamagedError as error:
        return FileState.of(error.damage)
    return FileState(path=source.path, state="intact" if sealed else "unsealed")


def _of_grids(sweep: Folder, sweep_id: str) -> Iterator[FileState]:
    grids = KeptGrids(sweep=sweep)
    for grid in grids.every(sweep_id):
        for damage in grid.damage:
            yield FileState.of(damage)
        wrong = {damage.path for damage in grid.damage}
        stem = grid.name.removesuffix(GRID)
        sealed: FileStatus = "unsealed" if grid.seal is None else "intact"
        each: dict[str, FileStatus] = {
            grid.name: sealed, f"{stem}{SEAL}": "intact", f"{stem}{ROSTER}": "intact"
        }  # fmt: skip
        for file, state in each.items():
            path = f"{GRIDS}/{file}"
            if path in wrong or grids.folder.entry(file) is None:
                continue
            why = ""
            if file.endswith(ROSTER):
                state, why = roster_state(grids.folder.read(file))
            yield FileState(path=path, state=state, why=why, copied=file.endswith(ROSTER))
        damaged = {damage.path: damage for damage in grids.damaged_sources(grid.name)}
        beside = {f"{GRIDS}/{stem}/{file}" for file in grids.beside(grid.name).files()}
        for path in sorted(beside | damaged.keys()):
            yield FileState.of(damaged[path]) if path in damaged else FileState(path=path, state=sealed)


def _others(sweep: Folder) -> Iterator[FileState]:
    """What lies where the record does, and is none of it."""
    folders = [(f"{name}/", sweep / name) for name in (*KINDS, GRIDS, WEIGHTS, QUARANTINE)]
    for start, folder in [("", sweep), *folders]:
        for entry in folder.entries(hidden=True):
            if entry.name.startswith("."):
                if entry.name.endswith(TEMPORARY):
                    yield FileState(path=start + entry.name, state="replaced", why="a write that was cut off")
            elif start.startswith(QUARANTINE):
                yield FileState(path=start + entry.name, state="set aside")
            elif not entry.name.endswith(".log"):
                yield FileState(path=start + entry.name, state="unknown", why="phasediag does not read it")


def repair(sweep: Folder, states: Sequence[FileState]) -> list[str]:
    """Do what is safe about the files that are not sound; what was done, in sentences.

    What cannot be believed is set aside with all that rests on it, so that the next launch trains it again;
    a damaged checkpoint is dropped; what has a copy is written from it. Nothing is deleted that could not be
    made again. Whoever calls holds the lease of the sweep.

    Raises
    ------
    LeaseHeldError
        Where a compaction is running.
    StoreError
        Where a file cannot be moved or written, or a newer phasediag wrote one.
    """
    wrong = [state for state in states if not state.sound]
    if not wrong:
        return []
    newer = next((state for state in wrong if state.state == "newer"), None)
    if newer is not None:
        raise DamagedError(sweep.uri, Damage(path=newer.path, state="newer", why=newer.why))
    with compacting(sweep, purpose="repair"):
        return [*_repaired(sweep, wrong)]


def _repaired(sweep: Folder, wrong: Sequence[FileState]) -> Iterator[str]:
    def moved(states: Iterable[FileState]) -> Iterator[str]:
        for state in states:
            places = move_to_quarantine(sweep, _with_partner(state.path))
            kept = f"set aside as {', '.join(places)}" if places else "nothing is left of it"
            yield f"{state.path} is {state.state} ({state.why}): {kept}"

    rows = [state for state in wrong if state.path.partition("/")[0] in (*KINDS, WEIGHTS)]
    manifests = [state for state in wrong if state.path in (MANIFEST, COPY)]
    if manifests and not any(state.copied for state in manifests):
        yield from moved(manifests)
        move_to_quarantine(sweep, [MANIFEST, COPY])
        yield from moved(_merged_without_manifest(sweep))
    elif manifests:
        write_manifest(sweep, read_manifest(sweep, lambda: stated_id(sweep)).manifest)
        yield f"{manifests[0].path} is {manifests[0].state}: written anew from its copy"
    yield from moved(rows)
    if any(PurePosixPath(state.path).name.startswith(MERGED) for state in rows):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamageWarning)  # of what was just told
            compact(sweep)
    yield from _repaired_rest(sweep, wrong, moved)


def _with_partner(path: str) -> list[str]:
    """A file, and where it is a fragment's the other one of its pack."""
    place = PurePosixPath(path)
    if str(place.parent) not in KINDS or place.name.startswith(MERGED):
        return [path]
    return [f"{kind}/{place.name}" for kind in KINDS]


def _merged_without_manifest(sweep: Folder) -> list[FileState]:
    return [
        FileState(path=f"{kind}/{entry.name}", state="missing", why="no manifest names it")
        for kind in KINDS
        for entry in (sweep / kind).entries()
        if entry.name.startswith(MERGED)
    ]


def _repaired_rest(
    sweep: Folder, wrong: Sequence[FileState], moved: Callable[[Iterable[FileState]], Iterator[str]]
) -> Iterator[str]:
    """Grids and checkpoints."""
    grids, foreign = KeptGrids(sweep=sweep), []
    for state in wrong:
        place = PurePosixPath(state.path)
        if place.parts[0] == CHECKPOINTS:
            (sweep / CHECKPOINTS / place.parts[1]).clear()
            yield f"{state.path} is {state.state} ({state.why}): dropped, its trials begin anew"
        elif state.path.endswith(ROSTER):
            grids.folder.delete(place.name)
            yield f"{state.path} is {state.state}: deleted, it is made again"
        elif place.parts[0] == GRIDS and state.copied:
            yield f"{state.path} is {state.state} ({state.why}): written anew from its copy"
        elif place.parts[0] == GRIDS and len(place.parts) == 2:
            foreign.append(state)
            foreign.append(FileState(path=str(place.with_suffix(SEAL)), state=state.state, why="its seal"))
        elif place.parts[0] == GRIDS:
            yield f"{state.path} is {state.state} ({state.why}): launch its grid again where the file lies"
    yield from moved(foreign)
    sweep_id = known_id(sweep)
    if sweep_id and any(state.path.startswith(f"{GRIDS}/") for state in wrong):
        grids.seal_all(sweep_id)
