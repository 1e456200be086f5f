"""Tasks of a user's: what is trained on is what they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import assert_as_claimed, in_files
from zoo.comparison import verdict


@pytest.mark.parametrize("animal", in_files("tasks_trained"), ids=lambda a: a.name)
def test_tasks_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))
