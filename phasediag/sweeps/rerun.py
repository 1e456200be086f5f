"""One trial once more, from its row: its weights and its full history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.torch
import torch

from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.packing.machine import device_of
from phasediag.packing.pack import pack_of
from phasediag.packing.structure import structure_of
from phasediag.running.job import Job, TileWork
from phasediag.running.sources import source_folder
from phasediag.running.tile_run import TileRun
from phasediag.storage.schema_arrow import table
from phasediag.storage.store import Store
from phasediag.sweeps.recorded import stored_grid, user_sources
from phasediag.trial import Trials

HISTORY_POINTS: Final = 100
"""Measurements of a run whose grid asks for fewer."""
TOLERANCE: Final = 1e-4
"""Relative difference of losses that law 1 allows between kernels."""
COMPARED: Final = ("status", "train_loss", "test_loss")
_RECORDED: Final = ("trial_id", *COMPARED, "compiled", "device", "torch_version", "phasediag_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a rerun left behind, and how it compares with the row that the sweep holds."""

    folder: Path
    row: Mapping[str, Any]
    """The new row."""
    recorded: Mapping[str, Any] | None
    """Of the row that the sweep holds: status, losses, device and versions; None where it holds none."""

    @property
    def train_loss(self) -> float | None:
        """Of the new row."""
        loss: float | None = self.row["train_loss"]
        return loss

    @property
    def recorded_train_loss(self) -> float | None:
        """Of the row that the sweep holds."""
        return None if self.recorded is None else self.recorded["train_loss"]

    @property
    def differs(self) -> tuple[str, ...]:
        """The columns, of status and losses, in which both rows differ by more than kernels do."""
        if self.recorded is None or self.recorded["status"] == "failed":
            return ()
        return tuple(name for name in COMPARED if not _alike(self.row[name], self.recorded[name]))

    def __str__(self) -> str:
        """Both losses, and whether they are the same."""
        if self.recorded is None or self.recorded["status"] == "failed":
            held = "no row of it" if self.recorded is None else "it as failed"
            return f"train_loss {self.row['train_loss']}; the sweep holds {held}: nothing to compare with"
        pairs = [f"{name} {self.row[name]}, recorded {self.recorded[name]}" for name in COMPARED[1:]]
        if not self.differs:
            return "; ".join([*pairs, "the same"])
        then, now = (
            f"{row['device']}, torch {row['torch_version']}, phasediag {row['phasediag_version']}"
            for row in (self.recorded, self.row)
        )
        why = f"recorded on {then}; now {now}" if then != now else f"both on {now}"
        return "; ".join([*pairs, f"{', '.join(self.differs)} DIFFER ({why})"])


def rerun(sweep: str | Path, trial_id: str, folder: Path) -> Rerun:
    """Train one trial of a sweep again, from the copies of the user's files that the sweep keeps.

    It trains as its pack did: on as many threads, compiled where that was. Writes `weights.safetensors`,
    `history.parquet` (columns of `measurements`, with all distances, and the loss of each recorded step in
    `losses.parquet`) and `trial.json`, the new row.

    Raises
    ------
    PhasediagError
        Where the sweep, or the trial in it, does not exist, or its copies cannot be imported.
    """
    store = Store.at(sweep).required()
    with tempfile.TemporaryDirectory(prefix="phasediag-grids-") as scratch:
        grid, trial = _trial_of(store, trial_id, Path(scratch))
        every = grid.measure.every or max(1, int(trial.values("steps")[0]) // HISTORY_POINTS)
        measure = replace(grid.measure, every=every, distances="all")
        job = Job(
            sweep=store.folder.uri, measure=measure, parameters=grid.parameters, sources=user_sources(grid),
            hashes=grid.sources,
        )  # fmt: skip
    held = store.trials_table(_RECORDED, ordered=False)
    rows = held.filter(pc.equal(held["trial_id"], trial_id)).to_pylist()
    recorded = rows[0] if rows else None
    pack = pack_of(
        trial, structure_of(trial.record(0), grid.parameters), source_folder(job.sources),
        tile_size=2, compiled=bool(recorded and recorded["compiled"]),
    )  # fmt: skip
    device = device_of(grid.resources.gpus, grid.resources.tf32)
    with _threads(max(1, int(grid.resources.cpus))):
        tile = TileRun(pack, job, device, TileWork(rows=np.arange(1), size=2))
        losses = _trained(tile, every)
        trials, history = tile.rows()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor[0].cpu().contiguous() for name, tensor in tile.tile.weights.items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    pq.write_table(history, folder / "history.parquet")
    pq.write_table(losses, folder / "losses.parquet")
    row = trials.to_pylist()[0]
    (folder / "trial.json").write_text(json.dumps(row, indent=2, default=str))
    return Rerun(folder=folder, row=row, recorded=recorded)


def _alike(one: Any, other: Any) -> bool:
    """Equal, or numbers as close as law 1 asks for."""
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-30)
    return bool(one == other)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch, as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(run: TileRun, every: int) -> pa.Table:
    """Train to the end; the losses at every recorded step."""
    losses: list[tuple[int, float, float]] = []
    last = max(run.tile.steps)
    for step in [*range(0, last, every), last]:
        run.advance_to(step)
        train, test, _ = run.tile.losses()
        losses.append((step, float(train[0]), float(test[0])))
    schema = pa.schema([("step", pa.int64()), ("train_loss", pa.float64()), ("test_loss", pa.float64())])
    columns: Sequence[Sequence[float]] = list(zip(*losses, strict=True))
    return table(schema, dict(zip(schema.names, columns, strict=True)), len(losses))


def _trial_of(store: Store, trial_id: str, scratch: Path) -> tuple[Grid, Trials]:
    """The grid that has a trial, as it was launched, and the trial."""
    for name, text in store.grids():
        roster = store.roster(name, text)
        if roster is not None and not pc.any(pc.equal(roster["trial_id"], trial_id)).as_py():
            continue
        grid = stored_grid(store, name, text, scratch / name)
        trials = grid.trials()
        rows = np.flatnonzero(trials.trial_id == trial_id)
        if len(rows):
            return grid, trials.take(rows)
    raise PhasediagError(
        f"the sweep {store.folder.uri} has no trial '{trial_id}'; a trial_id is 32 hexadecimal digits, "
        "the column trial_id of phasediag.load_trials(...)"
    )
