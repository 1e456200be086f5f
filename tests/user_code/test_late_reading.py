"""What code of the user's reads only as it is used, in a loss, an update or a measurement."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import phasediag
from phasediag.errors import PhasediagError
from phasediag.user_code.opened import opened_files
from phasediag.user_code.variables import variables_read
from small_sweeps import write

TASK = """
import os
from pathlib import Path
import torch
from phasediag.training.data import Task

class Product(Task):
    declares = ()

    @staticmethod
    def sizes(values):
        return 3, 1

    def made(self, stream):
        x = torch.from_numpy(self.streams.generator(stream).standard_normal((16, 3)))
        return x, x[:, :1] * x[:, 1:2] * {data}

    def train_set(self):
        return self.made("data")

    def test_set(self):
        return self.made("test")

    @staticmethod
    def loss(prediction, target):
        return {loss} * (prediction - target).square().sum(-1).mean()
"""
OPTIMIZER = """
import os

class Descent:
    def update(self, weights, gradient, moments, rates, step):
        rate = rates["learning_rate"] * {update}
        return {{name: w - rate * gradient[name] for name, w in weights.items()}}, {{}}
"""
OBSERVABLE = """
import os
from pathlib import Path
from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable

class Square(NumberObservable):
    columns = (Column(name="square", meaning="Of the weights.", label="square"),)

    def __init__(self):
        self.scale = {made}

    def measure(self, network):
        scale = self.scale * {measured}
        return scale * sum(w.square().sum() for w in network.weights.values()).reshape(1)
"""
GRID = """
name: late
fixed: {task: "my_task.py:Product", optimizer: "my_opt.py:Descent", width: 4, batch_size: 4, steps: 4}
axes: {learning_rate: [0.01, 0.02]}
replicates: 2
measure: {observables: ["my_obs.py:Square"]}
"""
PLACES = ("data", "loss", "update", "made", "measured")
ONE = "float((Path(__file__).parent / 'one.txt').read_text())"


def grid_of(folder: Path, **read: str) -> Path:
    """A grid whose classes multiply by 1, or by what is read at some places."""
    places = dict.fromkeys(PLACES, "1.0") | read
    for file, text in (("my_task.py", TASK), ("my_opt.py", OPTIMIZER), ("my_obs.py", OBSERVABLE)):
        write(folder, text.format(**places), file)
    write(folder, "1.0", "one.txt")
    return write(folder, GRID)


def test_variables_that_are_read_in_training_are_told(tmp_path: Path) -> None:
    asked = {place: f"float(os.environ.get('OWN_{place.upper()}', 1))" for place in PLACES}
    plan = phasediag.plan(grid_of(tmp_path, **asked), str(tmp_path))
    sentences = " ".join((*plan.warnings, *plan.notes))
    assert all(f"OWN_{place.upper()}" in sentences for place in PLACES), sentences
    assert "my_task.py:" in sentences


@pytest.mark.parametrize("place", ["loss", "measured", "made"])
def test_a_file_that_is_opened_in_training_alone_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(PhasediagError, match=r"one\.txt is opened only as your classes are used") as refusal:
        phasediag.plan(grid_of(tmp_path, **{place: ONE}), str(tmp_path))
    assert refusal.value.exit_code == 2


def test_a_file_of_one_replicate_alone_is_refused_until_the_grid_names_it(tmp_path: Path) -> None:
    by_seed = f"({ONE} if self.streams.seed != {first_seed()} else 1.0)"
    path = grid_of(tmp_path, data=by_seed)
    with pytest.raises(PhasediagError, match=r"one\.txt is opened only"):
        phasediag.plan(path, str(tmp_path))
    path.write_text(f"{GRID}files: [one.txt]\n")
    outcome = phasediag.launch(path, str(tmp_path), executor="inline", compile="off")
    assert (outcome.exit_code, outcome.status.ok) == (0, 4)
    assert list((tmp_path / "late" / "grids").rglob("one.txt"))


def first_seed() -> int:
    from phasediag.trial import replicate_seed

    return replicate_seed(0, 0)


def test_all_ways_to_a_variable_are_seen() -> None:
    with variables_read() as places:
        os.environb.get(b"OWN_BYTES")
        os.path.expandvars("$OWN_TEXT/data")
        os.getenv("OWN_PLAIN")
    assert {"OWN_BYTES", "OWN_TEXT", "OWN_PLAIN"} <= set(places)
    assert all(place.startswith(f"{__file__}:") for place in places.values())


def test_files_are_noted_of_the_users_code_alone(tmp_path: Path) -> None:
    """What phasediag opens on its own account is none of hers, though a script of hers called it."""
    from phasediag.running.sources import place_sources

    write(tmp_path, "1.0", "one.txt")
    with opened_files(tmp_path, by_user=True) as opened:
        place_sources({"one.txt": b"1.0"}, tmp_path)
        assert not opened.files
        (tmp_path / "one.txt").read_text()
    assert opened.files == (tmp_path / "one.txt",)
