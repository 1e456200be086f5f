"""Tiles made from a few lines of a grid."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from phasediag.grids.grid import Grid, parse_grid
from phasediag.grids.measure import Measure
from phasediag.measuring.recording import Recorder
from phasediag.packing import pack as packing
from phasediag.packing.pack import Pack
from phasediag.packing.structure import structure_of
from phasediag.registry import component
from phasediag.running.job import Job
from phasediag.storage.store import Store
from phasediag.training.data import Task
from phasediag.training.step import State
from phasediag.training.steps import Vmapped
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Streams, Trials

CPU = torch.device("cpu")


def grid_of(
    fixed: dict[str, Any], axes: dict[str, Any] | None = None, path: Path = Path("grid.yaml"), **sections: Any
) -> Grid:
    """A validated grid, in which an axis replaces a fixed value; `sections` are its other keys."""
    fixed = {name: value for name, value in fixed.items() if name not in (axes or {})}
    text = io.StringIO()
    YAML(typ="safe").dump({"name": "tiles", "fixed": fixed, "axes": axes or {}, **sections}, text)
    return parse_grid(text.getvalue(), path)


def tile_of(trials: Trials, compiled: bool = False) -> Tile:
    return Program(trials.record(0), Path(), CPU, compiled).tile(trials)


class Translated(Vmapped):
    """Steps that must not fall back to uncompiled ones."""

    def take(self, *arguments: Any, **options: Any) -> State:
        state = super().take(*arguments, **options)
        assert self.compiled, self.notice
        return state


def vmapped(trials: Trials, envelope: dict[str, Any] | None = None) -> Tile:
    """A tile as it is compiled where there is no native program: by the compiler of torch."""
    program = Program(trials.record(0), Path(), CPU, True, envelope)
    program.steps = Translated(program.network, CPU, compiled=True)
    return program.tile(trials)


def pack_of(grid: Grid, tile: int) -> Pack:
    """All trials of a grid of one structure as a pack, in tiles of this size, not compiled."""
    trials = grid.trials()
    structure = structure_of(trials.record(0), grid.parameters)
    return packing.pack_of(trials, structure, Path(), tile_size=tile, compiled=False)


def job_of(grid: Grid, store: Store) -> Job:
    """What the packs of a grid are trained for, into a store."""
    return Job(sweep=store.folder.uri, measure=grid.measure, parameters=grid.parameters)


def pair(trials: Trials, row: int) -> Trials:
    """One trial as it runs alone: two copies."""
    return trials.take(np.array([row, row]))


def task_of(trials: Trials, row: int) -> Task:
    """The task as the trial's replicate sees it, made anew."""
    values = trials.record(row)
    data_seed = values["data_seed"]
    assert data_seed is None or isinstance(data_seed, int)
    cls = component("task", str(values["task"]), Path()).cls
    task: Task = cls(values, Streams(int(trials.seed[row]), data_seed))
    return task


def weights_of(tile: Tile, row: int) -> dict[str, np.ndarray]:
    return {name: w[row].numpy().copy() for name, w in tile.weights.items()}


def recorded(tile: Tile, measure: Measure) -> Recorder:
    """Train a tile to its end, measuring whenever something is due."""
    recorder = Recorder(measure, tile, len(tile.trials))
    recorder.record()
    while tile.step < max(tile.steps):
        tile.advance(recorder.next_due(tile.step + 1))
        recorder.record()
    return recorder
