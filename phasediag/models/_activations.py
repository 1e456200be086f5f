"""Activations and the symmetries that they give to a neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from phasediag.symmetry.neurons import Parity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A function of one variable, applied elementwise."""

    apply: Callable[[Tensor], Tensor]
    slope_at_zero: float
    """Its derivative at the origin; decides the local stability of the collapsed state."""
    parity: Parity | None = None
    homogeneity: int | None = None
    """k where f(a x) = a^k f(x) for a > 0."""


def _gelu(x: Tensor) -> Tensor:
    from torch.nn.functional import gelu

    return gelu(x)


def _swish(x: Tensor) -> Tensor:
    from torch.nn.functional import silu

    return silu(x)


ACTIVATIONS: Final[dict[str, Activation]] = {
    "tanh": Activation(apply=lambda x: x.tanh(), slope_at_zero=1.0, parity="odd"),
    "relu": Activation(apply=lambda x: x.relu(), slope_at_zero=0.5, homogeneity=1),
    "gelu": Activation(apply=_gelu, slope_at_zero=0.5),
    "swish": Activation(apply=_swish, slope_at_zero=0.5),
    "linear": Activation(apply=lambda x: x, slope_at_zero=1.0, parity="odd", homogeneity=1),
    "sin": Activation(apply=lambda x: x.sin(), slope_at_zero=1.0, parity="odd"),
    "square": Activation(apply=lambda x: x.square(), slope_at_zero=0.0, parity="even", homogeneity=2),
    "cube": Activation(apply=lambda x: x * x * x, slope_at_zero=0.0, parity="odd", homogeneity=3),
}
