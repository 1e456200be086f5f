"""Real data: the 8x8 handwritten digits that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import numpy as np
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.training.task import Task, tensor
from phasediag.trial import Parameter, Role, Value, integer, label_noise_parameters, number

if TYPE_CHECKING:
    from torch import Tensor

IMAGES: Final = 1797
"""Images of scikit-learn."""
HELD_OUT: Final = 297
"""The images that are always left for the test set."""


class Digits(Task):
    """1,797 images of 64 pixels, centred and scaled to unit mean square; targets are one-hot.

    The training set is the first `samples` images in an order drawn from the stream `data`, the
    test set the last 297 in that order. Loss: squared error over the ten outputs.
    """

    declares: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="samples", type=Annotated[int, Field(ge=1, le=IMAGES - HELD_OUT)], default=1000,
                  neutral=1000, role=Role.STRUCTURAL, unit="images", meaning="Size of the training set."),
        shared.INPUT_SCALE,
        *label_noise_parameters(classes=True),
    )  # fmt: skip
    classes: ClassVar[int] = 10

    @staticmethod
    def sizes(values: Mapping[str, Value]) -> tuple[int, int]:
        """64 pixels, ten classes."""
        return 64, 10

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Images (samples, 64) and one-hot targets (samples, 10)."""
        return self._chosen(slice(0, integer(self.values["samples"])))

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The held-out images, shape (297, 64), and their one-hot targets, shape (297, 10)."""
        return self._chosen(slice(IMAGES - HELD_OUT, IMAGES))

    def _chosen(self, part: slice) -> tuple[Tensor, Tensor]:
        from torch import float64
        from torch.nn.functional import one_hot

        rows = self.streams.generator("data").permutation(IMAGES)[part]
        images, classes = _images()
        targets = one_hot(classes[rows], self.classes).to(float64)
        return images[rows] * number(self.values["input_scale"]), targets


@cache
def _images() -> tuple[Tensor, Tensor]:
    """All images, centred pixel by pixel and of unit mean square, and their classes."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    centred = pixels - pixels.mean(axis=0)
    return tensor(centred / np.sqrt(np.mean(centred**2))), tensor(classes)
