"""What is worth a sentence before a launch, though nothing is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from phasediag.columns import RESULT_COLUMNS
from phasediag.grids.design_columns import combinations, value_at
from phasediag.grids.grid import Grid
from phasediag.identity import SHORT
from phasediag.storage.store import Store
from phasediag.trial import KINDS
from phasediag.user_code.imports import SUFFIXES

_LOOKS: Final = ".6g"
"""How a value is printed in a table or beside a tick."""


def notices_of(grid: Grid, store: Store) -> tuple[str, ...]:
    """What a user should read before a grid is launched into a sweep, one sentence each.

    Files of the user's that lie outside of the grid's folder, environment variables that they read,
    versions of their code that the sweep holds besides, records that this launch would make otherwise,
    and values of an axis that nearly coincide.
    """
    notices = [*of_files(grid.outside), *of_variables(grid.variables), *_versions(grid, store)]
    return (*notices, *_recorded_otherwise(grid, store), *_near_values(grid))


def of_files(outside: Sequence[Path]) -> list[str]:
    """What to know of files that code of the user's reads, and that are neither hashed, kept nor shipped."""
    modules = [path for path in outside if path.suffix in SUFFIXES]
    opened = [path for path in outside if path not in modules]
    ways = (
        (opened, "opened", "put it beside the grid and open it by Path(__file__).parent / 'NAME'"),
        (modules, "imported", "put a copy of it, or of its package, beside the grid"),
    )
    return [
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''} is {done} and lies outside of "
        "the grid's folder: it is no part of the record, a change of it is not noticed, and workers need it "
        f"at that place; {remedy}"
        for paths, done, remedy in ways
        if paths
    ]


def of_variables(variables: Mapping[str, str]) -> list[str]:
    """What to know of environment variables that decide what is trained, and that no identity knows.

    Parameters
    ----------
    variables
        By name `file:line`, where each is read.
    """
    if not variables:
        return []
    name, place = next(iter(variables.items()))
    more = f" (others read: {', '.join(list(variables)[1:])})" if len(variables) > 1 else ""
    return [
        f"{place}: the environment variable {name} is read{more}: it is no part of the record, a change "
        "of it is not noticed, and workers need it as it is here; make what depends on it an argument of the "
        "class"
    ]


def _versions(grid: Grid, store: Store) -> list[str]:
    """Other versions of the user's files of which the sweep holds trials."""
    if not grid.sources or not len(store.committed()):
        return []
    named = {f"{kind}_source": kind for kind in KINDS}
    table = store.trials_table(ordered=False, without=set(RESULT_COLUMNS) - set(named))
    held = [(kind, source) for source, kind in named.items() if {kind, source} <= set(table.column_names)]
    pairs = [
        pair for names in held
        for pair in zip(*(table[name].to_pylist() for name in names), strict=True)
    ]  # fmt: skip
    notices = []
    for name, digest in sorted(grid.sources.items()):
        others = Counter(other for value, other in pairs if value == name and other and other != digest)
        if others:
            versions = " and ".join(f"{count:,} trials of {other[:SHORT]}" for other, count in others.items())
            notices.append(
                f"{name}: this is version {digest[:SHORT]} of its files, and the sweep holds {versions}; "
                "diagram, scaling and report take the version that was launched last and say so"
            )
    return notices


def _recorded_otherwise(grid: Grid, store: Store) -> list[str]:
    """Models of which the sweep holds trials from before buffers, frozen weights and own values were kept.

    Such trials have no `model_source`, and the ids that they would have today.
    """
    users = [name for name, model in grid.models.items() if model.source]
    if not users or not len(store.committed()):
        return []
    rows = store.trials_table(("model", "model_source"), ordered=False).to_pydict()
    held = Counter(name for name, digest in zip(*rows.values(), strict=True) if digest is None)
    return [
        f"{name}: {held[name]:,} trials were recorded by a phasediag that kept neither buffers nor frozen "
        "weights nor other values of the constructor, which this model has: their numbers are not those of "
        "your file; launch it under another name"
        for name in users
        if held[name] and _has_more_than_weights(grid, name)
    ]


def _has_more_than_weights(grid: Grid, name: str) -> bool:
    """Whether a model has anything besides weight matrices and biases that are trained."""
    from phasediag.training.network import network_of

    part = next(part for part in grid.parts if part.components["model"].name == name)
    (first,), _ = combinations((), part.shape, part.kept)
    record = {each: value_at(column, int(first), part.shape) for each, column in part.columns.items()}
    network = network_of(record, grid.folder)
    buffers = any(True for _ in network.module.buffers())
    return buffers or bool(network.frozen) or set(network.drawn) != set(network.shapes)


def _near_values(grid: Grid) -> list[str]:
    """Parameters of which two values print alike, as one from single precision and one from double do."""
    notices = []
    for name in sorted(grid.given):
        pools = [part.columns[name].pool for part in grid.parts if name in part.columns]
        values = sorted({v for pool in pools for v in pool if isinstance(v, float)})
        near = [(a, b) for a, b in pairwise(values) if f"{a:{_LOOKS}}" == f"{b:{_LOOKS}}"]
        if near:
            more = f" (and {len(near) - 1} more such pairs)" if len(near) > 1 else ""
            notices.append(
                f"{name}: {near[0][0]!r} and {near[0][1]!r} print alike but are trained as different points"
                f"{more}; round one of them if they are meant to be the same"
            )
    return notices
