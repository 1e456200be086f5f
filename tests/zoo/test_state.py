"""Networks with running statistics and Dropout train packed as a plain loop trains them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.catalogue import Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, in_files
from zoo.comparison import verdict

pytestmark = pytest.mark.filterwarnings(SLOW_WORDS)


@pytest.mark.parametrize("animal", in_files("networks_state"), ids=lambda a: a.name)
def test_networks_with_a_state_or_chance_train_as_in_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder))
