"""Parameters, trials and their identity.

A trial is a flat record of named values. `Trials` holds many of them by column, so that a
grid of a million trials stays a few hundred megabytes, and hashes columns, not objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from hashlib import blake2b
from types import GenericAlias
from typing import Annotated, Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from phasediag.arrays import IntArray as IntArray  # of the record: public with it
from phasediag.errors import RefusedError
from phasediag.values import Codes as Codes
from phasediag.values import Encoded as Encoded
from phasediag.values import Item as Item
from phasediag.values import TextArray as TextArray
from phasediag.values import Value as Value
from phasediag.values import formatted as formatted
from phasediag.values import integer as integer
from phasediag.values import narrow as narrow
from phasediag.values import number as number
from phasediag.values import numbers as numbers
from phasediag.values import objects as objects
from phasediag.values import rounded as rounded

ENGINE: Final = 1
"""Part of every identity; raised when the same record would train differently."""

Count = Annotated[int, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]

ComponentKind = Literal["task", "model", "optimizer", "schedule"]
KINDS: Final[tuple[ComponentKind, ...]] = get_args(ComponentKind)
"""Parameters whose values name a class: a file of the folder of that name, or one of the user's."""


class Role(StrEnum):
    """What a parameter does to the program that trains its trial."""

    STRUCTURAL = "structural"
    """Changes the program: trials that differ in it never share a tile."""
    BATCHED = "batched"
    """One value a trial inside one program."""
    SWITCHED = "switched"
    """Like batched, where it is not neutral; the neutral value is another program, which does without."""
    DERIVED = "derived"
    """Follows from others; recorded, but no part of the identity."""
    SHORTHAND = "shorthand"
    """Stands instead of another parameter in a grid; a trial records what follows from it, and not itself."""


class Required:
    """Marks a parameter without a default."""

    def __repr__(self) -> str:
        return "required"

    def __reduce__(self) -> str:
        """The one that there is, in every process."""
        return "REQUIRED"


REQUIRED: Final = Required()


@cache
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Pydantic's validator of an annotation, built once."""
    return TypeAdapter(annotation)


@cache
def json_schema(annotation: Any) -> dict[str, Any]:
    """The JSON schema of an annotation, built once."""
    return adapter(annotation).json_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A named value of a trial: what it may be, what it does, what it means."""

    name: str
    type: Any
    """A type or annotation that pydantic validates."""
    default: Value | Required
    neutral: Value | Required
    """Left out of the identity where a trial has it; pinned for ever, whatever the default becomes."""
    role: Role
    meaning: str
    unit: str = ""

    def validate(self, value: object) -> Value:
        """The value in the parameter's own type, floats rounded to 12 digits.

        Raises
        ------
        ValueError
            With pydantic's explanation, where the value is not allowed.
        """
        if isinstance(value, list | tuple):
            return rounded(tuple(self._list(tuple(_plain(item, self.item) for item in value))))
        try:
            checked = adapter(self.type).validate_python(_plain(value, self.kind), strict=True)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from None
        if isinstance(checked, str) and not checked.isprintable():
            raise ValueError("text must be printable, on one line")
        return rounded(checked)

    def validate_all(self, values: Sequence[object]) -> list[Value]:
        """What `validate` makes of each of many values that are no lists, in a fraction of its time.

        Raises
        ------
        ValueError
            Where any of them is not allowed.
        """
        if any(isinstance(value, list | tuple) for value in values):
            raise ValueError("lists are validated one by one")
        kind, several = self.kind, adapter(GenericAlias(list, (self.type,)))
        try:
            checked = several.validate_python([_plain(value, kind) for value in values], strict=True)
        except ValidationError as error:
            raise ValueError(f"{error.error_count()} of them are not allowed") from None
        if any(isinstance(value, str) and not value.isprintable() for value in checked):
            raise ValueError("text must be printable, on one line")
        return [rounded(value) for value in checked]

    def argument(self, value: Value) -> Value | list[Item]:
        """The value as a constructor wants it whose argument has the parameter's type: a list as a list."""
        if not isinstance(value, tuple):
            return value
        made: list[Item] | tuple[Item, ...] = self._list(value)
        return made

    def _list(self, items: tuple[Item, ...]) -> Any:
        """The items as a tuple, or as a list where the type wants one."""
        texts = [item for item in items if isinstance(item, str)]
        if any(not text.isprintable() or set(text) & set(",[]") for text in texts):
            raise ValueError("texts of a list must be printable, on one line, without commas and brackets")
        try:
            return adapter(self.type).validate_python(items, strict=True)
        except ValidationError as error:
            try:
                return adapter(self.type).validate_python(list(items), strict=True)
            except ValidationError:
                raise ValueError(error.errors()[0]["msg"]) from None

    @property
    def kind(self) -> type:
        """The plain Python type of a value: bool, int, float, str or tuple."""
        schema = json_schema(self.type)
        names = {option.get("type") for option in schema.get("anyOf", [schema])}
        for name, kind in (("string", str), ("boolean", bool), ("number", float), ("integer", int)):
            if name in names:
                return kind
        return tuple

    @property
    def item(self) -> type:
        """The plain Python type of what a list holds: bool, int, float or str; float where it is no list."""
        schema = json_schema(self.type)
        listed = [option for option in schema.get("anyOf", [schema]) if option.get("type") == "array"]
        return _item(listed[0])[0] if listed else float

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        schema = json_schema(self.type)
        return " or ".join(_describe(option) for option in schema.get("anyOf", [schema]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A rule between parameters, checked on every combination that a grid contains."""

    parameters: tuple[str, ...]
    """The parameters concerned; a fault is reported at the first."""
    fault: Callable[..., RefusedError | str | None]
    """Takes their values in this order; returns what is wrong (and what to do about it), or None."""


_ITEMS: Final[Mapping[str, tuple[type, str]]] = {
    "string": (str, "texts"), "boolean": (bool, "true or false"), "integer": (int, "whole numbers"),
    "number": (float, "numbers"),
}  # fmt: skip


def _item(schema: Mapping[str, Any]) -> tuple[type, str]:
    """What a list of this JSON schema holds, and the word for several of them.

    Raises
    ------
    KeyError
        Where it does not say, or holds lists, or values of several types.
    """
    (kind,) = {item["type"] for item in schema.get("prefixItems", ())} or {schema["items"]["type"]}
    return _ITEMS[kind]


def _plain(value: Any, kind: type) -> Any:
    """The value, an integer as a float and a whole float as an integer where the other is wanted."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value


def _describe(schema: Mapping[str, Any]) -> str:
    """What a JSON schema admits, in words; a KeyError where a value of it is none of a trial's."""
    if "enum" in schema:
        return "one of " + ", ".join(str(v) for v in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "format" in schema:
        raise KeyError(schema["format"])  # a date or a path, written as text
    if schema["type"] == "array":
        return f"a list of {_item(schema)[1]}"
    noun = {
        "integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text",
        "null": "null",
    }[schema["type"]]  # fmt: skip
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_bound(schema[key])}" for key, sign in bounds.items() if key in schema]
    return " ".join([noun, " and ".join(limits)]).strip()


def _bound(value: float) -> str:
    """As it is written in the code: pydantic 2.8 has made a float of it where the parameter is one."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Records:
    """What many trials are trained with, by column; every array has shape (trials,)."""

    columns: Mapping[str, Encoded]
    """Every parameter's column, by name; a parameter that a trial's task or model lacks is None."""
    replicate: IntArray
    grid_seed: IntArray

    def __len__(self) -> int:
        return len(self.replicate)

    @property
    def seed(self) -> IntArray:
        """The seed of each trial's random streams, int64, shape (trials,)."""
        seeds = np.empty(len(self), dtype=np.int64)
        for grid_seed in set(self.grid_seed.tolist()):
            rows = self.grid_seed == grid_seed
            replicates = self.replicate[rows]
            present = np.flatnonzero(np.bincount(replicates))
            of_replicate = np.zeros(present[-1] + 1, dtype=np.int64)
            of_replicate[present] = [replicate_seed(grid_seed, int(r)) for r in present]
            seeds[rows] = of_replicate[replicates]
        return seeds

    def take(self, rows: npt.NDArray[Any]) -> Records:
        """The chosen trials: integer positions or a boolean mask, shape (trials,)."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return Records(
            columns={name: column.take(rows) for name, column in self.columns.items()},
            replicate=self.replicate[rows], grid_seed=self.grid_seed[rows],
        )  # fmt: skip

    def record(self, row: int) -> dict[str, Value]:
        """The parameters of one trial, by name."""
        return {name: column[row] for name, column in self.columns.items()}

    def records(self) -> list[dict[str, Value]]:
        """The parameters of every trial, by name."""
        count = len(self)
        columns = [
            [column.pool[0]] * count
            if column.codes is None
            else [column.pool[code] for code in column.codes.tolist()]
            for column in self.columns.values()
        ]
        names = tuple(self.columns)
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def values(self, name: str) -> npt.NDArray[Any]:
        """One parameter over all trials, shape (trials,)."""
        return self.columns[name].values(len(self))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials(Records):
    """Many trials, by column, with their ids."""

    trial_id: TextArray
    """Hexadecimal text, 32 digits."""
    point_id: TextArray

    def take(self, rows: npt.NDArray[Any]) -> Trials:
        """The chosen trials: integer positions or a boolean mask, shape (trials,)."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        taken = Records.take(self, rows)
        return Trials(
            columns=taken.columns, replicate=taken.replicate, grid_seed=taken.grid_seed,
            trial_id=self.trial_id[rows], point_id=self.point_id[rows],
        )  # fmt: skip

    def of(self, rows: npt.NDArray[Any]) -> Trials:
        """As `take`: what packs are cut from need not be made yet, and these are."""
        return self.take(rows)

    def trials(self) -> Trials:
        """All of them."""
        return self

    def everything(self) -> Records:
        """All of them."""
        return self

    def blocks(self) -> Iterator[Records]:
        """All of them, in one block."""
        yield self

    def ids(self) -> list[str]:
        """Their ids."""
        texts: list[str] = self.trial_id.tolist()
        return texts


def label_noise_parameters(noise: bool = True, *, classes: bool = False) -> tuple[Parameter, ...]:
    """The parameters `label_noise`, of classes or of numbers, and, where a task can be finite, `noise`."""
    label_noise = Parameter(
        name="label_noise", type=NonNegativeFloat, default=0.0, neutral=0.0, role=Role.BATCHED,
        unit="targets", meaning="Standard deviation of the noise added to the targets.",
    )  # fmt: skip
    if classes:
        label_noise = replace(
            label_noise, type=Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)], unit="labels",
            meaning="Share of the labels that are drawn anew, evenly among the classes.",
        )  # fmt: skip
    kind = Parameter(
        name="noise", type=Literal["quenched", "fresh"] | None, default=None, neutral=REQUIRED,
        role=Role.STRUCTURAL, meaning="Label noise drawn once, or at every step; fresh where data are fresh.",
    )  # fmt: skip
    return (label_noise, kind) if noise else (label_noise,)


def replicate_seed(grid_seed: int, replicate: int) -> int:
    """The `seed` column: 63 bits from the grid's seed and the replicate, and from nothing else."""
    digest = blake2b(f"seed={grid_seed}\nreplicate={replicate}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


Stream = Literal["teacher", "data", "test", "init", "batch", "noise", "control", "chance", "kick"]


@dataclass(frozen=True, slots=True)
class Streams:
    """The random streams of one replicate: each a function of (seed, stream, position) alone."""

    seed: int
    data_seed: int | None = None

    def generator(self, stream: Stream, position: int = 0) -> np.random.Generator:
        """A generator for block `position` of a stream; blocks never overlap (2^64 draws each)."""
        pinned = self.data_seed is not None and stream in ("teacher", "data", "test")
        text = f"data_seed={self.data_seed}" if pinned else f"seed={self.seed}"
        key = int.from_bytes(blake2b(f"{text}\nstream={stream}".encode(), digest_size=16).digest(), "big")
        return np.random.Generator(np.random.Philox(key=key, counter=[0, position, 0, 0]))
