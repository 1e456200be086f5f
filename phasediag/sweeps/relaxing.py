"""Whether what decays in the trials of a grid has the time to, and what would give it that time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from phasediag.arrays import FloatArray
from phasediag.grids.grid import Grid
from phasediag.grids.lot import Lot
from phasediag.grids.rules import LENGTHS, MOST_STEPS
from phasediag.measuring.convergence import RELAXATIONS, relaxed
from phasediag.packing.structure import structures
from phasediag.ramp import lengths, slowest
from phasediag.sweeps.status import about
from phasediag.training.network import network_of
from phasediag.training.pace import mean_rates
from phasediag.trial import Records

ADVISED: Final = 2 * RELAXATIONS
"""Relaxation times that are advised: `RELAXATIONS` are the least, and beside a boundary too few."""
SAMPLED_STEPS: Final = 1024
"""Steps of a trial whose learning rates are averaged before it is trained."""
_PLAIN: Final = {"schedule": "constant", "warmup_steps": 0, "layer_rates": None}
"""Where parameters have these values a trial has one learning rate, and `relaxations` gives its steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxing:
    """How many relaxation times the trials of a grid have, each by its own decay, rate and steps."""

    trials: int = 0
    """How many trials there are."""
    short: int = 0
    """Trials with decay and fewer than `RELAXATIONS`: they cannot count as converged."""
    fewest: float = np.inf
    """Relaxation times of the trial that has fewest."""
    decays: tuple[float, float] = (np.inf, 0.0)
    """The smallest and the largest weight decay above zero."""
    needed_decay: float = 0.0
    """With so much, every trial that decays would have `RELAXATIONS` in the steps that it has."""
    needed_steps: float = 0.0
    """So many give them to the slowest trial, in every stage of a ramp."""
    steps: float = 0.0
    """Steps of all trials together."""
    advised_steps: float = 0.0
    """Steps of all trials if each had `ADVISED` relaxation times; infinite where one does not decay."""
    plain: bool = True
    """Whether each trial has one learning rate and one weight decay."""

    def __add__(self, other: Relaxing) -> Relaxing:
        """What holds of the trials of both."""
        return Relaxing(
            trials=self.trials + other.trials, short=self.short + other.short,
            fewest=min(self.fewest, other.fewest),
            decays=(min(self.decays[0], other.decays[0]), max(self.decays[1], other.decays[1])),
            needed_decay=max(self.needed_decay, other.needed_decay),
            needed_steps=max(self.needed_steps, other.needed_steps),
            steps=self.steps + other.steps, advised_steps=self.advised_steps + other.advised_steps,
            plain=self.plain and other.plain,
        )  # fmt: skip

    @property
    def warning(self) -> str:
        """How many trials are too short, in a sentence; empty where none is."""
        if not self.short:
            return ""
        return (
            f"{self.short:,} of {self.trials:,} trials train for fewer than {RELAXATIONS:g} relaxation times "
            f"(learning_rate * weight_decay * steps < {RELAXATIONS:g}) and will not count as converged: a "
            "boundary among them is a front of training time, not of phases"
        )

    def remedy(self, grid: Grid, training_s: float | None) -> str:
        """What would give all trials the time that they need, and what it takes; empty where all have it.

        Parameters
        ----------
        training_s
            Projected seconds of training of all trials as they are; None: not known.
        """
        if not self.short:
            return ""
        low, high = (f"{decay:.3g}" for decay in self.decays)
        has = low if low == high else f"{low} to {high}"
        within = (
            f"within these steps {RELAXATIONS:g} of them take weight_decay >= {_no_less(self.needed_decay)} "
            f"(the grid has {has}); the slowest trial takes {_no_less(self.needed_steps)} "
            "steps"
        )
        length = next((name for name in LENGTHS if name in grid.fixed), "steps")
        if self.plain and self._gives_steps(grid):
            given = f" {grid.fixed[length]:g}" if length == "relaxations" else ""
            way = f"relaxations: {ADVISED:g} under fixed instead of {length}{given} gives each trial its own"
            factor = self.advised_steps / self.steps
        else:
            factor = RELAXATIONS / self.fewest
            way = f"or raise {length} by {_no_less(factor)}"
        time = "" if training_s is None else f", {about(factor * training_s)} of training here"
        return f"{within}; {way}: {_rounded(factor)} times the steps in all{time}"

    def _gives_steps(self, grid: Grid) -> bool:
        """Whether `relaxations` under `fixed` can stand instead of what gives the length of trials."""
        enough = self.needed_steps * ADVISED / RELAXATIONS <= MOST_STEPS
        return enough and bool(np.isfinite(self.advised_steps)) and not set(LENGTHS) & grid.given


def relaxing_of(trials: Lot, grid: Grid) -> Relaxing:
    """How many relaxation times the trials of a grid have."""
    return sum((_of_block(block, grid) for block in trials.blocks()), Relaxing())


def _of_block(trials: Records, grid: Grid) -> Relaxing:
    rate, decay = (slowest(trials, name) for name in ("learning_rate", "weight_decay"))
    steps = trials.values("steps").astype(float)
    plain = all(trials.columns[name].pool == (value,) for name, value in _PLAIN.items())
    if not plain:
        rate = _mean_rates(trials, grid)
    speed, decays = rate * decay, decay > 0
    total = lengths(trials).astype(float)
    made = Relaxing(trials=len(steps), steps=float(total.sum()), plain=plain)
    if not decays.any():
        return replace(made, advised_steps=np.inf)
    ramp = grid.fixed.get("ramp")
    reached = (speed * steps)[decays]
    advised = np.divide(ADVISED, speed, out=np.full(len(speed), np.inf), where=speed > 0)
    with np.errstate(divide="ignore", over="ignore"):
        needed_decay, needed_steps = RELAXATIONS / (rate * steps)[decays], RELAXATIONS / speed[decays]
    return replace(
        made, short=int((~relaxed(reached)).sum()), fewest=float(reached.min()),
        decays=(float(decay[decays].min()), float(decay[decays].max())),
        needed_decay=float(needed_decay.max()), needed_steps=float(needed_steps.max()),
        advised_steps=float(np.ceil(advised * total / steps).sum()),
        plain=plain and ramp not in ("weight_decay", "learning_rate"),
    )  # fmt: skip


def _mean_rates(trials: Records, grid: Grid) -> FloatArray:
    """The rates of `phasediag.training.pace` of trials that do all their steps, to a thousandth."""
    distinct, group = structures(trials, grid.parameters)
    means = np.empty(len(trials))
    for number, structure in enumerate(distinct):
        rows = np.flatnonzero(group == number)
        descent = network_of(structure.record, grid.folder).descent
        some = trials.take(rows)
        rates = {"learning_rate": torch.from_numpy(some.values("learning_rate").astype(float))}
        rates |= descent.constants(some.records(), torch.float64, torch.device("cpu"))
        means[rows] = mean_rates(descent, rates, some.values("steps").astype(np.int64), most=SAMPLED_STEPS)
    return means


def _no_less(number: float) -> str:
    """A number to three digits, rounded up: what is needed."""
    if not 0 < number < np.inf:
        return f"{number:g}"
    digit = 10.0 ** (np.floor(np.log10(number)) - 2)
    return _rounded(np.ceil(number / digit * (1 - 1e-9)) * digit, digits=3)


def _rounded(number: float, digits: int = 2) -> str:
    """A number to so many digits."""
    near = float(f"{number:.{digits}g}")
    return f"{near:,.0f}" if 1e2 <= near < 1e12 else f"{near:g}"
