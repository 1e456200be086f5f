"""Images of ten classes: what the tasks of public data sets share."""

from __future__ import annotations

import gzip
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from phasediag import shared_parameters as shared
from phasediag.errors import PhasediagError, RefusedError
from phasediag.tasks._archives import Archive, files_of
from phasediag.training.task import Task, tensor
from phasediag.trial import Constraint, Parameter, Role, Value, integer, label_noise_parameters, number

if TYPE_CHECKING:
    from torch import Tensor

Bytes = npt.NDArray[np.uint8]
SHIFT: Final = 4
"""Pixels by which a crop moves an image at most."""
CLASSES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """A data set as it is published."""

    x: Bytes
    """Training images, shape (images, channels, height, width)."""
    y: Bytes
    """The classes of the training images, from 0, shape (images,)."""
    x_test: Bytes
    y_test: Bytes


class ImageTask(Task):
    """Images of ten classes, one-hot; channels centred and scaled by their moments over all training images.

    Pixels are flattened, channel by channel and row by row. The training set is the first `samples` of the
    published one in an order drawn from the stream `data`, the test set the first `test_samples` of the
    published one. Loss: squared error over the ten outputs, or cross entropy (`loss`).
    """

    dataset: ClassVar[str]
    archives: ClassVar[tuple[Archive, ...]]
    shape: ClassVar[tuple[int, int, int]]
    """Channels, height and width."""
    classes: ClassVar[int] = CLASSES

    @staticmethod
    @abstractmethod
    def read(paths: Sequence[Path]) -> Images:
        """The images in the files of `archives`."""

    @classmethod
    def prepare(cls) -> None:
        """See that the files are there, downloading what is not."""
        files_of(cls.dataset, cls.archives)

    @classmethod
    def sizes(cls, values: Mapping[str, Value]) -> tuple[int, int]:
        """How many numbers an image has, and ten classes."""
        channels, height, width = cls.shape
        return channels * height * width, CLASSES

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Images (samples, pixels) and one-hot targets (samples, 10)."""
        images = _images(type(self))
        rows = self.streams.generator("data").permutation(len(images.x))[: integer(self.values["samples"])]
        return self._pair(images.x[rows], images.y[rows])

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The first `test_samples` published test images, and their targets, shapes as of `train_set`."""
        images, count = _images(type(self)), integer(self.values["test_samples"])
        return self._pair(images.x_test[:count], images.y_test[:count])

    def _pair(self, x: Bytes, y: Bytes) -> tuple[Tensor, Tensor]:
        mean, deviation = _moments(type(self))
        normal = ((x - mean) / deviation).reshape(len(x), -1) * number(self.values["input_scale"])
        if self.values["transform"] == "gaussian":
            normal = normal @ gaussian_map(normal.shape[1], integer(self.values["transform_seed"])).T
        return tensor(normal), tensor(np.eye(CLASSES)[y])

    @property
    def augments(self) -> bool:
        """Whether every step sees its images moved at random."""
        return self.values["augment"] != "none"

    def augmented(self, x: Tensor, generator: np.random.Generator) -> Tensor:
        """Images as a step sees them: moved by up to 4 pixels along each axis, and turned left to right.

        What comes in at an edge is the mean over the training images. Shape (images, pixels), as given.
        """
        _, height, width = self.shape
        images = x.numpy().reshape(len(x), *self.shape)
        padded = np.pad(images, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
        top, left = generator.integers(0, 2 * SHIFT + 1, (2, len(x)))
        flips = generator.random(len(x)) < 0.5
        columns = np.arange(width)
        column = left[:, None] + columns
        if self.values["augment"] == "flip_crop":
            column = np.where(flips[:, None], left[:, None] + columns[::-1], column)
        row = top[:, None] + np.arange(height)
        image = np.arange(len(x))[:, None, None]
        moved = padded[image, :, row[:, :, None], column[:, None, :]]
        return tensor(np.ascontiguousarray(moved.transpose(0, 3, 1, 2)).reshape(len(x), -1))


def image_parameters(images: int, test_images: int) -> tuple[Parameter, ...]:
    """The parameters of a data set of so many images."""
    return (
        Parameter(name="samples", type=Annotated[int, Field(ge=1, le=images)], default=1000, neutral=1000,
                  role=Role.STRUCTURAL, unit="images", meaning="Size of the training set."),
        Parameter(name="test_samples", type=Annotated[int, Field(ge=1, le=test_images)], default=1000,
                  neutral=1000, role=Role.STRUCTURAL, unit="images", meaning="Size of the test set."),
        shared.INPUT_SCALE,
        Parameter(name="transform", type=Literal["none", "gaussian"], default="none", neutral="none",
                  role=Role.BATCHED, meaning="What is done to every input: gaussian multiplies it by a "
                  "matrix of normal numbers of variance 1 / inputs, which is invertible."),
        Parameter(name="transform_seed", type=Annotated[int, Field(ge=0, lt=2**63)], default=0, neutral=0,
                  role=Role.BATCHED, meaning="Which matrix transform: gaussian takes."),
        Parameter(name="augment", type=Literal["none", "crop", "flip_crop"], default="none", neutral="none",
                  role=Role.STRUCTURAL, meaning="What each step does to its images at random: crop moves "
                  "them by up to 4 pixels, flip_crop also turns half of them left to right."),
        *label_noise_parameters(classes=True),
    )  # fmt: skip


def _both(transform: str, augment: str) -> RefusedError | None:
    if transform == "none" or augment == "none":
        return None
    return RefusedError(
        f"augment: {augment} moves pixels, and transform: {transform} leaves none", "set one of them to none"
    )


NOT_BOTH: Final = Constraint(parameters=("transform", "augment"), fault=_both)
"""What every task of images refuses: `transform` beside `augment`."""


@cache
def _images(cls: type[ImageTask]) -> Images:
    return cls.read(files_of(cls.dataset, cls.archives))


@cache
def _moments(cls: type[ImageTask]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each channel over the training images, shape (channels, 1, 1)."""
    x, axes = _images(cls).x, (0, 2, 3)
    return x.mean(axis=axes)[:, None, None], x.std(axis=axes)[:, None, None]


@cache
def gaussian_map(size: int, seed: int) -> npt.NDArray[np.float64]:
    """A matrix of normal numbers of variance 1 / size, shape (size, size): the same for the same seed."""
    generator = np.random.Generator(np.random.Philox(seed))
    return np.asarray(generator.standard_normal((size, size)) / np.sqrt(size))


def read_idx(path: Path) -> Bytes:
    """The array in a file of the IDX format, packed by gzip or not: bytes behind a header of its sizes.

    Raises
    ------
    PhasediagError
        Where it is no such file.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    sizes = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    if content[:3] != b"\0\0\x08" or len(content) != header + int(np.prod(sizes)):
        raise PhasediagError(f"{path} is no IDX file of bytes; remove it, and it is downloaded anew")
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)


class IdxTask(ImageTask):
    """Grey images of 28 x 28 pixels from four IDX files: images and labels for training, and for the test."""

    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    constraints: ClassVar[tuple[Constraint, ...]] = (NOT_BOTH,)

    @staticmethod
    def read(paths: Sequence[Path]) -> Images:
        """The images in the four files."""
        x, y, x_test, y_test = (read_idx(path) for path in paths)
        return Images(x=x[:, None], y=y, x_test=x_test[:, None], y_test=y_test)
