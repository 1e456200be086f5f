"""The fully connected network whose hidden layers have widths of their own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from phasediag.models._activations import ACTIVATIONS
from phasediag.models.mlp import BIAS, MLP
from phasediag.shared_parameters import ACTIVATION
from phasediag.trial import Parameter, PositiveInt, Role, Value


class UnequalMLP(MLP):
    """One more weight layer than there are `widths`, with one activation between them.

    Parameters
    ----------
    inputs, outputs
        Sizes of a sample and of its target.
    widths
        Neurons of each hidden layer, from the input on.
    activation
        A name of `ACTIVATIONS`.
    bias
        Whether every layer has biases.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="widths", type=Annotated[tuple[PositiveInt, ...], Field(min_length=1)],
                  default=(16, 16), neutral=(16, 16), role=Role.STRUCTURAL, unit="neurons",
                  meaning="Neurons of each hidden layer, from the input on; one weight layer more."),
        ACTIVATION,
        BIAS,
    )  # fmt: skip
    padded: ClassVar[tuple[str, ...]] = ("batch_size",)

    def __init__(
        self, inputs: int, outputs: int, widths: tuple[int, ...], activation: str, bias: bool = False
    ) -> None:
        from torch import nn

        nn.Module.__init__(self)
        sizes = [inputs, *widths, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]
        self.bias = bias

    @staticmethod
    def collapse_slope(values: Mapping[str, Value]) -> float | None:
        """As that of an mlp of as many weight layers."""
        widths = values["widths"]
        assert isinstance(widths, tuple)
        return MLP.collapse_slope({**values, "depth": len(widths) + 1})
