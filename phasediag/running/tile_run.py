"""One tile of a pack: trained, measured, checkpointed, turned into rows."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch

from phasediag.columns import Column, column_of
from phasediag.measuring.collapse import collapse_weight_decay
from phasediag.measuring.entropy import entropic_columns
from phasediag.measuring.recording import Recorder, Recording
from phasediag.measuring.results import results
from phasediag.packing.machine import finish
from phasediag.packing.pack import Pack
from phasediag.packing.structure import Structure
from phasediag.running.checkpoint import SavedTile
from phasediag.running.job import PHASES, Job, TileWork
from phasediag.running.rows import BoolArray, block_rows, device_name, trial_rows
from phasediag.running.sources import source_folder
from phasediag.storage.schema_arrow import measurements_schema
from phasediag.training.pace import mean_rates
from phasediag.training.parts import parts_of
from phasediag.training.tiles import Program
from phasediag.trial import IntArray

SLICE_SECONDS: Final = 0.5
"""Training between two looks at the clock, roughly."""


@cache
def program_for(structure: Structure, folder: Path, device: torch.device, compiled: bool) -> Program:
    """The program of a structure, kept for the packs to come in this process."""
    return Program(structure.record, folder, device, compiled, structure.envelope)


class TileRun:
    """One tile of a pack: trained, measured, turned into rows."""

    def __init__(self, pack: Pack, job: Job, device: torch.device, work: TileWork) -> None:
        began = time.monotonic()
        self.pack, self.job, self.work = pack, job, work
        self.trials = pack.trials.take(work.rows)
        padding = np.zeros(max(2, work.size) - len(work.rows), dtype=np.int64)
        padded = self.trials.take(np.concatenate([np.arange(len(work.rows)), padding]))
        program = program_for(pack.structure, source_folder(job.sources), device, pack.compiled)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.tile = program.tile(padded, shared=pack.shared)
        parts = parts_of(self.tile, len(work.rows))
        folder = source_folder(job.sources)
        self.parts = [(rows, Recorder(job.measure, networks, len(rows), folder)) for rows, networks in parts]
        self.started_at = datetime.now(UTC)
        self._slice = 16
        self.wall_s = time.monotonic() - began
        self.spent = dict.fromkeys(PHASES, 0.0) | {"training": self.wall_s}

    @property
    def finished(self) -> bool:
        """Whether every trial has done its steps."""
        return self.tile.step >= max(self.tile.steps)

    @property
    def share(self) -> float:
        """Part of the training that is done, from 0 to 1."""
        return self.tile.step / max(self.tile.steps)

    def advance(self, deadline: float) -> None:
        """Train and measure until the deadline or the end; some steps in any case."""
        while not self.finished:
            before, from_step = time.monotonic(), self.tile.step
            self.advance_to(min(max(self.tile.steps), from_step + self._slice))
            taken = max(time.monotonic() - before, 1e-6)
            self._slice = int(
                min(4 * self._slice, max(1, (self.tile.step - from_step) * SLICE_SECONDS / taken))
            )
            if time.monotonic() >= deadline:
                return

    def advance_to(self, step: int) -> None:
        """Train up to a step, measuring at every step where something is due."""
        if self.tile.step == 0 and not any(recorder.started for _, recorder in self.parts):
            self._measure()
        while self.tile.step < step:
            due = min(recorder.next_due(self.tile.step + 1) for _, recorder in self.parts)
            self._train(min(due, step))
            if self.tile.step == due:
                self._measure()

    def _train(self, until: int) -> None:
        with self._spending("training"):
            self.tile.advance(until)
            finish(self.tile.device)

    def _measure(self) -> None:
        with self._spending("measurement"):
            for _, recorder in self.parts:
                recorder.record()

    @contextmanager
    def _spending(self, phase: str) -> Iterator[None]:
        """Count the time, but for what is compiled meanwhile."""
        started, compiled = time.monotonic(), self.tile.program.compile_s
        yield
        seconds, compiling = time.monotonic() - started, self.tile.program.compile_s - compiled
        self.spent[phase] += seconds - compiling
        self.spent["compilation"] += compiling
        self.wall_s += seconds

    def rows(self) -> tuple[pa.Table, pa.Table]:
        """The tile's rows of `trials` and of `measurements`."""
        count = len(self.work.rows)
        steps_done = self.tile.state.steps_done[:count].cpu().numpy()
        with self._spending("measurement"):
            found = [(rows, self._columns(recorder, steps_done[rows])) for rows, recorder in self.parts]
        made = time.monotonic()
        columns = _joined(found, count)
        alive = self.tile.state.alive[:count].cpu().numpy()
        diverged = ~(alive & np.isfinite(columns["train_loss"]))
        declared = {column.name: column for column in self.job.measure.columns}
        values: dict[str, Any] = {
            name: _nullable(declared.get(name) or column_of(name), numbers, diverged)
            for name, numbers in columns.items()
        }
        values |= {
            "status": np.where(diverged, "diverged", "ok").astype(object),
            "steps_done": steps_done,
            "diverged_at": [int(s) if d else None for s, d in zip(steps_done, diverged, strict=True)],
            "wall_s": np.full(count, self.wall_s / count),
            "measured_bytes": [measured_bytes(self.tile.program.device)] * count,
            "device": [device_name(self.tile.program.device)] * count,
            "started_at": [self.started_at] * count,
        }
        tables = trial_rows(self.pack, self.job, self.work.rows, values), self._measurements(~diverged)
        self.spent["writing"] += time.monotonic() - made
        return tables

    def _columns(self, recorder: Recorder, steps_done: IntArray) -> dict[str, np.ndarray]:
        """What is measured at the end of the trials of a part."""
        networks, layer, count = recorder.tile, self.job.measure.layer, len(steps_done)
        train, test, accuracy = networks.losses()
        columns = {"train_loss": _host(train, count), "test_loss": _host(test, count)}
        if accuracy is not None:
            columns["test_accuracy"] = _host(accuracy, count)
        rates = {
            "learning_rate": mean_rates(networks.network.descent, networks.rates, steps_done),
            "weight_decay": _host(networks.rates["weight_decay"], count),
        }
        columns |= results(recorder, rates, steps_done, layer)
        columns["collapse_weight_decay"] = collapse_weight_decay(networks)[:count]
        if self.job.measure.entropic:
            columns |= {name: column[:count] for name, column in entropic_columns(networks, layer).items()}
        return columns

    def _measurements(self, kept: BoolArray) -> pa.Table:
        schema = measurements_schema(str(self.trials.columns["dtype"].pool[0]))
        found = [
            block_rows(
                self.pack.pack_id, self.trials.take(rows), block, recorder.changes(block), kept[rows], schema
            )
            for rows, recorder in self.parts
            for block in recorder.recording.blocks
        ]
        return pa.concat_tables([schema.empty_table(), *found])

    def saved(self) -> SavedTile:
        """The tile for a checkpoint."""
        arrays = {f"state/{n}": t.cpu().contiguous().numpy() for n, t in self.tile.state.tensors().items()}
        blocks = []
        for number, (_, recorder) in enumerate(self.parts):
            plain, held = recorder.recording.saved()
            arrays |= {f"{number}/{name}": array for name, array in held.items()}
            blocks.append(plain)
        return SavedTile(
            work=self.work, step=self.tile.step, wall_s=self.wall_s, started_at=self.started_at,
            blocks=blocks, arrays=arrays,
        )  # fmt: skip

    def restore(self, saved: SavedTile) -> None:
        """Continue from a checkpoint."""
        state = {name: torch.from_numpy(array) for name, array in _under("state/", saved.arrays)}
        self.tile.restore(state, saved.step)
        self.wall_s, self.started_at = saved.wall_s, saved.started_at
        for number, (_, recorder) in enumerate(self.parts):
            held = dict(_under(f"{number}/", saved.arrays))
            recorder.recording = Recording.restored(saved.blocks[number], held)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays whose names begin so, by the rest of their names."""
    return ((n.removeprefix(prefix), array) for n, array in arrays.items() if n.startswith(prefix))


def measured_bytes(device: torch.device) -> int:
    """Peak memory: on a GPU what torch has allocated for this tile; else all that the process ever held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _joined(parts: Sequence[tuple[IntArray, dict[str, np.ndarray]]], count: int) -> dict[str, np.ndarray]:
    """Columns of all trials from those of parts, each with its positions."""
    columns: dict[str, np.ndarray] = {}
    for rows, found in parts:
        for name, column in found.items():
            nothing = np.full(count, None if column.dtype == object else np.nan, dtype=column.dtype)
            columns.setdefault(name, nothing)[rows] = column
    return columns


def _host(tensor: torch.Tensor, count: int) -> np.ndarray:
    return tensor[:count].double().cpu().numpy()


def _nullable(about: Column, numbers: np.ndarray, diverged: BoolArray) -> pa.Array:
    """A column of the type that it is declared with; NaN is null, and so is what no diverged trial has."""
    if about.type == "string":
        return pa.array(numbers, pa.string(), mask=diverged & about.null_when_diverged)
    missing = np.isnan(numbers) | (diverged & about.null_when_diverged)
    whole = np.where(missing, 0, numbers)
    kinds = {"int64": np.int64, "bool": np.bool_, "float64": np.float64}
    return pa.array(whole.astype(kinds[about.type]), mask=missing)
