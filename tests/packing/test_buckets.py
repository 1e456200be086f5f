"""Which structures share a program: never at the cost of much arithmetic, only where it pays."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.grids.grid import Grid
from phasediag.packing.buckets import WASTE, Bundle, buckets, envelope_of
from phasediag.packing.pack import Cost, Pack, cost_of
from phasediag.packing.stock import Conditions
from phasediag.training.network import network_of
from properties import examples
from small_packs import pack_trials
from small_sweeps import write
from trained_tiles import grid_of

SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 5, "batch_size": 8, "depth": 3, "weight_decay": 0.1, "steps": 1000,
}  # fmt: skip
WIDTHS = {"width": [14, 15, 16]}


def packs_of(grid: Grid, workers: int = 2, **options: Any) -> list[Pack]:
    return pack_trials(grid.trials(), grid.parameters, grid.path.parent, workers=workers, **options)


def programs(packs: list[Pack]) -> list[dict[str, Any]]:
    """The envelope of each program."""
    return [dict(each) for each in dict.fromkeys(tuple(pack.structure.envelope.items()) for pack in packs)]


@st.composite
def bundles(draw: st.DrawFn) -> list[Bundle]:
    kinds = st.tuples(st.integers(1, 100), st.integers(1, 100), st.sampled_from("ab"))
    made = []
    for width, batch, kind in draw(st.lists(kinds, min_size=1, max_size=40, unique=True)):
        shapes = {"first": (width, 5), "second": (width, width), "third": (1, width)}
        flops = 6.0 * batch * (6 * width + width**2)
        trials = draw(st.integers(1, 500))
        made.append(
            Bundle(
                kind=kind, free=("width", "batch_size"), sizes=(width, batch), shapes=shapes, flops=flops,
                trials=trials, steps=trials * draw(st.floats(1, 1e6)),
            )
        )  # fmt: skip
    return made


def seconds_of(joined: list[Bundle]) -> Any:
    def seconds(position: int, trials: int, steps: float) -> float:
        flops = joined[position].flops
        cost = Cost(flops=flops, numbers=flops / 50, bytes=flops / 10, layers=3)
        return Conditions(workers=2, compile_mode="auto", trials_per_pack=None).seconds(cost, trials, steps)

    return seconds


@settings(max_examples=examples(200))
@given(bundles())
def test_buckets_waste_little_and_save_time(drawn: list[Bundle]) -> None:
    seconds = seconds_of(drawn)
    joined = buckets(drawn, seconds)
    assert sorted(chain.from_iterable(joined)) == list(range(len(drawn)))
    for members in joined:
        head, bucket = drawn[members[0]], [drawn[i] for i in members]
        assert all(head.kind == each.kind and head.holds(each) for each in bucket)
        arithmetic = sum(each.flops * each.steps for each in bucket)
        assert head.flops * sum(each.steps for each in bucket) < (1 + WASTE) * arithmetic + 1e-6
        shared = seconds(members[0], sum(each.trials for each in bucket), sum(each.steps for each in bucket))
        apart = sum(seconds(i, drawn[i].trials, drawn[i].steps) for i in members)
        assert shared <= apart * (1 + 1e-12)
        for name, size in envelope_of(bucket).items():
            sizes = {each.sizes[each.free.index(name)] for each in bucket}
            assert size == max(sizes)
            assert len(sizes) > 1


@settings(max_examples=examples(15))
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
    st.integers(1, 40),
    st.sampled_from([10, 1000, 10**6]),
)
def test_packs_of_many_sizes_hold_every_trial_once_and_waste_little(
    widths: list[int], batches: list[int], points: int, steps: int
) -> None:
    decay = {"linspace": [0.1, 1], "num": points} if points > 1 else [0.1]
    grid = grid_of(SMALL | {"steps": steps}, {"width": widths, "batch_size": batches, "weight_decay": decay})
    packs = packs_of(grid)
    ids = list(chain.from_iterable(pack.trials.trial_id for pack in packs))
    assert sorted(ids) == sorted(grid.trials().trial_id)
    own: dict[Any, float] = {}
    for width in widths:
        for batch in batches:
            values = grid.trials().record(0) | {"width": width, "batch_size": batch}
            own[width, batch] = cost_of(network_of(values, Path()), values).flops
    trained: dict[str, list[float]] = {}
    for pack in packs:
        program = own[pack.structure.values["width"], pack.structure.values["batch_size"]]
        sizes = list(zip(pack.trials.values("width"), pack.trials.values("batch_size"), strict=True))
        assert pack.structure.envelope or len(set(sizes)) == 1
        key = str((program, sorted(pack.structure.envelope.items())))
        trained.setdefault(key, []).extend(own[size] / program for size in sizes)
    for shares in trained.values():
        assert len(shares) < (1 + WASTE) * sum(shares)


def test_neighbouring_widths_share_a_program_where_each_would_be_compiled() -> None:
    grid = grid_of(SMALL | {"steps": 20_000}, WIDTHS | {"weight_decay": {"linspace": [0, 1], "num": 100}})
    packs = packs_of(grid)
    assert programs(packs) == [{"width": 16}]
    assert all(pack.compiled for pack in packs)
    wide = max(packs, key=lambda pack: pack.projected_bytes)
    values = wide.trials.record(0) | {"width": 16}
    assert wide.projected_bytes == int(2 * wide.tile_size * cost_of(network_of(values, Path()), values).bytes)


def test_structures_that_fill_their_tiles_for_minutes_need_no_bucket() -> None:
    decay = {"linspace": [0, 1], "num": 9000}
    assert programs(packs_of(grid_of(SMALL | {"steps": 500_000}, WIDTHS | {"weight_decay": decay}))) == [{}]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_worker_gets_a_share_of_a_bucket(workers: int) -> None:
    grid = grid_of(SMALL, WIDTHS | {"weight_decay": {"linspace": [0, 1], "num": 20}})
    packs = packs_of(grid, workers)
    assert programs(packs) == [{"width": 16}]
    assert len(packs) >= workers


def test_batch_sizes_share_a_program() -> None:
    axes = {"batch_size": [14, 16, 0], "weight_decay": {"linspace": [0, 1], "num": 20}}
    packs = packs_of(grid_of(SMALL | {"width": 8}, axes))
    assert sorted(map(str, programs(packs))) == ["{'batch_size': 16}", "{}"]
    full = [pack for pack in packs if not pack.structure.envelope]
    assert all(set(pack.trials.values("batch_size")) == {0} for pack in full)


USERS = """
from phasediag.models.mlp import MLP
from phasediag.tasks.teacher_student import TeacherStudent

class Silent(MLP):
    pass

class Task(TeacherStudent):
    @staticmethod
    def loss(prediction, target):
        return (prediction - target).abs().sum(dim=-1).mean()

class Stated(Task):
    mean_over_samples = True

class Overriding(Stated):
    @staticmethod
    def loss(prediction, target):
        return (prediction - target).abs().max()
"""


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({}, {"width": 16, "batch_size": 8}),
        ({"control": "gate"}, {}),
        ({"inputs": 16, "outputs": 16, "width": 32}, {}),
        ({"inputs": 16, "outputs": 15, "width": 32}, {"batch_size": 8}),
        ({"model": "user.py:Silent"}, {}),
        ({"task": "user.py:Task"}, {"width": 16}),
        ({"task": "user.py:Stated"}, {"width": 16, "batch_size": 8}),
        ({"task": "user.py:Overriding"}, {"width": 16}),
    ],
    ids=str,
)
def test_only_what_is_known_to_be_exact_is_padded(
    fixed: dict[str, Any], expected: dict[str, int], tmp_path: Path
) -> None:
    """Rows that are promised bit by bit (all sizes multiples of 16) are not padded either."""
    write(tmp_path, USERS, "user.py")
    axes = {"width": [15, 16], "batch_size": [7, 8], "weight_decay": {"linspace": [0, 1], "num": 20}}
    axes = {name: values for name, values in axes.items() if name not in fixed}
    grid = grid_of(SMALL | fixed, axes, path=tmp_path / "grid.yaml")
    largest = max((dict(pack.structure.envelope) for pack in packs_of(grid)), key=len)
    assert largest == expected
