"""Rows of a fragment: what a job knows of a trial, joined with what was measured."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from phasediag.arrays import BoolArray
from phasediag.columns import OBSERVABLE_SOURCE
from phasediag.measuring.block import Block
from phasediag.observables.known import DEFINITIONS
from phasediag.packing.pack import Pack
from phasediag.ramp import ramped
from phasediag.running.checkpoint import FinishedTile
from phasediag.running.job import Job
from phasediag.storage.schema_arrow import measurements_schema, table, trials_schema
from phasediag.trial import KINDS, IntArray, Trials
from phasediag.version import VERSION


def trial_rows(pack: Pack, job: Job, rows: IntArray, values: Mapping[str, Any]) -> pa.Table:
    """Rows of `trials` for some trials of a pack, with what is the same for all filled in."""
    trials, count = pack.trials.take(rows), len(rows)
    parameters: dict[str, Any] = {name: list(trials.values(name)) for name in trials.columns}
    fixed = {
        "pack_id": pack.pack_id, "projected_bytes": pack.projected_bytes,
        "threshold_absolute": job.measure.threshold.absolute,
        "threshold_relative": job.measure.threshold.relative, "measure_layer": job.measure.layer,
        "definitions": DEFINITIONS,
        "phasediag_version": VERSION, "git_commit": job.git_commit, "torch_version": torch.__version__,
        "compiled": pack.compiled, "host": socket.gethostname(),
    }  # fmt: skip
    columns = {
        "trial_id": trials.trial_id, "point_id": trials.point_id, "replicate": trials.replicate,
        "seed": trials.seed, **parameters,
        **{name: [value] * count for name, value in fixed.items()}, **_sources(job, trials), **values,
    }  # fmt: skip
    if job.measure.sources:
        columns[OBSERVABLE_SOURCE.name] = [job.measure.sources] * count
    declared = [job.parameters[name] for name in sorted(trials.columns)]
    schema = trials_schema(declared, job.measure.columns, stages=ramped(trials))
    return table(schema, columns, count)


def _sources(job: Job, trials: Trials) -> dict[str, list[str]]:
    """What stands for the user's files behind the classes that each trial names."""
    return {f"{kind}_source": [job.hashes.get(str(v), "") for v in trials.values(kind)] for kind in KINDS}


def failed_rows(pack: Pack, job: Job, rows: IntArray, error: str) -> FinishedTile:
    """What is recorded of trials that raised: status `failed`, the error, and no measurement."""
    count = len(rows)
    values = {"status": ["failed"] * count, "error": [error] * count, "steps_done": [0] * count}
    schema = measurements_schema(str(pack.trials.columns["dtype"].pool[0]))
    return FinishedTile(trials=trial_rows(pack, job, rows, values), measurements=schema.empty_table())


def device_name(device: torch.device) -> str:
    """The device in words: the GPU's name, with `TF32` where products are rounded to it, or `cpu`."""
    if device.type != "cuda":
        return device.type
    name = torch.cuda.get_device_name(device)
    return f"{name}, TF32" if torch.backends.cuda.matmul.allow_tf32 else name


def block_rows(pack: str, trials: Trials, block: Block, kept: BoolArray, schema: pa.Schema) -> pa.Table:
    """Rows of `measurements` for a block, less the trials that are not kept."""
    keep = kept[block.rows]
    rows = block.rows[keep]
    count = len(rows)
    columns: dict[str, Any] = {
        "trial_id": trials.trial_id[rows], "pack_id": [pack] * count, "step": [block.step] * count,
        "layer": [block.layer] * count, "observable": [block.observable] * count,
        "max_degree": [block.max_degree] * count,
        "epsilon": block.epsilon[keep], "scale": block.scale[keep],
    }  # fmt: skip
    if block.degree is not None:
        columns["degree"] = counted = block.degree[keep]
        columns["normalized"] = counted / block.max_degree if block.max_degree else [None] * count
    if block.train_loss is not None and block.test_loss is not None:
        columns |= {"train_loss": block.train_loss[keep], "test_loss": block.test_loss[keep]}
    if block.distances is not None:
        columns["distances"] = block.distances[keep]
    if block.log_change_half is not None and block.log_change_late is not None:
        columns["log_change_half"] = block.log_change_half[keep]
        columns["log_change_late"] = block.log_change_late[keep]
    return table(schema, columns, count)
