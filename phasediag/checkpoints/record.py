"""What was measured of checkpoints, as the record of a sweep: a trial for each head and block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from phasediag.checkpoints.freed import give_back
from phasediag.checkpoints.heads import Measured, PartName, measured_block, measured_heads
from phasediag.checkpoints.layouts import Naming, attention_layers, blocks, heads_of, recognised
from phasediag.checkpoints.named_tensors import settings_of, weights_of
from phasediag.columns import Column
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold, root_mean_square
from phasediag.storage.schema_arrow import measurements_schema, table, trials_schema
from phasediag.storage.store import Store
from phasediag.trial import Parameter, Role
from phasediag.version import VERSION

PARTS: Final[tuple[PartName, ...]] = ("attention", "value", "mlp")
DEFAULT: Final = Threshold()


def _parameter(name: str, kind: type, meaning: str) -> Parameter:
    neutral: Any = "" if kind is str else 0
    return Parameter(
        name=name, type=kind, default=neutral, neutral=neutral, role=Role.STRUCTURAL, meaning=meaning
    )


PARAMETERS: Final = (
    _parameter("checkpoint", str, "The file or folder of weights, as it was given."),
    _parameter("family", str, "The layout by whose names its layers were recognised."),
    _parameter("part", str, "attention: queries and keys; value: values and outputs; mlp: hidden neurons."),
    _parameter("depth", int, "Of the layer, from 1 on."),
    _parameter("head", int, "From 1 on; 0 of hidden neurons."),
    _parameter("width", int, "Numbers of a head, or neurons."),
)
COLUMNS: Final = (
    Column(name="stable_rank", bounds=(0.0, np.inf), level=1.5, label="stable rank",
           meaning="Sum of the squared singular values over the largest square: of the product W_Q^T W_K of "
           "a head (or W_O W_V), or of the incoming weights of hidden neurons."),
    Column(name="effective_rank", bounds=(0.0, np.inf), level=1.5, label="effective rank",
           meaning="exp of the entropy of the same singular values over their sum."),
    Column(name="dead_count", type="int64", unit="neurons", bounds=(0.0, np.inf), label="dead neurons",
           meaning="Neurons, or directions of a head, whose norm is below epsilon."),
)  # fmt: skip
"""What a trial of a checkpoint has that no other has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPlan:
    """How a checkpoint is to be read, and what is counted."""

    heads: int | None = None
    """None: as config.json says."""
    layout: Naming | None = None
    """None: it is recognised."""
    parts: tuple[PartName, ...] = PARTS
    threshold: Threshold = DEFAULT


def measured_parts(path: Path, reading: ReadingPlan) -> Iterator[tuple[str, Measured]]:
    """Measure a checkpoint, one layer in memory at a time; each with the family of its layout.

    Raises
    ------
    PhasediagError
        Where it cannot be read or its layers are not recognised; says what to do.
    """
    weights = weights_of(path)
    layout = recognised(weights.shapes, reading.layout)
    layers = list(attention_layers(weights.shapes, layout))
    queries, keys = heads_of(layers, weights.shapes, settings_of(path), reading.heads)
    for layer in layers:
        for part in ("attention", "value"):
            if part in reading.parts:
                for head in measured_heads(weights, layer, queries, keys, part):
                    yield layout.family, head
        give_back()
    if "mlp" in reading.parts:
        for block in blocks(weights.shapes, layout):
            yield layout.family, measured_block(weights, block)
            give_back()


def record(
    checkpoints: Sequence[Path], folder: Path, reading: ReadingPlan,
    observer: Callable[[str, Measured], None] = lambda name, measured: None,
) -> Path:  # fmt: skip
    """Measure checkpoints and write what comes out as a sweep, one fragment a checkpoint.

    `load_trials`, `load_measurements`, diagrams and spectra read it as any other. A checkpoint that was
    recorded before is replaced.

    Parameters
    ----------
    checkpoints
        Files or folders of weights.
    folder
        Of the sweep.
    observer
        Called with each part as it is measured.

    Returns
    -------
    The folder.

    Raises
    ------
    PhasediagError
        As `measured_parts`; nothing of that checkpoint is written.
    """
    store = Store.at(folder)
    for path in checkpoints:
        name, rows = str(path), []
        for family, measured in measured_parts(path, reading):
            rows.append((family, measured))
            observer(name, measured)
        pack_id = _hash("pack", name)
        store.write_fragment(pack_id, *_fragment(pack_id, name, rows, reading.threshold))
    return folder


def _hash(*words: object) -> str:
    return blake2b("\n".join(map(str, words)).encode(), digest_size=16).hexdigest()


def _fragment(
    pack_id: str, name: str, rows: Sequence[tuple[str, Measured]], threshold: Threshold
) -> tuple[pa.Table, pa.Table]:
    trials, measurements = [], []
    for family, part in rows:
        own = _hash(name, part.kind, part.depth, part.head)
        counts = {}
        scale = root_mean_square(part.norms[None])
        epsilon = threshold.at_scale(scale)
        for observable, distances in part.distances.items():
            counted = int(
                distance_observables()[observable].count(distances[None], epsilon, threshold.absolute)[0]
            )
            counts[observable] = counted
            measurements.append({
                "trial_id": own, "pack_id": pack_id, "step": 0, "layer": part.kind, "observable": observable,
                "max_degree": len(distances), "degree": counted,
                "normalized": counted / len(distances) if len(distances) else np.nan,
                "epsilon": float(epsilon[0]), "scale": float(scale[0]), "distances": distances,
            })  # fmt: skip
        degree, most = _degree(part, counts)
        trials.append({
            "trial_id": own, "pack_id": pack_id, "point_id": own, "replicate": 0, "seed": 0,
            "checkpoint": name, "family": family, "part": part.kind, "depth": part.depth, "head": part.head,
            "width": part.width, "status": "ok", "steps_done": 0, "max_degree": most,
            "degree_of_symmetry": degree, "degree_normalized": degree / most if most else None,
            "neuron_count": counts.get("classes"), "rank": part.rank, "stable_rank": part.stable_rank,
            "effective_rank": part.effective_rank, "dead_count": int((part.norms < epsilon[0]).sum()),
            "threshold_absolute": threshold.absolute, "threshold_relative": threshold.relative,
            "measure_layer": part.kind, "phasediag_version": VERSION,
        })  # fmt: skip
    schema = trials_schema(PARAMETERS, COLUMNS)
    return _table(schema, trials), _table(measurements_schema("float64"), measurements)


def _degree(part: Measured, counts: dict[str, int]) -> tuple[int, int]:
    """The degree of symmetry of a part, and the largest there can be: double rotation, or permutation."""
    observable = "permutation" if part.kind == "mlp" else "double_rotation"
    return counts[observable], len(part.distances[observable])


def _table(schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> pa.Table:
    names = rows[0].keys() if rows else []
    return table(schema, {name: [row[name] for row in rows] for name in names}, len(rows))
