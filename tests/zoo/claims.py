"""What is claimed of an animal, and what a refusal must tell."""

from __future__ import annotations

import re

from zoo.catalogue import NETWORKS, TASKS, Animal
from zoo.comparison import Verdict

SLOW_WORDS = "ignore:There is a performance drop:UserWarning"
"""torch tells so of functions that vmap takes one by one."""


def in_files(*stems: str) -> list[Animal]:
    """The animals of some files that may be trained."""
    return [a for a in (*NETWORKS, *TASKS) if a.name.partition(".")[0] in stems and a.refused is not True]


def assert_as_claimed(animal: Animal, verdict: Verdict) -> None:
    """Equal to the plain loop, or refused by a sentence of use; never another number."""
    if verdict.result == "refused":
        assert animal.refused is not False, f"{animal.name} should train; refused: {verdict.sentence}"
        assert_of_use(verdict.sentence, animal)
        return
    assert verdict.result == "equal", (
        f"{animal.name}: {verdict.result}, {verdict.difference:.2g} in {verdict.where}"
    )
    assert animal.refused is not True, f"{animal.name} should be refused"


def assert_of_use(sentence: str, animal: Animal) -> None:
    """It names the class or the line of the file, and what is wrong; it is a sentence, no traceback."""
    file, _, cls = animal.name.partition(":")
    assert re.search(rf"{re.escape(file)}:\d+", sentence) or cls in sentence, f"which class? {sentence}"
    missing = [word for word in animal.tells if word.lower() not in sentence.lower()]
    assert not missing, f"{animal.name}: {missing} not told: {sentence}"
    assert "Traceback" not in sentence
    assert len(sentence) < 900, sentence
