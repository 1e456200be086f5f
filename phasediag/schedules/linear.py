"""A straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.schedules._final import FINAL, Falling
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Linear(Falling):
    """`torch.optim.lr_scheduler.LinearLR` from 1 to `schedule_final` over all steps."""

    declares: ClassVar[tuple[Parameter, ...]] = (FINAL,)

    def factor(self, step: Tensor, steps: Tensor) -> Tensor:
        """From 1 to `schedule_final` in a line; float64, of the shape of `step`."""
        return 1 + (self.final - 1) * step / steps
