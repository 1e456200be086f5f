"""One network of a tile by plain PyTorch: its passes, a step, its losses, looked at one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from phasediag.errors import PhasediagError
from phasediag.registry import Component
from phasediag.rehearsal.fingerprint import Fingerprint, changes, fingerprint, generators
from phasediag.source_lines import explained, place_of
from phasediag.training.chance import Chance
from phasediag.training.data import Samples
from phasediag.training.network import CHANCE
from phasediag.training.optimizers import Rates
from phasediag.training.passes import evaluating
from phasediag.training.tiles import Tile
from phasediag.user_code.work import at_work

TOLERANCE: Final = {torch.float32: 2e-3, torch.float64: 1e-8}
"""The difference, over the largest change of a weight, between a step alone and in company."""
ORDINARY: Final = 1e6
"""Predictions and targets below it overflow in no loss that is right."""
_SAME: Final = "a network must be the same before and after a pass, since many share one module"


@contextmanager
def blaming(owner: Component, doing: str) -> Iterator[None]:
    """Turn what is raised into one sentence with the line of the user's file."""
    try:
        with at_work(owner.cls, owner.name, doing):
            yield
    except PhasediagError:
        raise
    except Exception as error:
        raise PhasediagError(
            f"{explained(error, owner.cls)} [{owner.name}: {doing}]{advice(error)}"
        ) from error


CHECKPOINTED: Final = "; leave torch.utils.checkpoint out: a pack needs no less memory by it"


def advice(error: Exception) -> str:
    """What to do about some errors of torch's, whose own words do not say it."""
    text = str(error)
    for part, advice in (
        ("data-dependent control flow", "; write the branch with torch.where"),
        (".item() on a Tensor", "; keep it a tensor"),
        ("Batching rule not implemented", "; write it by other operators of torch, which vmap knows"),
        ("saved tensor hooks", CHECKPOINTED),
        ("_NoopSaveInputs", CHECKPOINTED),
        (
            "setup_context",
            "; there, leave ctx out of forward, and write generate_vmap_rule = True in the class (a full "
            "backward hook of a module is such a function too: leave it out)",
        ),
        ("in-place operation", "; write it without changing a tensor in place"),
        (
            "derivative for",
            "; write it by operators whose derivatives torch has, or leave out what needs them",
        ),
        ("same dtype", "; let it follow the dtype of x (a plain tensor does not: use register_buffer)"),
        ("dtype", "; let it follow the dtype of x (a plain tensor does not: use register_buffer)"),
        ("numpy", "; use torch's functions"),
        ("access data pointer", "; use torch's functions in place of numpy's"),
        ("dynamic shape", "; a mask takes no samples or numbers out: multiply by it, or use torch.where"),
        ("random operation", "; leave random numbers out"),
        (
            "Tensor.requires_grad_()",
            "; call it in the constructor alone, and take slopes by the inputs by torch.func.grad",
        ),
    ):
        if part in text:
            return advice
    return ""


def check_unchanged(
    before: Fingerprint, module: nn.Module, model: Component, state: Collection[str] = ()
) -> None:
    """Refuse a module that is not as it was before a pass, but for the buffers of its state."""
    changed = [name for name in changes(before, fingerprint(module)) if name not in state]
    if changed:
        raise PhasediagError(
            f"{place_of(model.cls)}: {model.name}: its forward changes '{changed[0]}': {_SAME}; keep what "
            "changes with training by register_buffer, each trial has its own, or compute it from the inputs "
            "and the weights alone"
        )


class Alone:
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
        self.row = row
        self.start = {name: weight[row].clone() for name, weight in tile.weights.items()}
        self.module = self.made()
        self.left: dict[str, Tensor] = {}
        """The state that the step leaves."""
        self.rates: Rates = {name: rate[row] for name, rate in tile.rates.items()}
        world = int(tile.world[row])
        self.batch = _of_world(tile.batches.at(0), world)
        self.sets = [
            _of_world(each, world) for each in (tile.batches.training_set(), tile.batches.test_set())
        ]

    def made(self) -> nn.Module:
        """The user's module by itself, as the trial starts."""
        trials = self.tile.trials
        arguments = self.network.batched.of(trials.record(self.row))
        module = self.network.construction.given(arguments).module(int(trials.seed[self.row]))
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(self.start[name])
        return module

    def step(self) -> None:
        """One step of gradient descent with a learning rate of 1; what it leaves is kept."""
        prediction = self._pass(self.batch.x)
        self._check_prediction(prediction)
        target = self.network.task.noisy(self.batch.y, self.batch.noise, self.rates["label_noise"])
        loss = self._loss(prediction, target)
        self._check_number(prediction, target, loss)
        if not bool(torch.isfinite(loss)):  # a trial stays as it is then, which `check_starts` tells
            self.left = {}
            return
        self._check_mean(prediction, target, loss)
        trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if not loss.requires_grad:
            raise PhasediagError(
                f"{place_of(self.model.cls)}: {self.model.name}: the loss does not depend on any trained "
                "parameter by torch's operators (detach, no_grad, numpy?)"
            )
        weights = list(trained.values())
        loss.backward()  # type: ignore[no-untyped-call]  # as in a loop, with all hooks of hers
        slopes = [weight.grad for weight in weights]
        decay = self.rates["weight_decay"]
        with torch.no_grad():
            for (name, parameter), slope in zip(trained.items(), slopes, strict=True):
                if slope is not None:
                    parameter.sub_(slope + decay * parameter)
                elif decay and parameter.numel():
                    self._takes_no_part(name)

    def _check_number(self, prediction: Tensor, target: Tensor, loss: Tensor) -> None:
        """Refuse a loss of the task's own that is nan where what it is given is of ordinary size."""
        given = torch.cat([prediction.detach().flatten(), target.detach().flatten()])
        if self.task.source and bool(torch.isnan(loss)) and bool((given.abs() < ORDINARY).all()):
            raise PhasediagError(
                f"{place_of(self.task.cls)}: {self.task.name}: its loss is nan at the start, of predictions "
                "and targets that are numbers; see what it divides by, and of what it takes roots and "
                "logarithms"
            )

    def _takes_no_part(self, name: str) -> NoReturn:
        raise PhasediagError(
            f"{place_of(self.model.cls)}: {self.model.name}: '{name}' takes no part in the loss: PyTorch's "
            "optimizers would leave it as it is, a pack would let it decay; take it out of the module, or "
            "call requires_grad_(False) on it"
        )

    def compare_weights(self, weights: Mapping[str, Tensor], words: str, *advice: str) -> None:
        """Refuse a network that a step leaves elsewhere in company.

        Parameters
        ----------
        weights
            After the step, of this network, by name.
        words, advice
            What the company is, and what to do about it.
        """
        after = {name: p.detach() for name, p in self.module.named_parameters()}
        largest = max(_size(after[name] - self.start[name]) for name in after)
        rounding = torch.finfo(self.network.dtype).eps
        for name, weight in after.items():
            off = largest_difference(weights[name], weight)
            scale = _size(self.start[name])
            if off > TOLERANCE[self.network.dtype] * largest + 8 * rounding * scale:
                self._differs(
                    f"{words} '{name}' is off by {off:.3g} after a step that moves weights by {largest:.3g}",
                    *advice,
                )

    def compare_state(self, buffers: Mapping[str, Tensor]) -> None:
        """Refuse a network that a step leaves with another state in company."""
        for name, own in self.left.items():
            off = largest_difference(buffers[name].double(), own.double())
            scale = max(_size(own.double()), _size(self.start[name].double()))
            if off > TOLERANCE[self.network.dtype] * scale:
                self._differs(f"in a pack the buffer '{name}' is off by {off:.3g} after a step")

    def compare_losses(self, losses: list[float]) -> None:
        """Refuse a network whose losses over the training and the test set are others alone."""
        if not all(bool(torch.isfinite(p).all()) for p in self.module.parameters()):
            return
        noises = self.rates["label_noise"], torch.zeros_like(self.rates["label_noise"])
        for words, data, noise, loss in zip(("train", "test"), self.sets, noises, losses, strict=True):
            with torch.no_grad(), evaluating(self.module):
                target = self.network.task.noisy(data.y, data.noise, noise)
                own = float(self._loss(self.module(data.x), target))
            if not np.isclose(own, loss, rtol=TOLERANCE[data.x.dtype], atol=1e-6, equal_nan=True):
                self._differs(f"its {words}_loss is {loss:.6g}, and {own:.6g} alone")

    def _differs(self, how: str, advice: str = "") -> None:
        batched = " and ".join(f"'{name}'" for name in getattr(self.model.cls, "batched", ()))
        if not advice and batched:
            advice = (
                f"leave {batched} out of `batched`: only floats that the module keeps as attributes, "
                "buffers, and values that parameters start from may follow from it"
            )
        advice = advice or _of_one_memory(self.module) or "phasediag does not know how to train it as it is"
        owner = self.model if self.model.source else self.task
        raise PhasediagError(
            f"{place_of(owner.cls)}: {owner.name} comes out otherwise in a pack than by plain PyTorch: "
            f"{how}; {advice}"
        )

    def _pass(self, x: Tensor) -> Any:
        """What the module gives in training.

        A pass is refused that leaves something behind which no trial keeps, or that depends on chance which
        is not the trial's own.
        """
        random, before, state = generators(), fingerprint(self.module), self.network.habits.state
        given = {name: weight.detach().clone() for name, weight in self.module.named_parameters()}
        with self.chance():
            prediction = self.module(x)
        where = f"{place_of(self.model.cls)}: {self.model.name}"
        for name, weight in self.module.named_parameters():
            if not torch.equal(weight, given[name]):
                raise PhasediagError(f"{where}: its forward changes the parameter '{name}' in place: {_SAME}")
        if generators() != random:
            with self.chance():
                part = _culprit(self.module, x, generators)
            raise PhasediagError(
                f"{where}: its forward draws random numbers (in {part}) by what is not one of Dropout, "
                "torch.rand, randn, bernoulli, uniform_ and normal_, which a trial draws from its own "
                "stream; use those, or draw in the constructor"
            )
        check_unchanged(before, self.module, self.model, state)
        buffers = dict(self.module.named_buffers())
        self.left = {name: buffers[name].detach().clone() for name in state}
        if not state:
            with self.chance():
                again = self.module(x)
            if isinstance(prediction, Tensor) and not _alike(prediction, again):
                raise PhasediagError(f"{where}: two passes of the same samples differ: {_SAME}")
        self._evaluate(x, where)
        return prediction

    def chance(self) -> AbstractContextManager[Any]:
        """The random numbers of the trial's first step."""
        random = self.network.habits.random
        return Chance(self.rates[CHANCE], torch.tensor(0)) if random else nullcontext()

    def _evaluate(self, x: Tensor, where: str) -> None:
        """Refuse a module whose losses would change by taking them, or be others each time."""
        random, before = generators(), fingerprint(self.module)
        with torch.no_grad(), evaluating(self.module):
            self.module(x)
            within = fingerprint(self.module)
            self.module(x)
            after = fingerprint(self.module)
        if generators() != random:
            raise PhasediagError(
                f"{where}: its forward draws random numbers in eval() too, so that its losses are others "
                "each time; draw them where self.training alone"
            )
        changed = changes(within, after) or changes(before, fingerprint(self.module))
        if changed:
            raise PhasediagError(
                f"{where}: its forward changes '{changed[0]}' in eval() too, so that taking its losses "
                "changes its training; change it where self.training alone"
            )

    def _check_prediction(self, prediction: Any) -> None:
        count, outputs = len(self.batch.x), self.network.sizes[1]
        given = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction).__name__
        if given != (count, outputs):
            raise PhasediagError(
                f"{place_of(self.model.cls)}: {self.model.name} gives {given} for {count} samples, the task "
                f"asks for {(count, outputs)}; give one row a sample and one number an output"
            )

    def _loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        with blaming(self.task, "its loss"):
            loss: Any = self.network.loss(prediction, target)
        if not isinstance(loss, Tensor) or loss.shape != ():
            given = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise PhasediagError(
                f"{place_of(self.task.cls)}: {self.task.name}.loss gives {given}, not one number for the "
                "batch; write @staticmethod def loss(prediction, target) that gives a tensor of shape ()"
            )
        return loss

    def _check_mean(self, prediction: Tensor, target: Tensor, loss: Tensor) -> None:
        """Refuse a loss that says to be a mean over samples, by which batches may be padded, and is none."""
        if not vars(self.network.task).get("mean_over_samples"):
            return
        pairs = zip(prediction.detach(), target, strict=True)
        mean = torch.stack([self._loss(one[None], other[None]) for one, other in pairs]).mean()
        if not _alike(loss.detach(), mean):
            raise PhasediagError(
                f"{place_of(self.task.cls)}: {self.task.name} states mean_over_samples, and its loss of a "
                f"batch is {float(loss):.6g}, the mean of those of its samples {float(mean):.6g}; remove "
                "the statement, or let it be their mean"
            )


def _of_world(data: Samples, world: int) -> Samples:
    return Samples(x=data.x[world], y=data.y[world], noise=data.noise[world])


def largest_difference(one: Tensor, other: Tensor) -> float:
    """The largest size of a difference between two tensors of one shape; 0 where they are empty.

    Numbers that are not finite differ by nothing from the same, and by infinity from any other.
    """
    same = (one == other) | (one.isnan() & other.isnan())
    apart = torch.where(same, 0.0, (one - other).abs()).nan_to_num(torch.inf, torch.inf)
    return float(apart.max()) if apart.numel() else 0.0


def _of_one_memory(module: nn.Module) -> str:
    """What to do about two parameters or buffers in one memory; '' where each has its own."""
    names: dict[int, str] = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        other = names.setdefault(tensor.untyped_storage().data_ptr(), name) if tensor.numel() else name
        if other != name:
            return f"'{name}' and '{other}' share their memory, one changes with the other: clone() it"
    return ""


def _size(tensor: Tensor) -> float:
    """The largest size of a finite number in it; 0 where there is none."""
    return float(tensor.detach().abs().nan_to_num(0, 0, 0).max()) if tensor.numel() else 0.0


def _alike(one: Tensor, other: Any) -> bool:
    if not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=1e-4, atol=1e-4 * _size(one), equal_nan=True)


def _culprit(module: nn.Module, x: Tensor, state: Callable[[], str]) -> str:
    """The innermost part of a module whose pass changes a state."""
    before: dict[str, str] = {}
    culprits: list[str] = []
    handles = []
    for path, part in module.named_modules():

        def enter(part: nn.Module, given: Any, path: str = path) -> None:
            before[path] = state()

        def leave(part: nn.Module, given: Any, made: Any, path: str = path) -> None:
            if state() != before[path]:
                culprits.append(f"module '{path}', a {type(part).__name__}" if path else "its own forward")

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    module(x)
    for handle in handles:
        handle.remove()
    return culprits[0] if culprits else "its own forward"
