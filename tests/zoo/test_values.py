"""Buffers, own initial values, frozen and shared weights: as the constructor made them."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, in_files
from zoo.comparison import verdict

FILES = (
    "networks_buffers", "networks_frozen", "networks_shared", "networks_values", "networks_padded",
    "networks_einops", "networks_beside", "networks_wild",
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)


@pytest.mark.parametrize("animal", in_files(*FILES), ids=lambda a: a.name)
def test_networks_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))
