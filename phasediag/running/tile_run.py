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
import pyarrow.compute as pc
import torch

from phasediag.arrays import BoolArray, FloatArray
from phasediag.columns import STAGES, Column, column_of
from phasediag.measuring.collapse import collapse_weight_decay
from phasediag.measuring.entropy import entropic_columns
from phasediag.measuring.judgement import counts_of, words
from phasediag.measuring.recording import MeasuredSoFar, Recorder
from phasediag.measuring.result_columns import results
from phasediag.packing.machine import finish
from phasediag.packing.origin import Origin
from phasediag.packing.pack import Pack
from phasediag.packing.structure import Structure
from phasediag.ramp import ramped
from phasediag.running.begun import Begun
from phasediag.running.checkpoint import FinishedTile, SavedTile
from phasediag.running.job import PHASES, Job, TileWork
from phasediag.running.kept import courses_kept, kept_of
from phasediag.running.rows import block_rows, device_name, trial_rows
from phasediag.running.sources import source_folder
from phasediag.running.stage_end import StageEnd, stage_records
from phasediag.storage.fragments import in_pack
from phasediag.storage.kept_weights import Kept
from phasediag.storage.schema_arrow import measurements_schema
from phasediag.training.pace import mean_rates
from phasediag.training.parts import parts_of
from phasediag.training.tiles import Program
from phasediag.trial import IntArray
from phasediag.user_code.process import kept_process

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
        with self._undisturbed():
            self.tile = program.tile(padded, shared=pack.shared)
            self.parts = self._recorders()
        self.passed: list[StageEnd] = []
        self.origin: Origin | None = None
        self.carried: pa.Table | None = None
        self.started_at = datetime.now(UTC)
        self._slice = 16
        self.wall_s = time.monotonic() - began
        self.spent = dict.fromkeys(PHASES, 0.0) | {"training": self.wall_s}

    @property
    def finished(self) -> bool:
        """Whether every trial has done its steps."""
        return self.tile.step >= self.length

    @property
    def share(self) -> float:
        """Part of the training that is done, from 0 to 1."""
        return (self.tile.step - self.from_step) / (self.length - self.from_step)

    @property
    def from_step(self) -> int:
        """The step at which it began: 0, or that of the shorter trials from which it goes on."""
        return self.origin.step if self.origin else 0

    @property
    def length(self) -> int:
        """Steps of the longest trial, in all stages of its ramp."""
        return max(self.tile.steps) * self.tile.stages

    def _recorders(self) -> list[tuple[IntArray, Recorder]]:
        """What measures the present stage: of each part of the tile its trials' positions, and a recorder."""
        folder, measure = source_folder(self.job.sources), self.job.measure
        start = self.tile.ends - max(self.tile.steps)
        return [
            (rows, Recorder(measure, networks, len(rows), folder, start))
            for rows, networks in parts_of(self.tile, len(self.work.rows))
        ]

    def begin(self, begun: Begun) -> None:
        """Go on from the kept weights of shorter trials instead of step 0, measuring what is due there.

        Raises
        ------
        KeyError
            Where something of the state is not kept; the tile is at step 0 still.
        """
        empty = {name: tensor.cpu().numpy() for name, tensor in self.tile.state.tensors().items()}
        state, numbers = begun.state(empty), [begun.numbers(rows) for rows, _ in self.parts]
        self.tile.restore({name: torch.from_numpy(array) for name, array in state.items()}, begun.origin.step)
        self.origin, self.carried = begun.origin, begun.carried
        for (_, recorder), known in zip(self.parts, numbers, strict=True):
            recorder.recording.numbers = known
        with self._undisturbed():
            self._measure()

    def advance(self, deadline: float) -> None:
        """Train and measure until the deadline or the end; some steps in any case."""
        while not self.finished:
            before, from_step = time.monotonic(), self.tile.step
            self.advance_to(min(self.length, from_step + self._slice))
            taken = max(time.monotonic() - before, 1e-6)
            self._slice = int(
                min(4 * self._slice, max(1, (self.tile.step - from_step) * SLICE_SECONDS / taken))
            )
            if time.monotonic() >= deadline:
                return

    def advance_to(self, step: int) -> None:
        """Train up to a step, measuring at every step where something is due."""
        with self._undisturbed():
            if self.tile.step == 0 and not any(recorder.started for _, recorder in self.parts):
                self._measure()
            while self.tile.step < step:
                if self.tile.step == self.tile.ends:
                    self._next_stage()
                due = min(recorder.next_due(self.tile.step + 1) for _, recorder in self.parts)
                self._train(min(due, step))
                if self.tile.step == due:
                    self._measure()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Let the process be afterwards as it was before, whatever passes, losses and data change of it."""
        if not self.job.sources:
            yield
            return
        with kept_process():
            yield

    def _next_stage(self) -> None:
        """Keep what the stage that has ended leaves, and begin the next one from its weights."""
        self.passed.append(self._stage_end())
        before = [recorder.recording for _, recorder in self.parts]
        with self._spending("training"):
            self.tile = self.tile.next_stage()
        self.parts = self._recorders()
        for (_, recorder), recording in zip(self.parts, before, strict=True):
            recorder.recording = recording.continued()

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

    def result(self) -> FinishedTile:
        """What is recorded of the tile's trials: rows of `trials` and `measurements`, and kept weights."""
        courses = courses_kept(self.trials, self.job)
        with self._undisturbed():
            trials, measurements = self._rows(courses)
        ids = {row: self.trials.trial_id[row] for row, course in enumerate(courses) if course}
        kept = kept_of(self.tile, self.parts, ids) if ids else Kept()
        return FinishedTile(trials=trials, measurements=measurements, kept=kept)

    def _rows(self, courses: Sequence[str | None]) -> tuple[pa.Table, pa.Table]:
        """The tile's rows of `trials` and of `measurements`; `courses` are `courses_kept` of its trials."""
        count, stages = len(self.work.rows), [*self.passed, self._stage_end()]
        last, made = stages[-1], time.monotonic()
        values: dict[str, Any] = self._nulled(last)
        values |= {
            "status": last.status,
            "steps_done": last.steps_done,
            "diverged_at": [
                int(s) if d else None for s, d in zip(last.steps_done, last.diverged, strict=True)
            ],
            "wall_s": np.full(count, self.wall_s / count),
            "measured_bytes": [measured_bytes(self.tile.program.device)] * count,
            "device": [device_name(self.tile.program.device)] * count,
            "started_at": [self.started_at] * count,
            "course_id": courses,
        }
        if self.origin is not None:
            values |= {"trained_from": self.origin.trial_id, "from_step": [self.origin.step] * count}
        if ramped(self.trials):
            results = [self._nulled(stage) for stage in stages]
            values[STAGES.name] = stage_records(self.trials, stages, results, self.job.measure.columns)
        tables = trial_rows(self.pack, self.job, self.work.rows, values), self._measurements(stages)
        self.spent["writing"] += time.monotonic() - made
        return tables

    def _nulled(self, end: StageEnd) -> dict[str, pa.Array]:
        """What was measured at the end of a stage, null where a trial has none."""
        declared = {column.name: column for column in self.job.measure.columns}
        counts = counts_of(self.parts[0][1].counted)
        return {
            name: _nullable(declared.get(name) or column_of(name), numbers, end.diverged, counts)
            for name, numbers in end.columns.items()
        }

    def _stage_end(self) -> StageEnd:
        """What the present stage, or the whole training of trials without ramps, comes to."""
        count = len(self.work.rows)
        steps_done = (
            self.tile.state.steps_done[:count].cpu().numpy().copy()
        )  # native steps change it in place
        with self._spending("measurement"):
            measured = [(rows, self._columns(recorder, steps_done[rows])) for rows, recorder in self.parts]
        columns = _joined(measured, count)
        alive = self.tile.state.alive[:count].cpu().numpy()
        diverged = ~(alive & np.isfinite(columns["train_loss"]))
        return StageEnd(columns=columns, steps_done=steps_done, diverged=diverged)

    def _columns(self, recorder: Recorder, steps_done: IntArray) -> dict[str, FloatArray]:
        """What is measured at the end of the trials of a part."""
        networks, layer, count = recorder.tile, self.job.measure.layer, len(steps_done)
        train, test, accuracy = networks.losses()
        columns = {"train_loss": _host(train, count), "test_loss": _host(test, count)}
        if accuracy is not None:
            columns["test_accuracy"] = _host(accuracy, count)
        steps_done = np.maximum(steps_done - recorder.start, 0)
        rates = {
            "learning_rate": mean_rates(networks.network.descent, networks.rates, steps_done),
            "weight_decay": _host(networks.rates["weight_decay"], count),
        }
        columns |= results(recorder, rates, steps_done, layer)
        columns["collapse_weight_decay"] = collapse_weight_decay(networks)[:count]
        if self.job.measure.entropic:
            columns |= {name: column[:count] for name, column in entropic_columns(networks, layer).items()}
        return columns

    def _measurements(self, stages: Sequence[StageEnd]) -> pa.Table:
        """Rows of `measurements` of the stages after which a trial had not diverged."""
        schema = measurements_schema(str(self.trials.columns["dtype"].pool[0]))
        tables = [
            block_rows(
                self.pack.pack_id,
                self.trials.take(rows),
                block,
                ~stages[self._stage_of(block.step)].diverged[rows],
                schema,
            )
            for rows, recorder in self.parts
            for block in recorder.recording.blocks
        ]
        if self.carried is not None:
            ended = pa.array(self.trials.trial_id[~stages[-1].diverged], pa.string())
            own = self.carried.filter(pc.is_in(self.carried["trial_id"], value_set=ended))
            tables.append(in_pack(own, self.pack.pack_id))
        return pa.concat_tables([schema.empty_table(), *tables])

    def _stage_of(self, step: int) -> int:
        """The stage in which a step was taken."""
        return max(0, step - 1) // max(self.tile.steps)

    def saved(self) -> SavedTile:
        """The tile for a checkpoint."""
        arrays = {f"state/{n}": t.cpu().contiguous().numpy() for n, t in self.tile.state.tensors().items()}
        blocks = []
        for number, (_, recorder) in enumerate(self.parts):
            plain, held = recorder.recording.saved()
            arrays |= {f"{number}/{name}": array for name, array in held.items()}
            blocks.append(plain)
        for number, end in enumerate(self.passed):
            arrays |= {f"stage/{number}/{name}": array for name, array in end.arrays().items()}
        return SavedTile(
            work=self.work, step=self.tile.step, wall_s=self.wall_s, started_at=self.started_at,
            blocks=blocks, arrays=arrays, carried=self.carried,
        )  # fmt: skip

    def restore(self, saved: SavedTile) -> None:
        """Continue from a checkpoint."""
        state = {name: torch.from_numpy(array) for name, array in _under("state/", saved.arrays)}
        stage = self._stage_of(saved.step)
        if stage:
            with self._undisturbed():
                self.tile = self.tile.in_stage(stage)
                self.parts = self._recorders()
        self.tile.restore(state, saved.step)
        self.carried = saved.carried
        if saved.carried is not None and self.pack.origin is not None:
            self.origin = self.pack.origin.take(self.work.rows)
        self.passed = [StageEnd.of(dict(_under(f"stage/{number}/", saved.arrays))) for number in range(stage)]
        self.wall_s, self.started_at = saved.wall_s, saved.started_at
        for number, (_, recorder) in enumerate(self.parts):
            held = dict(_under(f"{number}/", saved.arrays))
            recorder.recording = MeasuredSoFar.restored(saved.blocks[number], held)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays whose names begin so, by the rest of their names."""
    return ((n.removeprefix(prefix), array) for n, array in arrays.items() if n.startswith(prefix))


def measured_bytes(device: torch.device) -> int:
    """Peak memory: on a GPU what torch has allocated for this tile; else all that the process ever held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _joined(parts: Sequence[tuple[IntArray, dict[str, FloatArray]]], count: int) -> dict[str, FloatArray]:
    """Columns of all trials from those of parts, each with its positions."""
    columns = {name: np.full(count, np.nan) for _, of_part in parts for name in of_part}
    for rows, of_part in parts:
        for name, column in of_part.items():
            columns[name][rows] = column
    return columns


def _host(tensor: torch.Tensor, count: int) -> np.ndarray:
    return tensor[:count].double().cpu().numpy()


def _nullable(about: Column, numbers: FloatArray, diverged: BoolArray, counts: Sequence[str]) -> pa.Array:
    """A column of the type that it is declared with; NaN is null, and so is what no diverged trial has.

    A text is of the names of counts.
    """
    missing = np.isnan(numbers) | (diverged & about.null_when_diverged)
    if about.type == "string":
        return pa.array(words(np.where(missing, np.nan, numbers), counts), pa.string())
    filled = np.where(missing, 0, numbers)
    kinds = {"int64": np.int64, "bool": np.bool_, "float64": np.float64}
    return pa.array(filled.astype(kinds[about.type]), mask=missing)
