"""The reference of parameters and the JSON schema of a grid, from the declarations themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from typing import Any, Final, cast, get_args

from pydantic.json_schema import models_json_schema

from phasediag.errors import PhasediagError, nearest
from phasediag.grids.catalogue import LARGEST_INT, all_declarations
from phasediag.grids.ramps import RampSection, unfit
from phasediag.grids.rules import SHORTHANDS, Hold
from phasediag.grids.sections import KeepSection, MeasureSection, Resources
from phasediag.grids.top_level import MAX_TRIALS, NAME_PATTERN, WEIGHTS
from phasediag.parameters import TRAINING
from phasediag.ramp import RAMP
from phasediag.registry import built_in, component
from phasediag.trial import KINDS, REQUIRED, ComponentKind, Parameter, Required, Role, formatted, json_schema

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_USER_COMPONENT: Final = {"type": "string", "pattern": r".+(\.py:[A-Za-z_][A-Za-z0-9_]*|\.npz)$"}
_NULL: Final = {"type": "null"}
_HERE: Final = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow:
    """One line of the reference of parameters."""

    name: str
    belongs: str
    """`training`, `ramp` (of trials with one), `task X`, `model X` or another kind of class."""
    type: str
    """What may be given, in words."""
    unit: str
    default: str
    role: Role
    meaning: str


def parameter_table(name: str | None = None) -> list[ParameterRow]:
    """The reference of parameters.

    Parameters
    ----------
    name
        A parameter, a task, a model, an optimizer, a schedule; None for everything. Some classes have no
        parameters.

    Raises
    ------
    PhasediagError
        Where nothing has this name.
    """
    rows = [_row(parameter, "training") for parameter in TRAINING]
    for kind in KINDS:
        for part in built_in(kind):
            declared = component(kind, part, _HERE).parameters.values()
            rows += [_row(parameter, f"{kind} {part}") for parameter in declared]
    rows += [_row(parameter, "ramp") for parameter in RAMP]
    if name is None:
        return rows
    named = [row for row in rows if name == row.name or name in row.belongs.split()[1:]]
    if not named and not components_named(name):
        parts = [part for kind in KINDS for part in built_in(kind)]
        hint = nearest(name, [*(row.name for row in rows), *parts]) or "`phasediag parameters` lists all"
        raise PhasediagError(
            f"there is no parameter, {', '.join(KINDS[:-1])} or {KINDS[-1]} '{name}'; {hint}"
        )
    return named


def described(belongs: str) -> str:
    """What a class of phasediag is, as it says itself; empty of what is no class.

    Parameters
    ----------
    belongs
        As of a `ParameterRow`: `task mnist`.
    """
    kind, _, name = belongs.partition(" ")
    if not name:
        return ""
    text = getdoc(component(cast(ComponentKind, kind), name, _HERE).cls) or ""
    return " ".join(text.partition("\nParameters\n---")[0].split())


def components_named(name: str) -> list[str]:
    """The classes of phasediag of this name, each as `described` takes it: `schedule linear`."""
    return [f"{kind} {name}" for kind in KINDS if name in built_in(kind)]


def _row(parameter: Parameter, belongs: str) -> ParameterRow:
    return ParameterRow(
        name=parameter.name, belongs=belongs, type=parameter.allowed, unit=parameter.unit,
        default=_default(parameter), role=parameter.role, meaning=parameter.meaning,
    )  # fmt: skip


def _default(parameter: Parameter) -> str:
    if isinstance(parameter.default, Required):
        return "required"
    follows = parameter.default is None and parameter.role in (Role.DERIVED, Role.SHORTHAND)
    return "follows from others" if follows else formatted(parameter.default)


def grid_schema() -> Schema:
    """The JSON schema (draft 2020-12) of grid.yaml.

    It knows the keys and the types of built-in classes. Where a grid names a user's file
    it admits further parameters. What depends on combinations of values is left to `read_grid`.
    """
    sections, definitions = models_json_schema(
        [(each, "validation") for each in (MeasureSection, KeepSection, Resources, RampSection)],
        ref_template="#/$defs/{model}",
    )
    named: dict[str, tuple[Parameter, ...]] = {p.name: (p,) for p in TRAINING}
    for name, declared in all_declarations(_HERE).items():
        named.setdefault(name, declared)
    values = {name: _value(name, declared) for name, declared in named.items()}
    walked = sorted(name for name, declared in named.items() if not unfit(name, declared))
    varying = {name: declared for name, declared in named.items() if name not in SHORTHANDS}
    axes = {name: _axis(name, declared, values[name]) for name, declared in varying.items()}
    return {
        "$schema": DIALECT,
        "title": "phasediag grid",
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": NAME_PATTERN, "description": "Folder of the sweep."},
            **{
                key: {**schema, "anyOf": [*schema["anyOf"], _NULL]}
                for key, schema in _optional(values, axes).items()
            },
            "files": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, _NULL],
                "description": "Files that your code reads: shipped, kept and hashed with it.",
            },
            "ramp": {"anyOf": [sections[RampSection, "validation"], _NULL]},
            "measure": {"anyOf": [sections[MeasureSection, "validation"], _NULL]},
            "keep": {
                "anyOf": [{"const": WEIGHTS}, sections[KeepSection, "validation"], _NULL],
                "description": "The last weights of all trials, or of a share, are kept beside their rows.",
            },
            "resources": {"anyOf": [sections[Resources, "validation"], _NULL]},
        },
        "if": {"not": {"anyOf": _names_user_files()}},
        "then": _closed(sorted(named), sorted(varying), walked),
        "$defs": definitions["$defs"],
    }


def _optional(values: dict[str, Schema], axes: dict[str, Schema]) -> dict[str, Schema]:
    """The optional keys of the top level, each as alternatives."""
    names = {"type": "array", "minItems": 2, "items": {"type": "string"}}
    ratio = values["lr_over_batch"]
    fixed = {**values, "lr_over_batch": {"anyOf": [ratio, _held({"value": ratio})]}}
    varying = {name: value for name, value in values.items() if name in axes}
    point = {"type": "object", "minProperties": 1, "properties": varying}
    return {
        "fixed": {"anyOf": [{"type": "object", "properties": fixed}],
                  "description": "Parameters with one value."},
        "axes": {"anyOf": [{"type": "object", "properties": axes}],
                 "description": "Parameters with several values; all combinations are trained."},
        "zip": {"anyOf": [{"type": "array", "items": names}], "description": "Axes that move together."},
        "exclude": {"anyOf": [{"type": "array", "items": {"type": "string"}}],
                    "description": "Conditions over parameters; points for which one holds are left out."},
        "points": {"anyOf": [{"type": "array", "minItems": 1, "items": point}, {"type": "string"}],
                   "description": "Explicit points, or a Parquet file of them."},
        "replicates": {"anyOf": [{"type": "integer", "minimum": 1}], "default": 1,
                       "description": "Independent seeds at every point."},
        "seed": {"anyOf": [{"type": "integer", "minimum": -LARGEST_INT, "maximum": LARGEST_INT}],
                 "default": 0, "description": "Seed of all replicates."},
        "max_trials": {"anyOf": [{"type": "integer", "minimum": 1}], "default": MAX_TRIALS,
                       "description": "More trials than this are refused."},
    }  # fmt: skip


def _value(name: str, declared: Sequence[Parameter]) -> Schema:
    """One value of a parameter, as any of its declarations admits it."""
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is not None:
        schema: Schema = {"anyOf": [{"enum": list(built_in(kind))}, _USER_COMPONENT]}
    else:
        schema = _any_of(json_schema(parameter.type) for parameter in declared)
    first = declared[0]
    unit = f" Unit: {first.unit}." if first.unit else ""
    schema["description"] = f"{first.meaning}{unit} {first.role.capitalize()}."
    agreed = all(parameter.default == first.default for parameter in declared)
    if agreed and first.default is not REQUIRED and first.default is not None:
        schema["default"] = list(first.default) if isinstance(first.default, tuple) else first.default
    return schema


def _any_of(schemas: Iterable[Schema]) -> Schema:
    distinct: list[Schema] = []
    for schema in schemas:
        if schema not in distinct:
            distinct.append(deepcopy(schema))
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _axis(name: str, declared: Sequence[Parameter], value: Schema) -> Schema:
    """The forms of an axis of a parameter."""
    item = {key: part for key, part in value.items() if key not in ("description", "default")}
    values = {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}
    forms: list[Schema] = [{"values": values}]
    if any(parameter.kind in (int, float) for parameter in declared):
        forms += _spans()
    if any(parameter.kind is tuple for parameter in declared):
        numbers = {"type": "array", "minItems": 1, "items": {"type": "number"}}
        places = [numbers, *(_object(form) for form in ({"values": numbers}, *_spans()))]
        forms.append({"product": {"type": "array", "minItems": 1, "items": {"anyOf": places}}})
    objects = [_held(form) if name == "lr_over_batch" else _object(form) for form in forms]
    return {"anyOf": [values, *objects], "description": value["description"]}


def _spans() -> list[Schema]:
    """The forms of an axis that compute its numbers."""
    ends = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}
    positive = {**ends, "items": {"type": "number", "exclusiveMinimum": 0}}
    range_ = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}}
    num = {"type": "integer", "minimum": 1}
    return [{"linspace": ends, "num": num}, {"logspace": positive, "num": num}, {"arange": range_}]


def _object(properties: Schema) -> Schema:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _held(properties: Schema) -> Schema:
    """The form with the optional key `hold` of lr_over_batch."""
    form = _object(properties)
    return {**form, "properties": {**properties, "hold": {"enum": list(get_args(Hold))}}}


def _names_user_files() -> list[Schema]:
    """The grids that name a file of the user's."""
    among = {"type": "array", "contains": _USER_COMPONENT}
    listed = {"anyOf": [among, _with("values", among)]}
    conditions: list[Schema] = [{**_with("points", {"type": "string"})}]
    for kind in KINDS:
        conditions.append(_with("fixed", _with(kind, _USER_COMPONENT)))
        conditions.append(_with("axes", _with(kind, listed)))
        conditions.append(_with("points", {"type": "array", "contains": _with(kind, _USER_COMPONENT)}))
    return conditions


def _with(key: str, schema: Schema) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: schema}}


def _closed(names: Sequence[str], varying: Sequence[str], walked: Sequence[str]) -> Schema:
    """No parameters but these, of which some may vary, and some be those of a ramp."""
    fixed, known = ({"propertyNames": {"enum": list(some)}} for some in (names, varying))
    return {"properties": {"fixed": fixed, "axes": known, "points": {"items": known},
                           "ramp": {"properties": {"parameter": {"enum": list(walked)}}}}}  # fmt: skip
