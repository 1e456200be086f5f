"""An animal of the zoo, planned and trained by phasediag, beside the plain loop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid, read_grid
from phasediag.packing.structure import structures
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials
from zoo import plain_loop
from zoo.catalogue import FOLDER, Animal
from zoo.plain_loop import Trained

CPU = torch.device("cpu")
TOLERANCE = 1e-5
PLAIN_STEPS = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.005}
"""Where rounding grows little: of many structures in one grid, and of single precision."""
LARGEST_LOSS = 1e6
"""A network whose loss has grown beyond is on its way to divergence, where rounding grows as fast."""
SMALL = {"float64": 1e-3, "float32": 0.1}
"""Weights below it are compared by it: what is summed from larger numbers is known to their rounding."""
AXES: dict[str, Any] = {"weight_decay": [0.0, 0.05], "init": ["kaiming_normal", "own"]}
"""They move together."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of an animal."""

    result: str
    """`equal`, `different`, `refused`; or `planned`, where it should have been refused."""
    difference: float = 0.0
    """The largest relative one of losses and weights."""
    where: str = ""
    sentence: str = ""
    """Of the refusal."""


def axes_of(animal: Animal) -> dict[str, Any]:
    known = animal.kind == "model" and own_is_known()
    return AXES if known else {"weight_decay": AXES["weight_decay"]}


def copied(folder: Path) -> Path:
    """The files of the zoo in a folder of their own, as a user has them beside a grid."""
    for pattern in ("networks_*.py", "tasks_*.py", "zoo_layers.py", "points.csv"):
        for file in FOLDER.glob(pattern):
            shutil.copy(file, folder)
    return folder


def grid_file(folder: Path, animals: Sequence[Animal], axes: Mapping[str, Any], **changed: Any) -> Path:
    """A grid of these animals, beside the files of the zoo; `AXES` move together."""
    kind, given = animals[0].kind, dict(axes)
    values = {name: v for name, v in animals[0].values(**changed).items() if name not in axes}
    if len(animals) > 1:
        del values[kind]
        given[kind] = [animal.name for animal in animals]
    together = [name for name in given if name in AXES]
    text: dict[str, Any] = {"name": "zoo", "fixed": values, "axes": given, "replicates": 2}
    if len(together) > 1:
        text["zip"] = [together]
    path = folder / f"{animals[0].name.partition(':')[2]}-{len(animals)}.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(text, file)
    return path


def planned(path: Path) -> str:
    """The sentence of the refusal of a grid, '' where it is planned."""
    try:
        phasediag.plan(path, str(path.parent / "sweeps"))
    except PhasediagError as error:
        return str(error) if error.exit_code == 2 else ""
    return ""


def verdict(animal: Animal, folder: Path, *, compiled: bool = False, **changed: Any) -> Verdict:
    """Plan its grid, train it tile by tile and compare some of its trials with the plain loop."""
    path = grid_file(folder, [animal], axes_of(animal), **changed)
    sentence = planned(path)
    if sentence:
        return Verdict(result="refused", sentence=sentence)
    if animal.refused:
        return Verdict(result="planned")
    grid = read_grid(path)
    differing = [
        each for tile, own in tiles(grid, compiled) for each in against_plain(tile, own, grid.path.parent)
    ]
    difference, where = max(differing)
    return Verdict(
        result="equal" if difference <= TOLERANCE else "different", difference=difference, where=where
    )


def against_plain(tile: Tile, trials: Trials, folder: Path) -> Iterator[tuple[float, str]]:
    """Train a tile to its end; the differences of its first and its last trial, and where they are."""
    tile.advance(max(tile.steps))
    train, test, _ = tile.losses()
    for row in (0, len(trials) - 1):
        weights = {name: w[row].numpy() for name, w in tile.weights.items()}
        ours = Trained(weights=weights, train_loss=float(train[row]), test_loss=float(test[row]))
        yield from compared(ours, trials, row, folder)


def compared(ours: Trained, trials: Trials, row: int, folder: Path) -> Iterator[tuple[float, str]]:
    """The differences of what is found from the plain loop, and where they are."""
    plain = plain_loop.trained(trials, row, folder)
    assert plain.train_loss < LARGEST_LOSS, f"{dict(varied(trials, row))} diverges alone: take smaller steps"
    small = SMALL[str(trials.record(row)["dtype"])]
    for place, difference in differences(ours, plain, small):
        yield difference, f"{place} of {dict(varied(trials, row))}"


def tiles(grid: Grid, compiled: bool) -> Iterator[tuple[Tile, Trials]]:
    """A tile of each structure, with its trials."""
    trials = grid.trials()
    distinct, group = structures(trials, grid.parameters)
    for number in range(len(distinct)):
        own = trials.take(np.flatnonzero(group == number))
        yield Program(own.record(0), grid.path.parent, CPU, compiled).tile(own), own


def varied(trials: Trials, row: int) -> Iterator[tuple[str, Any]]:
    record = trials.record(row)
    yield from ((name, record[name]) for name in ("model", "weight_decay", "init") if name in record)
    yield "replicate", int(trials.replicate[row])


def differences(trained: Trained, plain: Trained, small: float) -> Iterator[tuple[str, float]]:
    """Relative ones, of losses and of each parameter by the largest number of it, or by what is small."""
    for place in ("train_loss", "test_loss"):
        ours, theirs = getattr(trained, place), getattr(plain, place)
        yield place, relative(np.array(ours), np.array(theirs), 1e-12)
    for name, weight in plain.weights.items():
        ours = trained.weights.get(name)
        yield name, np.inf if ours is None else relative(ours, weight, small)


def relative(ours: np.ndarray, theirs: np.ndarray, small: float) -> float:
    difference = np.abs(ours - theirs).max(initial=0.0) / max(np.abs(theirs).max(initial=0.0), small)
    return float(difference) if np.isfinite(difference) else np.inf


@cache
def own_is_known() -> bool:
    """Whether `init: own` is there."""
    from phasediag.parameters import TRAINING

    (init,) = (p for p in TRAINING if p.name == "init")
    return "own" in init.allowed
