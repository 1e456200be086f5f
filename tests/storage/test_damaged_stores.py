"""Whatever happens to a file of a sweep: no wrong number, no traceback, and the next launch makes it whole.

The long form judges 10,000 sweeps, in 40 chunks: `pytest tests/storage/test_damaged_stores.py -m slow`.
PHASEDIAG_DAMAGED=10:20 takes the chunks from 10 to 19 only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from damaged_stores import GRID, Templates, judged_many
from small_sweeps import assert_same_rows, fragments, launched


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in memory, where there is one: a sweep is written and synced in no time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def templates(place: Path) -> Templates:
    return Templates.made(place / "templates")


CHUNK: Final = 250
CHUNKS: Final = range(*map(int, os.environ.get("PHASEDIAG_DAMAGED", "0:40").split(":")))
SLOWLY: Final = [pytest.param(CHUNK, number, marks=pytest.mark.slow) for number in CHUNKS]


@pytest.mark.parametrize(("count", "seed"), [pytest.param(200, 1000, id="some"), *SLOWLY])
def test_no_damage_gives_a_wrong_number_or_a_traceback(
    templates: Templates, place: Path, count: int, seed: int
) -> None:
    faults, fates = judged_many(templates, count, seed=19_000 + seed, folder=place)
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:40]])
    assert sum(fates.values()) == count
    assert fates["told"] > count / 4, fates


def test_a_launch_after_damage_gives_the_rows_of_an_undisturbed_one(
    place: Path, templates: Templates
) -> None:
    """A pack loses its trials, another one its measurements, by a bit each; the third one stays as it is."""
    shutil.copytree(place / "templates" / "launch", place / "again")
    sweep = place / "again" / "g"
    first, second, third = (path.stem for path in sorted((sweep / "trials").iterdir()))
    for file in (sweep / "trials" / f"{first}.parquet", sweep / "measurements" / f"{second}.parquet"):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
    before = fragments(sweep)
    outcome = launched(place / "again", GRID)
    assert (outcome.exit_code, outcome.trained) == (0, 4)
    assert fragments(sweep)[third] == before[third]
    assert_same_rows(sweep, place / "templates" / "launch" / "g")
    assert len(list((sweep / "quarantine").iterdir())) == 4
