"""One step of a user's network by plain PyTorch, beside the same step of a pack, before anything is recorded.

What is wrong with a user's module or task shows here, in one sentence with the line of her file, instead of
in every trial. It is taken of each structure that is to be trained and in which code of the user's takes
part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from phasediag.errors import PhasediagError
from phasediag.grids.sections import Measure
from phasediag.registry import Component, component
from phasediag.source_lines import place_of, told
from phasediag.training.construction import CANONICAL_SEED, uninitialized, values_of
from phasediag.training.data import Samples
from phasediag.training.dry_data import check_data
from phasediag.training.fingerprint import changes, fingerprint, generators
from phasediag.training.network import Network
from phasediag.training.optimizers import Rates
from phasediag.training.recording import Recorder
from phasediag.training.train import Program, Tile
from phasediag.trial import Column, Trials, Value

PLAIN: Final[dict[str, Value]] = {
    "optimizer": "sgd", "momentum": 0.0, "control": "none", "dcs_symmetry": None, "syre_scale": None,
    "syre_distribution": None, "syre_anisotropy": None,
}  # fmt: skip
"""What a dry step is taken with: the gradient is compared, which optimizers and controls only use."""
TOLERANCE: Final = {torch.float32: 2e-3, torch.float64: 1e-8}
"""Of the largest change of a weight, between a step alone and in company."""
_SAME: Final = "a network must be the same before and after a pass, since many share one module"


def dry_step(trials: Trials, measure: Measure, folder: Path) -> list[str]:
    """Take a step of a structure, and compare it with one of plain PyTorch.

    Parameters
    ----------
    trials
        Some of the structure, of more than one replicate where there are several.
    measure
        What is measured of them.
    folder
        Where user files are.

    Returns
    -------
    What the user should know, in sentences.

    Raises
    ------
    PhasediagError
        Where the step cannot be taken, or comes out otherwise than by plain PyTorch.
    """
    record = trials.record(0)
    task = component("task", str(record["task"]), folder)
    model = component("model", str(record["model"]), folder)
    if task.source:
        check_data(task, record, int(trials.seed[0]), folder)
    columns = {**trials.columns, **{name: Column(pool=(value,)) for name, value in PLAIN.items()}}
    rows = np.arange(max(2, len(trials))) % len(trials)
    plain = replace(trials, columns=columns).take(rows)
    program = Program(plain.record(0), folder, torch.device("cpu"), compiled=False)
    if model.source:
        _check_constructor(program.network, model, "own" in trials.columns["init"].pool)
    with _blaming(model if model.source else task, "its step"):
        tile = program.tile(plain, shared=False)
        alone = [_Alone(tile, row, task, model) for row in range(len(rows))]
        for each in alone:
            each.step()
        before = fingerprint(program.network.module)
    with _blaming(model if model.source else task, "a step of several networks at once (torch.func.vmap)"):
        tile.rates = {**tile.rates, "learning_rate": torch.ones_like(tile.rates["learning_rate"])}
        tile.advance(1)
        losses = tile.losses()
    _check_unchanged(before, program.network.module, model)
    for row, each in enumerate(alone):
        each.compare(tile, row, [loss[row] for loss in losses[:2]])
    with _blaming(model, "measuring it"):
        Recorder(measure, tile, len(rows)).record()
    return _notes(program.network, model, record) if model.source else []


@contextmanager
def _blaming(owner: Component, doing: str) -> Iterator[None]:
    """Turn what is raised into one sentence with the line of the user's file."""
    try:
        yield
    except PhasediagError:
        raise
    except Exception as error:
        raise PhasediagError(f"{told(error, owner.cls)} [{owner.name}: {doing}]{_advice(error)}") from error


def _advice(error: Exception) -> str:
    """What to do about some errors of torch's, whose own words do not say it."""
    text = str(error)
    for part, advice in (
        ("data-dependent control flow", "; write the branch with torch.where"),
        (".item() on a Tensor", "; keep it a tensor"),
        ("Batching rule not implemented", "; write it by other operators of torch, which vmap knows"),
        ("in-place operation", "; write it without changing a tensor in place"),
        ("same dtype", "; let it follow the dtype of x (a plain tensor does not: use register_buffer)"),
        ("dtype", "; let it follow the dtype of x (a plain tensor does not: use register_buffer)"),
        ("numpy", "; use torch's functions"),
    ):
        if part in text:
            return advice
    return ""


def _check_constructor(network: Network, model: Component, own: bool) -> None:
    """Refuse a constructor that is no function of its seed, or that leaves values unset that are used."""
    place, make = place_of(model.cls), network.construction.module
    unset = [name for name in uninitialized(network.construction) if own or name not in network.drawn]
    if unset:
        raise PhasediagError(
            f"{place}: {model.name}: '{unset[0]}' has no initial value (torch.empty); set one in the "
            "constructor"
        )
    first, again, other = make(CANONICAL_SEED), make(CANONICAL_SEED), make(CANONICAL_SEED + 1)
    values, repeated = values_of(first), values_of(again)
    unequal = [n for n, v in values.items() if n not in repeated or not torch.equal(v, repeated[n])]
    buffers = {name for name, _ in first.named_buffers()}
    unequal += [n for n in changes(fingerprint(first), fingerprint(again)) if n not in buffers]
    if unequal:
        raise PhasediagError(
            f"{place}: {model.name}: '{unequal[0]}' is another one each time the constructor runs, though "
            "the generators of torch, numpy and Python are seeded; make it a function of them"
        )
    attributes = [n for n in changes(fingerprint(first), fingerprint(other)) if n not in buffers]
    if attributes:
        raise PhasediagError(
            f"{place}: {model.name}: the attribute '{attributes[0]}' differs between replicates, which share "
            "all attributes; keep it by register_buffer, of which each trial has its own"
        )


def _check_unchanged(before: dict[str, object], module: nn.Module, model: Component) -> None:
    changed = changes(before, fingerprint(module))
    if changed:
        raise PhasediagError(
            f"{place_of(model.cls)}: {model.name}: its forward changes '{changed[0]}': {_SAME}; compute it "
            "from the inputs and the weights alone"
        )


class _Alone:
    """One network of a tile, as plain PyTorch has it.

    Parameters
    ----------
    tile
        At step 0.
    row
        The trial.
    """

    def __init__(self, tile: Tile, row: int, task: Component, model: Component) -> None:
        self.tile, self.task, self.model, self.network = tile, task, model, tile.network
        self.module = self.network.construction.module(int(tile.trials.seed[row]))
        self.start = {name: weight[row].clone() for name, weight in tile.weights.items()}
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(self.start[name])
        self.rates: Rates = {name: rate[row] for name, rate in tile.rates.items()}
        world = int(tile.world[row])
        self.batch = _of_world(tile.batches.at(0), world)
        self.sets = [
            _of_world(each, world) for each in (tile.batches.training_set(), tile.batches.test_set())
        ]

    def step(self) -> None:
        """One step of gradient descent with a learning rate of 1; what it leaves is kept."""
        prediction = self._pass(self.batch.x)
        self._check_prediction(prediction)
        target = self.network.task.noisy(self.batch.y, self.batch.noise, self.rates["label_noise"])
        loss = self._loss(prediction, target)
        trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if not loss.requires_grad:
            raise PhasediagError(
                f"{place_of(self.model.cls)}: {self.model.name}: the loss does not depend on any trained "
                "parameter by torch's operators (detach, no_grad, numpy?)"
            )
        slopes = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
        decay = self.rates["weight_decay"]
        with torch.no_grad():
            for parameter, slope in zip(trained.values(), slopes, strict=True):
                parameter.sub_(slope + decay * parameter)

    def compare(self, tile: Tile, row: int, losses: list[Tensor]) -> None:
        """Refuse a network whose step, or whose losses after it, come out otherwise in a pack."""
        after = {name: p.detach() for name, p in self.module.named_parameters()}
        largest = max(float((after[name] - self.start[name]).abs().nan_to_num().max()) for name in after)
        rounding = torch.finfo(self.network.dtype).eps
        for name, weight in after.items():
            off = float((tile.weights[name][row] - weight).abs().nan_to_num().max())
            scale = float(self.start[name].abs().nan_to_num().max())
            if off > TOLERANCE[self.network.dtype] * largest + 8 * rounding * scale:
                self._differs(f"'{name}' after one step is off by {off:.3g} where it moved by {largest:.3g}")
        if not all(np.isfinite(largest) and bool(torch.isfinite(weight).all()) for weight in after.values()):
            return
        zero = torch.zeros_like(self.rates["label_noise"])
        for words, data, noise, loss in zip(
            ("train", "test"), self.sets, (self.rates["label_noise"], zero), losses, strict=True
        ):
            with torch.no_grad():
                target = self.network.task.noisy(data.y, data.noise, noise)
                own = float(self._loss(self.module(data.x), target))
            if not np.isclose(
                own, float(loss), rtol=TOLERANCE[self.network.dtype], atol=1e-6, equal_nan=True
            ):
                self._differs(f"its {words}_loss is {float(loss):.6g}, and {own:.6g} alone")

    def _differs(self, how: str) -> None:
        owner = self.model if self.model.source else self.task
        raise PhasediagError(
            f"{place_of(owner.cls)}: {owner.name} comes out otherwise in a pack than by plain PyTorch: "
            f"{how}; phasediag does not know how to train it as it is"
        )

    def _pass(self, x: Tensor) -> Any:
        """What the module gives, refused where a pass leaves anything behind or depends on chance."""
        random, before = generators(), fingerprint(self.module)
        prediction = self.module(x)
        where = f"{place_of(self.model.cls)}: {self.model.name}"
        if generators() != random:
            part = _culprit(self.module, x, generators)
            raise PhasediagError(
                f"{where}: its forward draws random numbers (in {part}): a trial's step has none but those "
                "of its batches; leave them out, or draw them in the constructor"
            )
        _check_unchanged(before, self.module, self.model)
        again = self.module(x)
        if isinstance(prediction, Tensor) and not _alike(prediction, again):
            raise PhasediagError(f"{where}: two passes of the same samples differ: {_SAME}")
        self.module.eval()
        evaluated = self.module(x)
        self.module.train()
        if isinstance(prediction, Tensor) and not _alike(prediction, evaluated):
            raise PhasediagError(
                f"{where}: it gives other values in eval() than in train(), and phasediag trains and "
                "evaluates in train(); let them be the same"
            )
        return prediction

    def _check_prediction(self, prediction: Any) -> None:
        count, outputs = len(self.batch.x), self.network.sizes[1]
        given = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction).__name__
        if given != (count, outputs):
            raise PhasediagError(
                f"{place_of(self.model.cls)}: {self.model.name} gives {given} for {count} samples, the task "
                f"asks for {(count, outputs)}; give one row a sample and one number an output"
            )

    def _loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        with _blaming(self.task, "its loss"):
            loss: Any = self.network.task.loss(prediction, target)
        if not isinstance(loss, Tensor) or loss.shape != ():
            given = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise PhasediagError(
                f"{place_of(self.task.cls)}: {self.task.name}.loss gives {given}, not one number for the "
                "batch; write @staticmethod def loss(prediction, target) that gives a tensor of shape ()"
            )
        return loss


def _of_world(data: Samples, world: int) -> Samples:
    return Samples(x=data.x[world], y=data.y[world], noise=data.noise[world])


def _alike(one: Tensor, other: Any) -> bool:
    if not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    size = float(one.detach().abs().nan_to_num(0, 0, 0).max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=1e-4, atol=1e-4 * size, equal_nan=True)


def _culprit(module: nn.Module, x: Tensor, state: Callable[[], str]) -> str:
    """The innermost part of a module whose pass changes a state."""
    before: dict[str, str] = {}
    found: list[str] = []
    handles = []
    for path, part in module.named_modules():

        def enter(part: nn.Module, given: Any, path: str = path) -> None:
            before[path] = state()

        def leave(part: nn.Module, given: Any, made: Any, path: str = path) -> None:
            if state() != before[path]:
                found.append(f"module '{path}', a {type(part).__name__}" if path else "its own forward")

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    module(x)
    for handle in handles:
        handle.remove()
    return found[0] if found else "its own forward"


def _notes(network: Network, model: Component, record: Any) -> list[str]:
    """What starts otherwise than the file says."""
    notes = []
    init = str(record["init"])
    if init != "own" and network.drawn:
        matrices = [name for name, matrix in network.drawn.items() if matrix]
        biases = [name for name, matrix in network.drawn.items() if not matrix]
        parts = [f"{_listed(matrices)} by {init}"] if matrices else []
        parts += [f"{_listed(biases)} at zero"] if biases else []
        notes.append(
            f"{model.name}: starts otherwise than its constructor says: {', '.join(parts)}; init: own keeps "
            "the constructor's values"
        )
    return notes


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
