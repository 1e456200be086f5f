"""Whatever somebody writes in a grid or behind --where: it is read or refused in a sentence, and at once.

`make check-fuzz` judges 100,000 of each in 200 chunks; PHASEDIAG_FUZZ=20:40 takes those from 20 to 39. Each
example is drawn by the numbers of its chunk and its own, which are told where it fails.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, Final

import pandas as pd
import pytest

from draws import Draw, any_float, integer, listed, mapped, one_of, recursive, sampled, text
from odd_grids import odd_grid
from phasediag.analysis.frame import names_in, with_formulas
from phasediag.commands.where import columns_in, filtered
from phasediag.errors import GridError, PhasediagError
from phasediag.grids.grid import Grid, parse_grid
from phasediag.storage.holder import Holder
from phasediag.storage.kept_grids import GridSeal
from phasediag.storage.manifest import Manifest
from phasediag.storage.seal import UnsoundError, sealed_text, unbundled
from phasediag.storage.store import Store
from phasediag.sweeps.planning import make_plan
from phasediag.sweeps.survey import make_survey

CHUNK: Final = 500
CHUNKS: Final = range(*map(int, os.environ.get("PHASEDIAG_FUZZ", "0:4").split(":")))
MOST_S: Final = 5.0
"""Seconds of CPU that any of them may take."""
FEW: Final = 64
"""Trials of a grid that is planned to the end."""
MANY: Final = 20_000
"""Trials of a grid that is expanded."""
SLOWLY: Final = [*(pytest.param(number, marks=pytest.mark.slow) for number in CHUNKS)]


def examined(text: str) -> None:
    """Read a grid, and plan what it asks for where that is little."""
    begun = time.process_time()
    refusal = None
    try:
        planned(parse_grid(text, Path("grid.yaml")))
    except PhasediagError as error:
        refusal = error
    assert time.process_time() - begun < MOST_S
    if isinstance(refusal, GridError):
        assert refusal.faults
        assert all(fault.where.startswith("grid.yaml:") and fault.problem for fault in refusal.faults)
    else:
        assert "\n" not in str(refusal)


def planned(grid: Grid) -> None:
    """Its trials, and its packs where there are few."""
    if grid.trial_count <= FEW:
        store = Store.open(tempfile.gettempdir(), "none-of-that-name")
        plan = make_plan(make_survey(grid, store), store, workers=2, compile_mode="auto")
        assert min(plan.seconds, plan.bytes, plan.store_bytes, plan.relaxing.short) >= 0
    elif grid.trial_count <= MANY:
        assert len(grid.trials()) <= grid.trial_count


def many(chunk: int, count: int, draw: Draw, work: Callable[[Any], None]) -> None:
    """Let something be done with so many examples."""
    for number in range(count):
        example = draw(Random(f"{chunk}:{number}"))
        try:
            work(example)
        except Exception as error:
            raise AssertionError(f"example {number} of chunk {chunk}: {example!r}") from error


@pytest.mark.parametrize("number", [pytest.param(1000, id="some"), *SLOWLY])
@pytest.mark.timeout(1800)
def test_a_grid_is_read_or_refused(number: int) -> None:
    many(number, 100 if number == 1000 else CHUNK, odd_grid, examined)


WORDS: Final = (
    "x", "name", "flag", "kind", "y", "nothing", "<", ">", "==", "!=", "=", "<=", "in", "not", "and", "or",
    "(", ")", "[", "]", ",", "+", "-", "*", "/", "//", "%", "**", "'a'", '"', "0", "1e308", "1e999",
    "10**400", "True", "true", "null", "None", ".", "x[0]", "kind[9]", "if", "else", "lambda", ":", ":=", "@",
    "~", "\x00", "é", "1j", "f''", "f'{x}'", "b''", "...", "await", "0x", "1_0", "x.y", "x()", "((((", "----",
    "not not", "\\", "\n", "#",
)  # fmt: skip
FRAME: Final = pd.DataFrame({
    "x": [0.0, 1.5, float("nan")], "name": ["a", "b", None], "flag": [True, False, True],
    "kind": [[1.0, 2.0], [3.0], None], "y": [1, 2, 3], "trial_id": ["abcd1", "abcd2", "abce3"],
})  # fmt: skip


DEEP: Final = ("(", "-", "not ", "x + ", "x < ", "x[", "x ** ")
COLUMNS: Final = ("x", "name", "flag", "kind", "trial_id", "z")


def condition(rng: Random) -> str:
    """Words, any text, something within itself, or nearly `--where NAME=VALUE`."""
    kind = rng.randrange(6)
    if kind == 0:
        return str(text(60)(rng))
    if kind == 1:
        return f"{rng.choice(COLUMNS)}={text(20)(rng)}"
    if kind == 2:
        return rng.choice(DEEP) * rng.choice([10, 100, 400, 5000, 100_000]) + "x"
    return " ".join(rng.choices(WORDS, k=rng.randint(0, 20)))


def judged(text: str) -> None:
    """What --where, --x and --order take."""
    begun = time.process_time()
    for work in (
        lambda: filtered(FRAME, [text]),
        lambda: with_formulas(FRAME, [text]),
        lambda: names_in(FRAME, text),
    ):
        with suppress(PhasediagError):
            work()
    columns_in([text])
    assert time.process_time() - begun < MOST_S


@pytest.mark.parametrize("number", [pytest.param(1000, id="some"), *SLOWLY])
def test_a_condition_is_taken_or_refused(number: int) -> None:
    many(number, 100 if number == 1000 else CHUNK, condition, judged)


ODD: Final = recursive(
    one_of(sampled((None, True, False)), integer(-(2**70), 2**70), any_float, text(6)),
    lambda inside: one_of(listed(inside, 3), mapped(text(4), inside, 3)),
)
HOLDER: Final = asdict(Holder.this_process("launch"))
RECORDS: Final[dict[str, tuple[Mapping[str, Any], Callable[[bytes], object], type[Exception]]]] = {
    "manifest": (json.loads(Manifest(sweep="a").text()), Manifest.parse, UnsoundError),
    "lease": (HOLDER, Holder.parse, ValueError),
    "seal": ({"sweep": "a", "text": "b", "files": {"c": "d"}}, GridSeal.parse, UnsoundError),
    "checkpoint": ({"files": {"a": 0}, "digest": "", "pack": "p"}, unbundled, UnsoundError),
}
"""What a file of the record holds, what reads it, and the error it may raise."""


def record(rng: Random) -> tuple[str, bytes]:
    """A text nearly as a sweep holds it: with other values, keys, a true seal or a false one, or cut up."""
    name = rng.choice(sorted(RECORDS))
    content = dict(RECORDS[name][0])
    content.pop("seal", None)
    for key in rng.sample(sorted(content), min(len(content), rng.randint(0, 3))):
        content[key] = ODD(rng)
    content |= mapped(text(4), ODD, 2)(rng)
    written = sealed_text(content) if rng.random() < 0.5 else json.dumps(content).encode()
    if rng.randrange(4) == 0:
        at = rng.randint(0, len(written))
        written = written[:at] + rng.randbytes(rng.randint(0, 8)) + written[at + rng.randint(0, 8) :]
    return name, written + rng.choice([b"", b"\n", b"\nabc"])


def read(named: tuple[str, bytes]) -> None:
    name, written = named
    _, parse, refusal = RECORDS[name]
    with suppress(refusal):
        parse(written)


@pytest.mark.parametrize("number", [pytest.param(1000, id="some"), *SLOWLY])
def test_a_file_of_the_record_is_taken_or_refused(number: int) -> None:
    many(number, 100 if number == 1000 else CHUNK, record, read)
