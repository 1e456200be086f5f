"""What Adam and AdamW share: steps by a running mean of gradients over the root of that of their squares."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from phasediag.training.optimizers import Moments, Optimizer, Rates, Weights
from phasediag.trial import Parameter, PositiveFloat, Role

if TYPE_CHECKING:
    from torch import Tensor

Share = Annotated[float, Field(gt=0, lt=1)]
BETAS: Final = (
    Parameter(name="beta1", type=Share, default=0.9, neutral=0.9, role=Role.STRUCTURAL,
              meaning="What is left of the mean of gradients after a step of adam or adamw."),
    Parameter(name="beta2", type=Share, default=0.999, neutral=0.999, role=Role.STRUCTURAL,
              meaning="What is left of the mean of their squares after a step of adam or adamw."),
    Parameter(name="adam_epsilon", type=PositiveFloat, default=1e-8, neutral=1e-8, role=Role.STRUCTURAL,
              meaning="Added to the root of the mean of squares by adam and adamw."),
)  # fmt: skip


class Adaptive(Optimizer):
    """Moments and step of Adam; which gradient they are of, and what decays, is a subclass's to say.

    Parameters
    ----------
    beta1, beta2, adam_epsilon
        As `torch.optim.Adam` has them (the last one is its `eps`).
    """

    moments = ("first", "second")

    def __init__(self, beta1: float, beta2: float, adam_epsilon: float) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, adam_epsilon

    def stepped(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        """The weights a step along this gradient later, and the moments with it."""
        import torch

        one, two = self.beta1, self.beta2
        first = {n: one * m + (1 - one) * gradient[n] for n, m in moments["first"].items()}
        second = {n: two * m + (1 - two) * gradient[n].square() for n, m in moments["second"].items()}
        count = step.to(rates["learning_rate"].dtype)
        rate = rates["learning_rate"] / -torch.expm1(count * log(one))
        correction = torch.sqrt(-torch.expm1(count * log(two)))
        moved = {
            n: w - rate * first[n] / (second[n].sqrt() / correction + self.epsilon)
            for n, w in weights.items()
        }
        return moved, {"first": first, "second": second}
