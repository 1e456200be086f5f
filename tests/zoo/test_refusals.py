"""What cannot be trained right is refused by a plan, in a sentence; nothing is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import phasediag
from phasediag.errors import PhasediagError
from phasediag.training import refusals
from phasediag.training.refusals import refusal
from zoo.catalogue import FOLDER, NETWORKS, TASKS, Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed
from zoo.comparison import axes_of, grid_file, verdict

REFUSED = [
    a for a in (*NETWORKS, *TASKS) if a.name.partition(".")[0] in ("networks_refused", "tasks_refused")
]

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)


@pytest.mark.parametrize("animal", REFUSED, ids=lambda a: a.name)
def test_a_plan_refuses_what_cannot_be_trained_right(animal: Animal, folder: Path) -> None:
    outcome = verdict(animal, folder)
    assert outcome.result != "planned", f"{animal.name} should be refused"
    assert_as_claimed(animal, outcome)


@pytest.mark.parametrize(
    "name", ["networks_refused.py:Counter", "networks_refused.py:Squeezed", "tasks_refused.py:Raising"]
)
def test_a_launch_refuses_it_too_and_records_nothing(name: str, folder: Path, tmp_path: Path) -> None:
    (animal,) = (a for a in REFUSED if a.name == name)
    path = grid_file(folder, [animal], axes_of(animal))
    with pytest.raises(PhasediagError) as refusal:
        phasediag.launch(path, str(tmp_path), executor="inline", compile="off")
    assert refusal.value.exit_code == 2
    assert not list(tmp_path.rglob("*.parquet"))


class OptimizedModule(nn.Linear):
    """As what torch.compile gives is called, whose loading takes seconds."""


def test_a_part_that_is_compiled_is_refused() -> None:
    assert "module '1' is compiled by torch.compile" in refusal(
        nn.Sequential(nn.Linear(2, 2), OptimizedModule(2, 2))
    )


def test_a_torch_whose_modules_keep_their_parts_otherwise_refuses_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It publishes no names of these."""
    spectral = nn.utils.spectral_norm(nn.Linear(2, 2))
    assert "torch.nn.utils.spectral_norm in a hook" in refusal(spectral)
    del vars(spectral)["_forward_pre_hooks"]
    assert "in a hook" not in refusal(spectral)
    monkeypatch.setattr(refusals, "_REGISTERS", frozenset())
    assert refusal(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))) == ""


def test_the_zoo_is_large() -> None:
    """At least 60 kinds of networks and 20 tasks, and files for each."""
    assert len(NETWORKS) >= 60
    assert len(TASKS) >= 20
    assert len({animal.name for animal in (*NETWORKS, *TASKS)}) == len(NETWORKS) + len(TASKS)
    assert all((FOLDER / animal.name.partition(":")[0]).is_file() for animal in (*NETWORKS, *TASKS))
