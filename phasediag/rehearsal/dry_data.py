"""The data of a user's task, made once and looked at before anything is trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.registry import Component
from phasediag.rehearsal.dry_classes import check_stated, check_targets
from phasediag.rehearsal.dry_draws import AUGMENTED, DRAW, TEST, TRAIN, check_each
from phasediag.source_lines import explained, place_of
from phasediag.training.data import DrawnTask, Task
from phasediag.training.network import sizes_of
from phasediag.training.visible import DATA_SEED, Visible, hidden_names
from phasediag.trial import Streams, Value, number
from phasediag.user_code.work import at_work

OF_CLASS: Final = ("loss", "sizes", "noisy", "mean_over_samples", "always_fresh", "population")
"""What is asked of a task's class, before there is an object of it."""
DRAWN: Final = 8
"""Samples that are drawn to look at, where data are fresh."""
STREAMS: Final = (
    "let them be a function of self.values, of self.streams.generator('data') and of the generator that is "
    "given, alone: no other generator of torch, numpy or Python, no clock, nothing kept by an earlier call"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What data are made for."""

    record: Mapping[str, Value]
    """The record of one of its trials."""
    seed: int
    """The seed of its replicate."""
    folder: Path
    """Where user files are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a task makes for a world."""

    task: Task
    sets: Mapping[str, Any]
    """Pairs of inputs and targets, by the method that gives them."""
    noise: Any
    """The noise of a few samples."""
    read: frozenset[str]
    """The values of the trial that were looked at."""

    @property
    def digest(self) -> str:
        """Stands for all numbers in it."""
        digest = blake2b(digest_size=16)
        for tensor in (*(part for pair in self.sets.values() for part in pair), self.noise):
            digest.update(tensor.detach().double().contiguous().numpy().tobytes())
        return digest.hexdigest()


def made_by(cls: type[Task], name: str, world: World) -> Made:
    """What a task that a grid calls `name` makes for a world.

    Raises
    ------
    PhasediagError
        Where the class raises; says at which line of the user's file.
    """
    record, data_seed = world.record, world.record[DATA_SEED]
    assert data_seed is None or isinstance(data_seed, int)
    seen, streams = Visible(record, hidden_names(record, world.folder)), Streams(world.seed, data_seed)
    try:
        with at_work(cls, name, "its data"):
            made = cls(seen, streams)
            sets = _sets(made, f"{place_of(cls)}: {name}")
            read = frozenset(seen.read)
            noise = made.unit_noise(streams.generator("noise"), DRAWN)
    except PhasediagError:
        raise
    except Exception as error:
        raise PhasediagError(f"{explained(error, cls)} [{name}: its data]") from error
    return Made(task=made, sets=sets, noise=noise, read=read)


def _sets(made: Task, where: str) -> dict[str, Any]:
    """Inputs and targets of a task, by the method that gives them, in the order in which training asks."""
    sets: dict[str, Any] = {}
    if made.fresh:
        sets[DRAW] = _drawn(made, where)
    else:
        sets[TRAIN] = made.train_set()
        if made.augments and _is_pair(sets[TRAIN]):
            sets[AUGMENTED] = _augmented(made, sets[TRAIN])
    sets[TEST] = made.test_set()
    return sets


def check_data(task: Component, world: World) -> Made:
    """The data that a task of the user's makes for a world, refused where nothing can be trained on them.

    Raises
    ------
    PhasediagError
        Where the task raises, gives no tensors of the sizes that it states (of what `augmented` makes of
        its samples, too), numbers that are not finite,
        label noise of its own that would be added once more, classes that are not those of its targets, or
        other data when it is asked again.
    """
    where = f"{place_of(task.cls)}: {task.name}"
    if not issubclass(task.cls, Task):
        raise PhasediagError(f"{where} is no task; derive it from phasediag.training.data.Task")
    inputs, outputs = sizes_of(task, world.record)
    made = made_by(task.cls, task.name, world)
    noise = made.noise
    _check_asked_of_class(where, made.task)
    check_stated(where, task.classes, made.task, outputs)
    for method, pair in made.sets.items():
        _check_pair(f"{where}.{method}", pair, inputs, outputs)
    check_targets(where, made.task, made.sets, number(world.record.get("label_noise") or 0.0))
    width = outputs + made.task.redraws_labels()
    if not isinstance(noise, Tensor) or noise.shape != (DRAWN, width):
        raise PhasediagError(
            f"{where}.unit_noise(generator, {DRAWN}) gives {_shape(noise)}; give a tensor of shape "
            f"{(DRAWN, width)}"
        )
    if not bool(torch.isfinite(noise).all()):
        raise PhasediagError(f"{where}.unit_noise(generator, {DRAWN}) gives numbers that are not finite")
    if "label_noise" in made.read and "label_noise" in task.parameters and bool(noise.any()):
        raise PhasediagError(
            f"{where} looks at label_noise itself, and phasediag adds label_noise * unit_noise to its "
            "targets besides; leave one to the other: do not read it, or let unit_noise give zeros"
        )
    if _other_when_called_again(made):
        raise PhasediagError(
            f"{where} gives other data when the same object is asked again, as it is whenever losses are "
            f"taken; {STREAMS}"
        )
    if made_by(task.cls, task.name, world).digest != made.digest:
        raise PhasediagError(
            f"{where} makes other data each time, of the same trial: a resumed or repeated one would train "
            f"on others; {STREAMS}"
        )
    with at_work(task.cls, task.name, "its data"):
        check_each(where, made.task, made.sets)
    return made


def _other_when_called_again(made: Made) -> bool:
    again = {TEST: made.task.test_set()}
    if isinstance(made.task, DrawnTask) and made.task.fresh:
        again[DRAW] = _drawn(made.task, made.task.__class__.__name__)
    if AUGMENTED in made.sets:
        again[AUGMENTED] = _augmented(made.task, made.sets[TRAIN])
    noise = made.task.unit_noise(made.task.streams.generator("noise"), DRAWN)
    return replace(made, sets={**made.sets, **again}, noise=noise).digest != made.digest


def _drawn(made: Task, where: str) -> Any:
    if not isinstance(made, DrawnTask):
        raise PhasediagError(
            f"{where} says that its data are fresh, and cannot draw them; derive it from "
            "phasediag.training.data.DrawnTask"
        )
    return made.draw(made.streams.generator("batch"), DRAWN)


def _augmented(made: Task, train_set: Any) -> Any:
    """A few training samples as a step sees them, and their targets."""
    x, y = (torch.as_tensor(part)[:DRAWN].clone() for part in train_set)
    return made.augmented(x, made.streams.generator("batch")), y


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _check_asked_of_class(where: str, task: Task) -> None:
    """Refuse an object that has of its own what is asked of its class, and would not be heard."""
    own = [name for name in OF_CLASS if name in vars(task)]
    if own:
        raise PhasediagError(
            f"{where}: its constructor sets '{own[0]}', and trials ask its class; write it in the class (a "
            "loss as @staticmethod def loss(prediction, target); for several losses, several classes)"
        )


def _check_pair(where: str, pair: Any, inputs: int, outputs: int) -> None:
    if not _is_pair(pair):
        raise PhasediagError(f"{where} gives {_shape(pair)}; give a pair of tensors, inputs and targets")
    for words, values, size in (("inputs", pair[0], inputs), ("targets", pair[1], outputs)):
        if not isinstance(values, Tensor):
            raise PhasediagError(
                f"{where}: its {words} are {_shape(values)}; give tensors of torch (torch.from_numpy)"
            )
        if values.dim() != 2 or values.shape[1] != size or len(values) != len(pair[0]) or not len(values):
            raise PhasediagError(
                f"{where}: its {words} have shape {tuple(values.shape)}; sizes(values) says "
                f"({len(pair[0])}, {size}): one row a sample (flatten images and sequences; one-hot classes)"
            )
        if values.is_complex() or not bool(torch.isfinite(values).all()):
            raise PhasediagError(f"{where}: its {words} hold numbers that are complex or not finite")


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
