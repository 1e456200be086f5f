"""Real data: the 8x8 handwritten digits that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from phasediag.tasks import _parameters as shared
from phasediag.tasks._declared import DIGITS, HELD_OUT, IMAGES
from phasediag.training.data import Task
from phasediag.trial import Parameter, Value


class Digits(Task):
    """1,797 images of 64 pixels, centred and scaled to unit mean square; targets are one-hot.

    The training set is the first `samples` images in an order drawn from the stream `data`, the
    test set the last 297 in that order. Loss: squared error over the ten outputs.
    """

    registered: ClassVar[str] = DIGITS.name
    declares: ClassVar[tuple[Parameter, ...]] = DIGITS.parameters
    classes: ClassVar[int] = DIGITS.classes

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """64 pixels, ten classes."""
        return 64, 10

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Images (samples, 64) and one-hot targets (samples, 10)."""
        return self._chosen(slice(0, shared.whole(self.values["samples"])))

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The held-out images (297, 64) and their one-hot targets (297, 10)."""
        return self._chosen(slice(IMAGES - HELD_OUT, IMAGES))

    def _chosen(self, part: slice) -> tuple[Tensor, Tensor]:
        rows = self.streams.generator("data").permutation(IMAGES)[part]
        images, classes = _images()
        one_hot = torch.nn.functional.one_hot(classes[rows], self.classes).to(torch.float64)
        return images[rows] * shared.number(self.values["input_scale"]), one_hot


@cache
def _images() -> tuple[Tensor, Tensor]:
    """All images, centred pixel by pixel and of unit mean square, and their classes."""
    pixels, classes = load_digits(return_X_y=True)
    centred = pixels - pixels.mean(axis=0)
    return torch.from_numpy(centred / np.sqrt(np.mean(centred**2))), torch.from_numpy(classes)
