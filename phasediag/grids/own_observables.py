"""The user's own observables of a grid: loaded and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phasediag.errors import RefusedError
from phasediag.grids.measure import Measure
from phasediag.grids.nodes import Node, Report
from phasediag.observables.known import UserObservable, user_observable


def read_observables(
    measure: Measure, node: Node | None, folder: Path, report: Report
) -> dict[str, UserObservable]:
    """The observables of a grid that are the user's, by name; what is wrong with one stands in `report`.

    Parameters
    ----------
    node
        The section `measure`; None where the grid has none.
    folder
        Where the files are looked up.
    """
    own: dict[str, UserObservable] = {}
    owners: dict[str, str] = {}
    for name in dict.fromkeys(request.observable for request in measure.observables):
        if ":" not in name:
            continue
        try:
            own[name] = user_observable(name, folder)
            _check_shared(own[name], owners)
        except ValueError as error:
            report.refuse(*_place(node, name), error)
    return own


def _check_shared(own: UserObservable, owners: dict[str, str]) -> None:
    """Refuse a column that another observable fills."""
    for column in own.observable.filled:
        owner = owners.setdefault(column.name, own.name)
        if owner != own.name:
            raise RefusedError(f"{own.name} and {owner} both fill a column '{column.name}'", "rename one")


def _place(node: Node | None, name: str) -> tuple[int, str]:
    """The line and the key where a grid names an observable."""
    key = "measure.observables"
    if node is None or not isinstance(node.content, dict) or "observables" not in node.content:
        return 1, key
    listed = node.content["observables"]
    for index, item in enumerate(listed.content if isinstance(listed.content, tuple) else ()):
        content = item.content
        named = content.get("observable") if isinstance(content, Mapping) else item
        if named is not None and named.content == name:
            return item.line, f"{key}[{index}]"
    return listed.line, key
