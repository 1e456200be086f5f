"""A file of a sweep that cannot be believed: left out, set aside, and never averaged."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from phasediag.errors import RecordsWarning, StoreError
from phasediag.storage.seal import UnsoundError, UnsoundState

QUARANTINE: Final = "quarantine"
"""The folder of a sweep with the files that were set aside."""
WEIGHTS: Final = "weights"
"""The folder of a sweep with the last weights of trials: results do not rest on it."""
NAMED_AT_MOST: Final = 5
"""Files of a sweep that are named in one warning."""


class DamageWarning(RecordsWarning):
    """Some files of a sweep are left out, since they are not as they were written."""

    word = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Damage:
    """One file that cannot be believed."""

    path: str
    """In the sweep."""
    state: UnsoundState
    why: str
    copied: bool = False
    """Whether there is a copy of it, which serves: nothing is lost."""

    def __str__(self) -> str:
        return f"{self.path} is {self.state} ({self.why})"


class DamagedError(StoreError):
    """A file that cannot be believed, where nothing can be done without it."""

    def __init__(self, place: str, damage: Damage) -> None:
        super().__init__(f"{place}/{damage}; {remedy(place, damage)}")
        self.place, self.damage = place, damage

    def __reduce__(self) -> tuple[type[DamagedError], tuple[str, Damage]]:
        return type(self), (self.place, self.damage)


def remedy(place: str, damage: Damage) -> str:
    """What to do about a file that cannot be read."""
    if damage.state == "newer":
        return "a newer phasediag wrote it: read it with that one"
    if damage.path.partition("/")[0] == WEIGHTS:
        return (
            f"restore it from a backup, or run `phasediag verify {place} --repair`, which sets it aside: "
            "results stay, and what would be trained on from it begins at step 0"
        )
    return (
        f"restore it from a backup, or run `phasediag verify {place} --repair`, which sets it aside, and "
        "launch again: what it held is trained once more"
    )


def damage_of(path: str, error: UnsoundError) -> Damage:
    """The damage that an error tells of a file."""
    return Damage(path=path, state=error.state, why=error.why)


def warn_of(place: str, met: Iterable[Damage]) -> None:
    """Warn of the files that were left out of a reading.

    Raises
    ------
    DamagedError
        Where a newer phasediag wrote one: then nothing is known of the sweep.
    """
    every = sorted(set(met))
    for damage in every:
        if damage.state == "newer":
            raise DamagedError(place, damage)
    lost, copied = ([d for d in every if d.copied is copied] for copied in (False, True))
    tells = f"`phasediag verify {place}` tells more"
    if lost:
        text = "what belongs there is left out and counts as missing; the next launch trains it again"
        warnings.warn(f"{place}: {_named(lost)}: {text}; {tells}", DamageWarning, stacklevel=4)
    if copied:
        text = "its copy is taken, so nothing is lost; the next launch restores it"
        warnings.warn(f"{place}: {_named(copied)}: {text}; {tells}", DamageWarning, stacklevel=4)


def _named(every: Sequence[Damage]) -> str:
    more = f" and {len(every) - NAMED_AT_MOST} more" if len(every) > NAMED_AT_MOST else ""
    return ", ".join(map(str, every[:NAMED_AT_MOST])) + more
