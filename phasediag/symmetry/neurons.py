"""Neuron groups: which numbers of a network belong to which neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Parity = Literal["odd", "even"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronGroup:
    """A hidden layer: the neurons that a permutation may exchange."""

    name: str
    """`hidden.1` is the first hidden layer."""
    incoming: tuple[str, ...]
    """Parameters whose axis 0 counts the neurons (weights of `torch.nn.Linear`, shape (width, fan_in))."""
    bias: tuple[str, ...] = ()
    """Parameters of shape (width,)."""
    outgoing: tuple[str, ...] = ()
    """Parameters whose axis 1 counts the neurons (the next layer's weights, shape (fan_out, width))."""
    parity: Parity | None = None
    """Of the activation: odd lets a neuron flip in and out together, even its input alone."""
    homogeneity: int | None = None
    """k of an activation with f(a x) = a^k f(x), a > 0; None where there is none."""
