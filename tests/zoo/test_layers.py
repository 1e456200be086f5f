"""Layers, images and sequences train as in plain PyTorch: losses and weights after 50 steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, in_files
from zoo.comparison import verdict

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)


@pytest.mark.parametrize("animal", in_files("networks_plain", "networks_images"), ids=lambda a: a.name)
def test_networks_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))


@pytest.mark.parametrize("animal", in_files("networks_sequences"), ids=lambda a: a.name)
def test_attention_and_recurrence_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))
