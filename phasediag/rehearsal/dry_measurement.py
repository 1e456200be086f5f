"""One measurement by the user's own observables, before anything is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from phasediag.errors import PhasediagError
from phasediag.grids.measure import Measure
from phasediag.library_messages import quiet
from phasediag.measuring.recording import Recorder
from phasediag.observables.known import UserObservable
from phasediag.observables.observable import (
    DistanceObservable,
    NumberObservable,
    SpectrumObservable,
)
from phasediag.rehearsal.alone import advice
from phasediag.rehearsal.fingerprint import changes, fingerprint_of
from phasediag.source_lines import explained, place_of
from phasediag.training.tiles import Program
from phasediag.trial import Trials
from phasediag.user_code.work import at_work

Lists = Mapping[str, npt.NDArray[np.float64]]


def dry_measurement(
    trials: Trials, measure: Measure, observables: Mapping[str, UserObservable], folder: Path
) -> None:
    """Measure some trials of a structure as they start, with every observable of the user's.

    Parameters
    ----------
    observables
        By name; what they measure is compared with what they measure once more.
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where one raises, gives something else than it declares, or something else the second time.
    """
    rows = np.arange(max(2, len(trials))) % len(trials)
    program = Program(trials.record(0), folder, torch.device("cpu"), compiled=False)
    layers = {group.name for group in program.network.groups}
    for name, own in observables.items():
        asked = [r for r in measure.observables if r.observable == name and r.layer in layers]
        if not asked:
            continue
        alone = replace(measure, observables=tuple(asked), losses=False)
        first, again = (_measured(alone, program, trials.take(rows), own, folder) for _ in range(2))
        for layer, lists in first.items():
            _check_length(own, lists)
            if not np.array_equal(lists, again[layer], equal_nan=True):
                raise PhasediagError(
                    f"{_place(own)}: {name} measures something else each time; make it a function of the "
                    "network it is given (no random numbers, no state)"
                )


def _measured(measure: Measure, program: Program, trials: Trials, own: UserObservable, folder: Path) -> Lists:
    """What it gives for the trials, by layer, shape (trials, length)."""
    tile = program.tile(trials, shared=False)
    recorder = Recorder(replace(measure, distances="all"), tile, len(trials), folder)
    before = fingerprint_of(recorder.observables[own.name])
    with _blaming(own, "measuring"), quiet(None):
        recorder.record()
    if kept := changes(before, fingerprint_of(recorder.observables[own.name])):
        raise PhasediagError(
            f"{_place(own)}: {own.name} keeps '{kept[0]}' from one measurement to the next, of whichever "
            "networks come first; make it a function of the network it is given (what is fixed, in its "
            "constructor)"
        )
    blocks = [block for block in recorder.recording.blocks if block.observable == own.name]
    return {b.layer: b.distances.astype(np.float64) for b in blocks if b.distances is not None}


def _check_length(own: UserObservable, lists: npt.NDArray[np.float64]) -> None:
    """Refuse as many numbers as there are no columns, and distances that are negative or no numbers."""
    observable = own.observable
    if isinstance(observable, DistanceObservable):
        if not (lists >= 0).all():
            raise PhasediagError(
                f"{_place(own)}: {own.name} measures distances that are negative or no numbers; give "
                "distances >= 0, or derive the class from NumberObservable"
            )
        return
    assert isinstance(observable, NumberObservable | SpectrumObservable)
    with _blaming(own, "numbers"):
        numbers = np.asarray(observable.numbers(lists[0]), dtype=np.float64)
    if numbers.shape != (len(observable.columns),):
        raise PhasediagError(
            f"{_place(own)}: {own.name} gives {numbers.size} numbers and declares "
            f"{len(observable.columns)} columns; give one for each"
        )


@contextmanager
def _blaming(own: UserObservable, doing: str) -> Iterator[None]:
    """Turn what is raised into one sentence with the line of the user's file."""
    cls = type(own.observable)
    with at_work(cls, own.name, doing):
        try:
            yield
        except Exception as error:
            raise PhasediagError(f"{explained(error, cls)} [{own.name}: {doing}]{advice(error)}") from error


def _place(own: UserObservable) -> str:
    return place_of(type(own.observable))
