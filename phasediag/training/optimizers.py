"""Update rules of one network, as functions of its weights, gradients and moments.

They follow `torch.optim.SGD`, `Adam` and `AdamW` of PyTorch, with the rates of a trial as tensors
so that `vmap` can give every trial its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import Final

import torch
from torch import Tensor

Weights = dict[str, Tensor]
Moments = dict[str, Weights]
Rates = Mapping[str, Tensor]
"""Scalars of one trial: `learning_rate`, `weight_decay` (and others that the update ignores)."""
Update = Callable[[Weights, Weights, Moments, Rates, Tensor], tuple[Weights, Moments]]

BETA_1: Final = 0.9
BETA_2: Final = 0.999
EPSILON: Final = 1e-8


def optimizer(name: str, momentum: float) -> tuple[tuple[str, ...], Update]:
    """The moments that an optimizer keeps, by name, and its update.

    Parameters
    ----------
    name
        `sgd`, `adam` (the decay enters the gradient) or `adamw` (the decay is decoupled).
    momentum
        Of sgd.

    Returns
    -------
    The update takes weights, gradients, moments (each moment shaped like the weights, zero at the
    start), rates and the number of the step counted from 1; it gives new weights and moments.
    """
    if name == "sgd":
        return (("velocity",), _sgd_with(momentum)) if momentum else ((), _sgd)
    return ("first", "second"), _adamw if name == "adamw" else _adam


def _sgd(
    weights: Weights, gradients: Weights, moments: Moments, rates: Rates, step: Tensor
) -> tuple[Weights, Moments]:
    rate, decay = rates["learning_rate"], rates["weight_decay"]
    return {name: w - rate * (gradients[name] + decay * w) for name, w in weights.items()}, moments


def _sgd_with(momentum: float) -> Update:
    def update(
        weights: Weights, gradients: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        velocity = {
            name: momentum * moments["velocity"][name] + gradients[name] + rates["weight_decay"] * w
            for name, w in weights.items()
        }
        moved = {name: w - rates["learning_rate"] * velocity[name] for name, w in weights.items()}
        return moved, {"velocity": velocity}

    return update


def _adam(
    weights: Weights, gradients: Weights, moments: Moments, rates: Rates, step: Tensor
) -> tuple[Weights, Moments]:
    coupled = {name: gradients[name] + rates["weight_decay"] * w for name, w in weights.items()}
    return _adaptive(weights, coupled, moments, rates, step)


def _adamw(
    weights: Weights, gradients: Weights, moments: Moments, rates: Rates, step: Tensor
) -> tuple[Weights, Moments]:
    kept = 1 - rates["learning_rate"] * rates["weight_decay"]
    return _adaptive({name: kept * w for name, w in weights.items()}, gradients, moments, rates, step)


def _adaptive(
    weights: Weights, gradients: Weights, moments: Moments, rates: Rates, step: Tensor
) -> tuple[Weights, Moments]:
    first, second = (
        {n: BETA_1 * m + (1 - BETA_1) * gradients[n] for n, m in moments["first"].items()},
        {n: BETA_2 * m + (1 - BETA_2) * gradients[n].square() for n, m in moments["second"].items()},
    )
    count = step.to(rates["learning_rate"].dtype)
    rate = rates["learning_rate"] / -torch.expm1(count * log(BETA_1))
    correction = torch.sqrt(-torch.expm1(count * log(BETA_2)))
    moved = {n: w - rate * first[n] / (second[n].sqrt() / correction + EPSILON) for n, w in weights.items()}
    return moved, {"first": first, "second": second}
