"""An axis as written (list, values, linspace, logspace, arange, product) to the values it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Final

import numpy as np

from phasediag.errors import RefusedError, nearest
from phasediag.grids.catalogue import all_validated, validated
from phasediag.grids.nodes import Node, Report, as_yaml
from phasediag.trial import Parameter, Value, formatted, rounded
from phasediag.values import LARGEST

FORMS: Final = (
    "a list, {values: [..]}, {linspace: [a, b], num: n}, {logspace: [a, b], num: n}, "
    "{arange: [a, b, step]} or, of lists, {product: [axis, axis, ..]}"
)
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "values": ("values",),
    "linspace": ("linspace", "num"),
    "logspace": ("logspace", "num"),
    "arange": ("arange",),
    "product": ("product",),
}
_OF_TYPES: Final = "Input should be"
"""How pydantic tells what `allowed` says in the words of a grid."""
_TINY: Final = 1e-9
BLOCK: Final = 1000
"""Values that are judged together."""
MANY: Final = 100
"""Fewer values are judged one by one, which takes no longer."""


def axis_values(
    node: Node, key: str, declarations: Sequence[Parameter], report: Report, limit: int
) -> tuple[Value, ...] | None:
    """The values of an axis, in their parameter's type and rounded to 12 digits.

    Parameters
    ----------
    node
        The axis as written, without `hold`.
    declarations
        Every declaration of the parameter; each must admit every value.
    limit
        The largest number of values.

    Returns
    -------
    The values; None where there are faults, which stand in `report`.
    """
    items = _items(node, key, report, limit)
    if items is None:
        return None
    if not items:
        report.add(node.line, key, "has no values", f"an axis is {FORMS}, with at least one value")
        return None
    flat = [item for _, item in items if not isinstance(item, list)]
    if flat and all(declaration.kind is tuple for declaration in declarations):
        remedy = "its values are lists of numbers: write {values: [[..], [..]]} or {product: [axis, axis]}"
        report.add(node.line, key, f"{flat[0]} is not a list", remedy)
        return None
    before = (len(report.faults), report.further)
    values = _judged(items, key, declarations, report)
    if (len(report.faults), report.further) == before:
        _note_duplicates(values, [line for line, _ in items], key, report)
    return tuple(values) if (len(report.faults), report.further) == before else None


def _judged(
    items: Sequence[tuple[int, object]], key: str, declarations: Sequence[Parameter], report: Report
) -> list[Value]:
    """The values, by blocks; one by one where a block holds what is not allowed.

    Where so many faults are known that no more are told, what stands behind such a block is not looked at.
    """
    values: list[Value] = []
    for start in range(0, len(items), BLOCK):
        block = items[start : start + BLOCK]
        together = _together(block, declarations)
        if together is None:
            values += [read_value(item, line, key, declarations, report) for line, item in block]
            if report.full and start + BLOCK < len(items):
                report.cut = True
                break
        else:
            values += together
    return values


def _together(block: Sequence[tuple[int, object]], declarations: Sequence[Parameter]) -> list[Value] | None:
    """The values of a block; None where one of them is not allowed, or it is no faster than one by one."""
    if len(block) < MANY:
        return None
    try:
        return all_validated([item for _, item in block], declarations)
    except ValueError:
        return None


def read_value(item: object, line: int, key: str, declarations: Sequence[Parameter], report: Report) -> Value:
    """One value in its parameter's type; None and a fault where it is not allowed."""
    try:
        return validated(item, declarations)
    except ValueError as error:
        allowed = " and ".join(dict.fromkeys(d.allowed for d in declarations))
        why = "" if str(error).startswith(_OF_TYPES) else f" ({error})"
        hint = nearest(item, _choices(allowed)) if isinstance(item, str) else ""
        report.add(
            line, key, f"{as_yaml(item)[:80]} is not allowed{why}", f"{hint} allowed: {allowed}".strip()
        )
        return None


def _choices(allowed: str) -> list[str]:
    """The texts that a parameter may have; none where it may have any."""
    return re.split(r", | or ", allowed.removeprefix("one of ")) if allowed.startswith("one of ") else []


def _note_duplicates(values: Sequence[Value], lines: Sequence[int], key: str, report: Report) -> None:
    seen: set[str] = set()
    for value, line in zip(values, lines, strict=True):
        text = formatted(value)
        if text in seen:
            report.add(line, key, f"{text} stands twice (rounded to 12 digits)", "remove one of the two")
        seen.add(text)


def _items(node: Node, key: str, report: Report, limit: int) -> list[tuple[int, object]] | None:
    """The values as written or computed, each with its line."""
    if isinstance(node.content, tuple):
        return [(item.line, item.plain) for item in node.content]
    if not isinstance(node.content, dict):
        report.add(node.line, key, f"{node.shown} is not an axis", f"write {FORMS}, or move it to fixed")
        return None
    forms = [form for form in _KEYS if form in node.content]
    if len(forms) != 1:
        report.add(node.line, key, f"{node.shown} is not an axis", f"an axis is {FORMS}")
        return None
    (form,) = forms
    for name, child in node.content.items():
        if name not in _KEYS[form]:
            report.unknown(child.line, f"{key}.{name}", name, list(_KEYS[form]))
            return None
    inner = node.content[form]
    if form == "values":
        if isinstance(inner.content, tuple):
            return [(item.line, item.plain) for item in inner.content]
        report.add(inner.line, f"{key}.values", f"{inner.shown} is not a list", "write values: [a, b, ...]")
        return None
    if form == "product":
        return _product(inner, f"{key}.product", report, limit)
    try:
        points = _COMPUTE[form](node, limit)
    except RefusedError as refusal:
        report.add(inner.line, f"{key}.{form}", refusal.problem, refusal.remedy)
        return None
    return [(inner.line, rounded(float(point))) for point in points]


def _product(node: Node, key: str, report: Report, limit: int) -> list[tuple[int, object]] | None:
    """Lists of one value from each of several axes, in every combination, the last axis fastest."""
    if not isinstance(node.content, tuple) or not node.content:
        remedy = "write product: [axis, axis, ..], one axis for each place of the list"
        report.add(node.line, key, f"{node.shown} is not a list of axes", remedy)
        return None
    places = [_items(child, f"{key}[{i}]", report, limit) for i, child in enumerate(node.content)]
    axes = [[value for _, value in place] for place in places if place is not None]
    if len(axes) < len(places):
        return None
    count = prod(len(axis) for axis in axes)
    if count > limit:
        remedy = "take fewer values or raise max_trials"
        report.add(node.line, key, f"has {count} values, more than max_trials {limit}", remedy)
        return None
    return [(node.line, list(values)) for values in product(*axes)]


def _linspace(node: Node, limit: int) -> Sequence[float]:
    (a, b), num = _numbers(node, "linspace", 2), _num(node, limit)
    _check_span(a, b, num)
    return [float(value) for value in np.linspace(a, b, num)]


def _logspace(node: Node, limit: int) -> Sequence[float]:
    (a, b), num = _numbers(node, "logspace", 2), _num(node, limit)
    if a <= 0 or b <= 0:
        raise RefusedError(
            f"the end points {a:g} and {b:g} are not both positive", "give values, not exponents"
        )
    _check_span(a, b, num)
    return [float(value) for value in np.geomspace(a, b, num)]


def _arange(node: Node, limit: int) -> Sequence[float]:
    a, b, step = _numbers(node, "arange", 3)
    if step == 0 or (b - a) / step <= 0:
        raise RefusedError(f"leads from {a:g} to {b:g} by {step:g}, through no value", "the step points to b")
    steps = (b - a) / step
    if steps > limit:
        raise RefusedError(
            f"has about {steps:.3g} values, more than max_trials {limit}", "take a larger step"
        )
    rounded = round(steps)
    count = rounded if abs(steps - rounded) <= _TINY * max(1.0, steps) else int(np.ceil(steps))
    return [a + step * index for index in range(count)]


_COMPUTE: Final[dict[str, Callable[[Node, int], Sequence[float]]]] = {
    "linspace": _linspace, "logspace": _logspace, "arange": _arange,
}  # fmt: skip


def _numbers(node: Node, form: str, count: int) -> list[float]:
    assert isinstance(node.content, dict)
    values = node.content[form].plain
    right = isinstance(values, list) and len(values) == count
    if not right or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        pattern = "[a, b, step]" if count == 3 else "[a, b]"
        raise RefusedError(f"{node.content[form].shown} is not {count} numbers", f"write {form}: {pattern}")
    if not all(abs(v) <= LARGEST for v in values):
        raise RefusedError(
            f"{node.content[form].shown} is too large or not finite", f"stay below {LARGEST:g}"
        )
    return [float(v) for v in values]


def _num(node: Node, limit: int) -> int:
    assert isinstance(node.content, dict)
    if "num" not in node.content:
        raise RefusedError("has no num", "add num: the number of values")
    num = node.content["num"].plain
    if not isinstance(num, int) or isinstance(num, bool) or num < 1:
        raise RefusedError(f"num {num} is not allowed", "num is a whole number >= 1")
    if num > limit:
        raise RefusedError(
            f"num {num} is more than max_trials {limit}", "take fewer values or raise max_trials"
        )
    return num


def _check_span(a: float, b: float, num: int) -> None:
    if num == 1 and a != b:
        raise RefusedError(f"one value cannot reach from {a:g} to {b:g}", f"raise num or write [{a:g}]")
    if num > 1 and a == b:
        raise RefusedError(
            f"{num} values between {a:g} and {b:g} are the same", "widen the span or set num: 1"
        )
