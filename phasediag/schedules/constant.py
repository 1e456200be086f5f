"""The learning rate as it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.training.schedules import Schedule
from phasediag.trial import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Constant(Schedule):
    """1 at every step, which costs nothing: the rate is not even multiplied."""

    declares: ClassVar[tuple[Parameter, ...]] = ()

    def factor(self, step: Tensor, steps: Tensor) -> Tensor:
        """1 at every step; float64, of the shape of `step`."""
        return 0 * step + 1
