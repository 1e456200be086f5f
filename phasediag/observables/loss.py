"""The training loss as an observable: its course, where a trial's row has only the last value."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class Loss(NumberObservable):
    """The training loss at the start, at the end and at its highest between.

    It is the one of `train_loss`, over all training samples and without penalty. With `measure.every` 1,
    `loss_highest > loss_at_start` tells whether training threw the loss above where it began: a catapult.
    """

    name: ClassVar[str] = "loss"
    meaning: ClassVar[str] = "The training loss, over all training samples and without penalty."
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="loss_at_end", label="training loss at the end",
               meaning="The training loss at the last step."),
    )  # fmt: skip
    starting: ClassVar[tuple[Column, ...]] = (
        Column(name="loss_at_start", label="training loss at the start", null_when_diverged=False,
               meaning="The training loss at step 0."),
    )  # fmt: skip
    highest: ClassVar[tuple[Column, ...]] = (
        Column(name="loss_highest", label="highest training loss", null_when_diverged=False,
               meaning="The largest training loss of all that were measured after step 0."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The training loss, shape (1,)."""
        return network.loss()[None]
