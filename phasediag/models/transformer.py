"""A small transformer: attention layers on a sequence, read out at its last token."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from phasediag.errors import PhasediagError, RefusedError
from phasediag.models._activations import ACTIVATIONS
from phasediag.models._chain import NO_CHAIN
from phasediag.shared_parameters import ACTIVATION, LENGTH
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.model import Model
from phasediag.trial import Constraint, Count, Parameter, PositiveInt, Role

if TYPE_CHECKING:
    from torch import Tensor

AttentionKind = Literal["softmax", "linear"]


def length_fault(length: int, inputs: int) -> RefusedError | None:
    """What is wrong where inputs cannot be cut into so many tokens."""
    if inputs % length == 0:
        return None
    divisors = ", ".join(str(n) for n in range(2, inputs + 1) if inputs % n == 0) or "none: take other inputs"
    problem = f"{inputs} inputs cannot be cut into {length} tokens"
    return RefusedError(problem, f"lengths that divide them: {divisors}")


class Transformer(Model):
    """Embedding, attention layers with residual connections, linear readout of the last token.

    The logits of a head are x_i^T W_Q W_K^T x_j / sqrt(head_width) (Eqs. 1-2 of the paper), over
    all tokens; there are no positions, no masks, no normalisation and no biases, so that every
    symmetry of the heads is exact.

    Parameters
    ----------
    inputs, outputs
        Numbers of a flattened sequence, and of its target.
    length
        Tokens of a sequence; divides `inputs`.
    attention_layers, heads, head_width, stream_width
        Sizes.
    attention
        `softmax`, or `linear`: the logits divided by the number of tokens.
    feedforward, activation
        Neurons of the hidden layer after each attention layer (0: none), and their activation.

    Attributes
    ----------
    neuron_groups
        `head.l.h`: the pairs of columns of W_Q and W_K of head h in layer l, both from 1 on.
        `value.l.h`: those of its value and output matrices. `hidden.l`: the neurons after layer l.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        LENGTH,
        Parameter(name="attention_layers", type=PositiveInt, default=2, neutral=2, role=Role.STRUCTURAL,
                  unit="layers", meaning="Self-attention layers, with a residual connection around each."),
        Parameter(name="heads", type=PositiveInt, default=1, neutral=1, role=Role.STRUCTURAL, unit="heads",
                  meaning="Attention heads of each layer."),
        Parameter(name="head_width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL,
                  unit="numbers", meaning="Numbers of a head's query, key and value."),
        Parameter(name="stream_width", type=PositiveInt, default=16, neutral=16, role=Role.STRUCTURAL,
                  unit="numbers", meaning="Numbers of a token in the residual stream."),
        Parameter(name="attention", type=AttentionKind, default="softmax", neutral="softmax",
                  role=Role.STRUCTURAL,
                  meaning="What weighs the tokens: softmax of the logits, or the logits over their number."),
        Parameter(name="feedforward", type=Count, default=0, neutral=0, role=Role.STRUCTURAL, unit="neurons",
                  meaning="Hidden neurons after each attention layer; 0 leaves them out."),
        ACTIVATION,
    )  # fmt: skip
    constraints: ClassVar[tuple[Constraint, ...]] = (
        Constraint(parameters=("length", "inputs"), fault=length_fault),
        NO_CHAIN,
    )
    padded: ClassVar[tuple[str, ...]] = ("stream_width", "feedforward", "batch_size")

    def __init__(
        self, inputs: int, outputs: int, length: int, attention_layers: int, heads: int, head_width: int,
        stream_width: int, attention: AttentionKind = "softmax", feedforward: int = 0,
        activation: str = "tanh",
    ) -> None:  # fmt: skip
        from torch import nn

        super().__init__()
        if fault := length_fault(length, inputs):
            raise PhasediagError(f"model transformer: {fault}")
        self.length, self.heads, self.head_width = length, heads, head_width
        self.attention, self.feedforward = attention, feedforward
        self.activation = ACTIVATIONS[activation]
        self.embedding = nn.Linear(inputs // length, stream_width, bias=False)
        inner = heads * head_width
        sizes = dict.fromkeys(("query", "key", "value"), (stream_width, inner))
        sizes["output"] = (inner, stream_width)
        if feedforward:
            sizes |= {"up": (stream_width, feedforward), "down": (feedforward, stream_width)}
        self.blocks: Any = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in sizes.items()})
            for _ in range(attention_layers)
        )
        self.readout = nn.Linear(stream_width, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Flattened sequences (samples, inputs) to (samples, outputs)."""
        stream: Tensor = self.embedding(x.reshape(len(x), self.length, -1))
        for block in self.blocks:
            stream = stream + self._attended(block, stream)
            if self.feedforward:
                stream = stream + block["down"](self.activation.apply(block["up"](stream)))
        prediction: Tensor = self.readout(stream[:, -1])
        return prediction

    def _attended(self, block: Any, stream: Tensor) -> Tensor:
        query, key, value = (self._by_head(block[name](stream)) for name in ("query", "key", "value"))
        logits = query @ key.transpose(-1, -2) / sqrt(self.head_width)
        weights = logits.softmax(dim=-1) if self.attention == "softmax" else logits / self.length
        mixed = (weights @ value).transpose(1, 2).reshape(*stream.shape[:2], -1)
        attended: Tensor = block["output"](mixed)
        return attended

    def _by_head(self, numbers: Tensor) -> Tensor:
        """Set heads apart: (samples, tokens, heads * head_width) to (samples, heads, tokens, head_width)."""
        return numbers.reshape(*numbers.shape[:2], self.heads, self.head_width).transpose(1, 2)

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """The heads, their values, and the hidden layers, layer by layer."""
        return tuple(group for layer in range(len(self.blocks)) for group in self._groups(layer))

    def _groups(self, layer: int) -> list[NeuronGroup]:
        groups = []
        for head in range(self.heads):
            span = (head * self.head_width, (head + 1) * self.head_width)
            groups += [
                NeuronGroup(
                    name=f"head.{layer + 1}.{head + 1}", incoming=(f"blocks.{layer}.query.weight",),
                    outgoing=(f"blocks.{layer}.key.weight",), outgoing_axis=0, span=span, parity="odd",
                    homogeneity=1,
                ),
                NeuronGroup(
                    name=f"value.{layer + 1}.{head + 1}", incoming=(f"blocks.{layer}.value.weight",),
                    outgoing=(f"blocks.{layer}.output.weight",), span=span, parity="odd", homogeneity=1,
                ),
            ]  # fmt: skip
        if self.feedforward:
            groups.append(
                NeuronGroup(
                    name=f"hidden.{layer + 1}", incoming=(f"blocks.{layer}.up.weight",),
                    outgoing=(f"blocks.{layer}.down.weight",), parity=self.activation.parity,
                    homogeneity=self.activation.homogeneity,
                )
            )  # fmt: skip
        return groups

    @property
    def uses_of_weights(self) -> int:
        """How often one sample passes a weight: once a token."""
        return self.length

    @property
    def products_per_sample(self) -> int:
        """Multiplications of one sample between activations: logits, and weighted values."""
        return 2 * len(self.blocks) * self.heads * self.head_width * self.length**2

    @property
    def numbers_per_sample(self) -> int:
        """Elementwise results of one sample besides those of its layers: logits and their weights."""
        return 2 * len(self.blocks) * self.heads * self.length**2
