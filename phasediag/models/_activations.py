"""Activations and the symmetries that they give to a neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from phasediag.symmetry.neurons import Parity


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A function of one variable, applied elementwise."""

    apply: Callable[[Tensor], Tensor]
    slope_at_zero: float
    """Its derivative at the origin; decides the local stability of the collapsed state."""
    parity: Parity | None = None
    homogeneity: int | None = None
    """k where f(a x) = a^k f(x) for a > 0."""


ACTIVATIONS: Final[dict[str, Activation]] = {
    "tanh": Activation(apply=torch.tanh, slope_at_zero=1.0, parity="odd"),
    "relu": Activation(apply=torch.relu, slope_at_zero=0.5, homogeneity=1),
    "gelu": Activation(apply=torch.nn.functional.gelu, slope_at_zero=0.5),
    "swish": Activation(apply=torch.nn.functional.silu, slope_at_zero=0.5),
    "linear": Activation(apply=lambda x: x, slope_at_zero=1.0, parity="odd", homogeneity=1),
    "sin": Activation(apply=torch.sin, slope_at_zero=1.0, parity="odd"),
    "square": Activation(apply=torch.square, slope_at_zero=0.0, parity="even", homogeneity=2),
    "cube": Activation(apply=lambda x: x * x * x, slope_at_zero=0.0, parity="odd", homogeneity=3),
}
