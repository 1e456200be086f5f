"""Dicts, tuples and lists of tensors, as one list and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def leaves(nested: Any) -> list[Any]:
    """What dicts, tuples and lists hold, from the first to the last, whatever the depth."""
    into: list[Any] = []
    _collect(nested, into)
    return into


def _collect(nested: Any, into: list[Any]) -> None:
    if isinstance(nested, dict | list | tuple):
        for part in nested.values() if isinstance(nested, dict) else nested:
            _collect(part, into)
    else:
        into.append(nested)


def skeleton(nested: Any) -> Any:
    """A copy of nested dicts, tuples and lists in which None stands for every leaf."""
    return _filled(nested, iter([None] * len(leaves(nested))))


def filled(form: Any, held: Iterable[Any]) -> Any:
    """Dicts, tuples and lists like those of a form, which hold other values in the order of `leaves`.

    Raises
    ------
    ValueError
        Where there are more values than places, or fewer.
    """
    values = iter(held)
    try:
        result = _filled(form, values)
    except StopIteration:
        raise ValueError("fewer values than the form has places") from None
    if next(values, values) is not values:
        raise ValueError("more values than the form has places")
    return result


def _filled(form: Any, values: Iterator[Any]) -> Any:
    if isinstance(form, dict):
        return {key: _filled(part, values) for key, part in form.items()}
    if isinstance(form, list | tuple):
        parts = [_filled(part, values) for part in form]
        if isinstance(form, list):
            return parts
        return type(form)(*parts) if hasattr(form, "_fields") else tuple(parts)
    return next(values)
