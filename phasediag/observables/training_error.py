"""The training error: whether a network has fitted its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class TrainingError(NumberObservable):
    """The share of the training samples that the network puts into another class than their label.

    By the largest output, and by the labels that are trained on, label noise and all. Neural collapse is a
    statement about training beyond the step at which this is zero.
    """

    name: ClassVar[str] = "training_error"
    meaning: ClassVar[str] = "Share of the training samples that are put into another class than their label."
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="training_error", bounds=(0.0, 1.0), label="training error",
               meaning="Misclassified training samples over all of them, by the labels that are trained on; "
               "null without classes."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The share, shape (1,)."""
        import torch

        x, targets = network.training_set
        if not network.classes:
            return torch.full((1,), torch.nan, dtype=x.dtype, device=x.device)
        wrong = network.predict(x).argmax(dim=-1) != targets.argmax(dim=-1)
        return wrong.to(x.dtype).mean()[None]
