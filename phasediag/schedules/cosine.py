"""Half a wave."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, ClassVar

from phasediag.schedules._final import FINAL, Falling
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Cosine(Falling):
    """`torch.optim.lr_scheduler.CosineAnnealingLR` from 1 to `schedule_final` over all steps."""

    declares: ClassVar[tuple[Parameter, ...]] = (FINAL,)

    def factor(self, step: Tensor, steps: Tensor) -> Tensor:
        """From 1 to `schedule_final` along half a cosine; float64, of the shape of `step`."""
        return self.final + (1 - self.final) * (1 + (pi * step / steps).cos()) / 2
