"""What public models are made of trains as in plain PyTorch; a few kinds at once, the rest among the slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, in_files
from zoo.comparison import verdict
from zoo.test_company import TRAINED, assert_rows_are_of_plain_loops, company

AT_ONCE = (
    "Adapted",
    "SparseExperts",
    "PreHooked",
    "Binarised",
    "FeaturesDropped",
    "GumbelGated",
    "FixedPoint",
)

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)

EVERY = [
    pytest.param(a, marks=() if a.name.partition(":")[2] in AT_ONCE else pytest.mark.slow, id=a.name)
    for a in in_files("networks_public")
]


@pytest.mark.parametrize("animal", EVERY)
def test_networks_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))


@pytest.mark.slow
def test_sums_over_a_graph_are_those_of_each_trial_compiled(folder: Path, tmp_path: Path) -> None:
    """torch's compiler would let all trials add (index_add) to the same zeros."""
    scattered = [animal for animal in TRAINED if animal.name == "networks_public.py:Scattered"]
    assert_rows_are_of_plain_loops(company(folder, scattered), tmp_path, executor="inline", compile="on")
