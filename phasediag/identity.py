"""Identity: a trial is the hash of its resolved values, computed by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from phasediag.trial import (
    ENGINE,
    REQUIRED,
    Codes,
    Encoded,
    IntArray,
    Parameter,
    Records,
    Required,
    Role,
    TextArray,
    Value,
    formatted,
    narrow,
    objects,
)  # fmt: skip

SHORT: Final = 8
"""Digits of a hash that are shown."""
_LEADING: Final = 13
"""Digits of a hash that make a number, as many as a float holds."""
LENGTH: Final = "steps"
"""The parameter by which a longer trial differs from a shorter one that it passes through."""
ID_BYTES: Final = 16
"""Bytes of an id; as text it has two hexadecimal digits a byte."""
Digests = npt.NDArray[np.uint8]
"""Ids as bytes, shape (trials, ID_BYTES)."""
_NO_DIGIT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the columns of a grid become ids: which lines enter, which values stay out."""

    parameters: Mapping[str, Parameter]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content hash of each user file, by the value (`my_net.py:Net`) that names it."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """What a parameter means where it has meant something else before, by its name: values other than the
    neutral one then count as new."""

    def ids(
        self, columns: Mapping[str, Encoded], replicate: IntArray, grid_seed: IntArray
    ) -> tuple[TextArray, TextArray]:
        """`trial_id` and `point_id` of every row, each shape (trials,)."""
        engine = f"engine={ENGINE}".encode()
        points: list[str] = []
        trials: list[str] = []
        for shared, ends in self._hashes(columns, replicate, grid_seed):
            points += [_continued(shared, engine).hexdigest()] * len(ends)
            trials += [_continued(shared, end).hexdigest() for end in ends]
        return np.array(trials, dtype=object), np.array(points, dtype=object)

    def digests(self, columns: Mapping[str, Encoded], replicate: IntArray, grid_seed: IntArray) -> bytes:
        """What `trial_id` writes out, of every row, `ID_BYTES` each."""
        hashes = self._hashes(columns, replicate, grid_seed)
        return b"".join(_continued(shared, end).digest() for shared, ends in hashes for end in ends)

    def _hashes(
        self, columns: Mapping[str, Encoded], replicate: IntArray, grid_seed: IntArray
    ) -> Iterator[tuple[blake2b, Sequence[bytes]]]:
        """For each run of rows of one point, its hash, and what the trials of the run end in."""
        names = self.names(columns)
        lines = [self.lines(name, columns[name]) for name in names]
        codes = [columns[name].codes for name in names]
        starts = _run_starts(codes, len(replicate))
        texts = _joined(lines, [None if code is None else code[starts] for code in codes], len(starts))
        pairs = list(zip(replicate.tolist(), grid_seed.tolist(), strict=True))
        tail = {(r, s): f"replicate={r}\nseed={s}\nengine={ENGINE}".encode() for r, s in set(pairs)}
        ends = [*starts[1:].tolist(), len(pairs)]
        for text, start, end in zip(texts, starts.tolist(), ends, strict=True):
            yield blake2b(text.encode(), digest_size=ID_BYTES), [tail[pair] for pair in pairs[start:end]]

    def names(self, columns: Iterable[str]) -> list[str]:
        """The parameters that enter, in their order."""
        return sorted(name for name in columns if self.parameters[name].role is not Role.DERIVED)

    def lines(self, name: str, column: Encoded) -> list[str]:
        """The line of each value in the pool, with its newline; empty where it is left out."""
        parameter = self.parameters[name]
        absent = None if parameter.neutral is REQUIRED else formatted(_value(parameter.neutral))
        lines = []
        for value in column.pool:
            text = formatted(value)
            source = self.sources.get(text, "") or self.marks.get(name, "")
            left_out = value is None or text == absent
            lines.append("" if left_out else f"{name}={text}{'@' + source if source else ''}\n")
        return lines


def course_ids(trials: Records, identity: Identity, measured: str) -> TextArray:
    """What trials of all lengths have in common that pass through the same weights, shape (trials,).

    Parameters
    ----------
    measured
        What is measured, in words: a trial goes on from another one where that was measured alike.
    """
    columns = {name: column for name, column in trials.columns.items() if name != LENGTH}
    ids, _ = identity.ids(columns, trials.replicate, trials.grid_seed)
    return np.array([_digest(f"{each}\n{measured}") for each in ids.tolist()], dtype=object)


def share_of(courses: TextArray, share: float) -> npt.NDArray[np.bool_]:
    """Which trials are in a share of all, by their `course_ids`: at every length, or at none."""
    within = share * 16**_LEADING
    return np.array([int(each[:_LEADING], 16) < within for each in courses.tolist()], dtype=bool)


def names_a_file(name: str) -> bool:
    """Whether the value of a task or a model names a file of the user's."""
    return ":" in name or name.endswith(".npz")


def _value(value: Value | Required) -> Value:
    assert not isinstance(value, Required)
    return value


def _run_starts(codes: Iterable[Codes | None], count: int) -> IntArray:
    """The rows that differ in some column from the row before them, the first included."""
    changed = np.zeros(count, dtype=bool)
    changed[:1] = True
    for code in codes:
        if code is not None:
            changed[1:] |= code[1:] != code[:-1]
    return np.flatnonzero(changed)


def _joined(pools: list[list[str]], codes: list[Codes | None], count: int) -> Iterator[str]:
    """The joined lines of each row; runs of constant columns are joined once."""
    parts: list[Iterable[str]] = []
    constant = ""
    for pool, code in zip(pools, codes, strict=True):
        if code is None:
            constant += pool[0]
            continue
        if constant:
            parts.append(repeat(constant, count))
            constant = ""
        parts.append(objects(pool)[code].tolist())
    parts.append(repeat(constant, count))
    return map("".join, zip(*parts, strict=True))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()


def _continued(shared: blake2b, rest: bytes) -> blake2b:
    """The hash of a text whose beginning is hashed already."""
    digest = shared.copy()
    digest.update(rest)
    return digest


def pack_id(trial_ids: Iterable[str]) -> str:
    """The id of a pack: a hash of its sorted trial ids."""
    return _digest("\n".join(sorted(trial_ids)))


class Ids:
    """Many ids, kept as bytes, and where each of them stands.

    Parameters
    ----------
    digests
        Ids as bytes; one that is there more often counts where it stands first.
    """

    def __init__(self, digests: Digests) -> None:
        self._digests = np.ascontiguousarray(digests)
        first = self._halves(self._digests)[:, 0]
        self._order = narrow(np.argsort(first, kind="stable"), len(first))
        self._sorted = first[self._order]
        self._alike = 1
        while (self._sorted[self._alike :] == self._sorted[: -self._alike]).any():
            self._alike += 1

    @staticmethod
    def _halves(digests: Digests) -> npt.NDArray[np.uint64]:
        return digests.view(np.uint64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def distinct(self) -> int:
        """How many they are, each counted once."""
        return int((self.find(self._digests) == np.arange(len(self))).sum())

    def find(self, digests: Digests) -> IntArray:
        """Where each of some ids stands, int64, shape (trials,); -1: nowhere."""
        sought, held = self._halves(np.ascontiguousarray(digests)), self._halves(self._digests)
        at = np.searchsorted(self._sorted, sought[:, 0])
        places = np.full(len(sought), -1, dtype=np.int64)
        for step in range(self._alike if len(held) else 0):
            row = self._order[np.minimum(at + step, len(held) - 1)].astype(np.int64)
            alike = (held[row] == sought).all(axis=1) & (places < 0)
            places[alike] = row[alike]
        return places


def digests_of_text(letters: Digests) -> Digests:
    """Ids as bytes from their letters, shape (trials * 2 * ID_BYTES,).

    What is no id is taken for one of zeros alone, which no trial has.
    """
    digits = _DIGITS[letters.reshape(-1, 2 * ID_BYTES)]
    made: Digests = (digits[:, ::2] << 4 | digits[:, 1::2]).astype(np.uint8, copy=False)
    made[(digits == _NO_DIGIT).any(axis=1)] = 0
    return made


_DIGITS: Final = np.full(256, _NO_DIGIT, dtype=np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)
