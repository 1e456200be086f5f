"""The data of a user's task, made once and looked at before anything is trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.registry import Component
from phasediag.source_lines import place_of, told
from phasediag.training.data import DrawnTask, Task
from phasediag.training.network import sizes_of
from phasediag.training.visible import DATA_SEED, Visible, hidden_names
from phasediag.trial import Streams, Value

DRAWN: Final = 8
"""Samples that are drawn to look at, where data are fresh."""


def check_data(task: Component, record: Mapping[str, Value], seed: int, folder: Path) -> None:
    """Make the data of a replicate, and refuse what cannot be trained on.

    Parameters
    ----------
    task
        Of the user.
    record
        Of a trial.
    seed
        Of its replicate.
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where the task raises, gives no tensors of the sizes that it states, numbers that are not finite, or
        label noise of its own that would be added once more.
    """
    where = f"{place_of(task.cls)}: {task.name}"
    if not issubclass(task.cls, Task):
        raise PhasediagError(f"{where} is no task; derive it from phasediag.training.data.Task")
    data_seed = record[DATA_SEED]
    assert data_seed is None or isinstance(data_seed, int)
    seen, streams = Visible(record, hidden_names(record, folder)), Streams(seed, data_seed)
    inputs, outputs = sizes_of(task, record)
    try:
        made = task.cls(seen, streams)
        sets = {"test_set()": made.test_set()}
        if made.fresh:
            sets["draw(generator, count)"] = _drawn(made, where)
        else:
            sets["train_set()"] = made.train_set()
        own_noise = "label_noise" in seen.read
        noise = made.unit_noise(streams.generator("noise"), DRAWN)
    except PhasediagError:
        raise
    except Exception as error:
        raise PhasediagError(f"{told(error, task.cls)} [{task.name}: its data]") from error
    for method, pair in sets.items():
        _check_pair(f"{where}.{method}", pair, inputs, outputs)
    width = outputs + made.redraws_labels()
    if not isinstance(noise, Tensor) or noise.shape != (DRAWN, width):
        raise PhasediagError(
            f"{where}.unit_noise(generator, {DRAWN}) gives {_shape(noise)}; give a tensor of shape "
            f"{(DRAWN, width)}"
        )
    if not bool(torch.isfinite(noise).all()):
        raise PhasediagError(f"{where}.unit_noise(generator, {DRAWN}) gives numbers that are not finite")
    if own_noise and "label_noise" in task.parameters and bool(noise.any()):
        raise PhasediagError(
            f"{where} looks at label_noise itself, and phasediag adds label_noise * unit_noise to its "
            "targets besides; leave one to the other: do not read it, or let unit_noise give zeros"
        )


def _drawn(made: Task, where: str) -> Any:
    if not isinstance(made, DrawnTask):
        raise PhasediagError(
            f"{where} says that its data are fresh, and cannot draw them; derive it from "
            "phasediag.training.data.DrawnTask"
        )
    return made.draw(made.streams.generator("batch"), DRAWN)


def _check_pair(where: str, pair: Any, inputs: int, outputs: int) -> None:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise PhasediagError(f"{where} gives {_shape(pair)}; give a pair of tensors, inputs and targets")
    for words, values, size in (("inputs", pair[0], inputs), ("targets", pair[1], outputs)):
        if not isinstance(values, Tensor):
            raise PhasediagError(
                f"{where}: its {words} are {_shape(values)}; give tensors of torch (torch.from_numpy)"
            )
        if values.dim() != 2 or values.shape[1] != size or len(values) != len(pair[0]) or not len(values):
            raise PhasediagError(
                f"{where}: its {words} have shape {tuple(values.shape)}; sizes(values) says "
                f"({len(pair[0])}, {size}): one row a sample (flatten images and sequences; one-hot classes)"
            )
        if values.is_complex() or not bool(torch.isfinite(values).all()):
            raise PhasediagError(f"{where}: its {words} hold numbers that are complex or not finite")


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
