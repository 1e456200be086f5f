"""Data without a class: the arrays of a file of numpy's, `task: my_data.npz`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from phasediag.arrays import FloatArray
from phasediag.errors import RefusedError
from phasediag.shared_parameters import INPUT_SCALE
from phasediag.training.task import Task, tensor
from phasediag.trial import (
    REQUIRED,
    Constraint,
    Parameter,
    Required,
    Role,
    Value,
    integer,
    label_noise_parameters,
    number,
)

if TYPE_CHECKING:
    from torch import Tensor

NAMES: Final = ("x", "y", "x_test", "y_test")
WHAT: Final = (
    "save x (samples, ...) and y, and x_test and y_test where there is a test set: "
    'np.savez("my_data.npz", x=x, y=y)'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """What a file holds, checked."""

    x: FloatArray
    """Inputs, shape (samples, inputs): what has more axes is flattened."""
    y: FloatArray
    """Targets, shape (samples, outputs): of classes one-hot."""
    x_test: FloatArray | None
    y_test: FloatArray | None
    classes: int
    """Number of classes: the whole numbers that occur in `y` or `y_test`, in order; 0 where they are none."""


class ArraysTask(Task):
    """The samples of a file as they are, times `input_scale`; a class for each file is derived from it.

    The training set is the first `samples` of the file in an order drawn from the stream `data`; the test
    set is `x_test`, or, where the file has none, the last `test_samples` in that order.
    """

    arrays: ClassVar[Arrays]

    @classmethod
    def sizes(cls, values: Mapping[str, Value]) -> tuple[int, int]:
        """How many numbers an input has, and how many a target."""
        return cls.arrays.x.shape[1], cls.arrays.y.shape[1]

    def train_set(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets, shapes (samples, inputs) and (samples, outputs), float64."""
        return self._pair(self.arrays.x, self.arrays.y, self._order()[: integer(self.values["samples"])])

    def test_set(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the test set, shapes (count, inputs) and (count, outputs)."""
        x, y = self.arrays.x_test, self.arrays.y_test
        if x is None or y is None:
            held_out = self._order()[-integer(self.values["test_samples"]) :]
            return self._pair(self.arrays.x, self.arrays.y, held_out)
        return self._pair(x, y, np.arange(len(x)))

    def _order(self) -> npt.NDArray[np.int64]:
        return self.streams.generator("data").permutation(len(self.arrays.x))

    def _pair(self, x: FloatArray, y: FloatArray, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return tensor(x[rows] * number(self.values["input_scale"])), tensor(y[rows])


def task_of(path: Path) -> type[ArraysTask]:
    """The task of a file.

    Raises
    ------
    ValueError
        Where the file is none of numpy's, or its arrays are not what can be trained on.
    """
    arrays = arrays_of(path)
    held_out = arrays.x_test is None
    return type(
        "ArraysTask", (ArraysTask,),
        {
            "arrays": arrays, "classes": arrays.classes, "__module__": __name__,
            "declares": _declared(len(arrays.x), arrays.classes, held_out),
            "constraints": _split(len(arrays.x)) if held_out else (),
        },
    )  # fmt: skip


def _declared(count: int, classes: int, held_out: bool) -> tuple[Parameter, ...]:
    """The parameters of a file's task; where it has no test set both sizes must be given."""

    def size(name: str, default: int | Required, meaning: str) -> Parameter:
        return Parameter(
            name=name, type=Annotated[int, Field(ge=1, le=count)], default=default, neutral=default,
            role=Role.STRUCTURAL, unit="samples", meaning=meaning,
        )  # fmt: skip

    sizes = [size("samples", REQUIRED if held_out else count, "Size of the training set.")]
    if held_out:
        sizes.append(size("test_samples", REQUIRED, "Samples of the file that are left for the test set."))
    return (*sizes, INPUT_SCALE, *label_noise_parameters(classes=classes > 0))


def _split(count: int) -> tuple[Constraint, ...]:
    def fault(samples: int, test_samples: int, task: str) -> RefusedError | None:
        if samples + test_samples <= count:
            return None
        return RefusedError(
            f"{samples} samples and {test_samples} for the test set are more than the {count} of {task}",
            "give fewer, or put x_test and y_test into the file",
        )

    return (Constraint(parameters=("samples", "test_samples", "task"), fault=fault),)


def arrays_of(path: Path) -> Arrays:
    """The arrays of a file, checked.

    Raises
    ------
    ValueError
        With the file's name, what is wrong, and what to do.
    """
    held = _read(path)
    for name in held:
        if name not in NAMES:
            raise RefusedError(f"{path} has an array '{name}', which means nothing", WHAT)
    for name, partner in (("x", "y"), ("y", "x"), ("x_test", "y_test"), ("y_test", "x_test")):
        if name not in held and (partner in held or name == "x"):
            raise RefusedError(f"{path} has no array '{name}'", WHAT)
    for name, array in held.items():
        _check(path, name, array)
    for suffix in ("", "_test"):
        if f"x{suffix}" in held and len(held[f"x{suffix}"]) != len(held[f"y{suffix}"]):
            samples, targets = len(held[f"x{suffix}"]), len(held[f"y{suffix}"])
            raise RefusedError(
                f"{path} has {samples} samples in x{suffix} and {targets} targets in y{suffix}",
                "give one target for each sample",
            )
    x, x_test = _flat(held["x"]), _flat(held["x_test"]) if "x_test" in held else None
    if x_test is not None and held["x"].shape[1:] != held["x_test"].shape[1:]:
        shapes = f"shape {held['x'].shape[1:]} in x and {held['x_test'].shape[1:]} in x_test"
        raise RefusedError(f"samples of {path} have {shapes}", "give both the same")
    y, y_test, classes = _targets(path, held["y"], held.get("y_test"))
    return Arrays(x=x, y=y, x_test=x_test, y_test=y_test, classes=classes)


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("one array without a name")
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        pickled = "allow_pickle" in str(error)
        why = "it holds Python objects, or is no file of numpy" if pickled else str(error)
        raise RefusedError(f"{path} cannot be read as arrays ({why})", WHAT) from error


def _check(path: Path, name: str, array: npt.NDArray[Any]) -> None:
    """Refuse what is no array of finite numbers with one row a sample."""
    if array.dtype.kind not in "fiub":
        raise RefusedError(f"{path}: {name} holds {array.dtype}", "give real numbers")
    if array.ndim < 1 or not array.size:
        raise RefusedError(f"{path}: {name} has shape {array.shape}", "give one row for each sample")
    finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise RefusedError(f"{path}: {name}[{row}] is not finite", "leave such samples out")


def _flat(array: npt.NDArray[Any]) -> FloatArray:
    """One row a sample, float64."""
    return array.reshape(len(array), -1).astype(np.float64)


def _targets(
    path: Path, y: npt.NDArray[Any], y_test: npt.NDArray[Any] | None
) -> tuple[FloatArray, FloatArray | None, int]:
    """Targets of both sets, one-hot where they are classes, and the number of classes."""
    both = [y] if y_test is None else [y, y_test]
    kinds = {each.dtype.kind in "iub" for each in both}
    if len(kinds) > 1:
        raise RefusedError(
            f"{path}: y holds {y.dtype} and y_test {both[-1].dtype}",
            "give whole numbers in both, for classes, or floats",
        )
    if kinds == {False}:
        flat = [_flat(each) for each in both]
        if flat[0].shape[1] != flat[-1].shape[1]:
            shapes = f"shape {y.shape[1:]} in y and {both[-1].shape[1:]} in y_test"
            raise RefusedError(f"{path}: targets have {shapes}", "give both the same")
        return flat[0], None if y_test is None else flat[1], 0
    for name, each in zip(("y", "y_test"), both, strict=False):
        if each.size != len(each):
            raise RefusedError(
                f"{path}: {name} of whole numbers has shape {each.shape}",
                "give one label for each sample, or floats where targets are numbers",
            )
    labels = np.unique(np.concatenate([each.reshape(-1) for each in both]))
    if len(labels) < 2:
        raise RefusedError(
            f"{path}: y has one class alone", "give two or more, or floats where targets are numbers"
        )
    hot = [np.eye(len(labels))[np.searchsorted(labels, each.reshape(-1))] for each in both]
    return hot[0], None if y_test is None else hot[1], len(labels)
