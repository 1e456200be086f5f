"""What a grid asks to be measured, as workers know it: read without YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from phasediag.columns import OBSERVABLE_SOURCE, Column
from phasediag.observables.known import DEFINITIONS, UserObservable, built_in, declared_columns
from phasediag.observables.threshold import Threshold

DistancesKept = Literal["last", "all", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableRequest:
    """An observable, and the layer on which it is measured."""

    observable: str
    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What is measured, when, and what of it is kept."""

    observables: tuple[ObservableRequest, ...]
    """Without repetition; permutation, sign_flip and classes on `layer` come first."""
    every: int | None
    """Steps between measurements; None: at step 0 and at the last one only."""
    distances: DistancesKept
    """Which measurements' distances are stored."""
    threshold: Threshold
    layer: str
    """The layer of the observables that stand in the trial's own row."""
    entropic: bool = False
    """Whether the terms of the entropic loss are computed at the last step."""
    losses: bool = False
    """Whether the losses are computed whenever something is measured."""
    columns: tuple[Column, ...] = ()
    """The columns of `trials` that the observables on `layer` fill besides those of every sweep."""
    sources: str = ""
    """What stands for the files of the user's observables, the identity of what they measure."""

    @property
    def words(self) -> str:
        """What is measured, and by which definitions: the same text where it is the same."""
        return f"{DEFINITIONS} {self!r}"

    def built_in_only(self) -> Measure:
        """What is measured, without the user's observables."""
        own = tuple(each for each in self.observables if ":" not in each.observable)
        return replace(self, observables=own, columns=(), sources="")

    def with_columns(self, own: Mapping[str, UserObservable]) -> Measure:
        """What is measured, where these are the user's observables, by name."""
        users = {name: each.observable for name, each in own.items()}
        known = {**built_in(), **users}
        on_layer = dict.fromkeys(each.observable for each in self.observables if each.layer == self.layer)
        columns = declared_columns(known[name] for name in on_layer if name in known)
        sources = " ".join(f"{name}={each.source}" for name, each in sorted(own.items()))
        return replace(self, columns=columns + (OBSERVABLE_SOURCE,) * bool(own), sources=sources)
