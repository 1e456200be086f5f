"""The fully connected network."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from phasediag.models._activations import ACTIVATIONS
from phasediag.shared_parameters import ACTIVATION, WIDTH
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.model import Model
from phasediag.trial import Parameter, Role, Value

if TYPE_CHECKING:
    from torch import Tensor

BIAS: Final = Parameter(
    name="bias", type=bool, default=False, neutral=False, role=Role.STRUCTURAL,
    meaning="Whether every layer has biases; they start at zero.",
)  # fmt: skip


class MLP(Model):
    """`depth` weight layers with one activation between them.

    Parameters
    ----------
    inputs, outputs
        Sizes of a sample and of its target.
    depth
        Weight layers; there are `depth - 1` hidden layers.
    width
        Neurons of each hidden layer.
    activation
        A name of `ACTIVATIONS`.
    bias
        Whether every layer has biases.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="depth", type=Annotated[int, Field(ge=1)], default=2, neutral=2, role=Role.STRUCTURAL,
                  unit="weight layers", meaning="Weight layers; depth - 1 hidden layers."),
        WIDTH,
        ACTIVATION,
        BIAS,
    )  # fmt: skip
    padded: ClassVar[tuple[str, ...]] = ("width", "batch_size")

    def __init__(
        self, inputs: int, outputs: int, depth: int, width: int, activation: str, bias: bool = False
    ) -> None:
        from torch import nn

        super().__init__()
        sizes = [inputs, *[width] * (depth - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (samples, outputs) for inputs (samples, inputs)."""
        for layer in self.layers[:-1]:
            x = self.activation.apply(layer(x))
        prediction: Tensor = self.layers[-1](x)
        return prediction

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """The hidden layers, from the input on."""
        return tuple(
            NeuronGroup(
                name=f"hidden.{i + 1}",
                incoming=(f"layers.{i}.weight",),
                bias=(f"layers.{i}.bias",) if self.bias else (),
                outgoing=(f"layers.{i + 1}.weight",),
                parity=self.activation.parity,
                homogeneity=self.activation.homogeneity,
            )
            for i in range(len(self.layers) - 1)
        )

    @staticmethod
    def collapse_slope(values: Mapping[str, Value]) -> float | None:
        """Slope of the network at the origin where its collapse threshold is known, else None.

        With two weight layers and no bias the origin loses stability at
        gamma_c = slope * |E[y x^T]|_op (`docs/physics.md` E1, E2).
        """
        if values["depth"] != 2 or values["bias"]:
            return None
        slope = ACTIVATIONS[str(values["activation"])].slope_at_zero
        return slope if values["activation"] in ("tanh", "sin", "linear") else None
