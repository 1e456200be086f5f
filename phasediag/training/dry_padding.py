"""Whether networks of a user's that may share a program come out in it as they come out alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from phasediag.errors import PhasediagError
from phasediag.registry import component
from phasediag.source_lines import place_of
from phasediag.training.buckets import Structure, envelope_of, structure_of
from phasediag.training.dry_step import TOLERANCE
from phasediag.training.network import network_of
from phasediag.training.optimizers import Weights
from phasediag.training.parts import parts_of
from phasediag.training.train import Program
from phasediag.trial import Trials, Value

_CPU: Final = torch.device("cpu")


def check_padding(trials: Trials, structural: Iterable[str], folder: Path) -> None:
    """Take a step of the smallest network in the corner of the largest one.

    Parameters
    ----------
    trials
        One of each structure.
    structural
        The names of the structural parameters.
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where the user's class states `padded`, and the step comes out otherwise than the network's own.
    """
    kinds: dict[Hashable, list[tuple[Structure, int]]] = {}
    names = list(structural)
    for row in range(len(trials)):
        values = trials.record(row)
        if component("model", str(values["model"]), folder).source:
            network = network_of(values, folder)
            found = structure_of(values, names, network, folder, flops=0.0, trials=1, steps=1.0)
            kinds.setdefault(found.kind, []).append((found, row))
    for members in kinds.values():
        largest, last = max(members, key=lambda member: member[0].sizes)
        held = [(other, row) for other, row in members if row != last and largest.holds(other)]
        if held:
            smallest, first = min(held, key=lambda member: member[0].sizes)
            envelope = envelope_of([largest, smallest])
            _compare(trials.take(np.array([last, first])), envelope, folder)


def _compare(pair: Trials, envelope: dict[str, Value], folder: Path) -> None:
    """Compare the second of two trials, in one program with the first, with what it is alone."""
    record = pair.record(1)
    padded = Program(pair.record(0), folder, _CPU, compiled=False, envelope=envelope).tile(pair)
    alone = Program(record, folder, _CPU, compiled=False).tile(pair.take(np.array([1, 1])))
    start = {name: weight[0].clone() for name, weight in alone.weights.items()}
    for tile in (padded, alone):
        tile.advance(1)
    part = next(part for rows, part in parts_of(padded, 2) if 1 in rows)
    after = {name: weight[0] for name, weight in alone.weights.items()}
    tolerance = TOLERANCE[alone.network.dtype]
    differs = _difference(
        {name: weight[-1] for name, weight in part.weights.items()}, after, start, tolerance
    )
    for words, ours, theirs in zip(("train_loss", "test_loss"), part.losses(), alone.losses(), strict=False):
        assert ours is not None
        assert theirs is not None
        if not torch.isclose(ours[-1], theirs[0], rtol=tolerance, atol=1e-6, equal_nan=True):
            differs = differs or words
    if differs:
        model = component("model", str(record["model"]), folder)
        sizes = ", ".join(f"{name} {record[name]} in {largest}" for name, largest in envelope.items())
        raise PhasediagError(
            f"{place_of(model.cls)}: {model.name} states padded, but in the corner of a larger network "
            f"({sizes}) it comes out otherwise than alone ('{differs}' after one step); take these names "
            "out of `padded`, or let nothing but shapes of weights depend on them"
        )


def _difference(found: Weights, alone: Weights, start: Weights, tolerance: float) -> str:
    """The first weight that is off by more than a share of the largest change; '' where none is."""
    largest = max(float((alone[name] - start[name]).abs().nan_to_num().max()) for name in alone)
    for name, weight in alone.items():
        rounding = 8 * torch.finfo(weight.dtype).eps * float(start[name].abs().nan_to_num().max())
        if float((found[name] - weight).abs().nan_to_num().max()) > tolerance * largest + rounding:
            return name
    return ""
