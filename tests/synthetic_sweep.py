"""Fragments with planted rows, for tests of whatever reads a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold, living_scale
from phasediag.parameters import TRAINING
from phasediag.storage.schema_arrow import measurements_schema, table, trials_schema
from phasediag.storage.store import Store
from phasediag.trial import Parameter

START = datetime(2026, 1, 1, tzinfo=UTC)


def trial_id(number: int) -> str:
    return f"{number:032x}"


def pack_name(number: int) -> str:
    return f"{number:032x}"


def trial_rows(
    pack: str,
    numbers: Sequence[int],
    status: str | Sequence[str] = "ok",
    started: float = 0.0,
    parameters: Sequence[Parameter] = TRAINING,
    **columns: Any,
) -> pa.Table:
    """Rows of `trials`; `wall_s` carries the pack's number so that a row can be recognised."""
    n = len(numbers)
    values: dict[str, Any] = {
        "trial_id": [trial_id(i) for i in numbers],
        "pack_id": [pack] * n,
        "replicate": list(numbers),
        "status": [status] * n if isinstance(status, str) else list(status),
        "weight_decay": [0.1 * i for i in numbers],
        "wall_s": [float(int(pack, 16))] * n,
        "started_at": [START + timedelta(seconds=started)] * n,
    }
    return table(trials_schema(parameters), values | columns, n)


def measured_rows(
    pack: str, numbers: Sequence[int], steps: Sequence[int] = (0, 10), **columns: Any
) -> pa.Table:
    """One row a trial and step of `permutation` on `hidden.1`."""
    pairs = [(i, step) for i in numbers for step in steps]
    n = len(pairs)
    values: dict[str, Any] = {
        "trial_id": [trial_id(i) for i, _ in pairs],
        "pack_id": [pack] * n,
        "step": [step for _, step in pairs],
        "layer": ["hidden.1"] * n,
        "observable": ["permutation"] * n,
        "max_degree": [3] * n,
        "degree": [i % 4 for i, _ in pairs],
        "distances": [(float(i), float(step), 0.5) for i, step in pairs],
    }
    return table(measurements_schema(), values | columns, n)


def write_pack(
    store: Store,
    number: int,
    numbers: Sequence[int],
    status: str | Sequence[str] = "ok",
    started: float = 0.0,
) -> str:
    pack = pack_name(number)
    store.write_fragment(pack, trial_rows(pack, numbers, status, started), measured_rows(pack, numbers))
    return pack


def write_measured_pack(
    store: Store,
    number: int,
    distances: Mapping[int, Mapping[str, Sequence[float]]],
    threshold: Threshold,
    stored: bool = True,
    scaled: bool = True,
    moving: bool = True,
    scale: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]] = living_scale,
) -> None:
    """A pack whose degrees were counted from planted distances, one mapping by observable a trial.

    The distances are said to have stood still over the last half. Without `scaled` as an older version wrote
    it: the layer's scale and max_degree are missing; without `moving` how distances moved. `scale` is what
    it was, from the norms of the neurons.
    """
    pack = pack_name(number)
    recorded = [name for name in measurements_schema().names if name not in ("train_loss", "test_loss")]
    columns: dict[str, list[Any]] = {name: [] for name in recorded}
    results: dict[str, list[Any]] = {
        name: []
        for name in (
            "max_degree",
            "degree_of_symmetry",
            "degree_normalized",
            "neuron_count",
            "alive_count",
            "rank",
        )
    }
    for i, of in distances.items():
        norms = np.array([of["sign_flip"]], dtype=np.float32)
        epsilon = threshold.at_scale(scale(norms))
        counts = {}
        for observable, values in of.items():
            measured = np.array([values], dtype=np.float32)
            (counts[observable],) = (
                distance_observables()[observable].count(measured, epsilon, threshold.absolute).tolist()
            )
            row = {
                "trial_id": trial_id(i), "pack_id": pack, "step": 10, "layer": "hidden.1",
                "observable": observable, "max_degree": len(values), "degree": counts[observable],
                "normalized": counts[observable] / len(values) if values else None,
                "epsilon": float(epsilon[0]),
                "scale": float(scale(norms)[0]) if scaled else None,
                "distances": tuple(values) if stored else None,
                **dict.fromkeys(
                    ("log_change_half", "log_change_late"), (0,) * len(values) if stored and moving else None
                ),
            }  # fmt: skip
            for name, value in row.items():
                columns[name].append(value)
        width = len(of["sign_flip"])
        results["max_degree"].append(width - 1 if scaled else None)
        results["degree_of_symmetry"].append(counts["permutation"])
        results["degree_normalized"].append(counts["permutation"] / (width - 1) if width > 1 else None)
        results["neuron_count"].append(counts["classes"])
        results["alive_count"].append(width - counts["sign_flip"])
        results["rank"].append(counts.get("rank"))
    n = len(distances)
    trials = trial_rows(
        pack, list(distances), measure_layer=["hidden.1"] * n, converged=[True] * n, drift=[0.0] * n,
        steps_done=[10] * n, relaxations=[20.0] * n, more_steps=[0] * n,
        count_converged=[moving or None] * n, count_more_steps=[0 if moving else None] * n,
        unsettled=["" if moving else None] * n,
        threshold_absolute=[threshold.absolute] * n, threshold_relative=[threshold.relative] * n, **results,
    )  # fmt: skip
    measurements = table(measurements_schema(), columns, len(columns["step"]))
    store.write_fragment(pack, trials, measurements)
