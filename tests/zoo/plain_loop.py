"""What a user gets from a loop of her own in plain PyTorch: no vmap, no functional call, no engine.

Only what a trial's record means is shared with phasediag: the streams of a replicate, the batches that are
drawn from them, and the normal numbers of `kaiming_normal`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasediag.registry import component
from phasediag.training.data import Batches, Samples, Task
from phasediag.training.initial import initial_weights
from phasediag.trial import Streams, Trials, Value
from trained_tiles import task_of
from zoo.masks import drawn

CONSTRUCTOR = 2**32
"""Position of the stream `init` that seeds a constructor."""
DTYPES = {"float32": torch.float32, "float64": torch.float64}
LAYERS = (
    nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.RNNCell,
    nn.GRUCell, nn.LSTMCell, nn.MultiheadAttention,
)  # fmt: skip
"""Whose weights and biases an `init` draws."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network after its last step."""

    weights: Mapping[str, np.ndarray]
    """And the buffers that training changed."""
    train_loss: float
    test_loss: float


def trained(trials: Trials, row: int, folder: Path) -> Trained:
    """Train one trial to its end."""
    values, task = trials.record(row), task_of_user(trials, row, folder)
    dtype = DTYPES[str(values["dtype"])]
    module = built(values, folder, int(trials.seed[row]), task.sizes(values))
    module.train()
    fresh = values.get("noise") == "fresh"
    batches = Batches([task], int(values["batch_size"]), fresh, dtype, torch.device("cpu"))  # type: ignore[arg-type]
    optimizer = optimizer_of(module, values)
    first = {name: buffer.clone() for name, buffer in module.named_buffers()}
    for step in range(int(values["steps"])):  # type: ignore[call-overload]
        optimizer.zero_grad()
        with drawn(int(trials.seed[row]), step):
            loss = loss_on(task, module, batches.at(step), values)
        loss.backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        train = loss_on(task, module, batches.training_set(), values)
        test = loss_on(task, module, batches.test_set(), {**values, "label_noise": 0.0})
    weights = {name: p.detach().numpy().copy() for name, p in module.named_parameters()}
    left = {name: b for name, b in module.named_buffers() if not torch.equal(b, first[name])}
    weights |= {name: buffer.numpy().copy() for name, buffer in left.items()}
    return Trained(weights=weights, train_loss=float(train), test_loss=float(test))


def loss_on(task: Task, module: nn.Module, samples: Samples, values: Mapping[str, Any]) -> Tensor:
    x, y, noise = samples.x[0].clone(), samples.y[0].detach(), samples.noise[0]
    return task.loss(module(x), noisy(task, y, noise, values.get("label_noise") or 0.0))


def noisy(task: Task, y: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Targets with label noise: added, or, of classes, a share of the labels drawn anew."""
    if not task.classes or type(task).unit_noise is not Task.unit_noise:
        return y + strength * noise
    redrawn, label = noise[:, 0] < strength, noise[:, 1:]
    return torch.stack([new if again else old for again, new, old in zip(redrawn, label, y, strict=True)])


def optimizer_of(module: nn.Module, values: Mapping[str, Any]) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    given = {"lr": values["learning_rate"], "weight_decay": values["weight_decay"]}
    if values["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, momentum=values["momentum"], **given)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[values["optimizer"]](parameters, **given)


def task_of_user(trials: Trials, row: int, folder: Path) -> Task:
    """The task as the trial's replicate sees it, made anew."""
    values = trials.record(row)
    if ":" not in str(values["task"]):
        return task_of(trials, row)
    data_seed = values["data_seed"]
    cls = component("task", str(values["task"]), folder).cls
    task: Task = cls(values, Streams(int(trials.seed[row]), data_seed))  # type: ignore[arg-type]
    return task


def built(values: Mapping[str, Value], folder: Path, seed: int, sizes: tuple[int, int]) -> nn.Module:
    """The module of a replicate with the weights that it starts from."""
    dtype, init = DTYPES[str(values["dtype"])], str(values["init"])
    model = component("model", str(values["model"]), folder)
    if ":" not in model.name:
        module = model.cls(*sizes, **{name: values[name] for name in model.parameters}).to(dtype)
    else:
        module = in_precision(constructed(model.cls, model.parameters, values, sizes, seed), dtype)
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    scaled = set(shapes) if ":" not in model.name else matrices(module) | biases(module)
    normal = initial_weights(shapes, "kaiming_normal", Streams(seed).generator("init"))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in scaled and init == "kaiming_normal":
                start = torch.from_numpy(normal[name]) * float(values["init_scale"])  # type: ignore[arg-type]
                parameter.copy_(start)
            elif name in scaled:
                parameter.mul_(float(values["init_scale"]))  # type: ignore[arg-type]
    return module


def constructed(
    cls: type[nn.Module], names: Sequence[str] | Mapping[str, Any], values: Mapping[str, Any],
    sizes: tuple[int, int], seed: int,
) -> nn.Module:  # fmt: skip
    """The module as its constructor makes it, a function of the replicate's seed."""
    import inspect

    taken = inspect.signature(cls).parameters
    arguments = {n: s for n, s in zip(("inputs", "outputs"), sizes, strict=True) if n in taken}
    for name in names:
        value = values[name]
        arguments[name] = list(value) if isinstance(value, tuple) else value
    number = int(Streams(seed).generator("init", CONSTRUCTOR).integers(2**63))
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)
    return cls(**arguments)


def in_precision(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Every real tensor in a precision; `Module.to` would take the imaginary part from complex ones."""
    for part in module.modules():
        for name, tensor in [*part.named_buffers(recurse=False)]:
            if tensor.is_floating_point():
                part.register_buffer(name, tensor.to(dtype))
            elif tensor.is_complex():
                part.register_buffer(name, tensor.to(dtype.to_complex()))
        for parameter in part.parameters(recurse=False):
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
    return module


def matrices(module: nn.Module) -> set[str]:
    """The weight matrices: of a layer of torch, or named by a neuron group."""
    groups = getattr(module, "neuron_groups", ())
    names = {name for group in groups for name in (*group.incoming, *group.outgoing)}
    for path, part in module.named_modules():
        if isinstance(part, LAYERS):
            names |= {joined(path, n) for n, p in part.named_parameters(recurse=False) if p.dim() > 1}
    return names


def biases(module: nn.Module) -> set[str]:
    groups = getattr(module, "neuron_groups", ())
    names = {name for group in groups for name in group.bias}
    for path, part in module.named_modules():
        if isinstance(part, LAYERS):
            own = part.named_parameters(recurse=False)
            names |= {joined(path, n) for n, p in own if p.dim() == 1 and "bias" in n}
    return names


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
