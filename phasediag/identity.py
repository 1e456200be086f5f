"""Identity: a trial is the hash of its resolved values, computed by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from phasediag.trial import (
    ENGINE,
    REQUIRED,
    Encoded,
    IntArray,
    Parameter,
    Required,
    Role,
    TextArray,
    Trials,
    Value,
    formatted,
    objects,
)  # fmt: skip

_DIGITS: Final = 13
"""Digits of a hash that make a number, as many as a float holds."""
LENGTH: Final = "steps"
"""The parameter by which a longer trial differs from a shorter one that it passes through."""


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
        names = sorted(name for name in columns if self.parameters[name].role is not Role.DERIVED)
        lines = [self._lines(name, columns[name]) for name in names]
        codes = [columns[name].codes for name in names]
        starts = _run_starts(codes, len(replicate))
        texts = _joined(lines, [None if code is None else code[starts] for code in codes], len(starts))
        pairs = list(zip(replicate.tolist(), grid_seed.tolist(), strict=True))
        tail = {(r, s): f"replicate={r}\nseed={s}\nengine={ENGINE}".encode() for r, s in set(pairs)}
        ends = [*starts[1:].tolist(), len(pairs)]
        points: list[str] = []
        trials: list[str] = []
        for text, start, end in zip(texts, starts.tolist(), ends, strict=True):
            shared = blake2b(text.encode(), digest_size=16)
            points += [_continued(shared, f"engine={ENGINE}".encode())] * (end - start)
            trials += [_continued(shared, tail[pair]) for pair in pairs[start:end]]
        return np.array(trials, dtype=object), np.array(points, dtype=object)

    def _lines(self, name: str, column: Encoded) -> list[str]:
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


def course_ids(trials: Trials, identity: Identity, measured: str) -> TextArray:
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
    within = share * 16**_DIGITS
    return np.array([int(each[:_DIGITS], 16) < within for each in courses.tolist()], dtype=bool)


def names_a_file(name: str) -> bool:
    """Whether the value of a task or a model names a file of the user's."""
    return ":" in name or name.endswith(".npz")


def _value(value: Value | Required) -> Value:
    assert not isinstance(value, Required)
    return value


def _run_starts(codes: Iterable[IntArray | None], count: int) -> IntArray:
    """The rows that differ in some column from the row before them, the first included."""
    changed = np.zeros(count, dtype=bool)
    changed[:1] = True
    for code in codes:
        if code is not None:
            changed[1:] |= code[1:] != code[:-1]
    return np.flatnonzero(changed)


def _joined(pools: list[list[str]], codes: list[IntArray | None], count: int) -> Iterator[str]:
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
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _continued(shared: blake2b, rest: bytes) -> str:
    """The digest of a text whose beginning is hashed already."""
    digest = shared.copy()
    digest.update(rest)
    return digest.hexdigest()


def pack_id(trial_ids: Iterable[str]) -> str:
    """The id of a pack: a hash of its sorted trial ids."""
    return _digest("\n".join(sorted(trial_ids)))
