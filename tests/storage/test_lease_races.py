"""In a bucket, too, one process holds a lease, whatever its requests take and whoever dies.

The long form: `pytest tests/storage/test_lease_races.py -m slow`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phasediag.storage.lease_file import LeaseFile
from simulated_bucket import Race, by_claims, on_condition

WAYS = pytest.mark.parametrize("way", [on_condition, by_claims], ids=lambda way: way.__name__)
MANY = pytest.mark.parametrize("races", [150, pytest.param(10_000, marks=pytest.mark.slow)])
Way = Callable[[Any], LeaseFile]


def race(way: Way, seed: int, **conditions: Any) -> Race:
    rng = np.random.default_rng([19, seed])
    run = Race(way, rng)
    run.run(takers=int(rng.integers(2, 6)), spread_s=float(rng.choice([0.0, 20.0, 100.0])), **conditions)
    return run


@WAYS
@MANY
def test_there_are_never_two_holders(way: Way, races: int) -> None:
    """Requests take up to 10 s each way, some fail though they are done, and a third of the processes die."""
    runs = [race(way, seed, deadly=0.3, faulty=0.03, keeping=False) for seed in range(races)]
    assert sum(run.doubled for run in runs) == 0
    assert sum(run.taken for run in runs) > races


@WAYS
@MANY
def test_one_always_wins(way: Way, races: int) -> None:
    """Also where dead processes have left a lease, or the mark of one who was about to take it."""
    runs = [race(way, seed, deadly=0.0, faulty=0.0, keeping=True) for seed in range(races)]
    assert {(run.taken, run.doubled) for run in runs} == {(1, 0)}
