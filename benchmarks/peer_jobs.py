"""The jobs on which peers are compared, and their work as phasediag itself starts and draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peer_work import Array, Work

from phasediag.grids.grid import parse_grid
from phasediag.packing.pack import cost_of
from phasediag.registry import component
from phasediag.training.data import Batches, Samples
from phasediag.training.network import DTYPES, Network, network_of
from phasediag.training.tiles import Program
from phasediag.trial import Streams, Trials, Value

CPU: Final = torch.device("cpu")
MLP: Final = """\
name: peers
fixed:
  {{task: teacher_student, inputs: 20, outputs: 10, samples: 1000, teacher_width: 4, teacher_depth: 5,
   model: mlp, depth: 5, width: {width}, activation: tanh, batch_size: 32, steps: {steps}}}
axes:
  weight_decay:  {{logspace: [1e-3, 1e-1], num: 8}}
  lr_over_batch: {{logspace: [1e-4, 1e-3], num: 8}}
  label_noise:   {{logspace: [1e-2, 1], num: 4}}
  init_scale:    {{linspace: [0.5, 1.5], num: 4}}
"""
"""The job of `baseline_ray_tune.py`, 1,024 trials."""
CHAIN: Final = """\
name: peers
fixed:
  {{task: scalar_linear, signal: 0.5, test_samples: 64, model: mlp, depth: 2, width: 1, activation: linear,
   init: balanced, init_scale: 0.5, dtype: float64, batch_size: 1, learning_rate: 0.05, steps: {steps}}}
axes:
  label_noise:  {{logspace: [0.9, 7.0], num: 16}}
  weight_decay: [0.0, 0.2]
replicates: {replicates}
"""
"""The job of `phasediag calibrate` E5 (collapse by label noise), started where the loss shows the weights."""


RESNET: Final = """\
name: peers
fixed:
  {{task: teacher_student, inputs: {inputs}, outputs: 10, samples: 64, test_samples: 16, teacher_width: 4,
   model: resnet18, channels: {channels}, batch_size: 16, learning_rate: 1e-3, label_noise: 0.1,
   steps: {steps}}}
axes:
  weight_decay: {{logspace: [1e-3, 1e-1], num: 4}}
  init_scale:   {{linspace: [0.5, 1.5], num: 4}}
"""
"""ResNet18 of a part of its width on images of 3 colours."""
TRANSFORMER: Final = """\
name: peers
fixed:
  {{task: in_context, length: {length}, token_size: 6, samples: 256, test_samples: 16, model: transformer,
   attention_layers: 2, heads: 1, head_width: 16, stream_width: 16, batch_size: 64, learning_rate: 3e-4,
   steps: {steps}}}
axes:
  weight_decay: {{logspace: [1e-3, 1e-1], num: 16}}
  label_noise:  {{logspace: [1e-2, 1], num: 4}}
  init_scale:   {{linspace: [0.5, 1.0], num: 4}}
"""
"""The transformer of `jobs/in-context.yaml`, by plain SGD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job, and how it is timed."""

    name: str
    title: str
    grid: str
    tiles: tuple[int, ...]
    """Sizes that the engines try; at the first one their losses are compared."""
    timed_steps: int
    """Of a training that the engines are timed in: whole blocks of phasediag's batches."""
    tolerance: float
    """Of a loss after `compared_steps`, in units of the largest change of a loss until then."""
    compared_steps: int = 50
    tuned: bool = True
    """Whether Ray Tune and joblib train it, too; else one network a process is the plain loop alone."""


STEPS: Final = 1000
MODELS: Final = {"mlp": "chain", "resnet18": "resnet18", "transformer": "transformer"}
"""What peers call the models."""
JOBS: Final = (
    *(
        Job(
            name=f"width-{width}", title=f"MLP of 5 weight layers, width {width}, batch 32, float32",
            grid=MLP.format(width=width, steps=STEPS), tiles=tiles, timed_steps=128, tolerance=1e-5,
        )
        for width, tiles in ((16, (16, 32, 64, 128, 256, 512, 1024)), (64, (4, 8, 16, 32, 64, 128, 256)))
    ),
    Job(
        name="chain", title="chain of 2 scalar layers, fresh batch of 1, float64",
        grid=CHAIN.format(steps=1024, replicates=256), tiles=(512, 1024, 2048, 4096, 8192), timed_steps=1024,
        tolerance=1e-9,
    ),
    Job(
        name="resnet", title="ResNet18 of an eighth of its width, 32 x 32 x 3, batch 16, float32",
        grid=RESNET.format(inputs=3072, channels=8, steps=8), tiles=(2, 4), timed_steps=4, tolerance=1e-3,
        compared_steps=8, tuned=False,
    ),
    Job(
        name="transformer", title="transformer of 2 attention layers, 20 tokens, width 16, batch 64, float32",
        grid=TRANSFORMER.format(length=20, steps=64), tiles=(8, 32, 128), timed_steps=32, tolerance=1e-3,
        tuned=False,
    ),
)  # fmt: skip


def trials_of(grid: str) -> Trials:
    """The trials of a grid, replicate by replicate; those of a replicate in an order of no meaning."""
    trials = parse_grid(grid, Path("grid.yaml")).trials()
    shuffled = np.random.default_rng(0).permutation(len(trials))
    points = trials.point_id[shuffled]
    if len(set(trials.replicate.tolist())) > 1:
        shuffled = shuffled[np.lexsort((points.astype(str), trials.replicate[shuffled]))]
    return trials.take(shuffled)


def work_of(trials: Trials, timed_steps: int) -> Work:
    """What phasediag would train of these trials: its initial weights, data and batches."""
    records = [trials.record(row) for row in range(len(trials))]
    network = network_of(records[0], Path())
    tile = Program(records[0], Path(), CPU, False).tile(trials)
    firsts = [int(np.argmax(trials.replicate == replicate)) for replicate in sorted(set(trials.replicate))]
    seeds = trials.seed.tolist()
    worlds = [network.task(records[row], Streams(seeds[row])) for row in firsts]
    batch_size, steps = int(str(records[0]["batch_size"])), int(str(records[0]["steps"]))
    dtype = DTYPES[str(records[0]["dtype"])]
    batches = Batches(worlds, batch_size, False, dtype, CPU)
    data, rows = drawn(batches, steps)

    def rates(name: str) -> Array:
        return np.array([record.get(name) or 0.0 for record in records], dtype=data[0].dtype)

    weights = {name: w.numpy() for name, w in tile.state.weights.items()}
    settings = settings_of(records[0], network.sizes, list(weights))
    return Work(
        model=MODELS[str(records[0]["model"])], settings=settings,
        weights=weights, buffers={n: b.numpy() for n, b in tile.state.buffers.items()}, data=data, rows=rows,
        operations=operations_of(network, records[0], weights), learning_rate=rates("learning_rate"),
        weight_decay=rates("weight_decay"), label_noise=rates("label_noise"),
        measured=arrays(batches.training_set()), timed_steps=timed_steps,
    )  # fmt: skip


def settings_of(record: Mapping[str, Value], sizes: tuple[int, int], layers: list[str]) -> dict[str, Any]:
    """What the network of a record is built from."""
    if record["model"] == "mlp":
        return {"tanh": record["activation"] == "tanh", "layers": layers}
    names = [parameter.name for parameter in component("model", str(record["model"]), Path()).cls.declares]
    return {"inputs": sizes[0], "outputs": sizes[1], **{name: record[name] for name in names}}


def operations_of(network: Network, record: Mapping[str, Value], weights: Mapping[str, Array]) -> float:
    """Of the products of a step; of a chain without the gradient of its inputs, which nothing needs."""
    if record["model"] != "mlp":
        return cost_of(network, record).flops
    sizes = [w.shape[1] * w.shape[2] for w in weights.values()]
    return 2.0 * int(str(record["batch_size"])) * (3 * sum(sizes) - sizes[0])


def arrays(samples: Samples) -> tuple[Array, Array, Array]:
    return samples.x.numpy(), samples.y.numpy(), samples.noise.numpy()


def drawn(batches: Batches, steps: int) -> tuple[tuple[Array, Array, Array], Array]:
    """Data, shapes (replicates, samples, numbers), and the rows of every batch (replicates, steps, batch)."""
    each = [arrays(batches.at(step)) for step in range(steps)]
    x, y, noise = (np.stack(parts, axis=1) for parts in zip(*each, strict=True))
    replicates, _, batch, _ = x.shape
    if batches.fresh:
        data = tuple(part.reshape(replicates, steps * batch, -1) for part in (x, y, noise))
        rows = np.broadcast_to(np.arange(steps * batch).reshape(steps, batch), (replicates, steps, batch))
        return data, rows.astype(np.int32)  # type: ignore[return-value]
    data = arrays(batches.training_set())
    rows = np.stack([positions_of(everyone, part) for everyone, part in zip(data[0], x, strict=True)])
    world = np.arange(replicates)[:, None, None]
    if not all(
        (everyone[world, rows] == part).all() for everyone, part in zip(data, (x, y, noise), strict=True)
    ):
        raise RuntimeError("the batches of phasediag are not drawn from its training set")
    return data, rows


def positions_of(samples: Array, drawn: Array) -> Array:
    """Where among the samples (samples, numbers) each drawn one (..., numbers) stands: int32."""
    position = {sample.tobytes(): row for row, sample in enumerate(samples)}
    flat = [position[sample.tobytes()] for sample in drawn.reshape(-1, drawn.shape[-1])]
    return np.array(flat, dtype=np.int32).reshape(drawn.shape[:-1])
