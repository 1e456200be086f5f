"""Stairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.training.schedules import Schedule
from phasediag.trial import REQUIRED, Parameter, PositiveFloat, PositiveInt, Role

if TYPE_CHECKING:
    from torch import Tensor


class Step(Schedule):
    """`torch.optim.lr_scheduler.StepLR`: multiplied by `step_factor` after every `step_every` steps.

    Parameters
    ----------
    step_every, step_factor
        As `StepLR` has `step_size` and `gamma`.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="step_every", type=PositiveInt, default=REQUIRED, neutral=REQUIRED, role=Role.BATCHED,
                  unit="steps", meaning="Steps between two changes of the learning rate."),
        Parameter(name="step_factor", type=PositiveFloat, default=0.1, neutral=0.1, role=Role.BATCHED,
                  meaning="What the learning rate is multiplied by then."),
    )  # fmt: skip

    def __init__(self, step_every: Tensor, step_factor: Tensor) -> None:
        self.every, self.by = step_every, step_factor

    def factor(self, step: Tensor, steps: Tensor) -> Tensor:
        """`step_factor` once for every `step_every` steps; float64, of the shape of `step`."""
        return self.by ** (step / self.every).floor()
