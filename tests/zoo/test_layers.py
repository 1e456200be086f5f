"""Layers, images and sequences train as in plain PyTorch: losses and weights after 50 steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, in_files
from zoo.comparison import PLAIN_STEPS, verdict

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)


@pytest.mark.parametrize("animal", in_files("networks_plain", "networks_images"), ids=lambda a: a.name)
def test_networks_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))


@pytest.mark.parametrize("animal", in_files("networks_sequences"), ids=lambda a: a.name)
def test_attention_and_recurrence_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))


def test_what_two_modules_hold_is_a_buffer_in_either_precision(folder: Path) -> None:
    """A conversion to float64 makes two of it; without one it is still one, and no attribute."""
    (animal,) = [each for each in in_files("networks_shared") if each.name.endswith(":SharedBuffer")]
    assert_as_claimed(animal, verdict(animal, folder, dtype="float32", **PLAIN_STEPS))
