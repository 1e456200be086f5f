"""One trial once more, from its row: its weights and its full history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isclose, isnan
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.torch
import torch

from phasediag.analysis.recount import COUNT_COLUMNS
from phasediag.columns import RESULT_COLUMNS
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid
from phasediag.library_messages import quiet
from phasediag.packing.machine import device_of
from phasediag.packing.pack import pack_of
from phasediag.packing.structure import structure_of
from phasediag.ramp import lengths
from phasediag.running.job import Job, TileWork
from phasediag.running.sources import source_folder
from phasediag.running.tile_run import TileRun
from phasediag.storage.schema_arrow import table
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import LOSS_TOLERANCE, trial_named
from phasediag.sweeps.recorded import stored_grid, user_sources
from phasediag.trial import Trials

HISTORY_POINTS: Final = 100
"""Measurements of a run whose grid asks for fewer."""
MEASURED_TOLERANCE: Final = 1e-2
"""Relative difference of the numbers of observables: to so much a curvature is known."""
OUTCOME: Final = ("status", "steps_done", "diverged_at", "train_loss", "test_loss", "test_accuracy")
COUNTS: Final = ("max_degree", *COUNT_COLUMNS)
_SURROUNDINGS: Final = ("device", "torch_version", "phasediag_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a rerun left behind, and how it compares with the row that the sweep holds."""

    folder: Path
    row: Mapping[str, Any]
    """The new row."""
    recorded: Mapping[str, Any] | None
    """What the row that the sweep holds says: outcome, counts, numbers of observables, device and versions;
    None where it holds none."""
    observables: tuple[str, ...] = ()
    """The columns of observables that the grid asks for."""

    @property
    def train_loss(self) -> float | None:
        """The training loss of the new row."""
        loss: float | None = self.row["train_loss"]
        return loss

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns that both rows have and at least one has a value in; none where there is no outcome.

        Counts only where both follow the same definitions.
        """
        recorded = self.recorded
        if recorded is None or recorded["status"] == "failed":
            return ()
        counts = COUNTS if self._counted_alike else ()
        shared = [n for n in (*OUTCOME, *counts, *self.observables) if n in self.row and n in recorded]
        return tuple(n for n in dict.fromkeys(shared) if (self.row[n], recorded[n]) != (None, None))

    @property
    def differs(self) -> tuple[str, ...]:
        """Columns in which both rows differ: losses by more than kernels do, counts at all."""
        recorded = self.recorded or {}
        return tuple(n for n in self.compared if not _alike(self.row[n], recorded[n], self._tolerance(n)))

    def __str__(self) -> str:
        """Which columns were compared, those that differ with both values, and the training loss."""
        recorded, loss = self.recorded, f"train_loss {self.row['train_loss']}"
        if recorded is None or recorded["status"] == "failed":
            held = "no row of it" if recorded is None else "it as failed"
            return f"{loss}; the sweep holds {held}: nothing to compare with"
        alike = ", ".join(n for n in self.compared if n not in self.differs) or "no other column"
        if not self._counted_alike:
            alike += "; counts were recorded by other definitions and are not compared"
        if not self.differs:
            return f"{loss}, recorded {recorded['train_loss']}; the same in {alike}"
        pairs = ", ".join(f"{name} {self.row[name]}, recorded {recorded[name]}" for name in self.differs)
        then, now = _surroundings(recorded), _surroundings(self.row)
        why = f"recorded on {then}; now {now}" if then != now else f"both on {now}"
        return f"{pairs}: {', '.join(self.differs)} DIFFER ({why}); the same in {alike}"

    @property
    def _counted_alike(self) -> bool:
        """Whether the counts of both rows follow the same definitions; a row that does not say follows 1."""
        now, then = (row.get("definitions") or 1 for row in (self.row, self.recorded or self.row))
        return bool(now == then)

    def _tolerance(self, name: str) -> float:
        if name in self.observables:
            return MEASURED_TOLERANCE
        return 0.0 if name in COUNTS else LOSS_TOLERANCE


def rerun(sweep: str | Path, trial_id: str, folder: Path) -> Rerun:
    """Train one trial of a sweep again, from the copies of the user's files that the sweep keeps.

    The first digits of its id will do.

    It trains as its pack did: on as many threads, compiled where that was. Writes `weights.safetensors`,
    `history.parquet` (columns of `measurements`, with all distances, and the loss of each recorded step in
    `losses.parquet`) and `trial.json`, the new row.

    Raises
    ------
    PhasediagError
        Where the sweep, or the trial in it, does not exist, or its copies cannot be imported.
    """
    store = Store.at(sweep).required()
    trial_id = trial_named(store, trial_id)
    with tempfile.TemporaryDirectory(prefix="phasediag-grids-") as scratch:
        grid, trial = _trial_of(store, trial_id, Path(scratch))
        every = grid.measure.every or max(1, int(lengths(trial)[0]) // HISTORY_POINTS)
        measure = replace(grid.measure, every=every, distances="all")
        job = Job(
            sweep=store.folder.uri, measure=measure, parameters=grid.parameters, sources=user_sources(grid),
            hashes=grid.sources,
        )  # fmt: skip
    observables = tuple(column.name for column in grid.measure.columns)
    recorded = _recorded(store, trial_id, (*OUTCOME, *COUNTS, *observables), grid.parameters)
    pack = pack_of(
        trial, structure_of(trial.record(0), grid.parameters), source_folder(job.sources),
        tile_size=2, compiled=bool(recorded and recorded["compiled"]),
    )  # fmt: skip
    device = device_of(grid.resources.gpus, grid.resources.tf32)
    with _threads(max(1, int(grid.resources.cpus))), quiet(None):
        tile = TileRun(pack, job, device, TileWork(rows=np.arange(1), size=2))
        losses = _trained(tile, every)
        result = tile.result()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor[0].cpu().contiguous() for name, tensor in tile.tile.weights.items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    pq.write_table(result.measurements, folder / "history.parquet")
    pq.write_table(losses, folder / "losses.parquet")
    row = result.trials.to_pylist()[0]
    (folder / "trial.json").write_text(json.dumps(row, indent=2, default=str), encoding="utf-8")
    return Rerun(folder=folder, row=row, recorded=recorded, observables=observables)


def _recorded(
    store: Store, trial_id: str, compared: Sequence[str], parameters: Iterable[str]
) -> dict[str, Any] | None:
    """The row of a trial: what is compared of it, and where it was trained; None where there is none."""
    kept = {"trial_id", "compiled", "definitions", *compared, *_SURROUNDINGS}
    table = store.trials_table(ordered=False, without={*parameters, *RESULT_COLUMNS} - kept)
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["trial_id"], trial_id)).to_pylist()
    return rows[0] if rows else None


def _surroundings(row: Mapping[str, Any]) -> str:
    """Where and by what a row was trained."""
    device, torch_version, version = (row[name] for name in _SURROUNDINGS)
    return f"{device}, torch {torch_version}, phasediag {version}"


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    """Equal, both no number, or numbers as close as that."""
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=tolerance, abs_tol=1e-30) or (isnan(one) and isnan(other))
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
    last = run.length
    for step in [*range(0, last, every), last]:
        run.advance_to(step)
        train, test, _ = run.tile.losses()
        losses.append((step, float(train[0]), float(test[0])))
    schema = pa.schema([("step", pa.int64()), ("train_loss", pa.float64()), ("test_loss", pa.float64())])
    columns: Sequence[Sequence[float]] = list(zip(*losses, strict=True))
    return table(schema, dict(zip(schema.names, columns, strict=True)), len(losses))


def _trial_of(store: Store, trial_id: str, scratch: Path) -> tuple[Grid, Trials]:
    """The last grid that has a trial, which asks for what was measured last, and the trial."""
    for name, text in reversed(store.grids()):
        roster = store.roster(name, text)
        if roster is not None and not pc.any(pc.equal(roster["trial_id"], trial_id)).as_py():
            continue
        grid = stored_grid(store, name, text, scratch / name)
        trials = grid.trials()
        rows = np.flatnonzero(trials.trial_id == trial_id)
        if len(rows):
            return grid, trials.take(rows)
    raise PhasediagError(
        f"no grid of the sweep {store.folder.uri} asks for the trial {trial_id}, which it holds; launch the "
        "grid that it came from once more"
    )
