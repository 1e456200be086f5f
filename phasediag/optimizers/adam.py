"""Adam: the decay enters the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.optimizers._adaptive import BETAS, Adaptive
from phasediag.training.optimizers import Moments, Rates, Weights
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Adam(Adaptive):
    """`torch.optim.Adam`: the decay is scaled with the gradient that it enters."""

    declares: ClassVar[tuple[Parameter, ...]] = BETAS
    decoupled: ClassVar[bool | None] = False

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        """Adam's step: the new weights and moments, by name, as `Optimizer.update` has it."""
        coupled = {name: gradient[name] + rates["weight_decay"] * w for name, w in weights.items()}
        return self.stepped(weights, coupled, moments, rates, step)
