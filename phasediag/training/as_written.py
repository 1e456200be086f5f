"""Whether a compiled step is the step that was written: asked once, of a state that no trial is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.native.nested import filled, leaves, skeleton
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.probes import shaken
from phasediag.training.step import Parts

ALIKE: Final = 1e-3
"""How far a number may lie off, as a share of the largest change of its tensor in the same trial."""
ROUNDED: Final = 1e-5
"""How far it may lie off as a share of the largest change of all tensors of the trial: as large is a gradient
that is nothing but rounding, such as that of a bias before a batch normalisation."""
UNITS: Final = 16
"""How many units in the last place of the largest number of its tensor it may lie off in any case."""
MOVED: Final = 256
"""Units in its last place by which each weight is moved, up and down, to see what hangs on rounding: far more
than a compiler rounds otherwise."""
FEW: Final = 1e-5
"""The part of a tensor's numbers that may lie off: the signs of gradients that happen to be nearly zero."""
COMPARED: Final = 8
"""How many trials are compared, half of them the first ones and half the last."""


def takes_the_step(
    compiled: Callable[..., Any], step: Callable[..., Any], parts: Parts, rates: Rates,
    batches: Sequence[tuple[Tensor, ...]], shared: bool, done: int,
) -> bool:  # fmt: skip
    """Whether a compiled call gives what the step gives, but for rounding.

    Both take one step, at a learning rate of one, from weights that are shaken: so that no gradient
    vanishes because a network starts at zero, and the changes are as large as the gradients.

    Parameters
    ----------
    compiled, step
        Take parts of a state, rates, batches, and the step at which all trials stop.
    parts
        Of the state of all trials, each tensor of shape (trials, ...); they stay as they are.
    rates
        Of all trials, each of shape (trials, ...).
    batches
        Of the steps of one call: x, y and noise, shapes (samples, ...), or (trials, samples, ...).
    shared
        Whether all trials share them.
    done
        Steps that the tile has done.

    Notes
    -----
    A number that the step itself gives otherwise where weights are moved by rounding is not compared: the
    first step of Adam is the sign of a gradient, even of one that is nothing but rounding.
    """
    weights, moments, buffers, steps_done, alive = parts
    start: Parts = (shaken(weights), moments, buffers, steps_done, torch.ones_like(alive))
    rates = {**rates, "learning_rate": torch.ones_like(rates["learning_rate"])}
    stop = torch.full((), done + 1, dtype=torch.int64, device=steps_done.device)
    given = filled(skeleton(start), [tensor.clone() for tensor in leaves(start)])
    results = compiled(given, rates, batches, stop)

    rows = _ends(len(alive), alive.device)
    fewer = [tuple(part if shared else part[rows] for part in batch) for batch in batches[:1]]
    own = filled(skeleton(start), [tensor[rows] for tensor in leaves(start)])
    few = {name: rate[rows] for name, rate in rates.items()}
    starts = (own, *((_moved(own[0], sign), *own[1:]) for sign in (1, -1)))
    expected = [_kinds(step(each, few, fewer, stop)) for each in starts]
    results = filled(skeleton(results), [tensor[rows] for tensor in leaves(results)])
    return all(map(_alike, _kinds(results), *expected, _kinds(own)))


def _kinds(parts: Parts) -> list[Weights]:
    """Weights, each kind of momenta, buffers: what is compared with its like."""
    return [parts[0], *parts[1].values(), parts[2]]


def _moved(weights: Weights, sign: int) -> Weights:
    """Weights by turns larger and smaller by `MOVED` of their last places."""

    def moved(weight: Tensor) -> Tensor:
        if not weight.is_floating_point():
            return weight
        turns = torch.arange(weight.numel(), device=weight.device).view(weight.shape) % 2 * 2 - 1
        result: Tensor = weight + weight * turns.to(weight) * (sign * MOVED * torch.finfo(weight.dtype).eps)
        return result

    return {name: moved(weight) for name, weight in weights.items()}


def _ends(trials: int, device: torch.device) -> Tensor:
    """Some trials at both ends of a tile."""
    every = torch.arange(trials, device=device)
    return every if trials <= COMPARED else torch.cat([every[: COMPARED // 2], every[-COMPARED // 2 :]])


def _alike(results: Weights, expected: Weights, up: Weights, down: Weights, before: Weights) -> bool:
    """Whether tensors by name, shape (trials, ...), are equal but for rounding in every trial.

    Trials in which an expected number is not finite are not compared: how they overflow is rounding, too.

    Parameters
    ----------
    up, down
        What is expected from weights that were moved. What lies off there is not compared.
    """
    floats = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    if any(not torch.equal(results[name], expected[name]) for name in expected.keys() - set(floats)):
        return False
    if not floats:
        return True
    changes = torch.stack([_largest(expected[name] - before[name]) for name in floats])
    units = torch.stack([_largest(expected[n]) * UNITS * torch.finfo(expected[n].dtype).eps for n in floats])
    allowed = ALIKE * changes + ROUNDED * changes.amax(dim=0) + units
    for name, most in zip(floats, allowed, strict=True):
        off, high, low = (_off(each[name], expected[name], most) for each in (results, up, down))
        if ((off & ~high & ~low).sum(dim=1) > FEW * off.shape[1]).any():
            return False
    return True


def _off(tensor: Tensor, expected: Tensor, most: Tensor) -> Tensor:
    """Which numbers of each trial lie off by more than is allowed, shape (trials, numbers)."""
    gaps = (tensor - expected).abs().reshape(len(expected), -1).double()
    return ~(gaps <= most[:, None]) & most.isfinite()[:, None]


def _largest(numbers: Tensor) -> Tensor:
    """The largest absolute value of each trial, shape (trials,)."""
    return numbers.abs().reshape(len(numbers), -1).amax(dim=1).double()
