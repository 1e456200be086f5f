"""Neuron groups: which numbers of a network belong to which neuron.

The columns of a head's two factors are neurons too: the attention logits are
sum_k (x . q_k)(k_k . x'), one term for each pair of columns of W_Q and W_K, as a linear hidden
layer is a sum over its neurons. A head is therefore a neuron group of parity odd and homogeneity
1, a `span` of parameters that all heads share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]
"""First neuron, and the one after the last, along the axis of a parameter that counts them."""
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
    """Parameters whose axis 1 counts the neurons (the next layer's weights, shape (fan_out, width)),
    or `outgoing_axis`."""
    parity: Parity | None = None
    """The parity of the activation: odd lets a neuron flip in and out together, even its input alone."""
    homogeneity: int | None = None
    """k of an activation with f(a x) = a^k f(x), a > 0; None where there is none."""
    span: Span | None = None
    """Which neurons of the parameters are of this group; None: all."""
    outgoing_span: Span | None = None
    """The span of the outgoing parameters, where it differs from `span`."""
    outgoing_axis: Literal[0, 1] = 1
    """The axis of the outgoing parameters that counts the neurons: 1, or 0 as in a key matrix."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of all parameters, incoming, bias and outgoing."""
        return self.incoming + self.bias + self.outgoing

    def span_of(self, outgoing: bool) -> Span | None:
        """The span in the outgoing parameters, or in the others."""
        return self.outgoing_span or self.span if outgoing else self.span
