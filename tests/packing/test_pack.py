"""Packs and tiles: every trial once, little padding, work for every worker."""

from __future__ import annotations

import heapq
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.grids.grid import Grid
from phasediag.packing.machine import CPU, GPU, machine_of
from phasediag.packing.pack import Cost, Pack, cost_of
from phasediag.packing.stock import LAST_SECONDS, PACK_SECONDS
from phasediag.training.network import network_of
from properties import examples
from small_packs import pack_trials
from trained_tiles import grid_of

SMALL: dict[str, Any] = {"task": "teacher_student", "width": 8, "batch_size": 8, "steps": 1000}


def sweep(points: int, fixed: dict[str, Any] | None = None, **axes: Any) -> Grid:
    decay = {"linspace": [0.1, 1], "num": points} if points > 1 else [0.1]
    return grid_of(SMALL | (fixed or {}), {"weight_decay": decay} | axes)


def packs_of(grid: Grid, workers: int = 2, **options: Any) -> list[Pack]:
    return pack_trials(grid.trials(), grid.parameters, Path(), workers=workers, **options)


def slots(pack: Pack) -> int:
    """Networks that a pack trains, padding included; the second copy of a lone trial is none."""
    if len(pack.trials) == 1:
        return 1
    return -(-len(pack.trials) // pack.tile_size) * pack.tile_size


def padding(packs: list[Pack]) -> float:
    return 1 - sum(len(pack.trials) for pack in packs) / sum(slots(pack) for pack in packs)


@pytest.mark.parametrize("trials", [24, 100, 300, 2304])
@pytest.mark.parametrize("steps", [100, 20_000, 1_000_000])
@pytest.mark.parametrize("width", [1, 8, 256])
def test_two_workers_share_a_structure_with_little_padding(trials: int, steps: int, width: int) -> None:
    packs = packs_of(sweep(trials, {"steps": steps, "width": width}))
    assert len(packs) >= 2
    assert padding(packs) <= 0.3
    seconds = [pack.projected_seconds for pack in packs]
    assert max(seconds) <= 0.6 * sum(seconds)


@settings(max_examples=examples(60))
@given(
    st.integers(1, 700), st.integers(1, 5), st.sampled_from([None, 1, 3, 50, 300]), st.sampled_from([8, 512])
)
def test_packs_hold_every_trial_once_and_waste_little(
    trials: int, workers: int, per_pack: int | None, width: int
) -> None:
    packs = packs_of(sweep(trials, {"width": width}), workers, trials_per_pack=per_pack)
    ids = list(chain.from_iterable(pack.trials.trial_id for pack in packs))
    assert len(ids) == len(set(ids)) == trials
    assert len({pack.pack_id for pack in packs}) == len(packs)
    for pack in packs:
        assert 2 <= pack.tile_size <= max(2, len(pack.trials))
        assert per_pack is None or len(pack.trials) <= per_pack
        assert [t for tile in pack.tiles() for t in tile.trial_id] == list(pack.trials.trial_id)
        assert all(len(tile) <= pack.tile_size for tile in pack.tiles())
    assert padding(packs) <= 0.3
    if per_pack is None and trials >= 2 * workers:
        assert len(packs) >= workers
        sizes = [slots(pack) for pack in packs]
        assert max(sizes) <= max(3, 2 * sum(sizes) / workers)


def test_a_pack_takes_about_its_time() -> None:
    """To half a tile, but for the last two rounds' worth of the work; a pack of one tile may take longer."""
    packs = packs_of(sweep(16_000, {"width": 256, "steps": 1500}), compile_mode="off")
    seconds = [pack.projected_seconds for pack in packs]
    assert seconds == sorted(seconds, reverse=True)
    ends = np.cumsum(seconds)
    full = [pack for pack, end in zip(packs, ends, strict=True) if end < ends[-1] - 4 * PACK_SECONDS]
    assert len(full) > 4
    assert min(len(pack.trials) // pack.tile_size for pack in full) > 1
    for pack in full:
        tile = pack.projected_seconds * pack.tile_size / len(pack.trials)
        assert abs(pack.projected_seconds - PACK_SECONDS) <= tile
    (longer, *_) = packs_of(sweep(2000, {"width": 256, "steps": 500_000}), compile_mode="off")
    assert len(longer.trials) == longer.tile_size


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("slower", [1.0, 1.3])
@pytest.mark.parametrize("trials", [16_000, 19_000, 22_000, 25_000])
def test_no_worker_idles_for_long_at_the_end(trials: int, workers: int, slower: float) -> None:
    """Each takes the next pack when it is free; one of them is slow. Only the last packs make others wait."""
    packs = packs_of(sweep(trials, {"width": 256, "steps": 1500}), workers, compile_mode="off")
    free = [(0.0, slower if worker == 0 else 1.0) for worker in range(workers)]
    for pack in packs:
        at, pace = heapq.heappop(free)
        heapq.heappush(free, (at + pace * pack.projected_seconds, pace))
    tile = max(pack.projected_seconds * pack.tile_size / len(pack.trials) for pack in packs)
    assert sum(max(free)[0] - at for at, _ in free) / workers <= slower * (LAST_SECONDS + tile)


def test_structures_are_kept_apart_and_batched_parameters_together() -> None:
    packs = packs_of(sweep(40, width=[4, 8], learning_rate=[0.01, 0.02], label_noise=[0, 1]), workers=1)
    for pack in packs:
        assert len(set(pack.trials.values("width"))) == 1
    assert len(packs) == 2
    assert all(len(set(pack.trials.values("learning_rate"))) == 2 for pack in packs)


def test_long_trials_share_their_tiles() -> None:
    """A tile runs as long as its longest trial."""
    grid = grid_of(SMALL, {"steps": [100, 5000, 900], "weight_decay": {"linspace": [0, 1], "num": 30}})
    packs = packs_of(grid, workers=1, trials_per_pack=30)
    assert [set(pack.trials.values("steps")) for pack in packs] == [{5000}, {900}, {100}]


def test_replicates_share_the_tiles_of_a_pack() -> None:
    """Data are drawn once for each replicate in a tile: replicates are not scattered over tiles."""
    grid = grid_of(SMALL, {"weight_decay": {"linspace": [0, 1], "num": 50}}, replicates=4)
    packs = packs_of(grid, workers=4)
    assert [len(set(pack.trials.replicate)) for pack in packs] == [1] * 4


@given(st.integers(1, 10**6), st.integers(1, 10**9))
def test_tiles_fit_their_bounds(trials: int, size: int) -> None:
    for machine in (CPU, GPU, machine_of(0.5)):
        cost = Cost(flops=1.0, numbers=1.0, bytes=float(size), layers=2, machine=machine)
        assert 2 <= cost.tile <= machine.largest_tile
        assert cost.tile == 2 or cost.tile * size <= machine.tile_bytes


@pytest.mark.parametrize("larger", [{"width": 64}, {"depth": 4}, {"batch_size": 64}, {"inputs": 100}])
def test_cost_grows_with_the_network_and_the_batch(larger: dict[str, Any]) -> None:
    costs = []
    for fixed in ({}, larger):
        values = grid_of(SMALL | fixed).trials().record(0)
        costs.append(cost_of(network_of(values, Path()), values))
    assert costs[1].flops > costs[0].flops
    assert costs[1].bytes > costs[0].bytes
    for compiled in (False, True):
        assert costs[1].step_seconds(64, compiled) > costs[0].step_seconds(64, compiled)
        assert costs[0].step_seconds(512, compiled) > costs[0].step_seconds(64, compiled)


def test_flops_are_those_of_the_products() -> None:
    """6 operations a weight and sample: a product and a sum, forward once and backward twice."""
    values = grid_of(SMALL | {"inputs": 5, "outputs": 1, "depth": 3}).trials().record(0)
    weights = 5 * 8 + 8 * 8 + 8
    assert cost_of(network_of(values, Path()), values).flops == 6 * 8 * weights


def test_memory_is_projected_above_what_the_state_needs() -> None:
    values = sweep(64, {"optimizer": "adam", "width": 64})
    for pack in packs_of(values, workers=1):
        weights = 5 * 64 + 64
        assert pack.projected_bytes >= pack.tile_size * 4 * weights * 3


def test_compilation_is_chosen_where_it_pays() -> None:
    short, long = (packs_of(sweep(500, {"steps": steps})) for steps in (10, 10_000_000))
    assert not any(pack.compiled for pack in short)
    assert all(pack.compiled for pack in long)
    assert all(pack.compiled for pack in packs_of(sweep(4), compile_mode="on"))
    assert not any(pack.compiled for pack in packs_of(sweep(500, {"steps": 10_000_000}), compile_mode="off"))


def test_no_trials_make_no_packs() -> None:
    grid = sweep(3)
    none = grid.trials().take(np.zeros(3, dtype=bool))
    assert pack_trials(none, grid.parameters, Path(), workers=2) == []


@settings(max_examples=examples(40))
@given(st.integers(2, 400), st.integers(1, 4), st.integers(1, 3), st.sampled_from([8, 256]))
def test_shared_tiles_hold_one_replicate_each(points: int, replicates: int, workers: int, width: int) -> None:
    grid = grid_of(
        SMALL | {"width": width},
        {"weight_decay": {"linspace": [0.1, 1], "num": points}, "data_seed": [None, 3]},
        replicates=replicates,
    )
    packs = packs_of(grid, workers)
    assert sum(len(pack.trials) for pack in packs) == 2 * points * replicates
    for pack in packs:
        for tile in pack.tiles():
            worlds = {(seed, tile.record(row)["data_seed"]) for row, seed in enumerate(tile.seed.tolist())}
            assert len(worlds) == 1 or not pack.shared


def test_a_grid_of_whole_tiles_a_replicate_shares_its_batches() -> None:
    packs = pack_trials(
        grid_of(SMALL, {"weight_decay": {"linspace": [0.1, 1], "num": 1000}}, replicates=3).trials(),
        grid_of(SMALL, {"weight_decay": [0.1]}).parameters, Path(), workers=2,
    )  # fmt: skip
    assert all(pack.shared and 1000 % pack.tile_size == 0 for pack in packs)
