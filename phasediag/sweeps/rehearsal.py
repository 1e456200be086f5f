"""What a launch looks at before anything is recorded: dry steps of the user's code, and what is measured."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phasediag.errors import PhasediagError, StoreError, nearest
from phasediag.grids.grid import Grid, contents
from phasediag.grids.lot import Lot
from phasediag.library_messages import quiet
from phasediag.registry import Component, component
from phasediag.source_lines import place_of
from phasediag.storage.schema_arrow import trials_schema
from phasediag.sweeps.notices import of_files, of_variables
from phasediag.sweeps.survey import Survey
from phasediag.trial import KINDS, IntArray, Role, Trials, Value, replicate_seed
from phasediag.user_code.apart import apart
from phasediag.user_code.opened import OpenedFiles, opened_files
from phasediag.user_code.process import SettingError, kept_process
from phasediag.user_code.replaced import KeptLibraries
from phasediag.user_code.variables import variables_read
from phasediag.user_code.work import at_work

if TYPE_CHECKING:
    from phasediag.rehearsal.dry_data import World


def rehearse(survey: Survey) -> tuple[str, ...]:
    """Take a dry step of each structure in which code of the user's takes part.

    Returns
    -------
    What the user should know before the launch, in sentences; none where nothing is missing.

    Raises
    ------
    PhasediagError
        Where a trial could not be trained, recorded or measured, or where the user's code ends the process.
    """
    grid, missing = survey.grid, survey.missing
    if not len(missing):
        return ()
    for part in grid.components:
        if not part.loaded and hasattr(part.cls, "prepare"):  # a task whose data may have to be downloaded
            part.cls.prepare()
    _check_names(grid)
    look = partial(_looked_at, grid, missing)
    if not grid.observables and not any(part.loaded for part in grid.components):
        return look()
    import torch

    torch.compiler.disable(look)  # type: ignore[no-untyped-call]  # loads what a derivative needs, once
    return apart(look)


def _looked_at(grid: Grid, missing: Lot) -> tuple[str, ...]:
    """What the user should know of trials that are to be trained."""
    from phasediag.packing.sorting import programs_of
    from phasediag.rehearsal.dry_process import check_process
    from phasediag.training.network import network_of

    programs = programs_of(missing, grid.parameters)
    notes: list[str] = []
    with opened_files(*_user_folders(grid), by_user=True) as opened, variables_read() as variables:
        for number, structure in enumerate(programs.structures):
            users = _of_the_user(structure.record, grid.folder)
            if not users and not grid.observables:
                continue
            members = missing.of(np.flatnonzero(programs.group == number)).trials()
            first = next(iter(users.values()), None)
            try:
                at = at_work(first.cls, first.name, "its dry step") if first else nullcontext()
                with quiet(None), at, _kept(users.values()):
                    notes += _rehearsed(members, grid, set(users))
            except PhasediagError as error:
                raise type(error)(f"{grid.path}: {error}") from error.__cause__
    notes += _read_late(grid, opened, variables)
    with quiet(None):
        notes += check_process(_one_of_each(grid, [structure.record for structure in programs.structures]))
        networks = (network_of(structure.record, grid.folder) for structure in programs.structures)
        layers = list(dict.fromkeys(group.name for network in networks for group in network.groups))
    return (*dict.fromkeys(notes), *_measured(grid, layers))


@contextmanager
def _kept(users: Iterable[Component]) -> Iterator[None]:
    """Refuse what changes the process for others, too, as classes of the user's are made and used."""
    code = {path: text for part in users if part.loaded for path, text in part.loaded.code.items()}
    try:
        with kept_process(), KeptLibraries(code):
            yield
    except SettingError as error:
        named = " or ".join(f"{place_of(part.cls)}: {part.name}" for part in users)
        raise PhasediagError(f"{named}: as it is used, {error}") from error


def _one_of_each(grid: Grid, records: Sequence[Mapping[str, Value]]) -> list[World]:
    """The first trial of each pair of a model and a task."""
    from phasediag.rehearsal.dry_data import World

    first = {(record["model"], record["task"]): record for record in reversed(records)}
    seed, folder = replicate_seed(grid.seed, 0), grid.folder.resolve()
    return [World(record=dict(record), seed=seed, folder=folder) for record in reversed(first.values())]


def _user_folders(grid: Grid) -> list[Path]:
    """The folders of the grid and of the user's files that it names."""
    named = [*grid.sources, *grid.observables]
    files = (os.path.normpath(grid.folder / name.partition(":")[0]) for name in named)
    return [grid.folder.resolve(), *(Path(file).resolve().parent for file in files)]


def _read_late(grid: Grid, opened: OpenedFiles, variables: Mapping[str, str]) -> list[str]:
    """What to know of what code of the user's reads as it is used, and not as its classes are made.

    Raises
    ------
    PhasediagError
        Where that is a file beside the grid, which is then neither hashed nor shipped.
    """
    late = contents(opened.files, grid).keys() - grid.data.keys()
    if late:
        raise PhasediagError(
            f"{grid.path}: {grid.folder / min(late)} is opened only as your classes are used (in a pass, a "
            "loss, an update, a measurement, for one replicate and not for another), so that it would be "
            "neither part of the record nor shipped to workers: open it as the class is made, or name it "
            "under files: [...] at the top level of the grid"
        )
    new = {name: place for name, place in variables.items() if name not in grid.variables}
    return [*of_files([path for path in opened.outside if path not in grid.outside]), *of_variables(new)]


def _rehearsed(trials: Trials, grid: Grid, users: set[str]) -> list[str]:
    """What the user should know of the trials of a structure, of which classes of these kinds are hers."""
    from phasediag.rehearsal.dry_decay import decay_beside_weights
    from phasediag.rehearsal.dry_descent import check_descent
    from phasediag.rehearsal.dry_measurement import dry_measurement
    from phasediag.rehearsal.dry_start import check_starts
    from phasediag.rehearsal.dry_step import dry_step
    from phasediag.rehearsal.dry_worlds import check_worlds

    model = component("model", str(trials.record(0)["model"]), grid.folder)
    some, notes = trials.take(_samples(trials, np.arange(len(trials)), model)), list[str]()
    if users & {"task", "model"}:
        check_worlds(trials, grid.folder)
        notes = [*dry_step(some, grid.measure, grid.folder), *check_starts(trials, grid.folder)]
    if "model" in users:
        notes += decay_beside_weights(trials, grid.folder)
    if users & {"optimizer", "schedule"}:
        check_descent(some, grid.folder)
    if grid.observables:
        dry_measurement(some, grid.measure, grid.observables, grid.folder)
    return notes


def _check_names(grid: Grid) -> None:
    """Refuse parameters that have the names of results, with the class that has them."""
    for part in grid.components:
        if part.source:
            try:
                trials_schema(part.parameters.values(), grid.measure.columns)
            except StoreError as error:
                raise StoreError(f"{grid.path}: {place_of(part.cls)}: {part.name}: {error}") from None
    for own in grid.observables.values():
        taken = [column.name for column in own.observable.filled if column.name in grid.parameters]
        if taken:
            raise PhasediagError(
                f"{grid.path}: {place_of(type(own.observable))}: the column '{taken[0]}' of {own.name} is a "
                "parameter; call it otherwise"
            )
    trials_schema(grid.parameters.values(), grid.measure.columns)


def _of_the_user(record: Mapping[str, Value], folder: Path) -> dict[str, Component]:
    """The classes of the user's that a record names, by their kind."""
    named = {kind: component(kind, str(record[kind]), folder) for kind in KINDS}
    return {kind: part for kind, part in named.items() if part.loaded}


def _samples(trials: Trials, rows: IntArray, model: Component) -> IntArray:
    """The first of some trials of each kind of initial weights, and one each that differs from it.

    In its replicate, in that it decays, in that its initial weights are scaled; and those of the least and
    the largest value of each batched argument of the model.
    """
    inits = trials.values("init")[rows]
    firsts = [rows[inits == init][0] for init in dict.fromkeys(inits.tolist())]
    others = rows[trials.replicate[rows] != trials.replicate[rows[0]]]
    chosen = np.array([*firsts, *others[:1], *_extremes(trials, rows, model)])
    decays = trials.values("weight_decay")
    decaying = rows[decays[rows] > 0][: int(not decays[chosen].any())]
    scales = trials.values("init_scale")
    scaled = rows[scales[rows] != 1][: int(not (scales[chosen] != 1).any())]
    return np.array(list(dict.fromkeys([*chosen.tolist(), *decaying.tolist(), *scaled.tolist()])))


def _extremes(trials: Trials, rows: IntArray, model: Component) -> list[int]:
    """The rows of the least and the largest value of each batched parameter of a model."""
    extremes = []
    for parameter in model.parameters.values():
        if parameter.role is Role.BATCHED:
            values = trials.values(parameter.name)[rows].astype(np.float64)
            extremes += [int(rows[values.argmin()]), int(rows[values.argmax()])]
    return extremes


def _measured(grid: Grid, layers: list[str]) -> list[str]:
    """Refuse a layer that no network has; tell where there is nothing to measure at all."""
    if not layers:
        stating = [name for name, model in grid.models.items() if model.source]
        reason = (
            f"the model {', '.join(stating)} states no neuron_groups, as `phasediag init own-model` does"
            if stating
            else "no network has hidden neurons"
        )
        return [f"nothing is measured: {reason}; degrees and neuron counts will be null"]
    for layer in [grid.measure.layer, *(request.layer for request in grid.measure.observables)]:
        if layer not in layers:
            remedy = nearest(layer, layers) or f"there are {', '.join(layers[:8])}"
            raise PhasediagError(
                f"{grid.path}: measure: no network of this grid has a layer '{layer}'; {remedy}"
            )
    return []
