"""What a frame of trials knows of its own columns: those that observables have declared go with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd
import pyarrow as pa

from phasediag.columns import (
    DERIVED_COLUMNS,
    OBSERVABLE_SOURCE,
    RESULT_COLUMNS,
    STAGES,
    Column,
    column_of,
)
from phasediag.errors import AnalysisError
from phasediag.observables.known import distance_observables, observable_of
from phasediag.observables.observable import DistanceObservable
from phasediag.running.sources import place_sources
from phasediag.storage.schema_arrow import declared_in
from phasediag.storage.store import Store

_ATTRIBUTE: Final = "phasediag_columns"
"""The attribute of a frame with the declarations that its files hold, by name, as plain values."""


def with_declarations(trials: pd.DataFrame, schema: pa.Schema) -> pd.DataFrame:
    """The frame with what the files say of their columns."""
    declared = declared_in(schema)
    if declared:
        trials.attrs[_ATTRIBUTE] = {name: asdict(column) for name, column in declared.items()}
    return trials


def about(trials: pd.DataFrame, name: str) -> Column:
    """What is known of a column of a frame of trials, or of a formula of columns."""
    held = trials.attrs.get(_ATTRIBUTE, {}).get(name)
    return column_of(name) if held is None else Column(**{**held, "bounds": tuple(held["bounds"])})


def declared_names(trials: pd.DataFrame) -> set[str]:
    """The columns that observables have declared."""
    return set(trials.attrs.get(_ATTRIBUTE, {}))


def level_in(trials: pd.DataFrame, order: str, level: float | None) -> float:
    """The value of an order parameter on the boundary: as given, or else its own."""
    return about(trials, order).level if level is None else level


def results_of(trials: pd.DataFrame) -> set[str]:
    """The names of columns that are results and no parameters, those of observables too."""
    further = {OBSERVABLE_SOURCE.name, STAGES.name, "stage"}
    return {*RESULT_COLUMNS, *DERIVED_COLUMNS, *further, *declared_names(trials)}


def rules_of(store: Store, names: Iterable[str]) -> Mapping[str, DistanceObservable]:
    """How distances are counted, by the name of the observable; those that are no distances are left out.

    Observables of the user's are read from the copies that the sweep keeps.

    Raises
    ------
    AnalysisError
        Where such a copy cannot be read.
    """
    rules = dict(distance_observables())
    for name in sorted(name for name in set(names) if ":" in name):
        observable = _kept(store, name)
        if isinstance(observable, DistanceObservable):
            rules[name] = observable
    return rules


def _kept(store: Store, name: str) -> object:
    """An observable of the user's, as the newest grid that measures it keeps it."""
    file = name.partition(":")[0]
    for grid, _ in reversed(store.grids()):
        kept = store.grid_sources(grid)
        if file not in kept:
            continue
        with TemporaryDirectory() as folder:
            try:
                return observable_of(name, place_sources(kept, Path(folder).resolve()))
            except ValueError as error:
                raise AnalysisError(
                    f"{store.folder.uri}: the copy of {file} cannot be read: {error}"
                ) from error
    raise AnalysisError(f"{store.folder.uri}: no grid of the sweep keeps {file}, which counts {name}")
