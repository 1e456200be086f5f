"""What the grids of a sweep say about which of its trials are the present ones; read without torch.

A file of the user's that was edited between two launches, or another number of steps, leaves trials of
the same points besides each other. The grids are numbered in the order in which they were launched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow.compute as pc

from phasediag.grids.nodes import Report, parse_mapping
from phasediag.parameters import TRAINING
from phasediag.registry import source_hash
from phasediag.storage.roster import given_of, sources_of
from phasediag.storage.store import Store
from phasediag.trial import KINDS

LENGTHS: Final = ("steps", "learning_time")
"""Parameters that say how long a trial is trained."""
RELAXATIONS: Final = "relaxations"
"""What a grid may give instead of them: times in which what decays decays."""
LAUNCHES: Final = "phasediag_launches"
"""The attribute of a frame of trials with what the grids of its sweep say, in plain types."""
MARK: Final = "# phasediag refine"
"""How the grid of a refinement begins."""
LONGER: Final = "# phasediag extend "
"""How the grid of an extension begins, before the factor and the grid that it extends."""
UNTIL: Final = ": until converged, at most "
"""What follows in the grid of a round of training until all points are settled, before the largest factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """The grids of a sweep, oldest first."""

    sources: Mapping[str, Sequence[str]]
    """The hashes of each class that is the user's, oldest first, by the value that names it."""
    lengths: Sequence[tuple[str, float]]
    """How long the grids train, oldest first, each once: a parameter and its value. Empty where a grid has
    it as an axis: then several lengths are what is asked for."""
    given: Sequence[str] = ()
    """The parameters that the axes and points of the grids give values to, by name: the axes of the sweep."""
    factors: Sequence[float] = ()
    """By how much extensions have lengthened the trials of other grids, ascending."""
    planned: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """The values that grids but for refinements give to the parameters along which the sweep was refined."""

    def plain(self) -> dict[str, Any]:
        """As lists and mappings, for the attributes of a frame."""
        return {
            "sources": {name: list(hashes) for name, hashes in self.sources.items()},
            "lengths": [list(length) for length in self.lengths],
            "given": list(self.given),
            "factors": list(self.factors),
            "planned": {name: list(values) for name, values in self.planned.items()},
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Launches:
        """What `plain` gave, once more."""
        lengths = [(name, value) for name, value in plain["lengths"]]
        return cls(
            sources=plain["sources"], lengths=lengths, given=plain["given"], planned=plain["planned"],
            factors=plain["factors"],
        )  # fmt: skip


def extension_of(text: str) -> tuple[str, float] | None:
    """The grid that a grid extends and by what factor; None of one that extends no other."""
    first = text.partition("\n")[0]
    if not first.startswith(LONGER):
        return None
    factor, _, name = first.removeprefix(LONGER).partition(" of ")
    return name.partition(UNTIL)[0], float(factor)


def trains_until_converged(text: str) -> bool:
    """Whether a grid is a round of training until all points are settled, and extends some of another."""
    return extension_of(text) is not None and UNTIL in text.partition("\n")[0]


def added_to(text: str) -> str:
    """The grid whose design a refinement or an extension adds to; empty where a grid adds to none."""
    longer = extension_of(text)
    if longer is not None:
        return longer[0]
    first = text.partition("\n")[0]
    return first.removeprefix(f"{MARK} of ").partition(":")[0] if first.startswith(MARK) else ""


def refines(text: str) -> bool:
    """Whether a grid is of a refinement, or extends one that is."""
    return any(line.startswith(MARK) for line in text.split("\n", 2)[:2])


def launches_of(store: Store) -> Launches:
    """What the grids of a sweep say."""
    sources: dict[str, dict[str, None]] = {}
    lengths: dict[tuple[str, float], None] = {}
    given: set[str] = set()
    varied = False
    grids = store.grids()
    for name, text in grids:
        content = parse_mapping(text, Report(name)).plain
        for value, digest in _sources(store, name, text, content).items():
            hashes = sources.setdefault(value, {})
            hashes.pop(digest, None)
            hashes[digest] = None
        given |= _given(store, name, text, content)
        if extension_of(text) is not None:
            continue
        length = _length(content)
        varied |= length is None
        if length is not None:
            lengths.pop(length, None)
            lengths[length] = None
    return Launches(
        sources={value: tuple(hashes) for value, hashes in sources.items()},
        lengths=() if varied else tuple(lengths), given=tuple(sorted(given)), planned=_planned(store, grids),
        factors=tuple(sorted({extended[1] for _, text in grids if (extended := extension_of(text))})),
    )  # fmt: skip


def _planned(store: Store, grids: Sequence[tuple[str, str]]) -> dict[str, tuple[float, ...]]:
    """What `Launches.planned` holds; nothing where the trials of a grid would have to be made out anew."""
    refined: set[str] = set()
    for name, text in grids:
        if refines(text) and not trains_until_converged(text):
            refined |= set().union(*parse_mapping(text, Report(name)).plain["points"])
    values: dict[str, set[float]] = {name: set() for name in refined}
    for name, text in grids if refined else ():
        if refines(text):
            continue
        roster = store.roster(name, text, refined)
        if roster is None:
            return {}
        for column in refined.intersection(roster.column_names):
            distinct = pc.unique(roster[column]).to_pylist()
            values[column] |= {value for value in distinct if isinstance(value, int | float)}
    return {name: tuple(sorted(distinct)) for name, distinct in values.items() if distinct}


def _sources(store: Store, name: str, text: str, content: Mapping[str, Any]) -> Mapping[str, str]:
    """The hash of each class of a grid that is the user's."""
    if ".py:" not in text:
        return {}
    roster = store.roster(name, text)
    if roster is not None:
        return sources_of(roster)
    kept = store.grid_sources(name)
    values = [v for kind in KINDS for v in _values(content, kind) if isinstance(v, str) and ".py:" in v]
    files = {value: value.partition(":")[0] for value in values}
    return {value: source_hash({f: kept[f]}) for value, f in files.items() if f in kept}


def _given(store: Store, name: str, text: str, content: Mapping[str, Any]) -> frozenset[str]:
    """What the axes and points of a grid give values to; of points in a file, what its roster says."""
    points = content.get("points") or []
    if isinstance(points, list):
        return frozenset(content.get("axes") or {}).union(*points)
    roster = store.roster(name, text, ())
    return frozenset(content.get("axes") or {}) if roster is None else given_of(roster)


def _values(content: Mapping[str, Any], name: str) -> list[Any]:
    """What a grid gives to a parameter, as far as it is listed."""
    fixed, axes = (content.get(key) or {} for key in ("fixed", "axes"))
    axis = axes.get(name, [])
    points = content.get("points")
    listed = points if isinstance(points, list) else []
    values = [fixed[name]] if name in fixed else []
    values += axis if isinstance(axis, list) else axis.get("values", [])
    return values + [point[name] for point in listed if name in point]


def _length(content: Mapping[str, Any]) -> tuple[str, float] | None:
    """How long a grid trains; None where it varies that."""
    axes, points = content.get("axes") or {}, content.get("points")
    listed: Collection[str] = set().union(*points) if isinstance(points, list) else ()
    if any(name in axes or name in listed for name in LENGTHS):
        return None
    fixed = content.get("fixed") or {}
    for name in (*LENGTHS, RELAXATIONS):
        if isinstance(fixed.get(name), int | float):
            return name, float(fixed[name])
    default = next(parameter.default for parameter in TRAINING if parameter.name == "steps")
    assert isinstance(default, int)
    return "steps", float(default)
