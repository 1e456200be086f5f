"""Where schedules end that fall all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from phasediag.training.schedules import Schedule
from phasediag.trial import NonNegativeFloat, Parameter, Role

if TYPE_CHECKING:
    from torch import Tensor

FINAL: Final = Parameter(
    name="schedule_final", type=NonNegativeFloat, default=0.0, neutral=0.0, role=Role.BATCHED,
    unit="learning_rate", meaning="What is left of the learning rate after the last step.",
)  # fmt: skip


class Falling(Schedule):
    """A schedule from 1 to `schedule_final`.

    Parameters
    ----------
    schedule_final
        What is left after the last step.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (FINAL,)

    def __init__(self, schedule_final: Tensor) -> None:
        self.final = schedule_final
