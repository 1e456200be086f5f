"""The last weights of trials, kept beside their rows: one safetensors file a pack.

A file holds, of each *group* of trials with networks of one size, arrays with a leading axis of trials under
`GROUP/NAME`; which trial has which row stands in its metadata, as JSON, beside a hash of all the rest. Any
reader of safetensors opens it. Known without torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.storage.damage import WEIGHTS, DamagedError, damage_of
from phasediag.storage.folder import Folder
from phasediag.storage.seal import DIGEST_BYTES, UnsoundError

ENDING: Final = ".safetensors"
FORMAT: Final = "phasediag weights 1"
STATE: Final = "state/"
"""How the name of what training goes on from begins: `state/weights/NAME`, `state/moments/MOMENT/NAME`."""
WEIGHTS_THEMSELVES: Final = "weights/"
"""How the names of the weights of a network begin where they are not what is trained, or not all of it is."""
_LENGTH_BYTES: Final = 8
"""How a safetensors file begins: the length of its header."""

NamedArrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptGroup:
    """What is kept of trials whose networks have one size."""

    trial_ids: tuple[str, ...]
    arrays: NamedArrays
    """By name, each with a leading axis of these trials."""

    @property
    def form(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """What groups have in common that can be one: names, types and shapes."""
        return tuple((n, array.dtype.str, array.shape[1:]) for n, array in sorted(self.arrays.items()))

    def of(self, trial_ids: Collection[str]) -> KeptGroup:
        """What is kept of some of the trials."""
        rows = [row for row, each in enumerate(self.trial_ids) if each in trial_ids]
        return KeptGroup(
            trial_ids=tuple(self.trial_ids[row] for row in rows),
            arrays={name: array[rows] for name, array in self.arrays.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What is kept of the trials of a pack."""

    groups: tuple[KeptGroup, ...] = ()

    @property
    def trial_ids(self) -> frozenset[str]:
        """The trials of which something is kept."""
        return frozenset(each for group in self.groups for each in group.trial_ids)

    @classmethod
    def joined(cls, parts: Iterable[Kept]) -> Kept:
        """What is kept of the trials of all parts; groups of one form become one."""
        forms: dict[Any, list[KeptGroup]] = {}
        for group in (group for part in parts for group in part.groups if group.trial_ids):
            forms.setdefault(group.form, []).append(group)
        return cls(
            groups=tuple(
                KeptGroup(
                    trial_ids=tuple(each for group in groups for each in group.trial_ids),
                    arrays={
                        name: np.concatenate([group.arrays[name] for group in groups])
                        for name in groups[0].arrays
                    },
                )
                for groups in forms.values()
            )
        )

    def of(self, trial_ids: Collection[str]) -> Kept:
        """What is kept of some of the trials."""
        chosen = frozenset(trial_ids)
        return Kept.joined([Kept(groups=tuple(group.of(chosen) for group in self.groups))])

    def trial(self, trial_id: str) -> dict[str, npt.NDArray[Any]] | None:
        """What is kept of one trial, without the leading axis; None where nothing is."""
        for group in self.groups:
            if trial_id in group.trial_ids:
                row = group.trial_ids.index(trial_id)
                return {name: array[row] for name, array in group.arrays.items()}
        return None

    def weights(self, trial_id: str) -> dict[str, npt.NDArray[Any]] | None:
        """The weights of a trial's network, by the names of its `state_dict`; None: not kept."""
        kept = self.trial(trial_id)
        if kept is None:
            return None
        apart = any(name.startswith(WEIGHTS_THEMSELVES) for name in kept)
        start = WEIGHTS_THEMSELVES if apart else f"{STATE}weights/"
        return {n.removeprefix(start): array for n, array in kept.items() if n.startswith(start)}

    def content(self, **stated: str) -> bytes:
        """The file as bytes; `stated` is what it says of itself besides: its sweep and its pack."""
        import safetensors.numpy  # only where weights are kept

        arrays = {
            f"{number}/{name}": np.ascontiguousarray(array)
            for number, group in enumerate(self.groups)
            for name, array in group.arrays.items()
        }
        said = {"format": FORMAT, "trials": json.dumps([group.trial_ids for group in self.groups]), **stated}
        return safetensors.numpy.save(arrays, {**said, "digest": _digest(said, arrays)})

    @classmethod
    def parse(cls, content: bytes, **stated: str) -> Kept:
        """What `content` gave, once it is sure that it is whole.

        Parameters
        ----------
        stated
            What it must say of itself; empty: whatever.

        Raises
        ------
        UnsoundError
            Where it is damaged, or says something else.
        """
        import safetensors.numpy  # only where weights are kept

        try:
            said = _metadata(content)
            arrays = safetensors.numpy.load(content)
            genuine = said.pop("digest") == _digest(said, arrays)
            listed = [tuple(map(str, ids)) for ids in json.loads(said["trials"])]
        except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
            raise UnsoundError("damaged", "it is cut off, or no file of weights") from error
        if not genuine:
            raise UnsoundError("damaged", "its checksum is wrong")
        if said["format"] != FORMAT:
            raise UnsoundError("newer", f"it is of the format {said['format']!r}")
        for name, value in stated.items():
            if value and said.get(name) != value:
                raise UnsoundError("foreign", f"it was written for another {name}")
        groups = [KeptGroup(trial_ids=ids, arrays=_inside(n, arrays)) for n, ids in enumerate(listed)]
        return cls(groups=tuple(groups))


def _inside(number: int, arrays: NamedArrays) -> dict[str, npt.NDArray[Any]]:
    start = f"{number}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _metadata(content: bytes) -> dict[str, str]:
    """What a safetensors file says of itself."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    return dict(json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])["__metadata__"])


def _digest(said: Mapping[str, str], arrays: NamedArrays) -> str:
    digest = blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=DIGEST_BYTES)
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_kept(folder: Folder, pack_id: str, kept: Kept, sweep_id: str) -> None:
    """Write what is kept of the trials of a pack, or delete its file where that is nothing.

    Parameters
    ----------
    folder
        Of a sweep, or of what was moved out of it.

    Raises
    ------
    StoreError
        Where it cannot be written.
    """
    if kept.trial_ids:
        (folder / WEIGHTS).write(f"{pack_id}{ENDING}", kept.content(sweep=sweep_id, pack=pack_id))
    else:
        (folder / WEIGHTS).delete(f"{pack_id}{ENDING}")


def read_kept(folder: Folder, pack_id: str, sweep_id: str = "") -> Kept:
    """What is kept of the trials of a pack; nothing where there is no file.

    Parameters
    ----------
    sweep_id
        Of which sweep it must be; empty: of any.

    Raises
    ------
    DamagedError
        Where it is damaged, or of another sweep.
    StoreError
        Where it cannot be read.
    """
    file = f"{pack_id}{ENDING}"
    try:
        return Kept.parse((folder / WEIGHTS).read(file), sweep=sweep_id, pack=pack_id)
    except FileNotFoundError:
        return Kept()
    except UnsoundError as error:
        raise DamagedError(folder.uri, damage_of(f"{WEIGHTS}/{file}", error)) from None


def packs_with_weights(folder: Folder) -> Iterator[str]:
    """The packs of which weights are kept."""
    for entry in (folder / WEIGHTS).entries():
        if entry.name.endswith(ENDING):
            yield entry.name.removesuffix(ENDING)
