"""The benchmark of the engine: its peak does what it counts, and its tables are of one step."""

from __future__ import annotations

import ctypes
from typing import Any

import engine
import engine_peak
import pytest
from click.testing import CliRunner

from native_calls import NATIVE
from phasediag.native.building import library

pytestmark = NATIVE


def chained(rounds: int, kept: float, added: float) -> float:
    """What the sums of one lane come to."""
    sums = [float(chain) for chain in range(engine_peak.CHAINS)]
    for _ in range(rounds):
        sums = [each * kept + added for each in sums]
    return sum(sums)


def test_a_peak_counts_the_operations_that_it_does() -> None:
    each_round = 2 * engine_peak.ROUNDS * engine_peak.CHAINS
    peaks = engine_peak.peaks()
    counted = {(p.dtype.itemsize, p.vector_bytes): p.operations / each_round for p in peaks}
    assert {(4, 32), (8, 32)} <= set(counted)
    assert all(lanes == size / number for (number, size), lanes in counted.items())
    loop: Any = library(engine_peak.TEXT).double_32
    loop.argtypes, loop.restype = [ctypes.c_longlong, *[ctypes.c_double] * 2], ctypes.c_double
    assert loop(7, 0.5, 0.25) == pytest.approx(chained(7, 0.5, 0.25), rel=1e-12)


@pytest.mark.slow
def test_it_tells_the_share_of_the_peak_and_where_the_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ROUND_SECONDS", 0.01)
    outcome = CliRunner().invoke(engine.main, ["--width", "5", "--tile", "4", "--rounds", "1"])
    assert outcome.exit_code == 0, outcome.output
    for words in ("share of the peak", "elementary functions", "products, second factor turned", "float64"):
        assert words in outcome.output


@pytest.mark.slow
def test_the_kernels_of_a_step_do_the_operations_of_the_products() -> None:
    _, operations = engine.products(6, 2)
    parts = engine.profiled(engine.trials_of(6, 2), 0.01)
    assert sum(part.operations for part in parts) == operations
    assert all(part.ticks > 0 for part in parts)
