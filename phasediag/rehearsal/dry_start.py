"""Whether networks of a user's can begin to train: prediction, loss and gradient are numbers at the start.

A trial whose first loss is none is recorded as diverged, which is a phase of a diagram. Where that follows
from what a class computes (a division by an argument that is 0, the logarithm of what may be negative, the
norm of zeros) and not from the size of the weights, nothing has diverged.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.registry import Component, component
from phasediag.rehearsal.alone import Alone, blaming
from phasediag.source_lines import place_of
from phasediag.training.network import Network
from phasediag.training.tiles import Program
from phasediag.trial import Role, Trials, Value

FEWEST: Final = 8
MOST: Final = 64
"""Combinations of values that are looked at, at most: of large networks fewer."""
NUMBERS: Final = 2**22
"""Numbers of all networks that are looked at together, but for the fewest."""
LOSS: Final = "the loss is not finite"
SMALLER: Final = (0.5, 0.1, 0.01)
"""What weights are multiplied by, as they are and with their largest at 1: what overflows does not of all."""


def check_starts(trials: Trials, folder: Path) -> list[str]:
    """Look at the first prediction, loss and gradient of trials of one structure.

    Parameters
    ----------
    trials
        Of a structure with a model or a task of the user's. One is looked at for each combination of their
        batched parameters, of initial weights and of their scale, as many as `_most` allows.
    folder
        Where user files are.

    Returns
    -------
    What the user should know: which networks are too large to be trained, in a sentence.

    Raises
    ------
    PhasediagError
        Where one of the three is not finite, however small the weights are; tells the values.
    """
    model, task = (component(k, str(trials.record(0)[k]), folder) for k in ("model", "task"))
    user = model if model.source else task
    program = Program(trials.record(0), folder, torch.device("cpu"), compiled=False)
    some = _one_of_each(trials, model, task, _most(program.network))
    too_large: list[str] = []
    with blaming(user, "its step"):
        tile = program.tile(some.take(np.arange(max(2, len(some))) % len(some)), shared=False)
    for row in range(len(some)):
        with blaming(user, "its step"):
            alone = Alone(tile, row, task, model)
            fault = _fault(alone)
            lasting = fault and all(_fault(alone, factor) for factor in _factors(alone))
        if fault:
            too_large.append(_values_of(some.record(row), model, task))
        if lasting:
            owner = task if task.source and (fault == LOSS or not model.source) else model
            raise PhasediagError(
                f"{place_of(owner.cls)}: {owner.name}: {fault} at the start, of smaller weights too, with "
                f"{too_large[-1]}: such trials would be recorded as diverged; see what is divided by 0, and "
                "what has no root, logarithm or slope, or exclude these values"
            )
    if not too_large:
        return []
    more = f" (and {len(too_large) - 1} more)" if len(too_large) > 1 else ""
    return [
        f"{model.name}: too large to be trained at the start with {too_large[0]}{more}: its loss is not "
        "finite, of smaller weights it is; such trials are recorded as diverged"
    ]


def _most(network: Network) -> int:
    """How many networks are looked at."""
    return min(MOST, max(FEWEST, NUMBERS // max(1, sum(map(prod, network.shapes.values())))))


def _one_of_each(trials: Trials, model: Component, task: Component, most: int) -> Trials:
    """The first trial of each combination of values that decide where a network starts, or some of these."""
    parameters = [*model.parameters.values(), *task.parameters.values()]
    names = [p.name for p in parameters if p.role is Role.BATCHED and p.name != "label_noise"]
    columns = [trials.values(name).tolist() for name in (*names, "init", "init_scale")]
    rows: dict[tuple[Value, ...], int] = {}
    for row, values in enumerate(zip(*columns, strict=True)):
        rows.setdefault(values, row)
    firsts = np.array(list(rows.values()))
    return trials.take(firsts[np.unique(np.linspace(0, len(firsts) - 1, most).round().astype(int))])


def _factors(alone: Alone) -> list[float]:
    """By what weights are made smaller."""
    largest = max(float(start.abs().max()) for start in alone.start.values() if start.numel())
    return [*SMALLER, *(factor / largest for factor in SMALLER if 1 < largest < np.inf)]


def _fault(alone: Alone, factor: float = 1.0) -> str:
    """Which number of the first step is not finite, of weights times a factor; '' where all are.

    What cannot take the step has no fault here: the dry step tells why.
    """
    try:
        return _not_finite(alone, factor)
    except Exception:
        return ""


def _not_finite(alone: Alone, factor: float) -> str:
    module = alone.made()
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.mul_(factor)
    network, batch = alone.network, alone.batch
    with alone.chance():
        prediction: Tensor = module(batch.x.clone())
    if not _finite(prediction):
        return "its predictions are not finite"
    target = network.task.noisy(batch.y, batch.noise, alone.rates["label_noise"])
    loss = network.loss(prediction, target)
    if not _finite(loss):
        return LOSS
    loss.backward()  # type: ignore[no-untyped-call]
    bad = [name for name, p in trained.items() if p.grad is not None and not _finite(p.grad)]
    return f"the slope of the loss by '{bad[0]}' is not finite" if bad else ""


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _values_of(record: dict[str, Value], model: Component, task: Component) -> str:
    """The values of a trial that its network starts from, in words."""
    own = [name for part in (model, task) if part.source for name in part.parameters]
    return ", ".join(f"{name}={record[name]}" for name in (*own, "init", "init_scale"))
