"""One trial once more, from its row: its weights and its full history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.storage.schema_arrow import table
from phasediag.storage.store import Store
from phasediag.sweeps.survey import stored_grid, user_sources
from phasediag.training.job import Job
from phasediag.training.pack import remade
from phasediag.training.sources import source_folder
from phasediag.training.tile_run import TileRun, TileWork
from phasediag.trial import Trials

HISTORY_POINTS = 100
"""Measurements of a run whose grid asks for fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a rerun left behind, and how it compares with the row that the sweep holds."""

    folder: Path
    train_loss: float | None
    recorded_train_loss: float | None


def rerun(sweep: str | Path, trial_id: str, folder: Path) -> Rerun:
    """Train one trial of a sweep again.

    Writes `weights.safetensors`, `history.parquet` (columns of `measurements`, with all distances,
    and the loss of each recorded step in `losses.parquet`) and `trial.json`, the new row.

    Raises
    ------
    PhasediagError
        Where the sweep, or the trial in it, does not exist.
    """
    store = Store.at(sweep).required()
    with tempfile.TemporaryDirectory(prefix="phasediag-grids-") as scratch:
        grid, trial = _found(store, trial_id, Path(scratch))
        every = grid.measure.every or max(1, int(trial.values("steps")[0]) // HISTORY_POINTS)
        measure = replace(grid.measure, every=every, distances="all")
        job = Job(
            sweep=store.folder.uri, measure=measure, parameters=grid.parameters, sources=user_sources(grid)
        )
    pack = remade(trial, 2, False, source_folder(job.sources))
    tile = TileRun(pack, job, torch.device("cpu"), TileWork(rows=np.arange(1), size=2))
    losses = _trained(tile, every)
    rows, history = tile.rows()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor[0].contiguous() for name, tensor in tile.tile.weights.items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    pq.write_table(history, folder / "history.parquet")
    pq.write_table(losses, folder / "losses.parquet")
    row = rows.to_pylist()[0]
    (folder / "trial.json").write_text(json.dumps(row, indent=2, default=str))
    held = store.trials_table(["trial_id", "train_loss"])
    recorded = held.filter(pa.compute.equal(held["trial_id"], trial_id))["train_loss"].to_pylist()
    return Rerun(
        folder=folder, train_loss=row["train_loss"], recorded_train_loss=recorded[0] if recorded else None
    )


def _trained(run: TileRun, every: int) -> pa.Table:
    """Train to the end; the losses at every recorded step."""
    found: list[tuple[int, float, float]] = []
    last = max(run.tile.steps)
    for step in [*range(0, last, every), last]:
        run.advance_to(step)
        train, test, _ = run.tile.losses()
        found.append((step, float(train[0]), float(test[0])))
    schema = pa.schema([("step", pa.int64()), ("train_loss", pa.float64()), ("test_loss", pa.float64())])
    columns: Sequence[Sequence[float]] = list(zip(*found, strict=True))
    return table(schema, dict(zip(schema.names, columns, strict=True)), len(found))


def _found(store: Store, trial_id: str, scratch: Path) -> tuple[Grid, Trials]:
    for name, text in store.grids():
        grid = stored_grid(store, name, text, scratch / name)
        trials = grid.trials()
        rows = np.flatnonzero(trials.trial_id == trial_id)
        if len(rows):
            return grid, trials.take(rows)
    raise PhasediagError(
        f"the sweep {store.folder.uri} has no trial '{trial_id}'; a trial_id is 32 hexadecimal digits, "
        "the column trial_id of phasediag.load_trials(...)"
    )
