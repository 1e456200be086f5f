"""The losses that a grid may name instead of a task's own: means over samples, of (samples, outputs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from phasediag.training.data import Task
from phasediag.trial import Value

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""One number for a batch, of the prediction and the target."""


def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """`torch.nn.CrossEntropyLoss`: predictions are logits, targets one-hot or shares of classes.

    Both of shape (samples, classes); the result is a scalar, the mean over samples.
    """
    return -(target * prediction.log_softmax(dim=-1)).sum(dim=-1).mean()


LOSSES: Final[Mapping[str, LossFunction]] = {"squared": Task.loss, "cross_entropy": cross_entropy}


def loss_of(values: Mapping[str, Value], task: type[Task]) -> LossFunction:
    """The loss of a trial's record: the one that it names, or the task's own."""
    named = values.get("loss")
    if named is not None:
        return LOSSES[str(named)]
    # a class that is no Task is refused where its data are looked at, after the network is built
    own: LossFunction = getattr(task, "loss", Task.loss)
    return own


def is_mean(loss: LossFunction, task: type[Task]) -> bool:
    """Whether a loss is a mean over samples: one that a grid may name, or one of a task that states it."""
    return loss in LOSSES.values() or bool(vars(task).get("mean_over_samples", False))
