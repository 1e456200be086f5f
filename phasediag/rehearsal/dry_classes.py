"""Whether the classes that a user's task states are those of its targets.

Accuracy is of the largest output, and label noise draws one-hot labels anew: of targets that are something
else both would be numbers of no meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import one_hot

from phasediag.errors import PhasediagError
from phasediag.rehearsal.dry_draws import DRAW, TEST, TRAIN
from phasediag.training.data import Task


def check_stated(where: str, stated: int, task: Task, outputs: int) -> None:
    """Refuse classes that are not one output each: the largest would be always the same, or no class."""
    if task.classes != stated:
        raise PhasediagError(
            f"{where} has classes = {task.classes!r} once it is made, and its class states {stated}; "
            f"write classes = {task.classes!r} in the class, where launches look"
        )
    if stated and outputs != stated:
        raise PhasediagError(
            f"{where} states classes = {stated}, and sizes(values) {outputs} for a target: "
            "test_accuracy is of the largest output, label noise of one-hot targets; give one output a "
            "class, or leave `classes` out (label_noise is then added to the targets, an accuracy can be an "
            "observable)"
        )


def check_targets(where: str, task: Task, sets: Mapping[str, Any], label_noise: float) -> None:
    """Refuse targets whose largest entry is no class, and those of which label noise would make others."""
    if not task.classes:
        return
    targets = torch.as_tensor(sets[TEST][1]).double()
    largest = (targets == targets.amax(dim=1, keepdim=True)).sum(dim=1)
    if bool((largest > 1).any()):
        raise PhasediagError(
            f"{where}.{TEST}: in {int((largest > 1).sum())} of {len(targets)} targets several classes are "
            "the largest, and test_accuracy takes the largest for the class; give one-hot targets, or leave "
            "`classes` out"
        )
    if label_noise <= 0 or not task.redraws_labels():
        return
    if label_noise > 1:
        raise PhasediagError(
            f"{where}: label_noise is {label_noise:g}, and of classes it is the share of labels that are "
            "drawn anew; give 0 to 1 (label_noise_parameters(classes=True) says so), or write a "
            "unit_noise(generator, count) of your own, to be added"
        )
    method = DRAW if DRAW in sets else TRAIN
    targets = torch.as_tensor(sets[method][1]).double()
    if not torch.equal(targets, one_hot(targets.argmax(dim=1), task.classes).double()):
        raise PhasediagError(
            f"{where}.{method}: its targets are not one-hot (0 and 1), as the labels are that label_noise "
            "draws anew; give one-hot targets, and make signs or smoothed labels of them in `loss`, or write "
            "a unit_noise(generator, count) of your own, to be added"
        )
