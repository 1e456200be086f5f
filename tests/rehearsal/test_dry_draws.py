"""Samples of one call serve many steps: each must be by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import phasediag
from phasediag.errors import PhasediagError
from phasediag.rehearsal.dry_draws import depend_on_each_other

TASK = """
import torch

from phasediag.shared_parameters import TEST_SAMPLES
from phasediag.training.data import DrawnTask, Task


class Right(DrawnTask):
    always_fresh = True
    declares = (TEST_SAMPLES,)

    @staticmethod
    def sizes(values):
        return 3, 1

    def draw(self, generator, count):
        x = torch.from_numpy(generator.standard_normal((count, 3)))
        return x, x[:, :1] * x[:, 1:2]


class Standardised(Right):
    def draw(self, generator, count):
        x, y = super().draw(generator, count)
        return (x - x.mean(dim=0)) / x.std(dim=0), y


class TeacherOfCall(Right):
    def draw(self, generator, count):
        teacher = torch.from_numpy(generator.standard_normal((3, 1)))
        x = torch.from_numpy(generator.standard_normal((count, 3)))
        return x, x @ teacher


class Flipped(Task):
    augments = True
    declares = ()

    @staticmethod
    def sizes(values):
        return 3, 1

    def train_set(self):
        x = torch.from_numpy(self.streams.generator("data").standard_normal((24, 3)))
        return x, x[:, :1] ** 2

    test_set = train_set

    def augmented(self, x, generator):
        return x * torch.from_numpy(generator.choice([-1.0, 1.0], (len(x), 1)))


class Centred(Flipped):
    def augmented(self, x, generator):
        return x - x.mean(dim=0)


class ShakenTogether(Flipped):
    def augmented(self, x, generator):
        return x + 0.1 * torch.from_numpy(generator.standard_normal(3))
"""


def planned(folder: Path, task: str) -> int:
    """How many trials a grid of the task would train."""
    (folder / "task.py").write_text(TASK)
    grid = folder / "grid.yaml"
    grid.write_text(
        f"name: g\nfixed: {{task: task.py:{task}, width: 4, steps: 4, batch_size: 4}}\n"
        "axes: {weight_decay: [0.0, 0.1]}\n"
    )
    return len(phasediag.plan(grid, str(folder)).survey.missing)


@pytest.mark.parametrize("task", ["Right", "Flipped"])
def test_samples_that_are_by_themselves_are_planned(task: str, tmp_path: Path) -> None:
    assert planned(tmp_path, task) == 2


@pytest.mark.parametrize("task", ["Standardised", "TeacherOfCall", "Centred", "ShakenTogether"])
def test_samples_that_see_others_of_their_call_are_refused(task: str, tmp_path: Path) -> None:
    with pytest.raises(PhasediagError, match=rf"task.py:\d+: task.py:{task}.*samples depend on the others"):
        planned(tmp_path, task)


def one_by_one(generator: np.random.Generator) -> Tensor:
    return torch.stack([torch.from_numpy(generator.normal(size=2)) for _ in range(47)])


def by_numbers(generator: np.random.Generator) -> Tensor:
    return torch.tensor([[generator.random(), generator.integers(5)] for _ in range(47)])


def in_columns(generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.uniform(-1, 1, (3, 47)).T.copy())


def chosen_of_more(generator: np.random.Generator) -> Tensor:
    """Those of four times as many that lie in a disc."""
    x = torch.from_numpy(generator.uniform(-1, 1, (4 * 47, 2)))
    return x[x.square().sum(dim=1) < 1][:47]


def into_memory(generator: np.random.Generator) -> Tensor:
    held = np.empty((47, 2))
    generator.standard_normal(out=held)
    return torch.from_numpy(held)


@pytest.mark.parametrize("draw", [one_by_one, by_numbers, in_columns, chosen_of_more, into_memory])
def test_every_way_of_drawing_samples_one_by_one_is_right(draw: Callable[..., Tensor]) -> None:
    assert not depend_on_each_other(draw, lambda: np.random.default_rng(3))


def test_a_common_shift_is_seen_whatever_is_drawn_before_it() -> None:
    def shifted(generator: np.random.Generator) -> Tensor:
        return in_columns(generator) + torch.from_numpy(generator.normal(size=3))

    assert depend_on_each_other(shifted, lambda: np.random.default_rng(3))
