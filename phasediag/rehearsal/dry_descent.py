"""A few steps by an optimizer or a schedule of the user's, alone and in a pack, before any is recorded.

Many networks share one optimizer, or it is made anew for each step: what it keeps anywhere but in its moments
would train otherwise than alone, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.registry import Component
from phasediag.rehearsal.alone import TOLERANCE, blaming
from phasediag.rehearsal.fingerprint import changes, fingerprint_of, generators
from phasediag.source_lines import place_of
from phasediag.training.data import Samples
from phasediag.training.descent import LENGTH, ONE_NUMBER, Descent
from phasediag.training.network import Network
from phasediag.training.optimizers import GradientOf, Moments, Optimizer, Rates, Weights
from phasediag.training.step import State, trial_step
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials

STEPS: Final = 3
"""That are compared: what is kept from the first one matters in the others."""
LOOKED_AT: Final = 256
"""Steps of a trial at which a schedule is looked at, and a few of the first and of the last."""
_GIVES: Final = "return new weights and new moments, two dictionaries with the names that it was given"


def check_descent(trials: Trials, folder: Path) -> None:
    """Compare the first steps of some trials of a structure in a pack with those of each alone.

    Parameters
    ----------
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where the user's class raises, gives no weights, keeps something, or comes out otherwise in a pack.
    """
    rows = np.arange(max(2, len(trials))) % len(trials)
    program = Program(trials.record(0), folder, torch.device("cpu"), compiled=False)
    network = program.network
    optimizer, schedule = network.descent.optimizer.component, network.descent.schedule.component
    owner = optimizer if optimizer.source else schedule
    tile = program.tile(trials.take(rows), shared=False)
    if schedule.source:
        with blaming(schedule, "its factor"):
            _check_factors(network.descent, tile, schedule)
    alone = [_alone(network, tile, row) for row in range(len(rows))]
    with blaming(owner, "a step of several networks at once (torch.func.vmap)"):
        tile.advance(STEPS)
    for row, weights in enumerate(alone):
        _compare(weights, {name: weight[row] for name, weight in tile.trained.items()}, owner)


def _alone(network: Network, tile: Tile, row: int) -> Weights:
    """What one network is trained to by an optimizer of its own."""
    rates = {name: rate[row] for name, rate in tile.rates.items()}
    state = State(
        weights={name: weight[row].clone() for name, weight in tile.trained.items()},
        moments={
            moment: {name: tensor[row].clone() for name, tensor in tensors.items()}
            for moment, tensors in tile.state.moments.items()
        },
        buffers={name: buffer[row].clone() for name, buffer in tile.state.buffers.items()},
        steps_done=tile.state.steps_done[row], alive=tile.state.alive[row],
    )  # fmt: skip
    chosen = network.descent.optimizer
    own = replace(network, descent=network.descent.through(_Watched(chosen.made(rates), chosen.component)))
    world = int(tile.world[row])
    with blaming(chosen.component, "its update"), torch.no_grad():
        for step in range(STEPS):
            batch = tile.batches.at(step)
            samples = Samples(x=batch.x[world], y=batch.y[world], noise=batch.noise[world])
            state = trial_step(own, state, rates, samples)
    return state.weights


class _Watched(Optimizer):
    """An optimizer whose every update is looked at."""

    def __init__(self, optimizer: Any, part: Component) -> None:
        self.optimizer, self.part = optimizer, part

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor,
        gradient_of: GradientOf | None = None,
    ) -> tuple[Weights, Moments]:  # fmt: skip
        """The update, refused where it does anything besides."""
        where, before, random = self._where, fingerprint_of(self.optimizer), generators()
        given = {name: weight.clone() for name, weight in weights.items()}
        more = {} if gradient_of is None else {"gradient_of": gradient_of}
        made = self.optimizer.update(weights, gradient, moments, rates, step, **more)
        if changed := changes(before, fingerprint_of(self.optimizer)):
            raise PhasediagError(
                f"{where} keeps '{changed[0]}' from step to step: many networks share one optimizer; state "
                "its name in `moments = (...)`, a tensor for every weight, and return it"
            )
        if generators() != random:
            raise PhasediagError(
                f"{where} draws random numbers: a step has none but those of its batches; leave them out"
            )
        if any(not torch.equal(weights[name], weight) for name, weight in given.items()):
            raise PhasediagError(f"{where} changes the weights in place; return new tensors instead")
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise PhasediagError(f"{where} gives {type(made).__name__}; {_GIVES}")
        self._check(made[0], weights, "weights")
        self._check(made[1], moments, "moments")
        for name, moment in moments.items():
            self._check(made[1][name], moment, f"moments['{name}']")
        numbers = all(bool(torch.isfinite(each).all()) for each in (*given.values(), *gradient.values()))
        lost = [name for name, weight in made[0].items() if not bool(torch.isfinite(weight).all())]
        if numbers and lost:
            raise PhasediagError(
                f"{where} at step {int(step)} gives weights '{lost[0]}' that are not finite, of weights and "
                "a gradient that are: trials would be recorded as diverged; see what is divided by 0 "
                "(moments start at 0), and what has no root"
            )
        return made[0], made[1]

    @property
    def _where(self) -> str:
        return f"{place_of(type(self.optimizer))}: {self.part.name}.update"

    def _check(self, made: Any, given: Mapping[str, Any], words: str) -> None:
        """Refuse anything but tensors of the same names, shapes and dtypes."""
        if not isinstance(made, dict) or set(made) != set(given):
            names = sorted(map(str, made)) if isinstance(made, dict) else type(made).__name__
            raise PhasediagError(f"{self._where} gives {names} for {words} {sorted(given)}; {_GIVES}")
        for name, tensor in given.items():
            if isinstance(tensor, Tensor) and (
                not isinstance(made[name], Tensor)
                or (made[name].shape, made[name].dtype) != (tensor.shape, tensor.dtype)
            ):
                like = f"{tuple(tensor.shape)} of {tensor.dtype}"
                shown = made[name]
                got = f"{tuple(shown.shape)} of {shown.dtype}" if isinstance(shown, Tensor) else repr(shown)
                raise PhasediagError(f"{self._where} gives {got} for {words}['{name}'], which is {like}")


def _compare(alone: Weights, packed: Weights, owner: Component) -> None:
    """Refuse an optimizer or a schedule that comes out otherwise in a pack."""
    for name, weight in alone.items():
        off = (packed[name] - weight).abs().nan_to_num()
        if bool((off > TOLERANCE[weight.dtype] * (1 + weight.abs())).any()):
            raise PhasediagError(
                f"{place_of(owner.cls)}: {owner.name} comes out otherwise in a pack than alone: '{name}' is "
                f"off by {float(off.max()):.3g} after {STEPS} steps; let it be a function of its arguments, "
                "by torch's operators alone"
            )


def _check_factors(descent: Descent, tile: Tile, schedule: Component) -> None:
    """Refuse a schedule that gives anything but a number of at least 0 at some step."""
    where = f"{place_of(schedule.cls)}: {schedule.name}.factor"
    for row in range(len(tile.trials)):
        rates = {name: rate[row] for name, rate in tile.rates.items()}
        steps = int(rates[LENGTH])
        for step in sorted({*np.linspace(1, steps, min(steps, LOOKED_AT), dtype=int).tolist(), steps}):
            factor = descent.factor(rates, torch.tensor(step))
            at = f"at step {step - 1} of {steps}"
            if factor.shape != ():
                raise PhasediagError(f"{where} {at} gives shape {tuple(factor.shape)}; {ONE_NUMBER}")
            if not 0 <= float(factor) < np.inf:
                raise PhasediagError(
                    f"{where} {at} gives {float(factor)!r}; it multiplies the learning rate: let it be "
                    "finite and at least 0"
                )
