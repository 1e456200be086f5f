"""AdamW: the decay shrinks the weights beside the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.optimizers._adaptive import BETAS, Adaptive
from phasediag.training.optimizers import Moments, Rates, Weights
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class AdamW(Adaptive):
    """`torch.optim.AdamW`: a step multiplies the weights by 1 - learning_rate * weight_decay besides."""

    declares: ClassVar[tuple[Parameter, ...]] = BETAS
    decoupled: ClassVar[bool | None] = True

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        """AdamW's step: the new weights and moments, by name, as `Optimizer.update` has it."""
        kept = 1 - rates["learning_rate"] * rates["weight_decay"]
        shrunk = {name: kept * w for name, w in weights.items()}
        return self.stepped(shrunk, gradient, moments, rates, step)
