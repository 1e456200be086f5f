"""Data of a task are a function of the trial: neither of chance nor of what was made before."""

from __future__ import annotations

from pathlib import Path

import pytest

import phasediag
from phasediag.errors import PhasediagError
from phasediag.trial import replicate_seed

TASK = """
import functools
import random
import time

import numpy as np
import torch

from phasediag.training.data import Task
from phasediag.trial import Parameter, Role

KEPT = {}
GENERATOR = np.random.default_rng(0)


@functools.lru_cache
def ramp(count):
    return torch.linspace(-1, 1, count, dtype=torch.float64)


class Sound(Task):
    declares = (
        Parameter(
            name="slope", type=float, default=1.0, neutral=1.0, role=Role.BATCHED, meaning="Of the targets."
        ),
    )

    @staticmethod
    def sizes(values):
        return 3, 1

    def train_set(self):
        x = self.some("data", 12)
        return x, self.values["slope"] * x[:, :1] + ramp(12)[:, None]

    def test_set(self):
        x = self.some("test", 6)
        return x, x[:, :1]

    def some(self, stream, count):
        return torch.from_numpy(self.streams.generator(stream).standard_normal((count, 3)))


class GlobalTeacher(Sound):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        self.teacher = torch.nn.Linear(3, 1, dtype=torch.float64)

    def train_set(self):
        x = self.some("data", 12)
        return x, self.teacher(x).detach()


class KeptGenerator(Sound):
    def train_set(self):
        x = torch.from_numpy(GENERATOR.standard_normal((12, 3)))
        return x, x[:, :1]


class Clock(Sound):
    def train_set(self):
        x, y = super().train_set()
        return x, y + time.perf_counter()


class Shuffled(Sound):
    def train_set(self):
        x, y = super().train_set()
        order = random.sample(range(12), 12)
        return x[order], y[order]


class CachedInClass(Sound):
    kept = None

    def train_set(self):
        if CachedInClass.kept is None:
            CachedInClass.kept = super().train_set()
        return CachedInClass.kept


class CachedInFile(Sound):
    def test_set(self):
        if "test" not in KEPT:
            KEPT["test"] = super().test_set()
        return KEPT["test"]


class OneGenerator(Sound):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        self.own = streams.generator("data")

    def some(self, stream, count):
        return torch.from_numpy(self.own.standard_normal((count, 3)))


class Ragged(Sound):
    def train_set(self):
        count = int(self.streams.generator("batch").integers(10, 10**3))
        x = self.some("data", count)
        return x, x[:, :1]


class SteepFails(Sound):
    def train_set(self):
        if self.values["slope"] > 1:
            raise ArithmeticError("too steep")
        return super().train_set()


class Turned(Sound):
    augments = True

    def augmented(self, x, generator):
        return x * torch.from_numpy(generator.choice([-1.0, 1.0], size=x.shape))


class TurnedByNumpy(Turned):
    def augmented(self, x, generator):
        return x * torch.from_numpy(np.random.choice([-1.0, 1.0], size=x.shape))


class TurnedByTorch(Turned):
    def augmented(self, x, generator):
        return x + torch.randn_like(x)


class TurnedInTurn(Turned):
    def augmented(self, x, generator):
        self.turn = -getattr(self, "turn", -1)
        return x * self.turn


class NoisyInTurn(Sound):
    def __init__(self, values, streams):
        super().__init__(values, streams)
        self.own = streams.generator("noise")

    def unit_noise(self, generator, count):
        return torch.from_numpy(self.own.standard_normal((count, 1)))


class TurnedByRate(Turned):
    def augmented(self, x, generator):
        return x * self.values["learning_rate"]


class TurnedShort(Turned):
    def augmented(self, x, generator):
        return x[:-1]


class TurnedAway(Turned):
    def augmented(self, x, generator):
        return x / 0


class SteepIsNotFinite(Sound):
    def train_set(self):
        x, y = super().train_set()
        return x, y / (self.values["slope"] < 2)
"""
GRID = """
name: worlds
fixed: {{task: "my_task.py:{task}", model: mlp, width: 4, batch_size: 4, steps: 5}}
axes: {{slope: [1.0, 2.0]}}
replicates: 2
"""


def _grid(folder: Path, task: str) -> Path:
    (folder / "my_task.py").write_text(TASK)
    path = folder / "grid.yaml"
    path.write_text(GRID.format(task=task))
    return path


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("GlobalTeacher", "other data each time"),
        ("KeptGenerator", "other data each time"),
        ("Clock", "other data each time"),
        ("Shuffled", "other data each time"),
        ("CachedInClass", "where it has made those of another one before"),
        ("CachedInFile", "where it has made those of another one before"),
        ("OneGenerator", "when the same object is asked again"),
        ("Ragged", "samples for one trial and"),
        ("SteepFails", "too steep"),
        ("SteepIsNotFinite", "not finite"),
        ("TurnedByNumpy", "other data"),
        ("TurnedByTorch", "other data"),
        ("TurnedInTurn", "when the same object is asked again"),
        ("NoisyInTurn", "when the same object is asked again"),
        ("TurnedShort", "augmented.*(inputs|targets) have shape"),
        ("TurnedAway", "augmented.*not finite"),
    ],
)
def test_data_that_depend_on_more_than_the_trial_are_refused(tmp_path: Path, task: str, message: str) -> None:
    path = _grid(tmp_path, task)
    with pytest.raises(PhasediagError, match=message) as refusal:
        phasediag.launch(path, str(tmp_path / "sweeps"), executor="inline", compile="off")
    assert "my_task.py:" in str(refusal.value)
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_augmentation_that_reads_what_data_do_not_depend_on_is_refused(tmp_path: Path) -> None:
    path = _grid(tmp_path, "TurnedByRate")
    with pytest.raises(PhasediagError, match="reads 'learning_rate'"):
        phasediag.launch(path, str(tmp_path / "sweeps"), executor="inline", compile="off")


@pytest.mark.parametrize("task", ["Sound", "Turned"])
def test_a_cache_of_what_is_the_same_for_all_trials_is_kept(tmp_path: Path, task: str) -> None:
    sweep = phasediag.launch(
        _grid(tmp_path, task), str(tmp_path / "sweeps"), executor="inline", compile="off"
    )
    assert sweep is not None
    trials = phasediag.load_trials(str(tmp_path / "sweeps" / "worlds"))
    assert list(trials["status"]) == ["ok"] * 4
    assert trials["train_loss"].nunique() == 4


def test_data_that_are_not_finite_are_a_failure_and_no_divergence(tmp_path: Path) -> None:
    """Where they show only in a replicate that no dry step looks at."""
    rare = (
        "\n\nclass Rare(Sound):\n    def train_set(self):\n        x, y = super().train_set()\n"
        "        return x, y / (self.streams.seed != LAST)\n"
    )
    last = replicate_seed(0, 5)
    path = _grid(tmp_path, "Rare")
    (tmp_path / "my_task.py").write_text(f"{TASK}\n\nLAST = {last}{rare}")
    path.write_text(path.read_text().replace("replicates: 2", "replicates: 6"))
    phasediag.launch(path, str(tmp_path / "sweeps"), executor="inline", compile="off")
    trials = phasediag.load_trials(str(tmp_path / "sweeps" / "worlds"))
    assert "diverged" not in set(trials["status"])
    assert "not finite" in trials.loc[trials["status"] == "failed", "error"].iloc[0]
