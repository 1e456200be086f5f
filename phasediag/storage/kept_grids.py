"""The grids of a sweep, with the user's files that they name, their trials, and whether they are whole.

`grids/0001.seal.json` holds the text of `grids/0001.yaml` once more, and the hashes of the files in
`grids/0001`: a grid of which one is damaged goes on with the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa

from phasediag.storage.damage import Damage, DamagedError, warn_of
from phasediag.storage.folder import Folder, named_path, stored_path
from phasediag.storage.roster import Roster, key_of, read_roster, roster_file, roster_name, roster_state
from phasediag.storage.seal import UnsoundError, UnsoundState, sealed_text, unsealed_text

GRIDS: Final = "grids"
SEAL: Final = ".seal.json"
GRID: Final = ".yaml"


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The hash of each file."""
    return {name: blake2b(content, digest_size=16).hexdigest() for name, content in files.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSeal:
    """What was kept of a grid when it was recorded."""

    sweep: str
    text: str
    files: Mapping[str, str]
    """The hash of each of the user's files, by its path as the grid names it."""

    def content(self) -> bytes:
        """As it is written."""
        return sealed_text({"sweep": self.sweep, "text": self.text, "files": dict(self.files)})

    @classmethod
    def parse(cls, text: bytes) -> GridSeal:
        """The seal in a text.

        Raises
        ------
        UnsoundError
            Where it is none.
        """
        content, is_sealed = unsealed_text(text)
        try:
            if not is_sealed:
                raise KeyError("seal")
            files = {str(name): str(digest) for name, digest in content["files"].items()}
            return cls(sweep=str(content["sweep"]), text=str(content["text"]), files=files)
        except (KeyError, TypeError, AttributeError):
            raise UnsoundError("damaged", "it is no seal of a grid") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGrid:
    """A recorded grid, as far as it can be believed."""

    name: str
    """`0001.yaml` for the first."""
    text: str | None
    """None where it is of another sweep, or cannot be read."""
    seal: GridSeal | None
    damage: tuple[Damage, ...] = ()
    """What is wrong with its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGrids:
    """The folder `grids` of a sweep."""

    sweep: Folder

    @property
    def folder(self) -> Folder:
        """Where they lie."""
        return self.sweep / GRIDS

    def beside(self, name: str) -> Folder:
        """The folder of a grid's files."""
        return self.folder / PurePosixPath(name).stem

    def names(self) -> list[str]:
        """Every grid, oldest first."""
        names = {
            f"{entry.name.removesuffix(ending)}{GRID}"
            for entry in self.folder.entries()
            for ending in (GRID, SEAL)
            if entry.name.endswith(ending) and entry.name.removesuffix(ending).isdigit()
        }
        return sorted(names, key=lambda name: (int(name[: -len(GRID)]), name))

    def every(self, sweep_id: str) -> list[KeptGrid]:
        """Every grid, oldest first, with what is wrong with it.

        Parameters
        ----------
        sweep_id
            The id of the sweep; empty where it has none.
        """
        return [self._kept(name, sweep_id) for name in self.names()]

    def texts(self, sweep_id: str) -> list[tuple[str, str]]:
        """Every grid that can be believed, as (name, text), oldest first.

        Raises
        ------
        DamagedError
            Where a grid cannot be read at all.

        Warns
        -----
        DamageWarning
            Of what is damaged, and of grids of other sweeps, which are left out.
        """
        every = self.every(sweep_id)
        for grid in every:
            if grid.text is None and all(damage.state != "foreign" for damage in grid.damage):
                raise DamagedError(self.sweep.uri, grid.damage[0])
        warn_of(self.sweep.uri, [damage for grid in every for damage in grid.damage])
        return [(grid.name, grid.text) for grid in every if grid.text is not None]

    def seal(self, name: str) -> GridSeal | None:
        """The seal of a grid; None where it has none that can be believed."""
        with suppress(FileNotFoundError, UnsoundError):
            return GridSeal.parse(self.folder.read(seal_name(name)))
        return None

    def sources(self, name: str) -> dict[str, bytes]:
        """The user's files recorded with a grid, by their path as the grid names it.

        Raises
        ------
        DamagedError
            Where one is not as it was recorded.
        """
        held = self._held(name)
        seal = self.seal(name)
        if seal is None:
            return held
        digests = digests_of({file: content for file, content in held.items() if file in seal.files})
        for file, digest in seal.files.items():
            if digests.get(file) != digest:
                damage = self._damage_of_source(name, file, file in digests)
                raise DamagedError(self.sweep.uri, damage)
        return {file: held[file] for file in seal.files}

    def digests(self, name: str) -> dict[str, str]:
        """The hash of each of the user's files of a grid, as they were recorded."""
        seal = self.seal(name)
        return digests_of(self._held(name)) if seal is None else dict(seal.files)

    def roster(self, name: str, text: str, columns: Collection[str] | None = ()) -> pa.Table | None:
        """The trials of a grid, as kept beside it; None where the grid must be expanded for them."""
        try:
            content = self.folder.read(roster_name(name))
        except FileNotFoundError:
            return None
        return read_roster(content, key_of(text, self.digests(name)), columns)

    def save(self, text: str, files: Mapping[str, bytes], roster: Roster | None, sweep_id: str) -> str:
        """Record a grid, or complete one that is recorded already; its name."""
        known, digests = self.texts(sweep_id), digests_of(files)
        name = self._recorded(text, digests, known)
        if name is None:
            number = max((int(PurePosixPath(name).stem) for name in self.names()), default=0) + 1
            name = f"{number:04d}{GRID}"
            self.beside(name).clear()
        self._make_good(name, GridSeal(sweep=sweep_id, text=text, files=digests), files)
        if roster is not None and self.roster(name, text) is None:
            self.folder.write(roster_name(name), *roster_file(roster, key_of(text, digests)))
        return name

    def seal_all(self, sweep_id: str) -> None:
        """Write the seals of grids that have none, and texts that are damaged; delete rosters without one."""
        for grid in self.every(sweep_id):
            roster = self._bytes(roster_name(grid.name))
            if roster is not None and roster_state(roster)[0] != "intact":
                self.folder.delete(roster_name(grid.name))
            if grid.text is not None and (grid.seal is None or grid.damage):
                seal = grid.seal or GridSeal(
                    sweep=sweep_id, text=grid.text, files=digests_of(self._held(grid.name))
                )
                self._make_good(grid.name, seal, {})

    def _make_good(self, name: str, seal: GridSeal, files: Mapping[str, bytes]) -> None:
        """Write what is not there as it should be; the grid counts once its files are there."""
        held = digests_of(self._held(name)) if files else {}
        for file, content in files.items():
            if held.get(file) != seal.files[file]:
                self.beside(name).write(stored_path(file), content)
        for file, content in ((seal_name(name), seal.content()), (name, seal.text.encode())):
            if self._bytes(file) != content:
                self.folder.write(file, content)

    def _recorded(
        self, text: str, digests: Mapping[str, str], known: Sequence[tuple[str, str]]
    ) -> str | None:
        """The name of a grid that is recorded, unless a later one has other content for a file of it."""
        for name, recorded in reversed(known):
            held = self.digests(name)
            if recorded == text and held == digests:
                return name
            if any(held.get(file, digest) != digest for file, digest in digests.items()):
                return None
        return None

    def _kept(self, name: str, sweep_id: str) -> KeptGrid:
        content, seal, damage = self._bytes(name), None, []
        try:
            held = self._bytes(seal_name(name))
            seal = None if held is None else GridSeal.parse(held)
        except UnsoundError as error:
            path = f"{GRIDS}/{seal_name(name)}"
            damage.append(Damage(path=path, state=error.state, why=error.why, copied=True))
        path = f"{GRIDS}/{name}"
        if seal is not None and sweep_id and seal.sweep != sweep_id:
            alone = content is None or content == seal.text.encode()
            wrong = path if alone else f"{GRIDS}/{seal_name(name)}"
            foreign = Damage(path=wrong, state="foreign", why="it is of another sweep", copied=not alone)
            if alone:
                return KeptGrid(name=name, text=None, seal=None, damage=(foreign,))
            damage, seal = [foreign], None
        if seal is not None:
            if content is None or content != seal.text.encode():
                state: UnsoundState = "missing" if content is None else "damaged"
                why = "it is not the text that was launched, which is kept beside it"
                damage.append(Damage(path=path, state=state, why=why, copied=True))
            return KeptGrid(name=name, text=seal.text, seal=seal, damage=tuple(damage))
        try:
            if content is None:
                return KeptGrid(name=name, text=None, seal=None, damage=tuple(damage))
            return KeptGrid(name=name, text=content.decode(), seal=None, damage=tuple(damage))
        except UnicodeDecodeError:
            damage.append(Damage(path=path, state="damaged", why="it is no text"))
            return KeptGrid(name=name, text=None, seal=None, damage=(damage[-1],))

    def _held(self, name: str) -> dict[str, bytes]:
        beside = self.beside(name)
        return {named_path(file): beside.read(file) for file in beside.files()}

    def _bytes(self, name: str) -> bytes | None:
        try:
            return self.folder.read(name)
        except FileNotFoundError:
            return None

    def damaged_sources(self, name: str) -> list[Damage]:
        """The user's files of a grid that are not as they were recorded."""
        seal = self.seal(name)
        if seal is None:
            return []
        held = digests_of(self._held(name))
        return [
            self._damage_of_source(name, file, file in held)
            for file, digest in seal.files.items()
            if held.get(file) != digest
        ]

    def _damage_of_source(self, name: str, file: str, there: bool) -> Damage:
        path = f"{GRIDS}/{PurePosixPath(name).stem}/{stored_path(file)}"
        if not there:
            return Damage(path=path, state="missing", why=f"the grid {name} rests on it")
        return Damage(path=path, state="damaged", why="it is not the file that was launched")


def seal_name(grid: str) -> str:
    """The file that holds the seal of a grid: `0001.seal.json` of `0001.yaml`."""
    return f"{PurePosixPath(grid).stem}{SEAL}"
