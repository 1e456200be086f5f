"""What a step draws: a function of seed, stream and step, and of nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phasediag.training.data import BLOCK_NUMBERS, BLOCK_STEPS, Batches, Samples, block_steps
from phasediag.trial import Streams
from trained_tiles import CPU, grid_of, task_of

SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 10, "test_samples": 6, "batch_size": 4,
}  # fmt: skip
SOURCES: list[dict[str, Any]] = [
    {"noise": "quenched"}, {"noise": "fresh"}, {"samples": 0}, {"batch_size": 0, "noise": "fresh"},
    {"task": "scalar_linear", "samples": None, "inputs": None, "outputs": None},
]  # fmt: skip


def batches(fixed: dict[str, Any], rows: list[int]) -> Batches:
    values = {k: v for k, v in (SMALL | fixed).items() if v is not None}
    trials = grid_of(values, replicates=3).trials()
    record = trials.record(0)
    return Batches(
        [task_of(trials, row) for row in rows],
        values["batch_size"],
        record["noise"] == "fresh",
        torch.float64,
        CPU,
    )


def equal(one: Samples, other: Samples, world: int = 0, other_world: int = 0) -> bool:
    names = [field.name for field in fields(Samples)]
    return all(torch.equal(getattr(one, n)[world], getattr(other, n)[other_world]) for n in names)


@pytest.mark.parametrize("fixed", SOURCES)
def test_a_step_draws_the_same_in_any_company_and_order(fixed: dict[str, Any]) -> None:
    """Not of the tile's other replicates, nor of what was drawn before, nor of where a chunk begins."""
    alone, crowd = batches(fixed, [1]), batches(fixed, [2, 0, 1])
    edge = alone.steps
    steps = (0, 1, edge - 1, edge, edge + 1, 3 * edge + 5)
    forwards = [alone.at(step) for step in steps]
    for step, expected in zip(reversed(steps), reversed(forwards), strict=True):
        assert equal(crowd.at(step), expected, world=2)
        assert equal(batches(fixed, [1]).at(step), expected)
    for world in (0, 1):
        assert not equal(crowd.at(0), forwards[0], world=world)


@pytest.mark.parametrize("fixed", SOURCES)
def test_no_step_repeats_another(fixed: dict[str, Any]) -> None:
    """Across the edge of a block too; what is drawn at each step is new."""
    drawn = batches(fixed | {"batch_size": 8} if fixed.get("batch_size") != 0 else fixed, [0])
    edge = drawn.steps
    steps = [0, 1, 2, edge - 1, edge, edge + 1, 2 * edge]
    seen = [drawn.at(step) for step in steps]
    for i, one in enumerate(seen):
        for other in seen[i + 1 :]:
            assert not equal(one, other)


@given(st.integers(1, 10**7))
def test_blocks_are_powers_of_two_in_bounds(numbers: int) -> None:
    steps = block_steps(numbers)
    assert steps & (steps - 1) == 0
    assert 1 <= steps <= BLOCK_STEPS
    assert steps == 1 or steps * numbers <= BLOCK_NUMBERS
    assert steps == BLOCK_STEPS or 2 * steps * numbers > BLOCK_NUMBERS


def test_batches_hold_samples_of_the_data_set_drawn_uniformly() -> None:
    drawn = batches({"noise": "quenched"}, [0])
    data = drawn.training_set()
    counts = np.zeros(10)
    for step in range(600):
        batch = drawn.at(step)
        matches = (batch.x[0][:, None] == data.x[0][None]).all(-1)
        assert matches.sum(1).tolist() == [1] * 4
        rows = matches.float().argmax(1)
        assert torch.equal(batch.y[0], data.y[0][rows])
        assert torch.equal(batch.noise[0], data.noise[0][rows])
        counts += np.bincount(rows.numpy(), minlength=10)
    assert ((counts - 240) ** 2 / 240).sum() < 27.9  # chi squared of 9 degrees of freedom, p = 0.001


def test_draws_are_those_of_the_named_streams() -> None:
    """Independently of `Batches`: indices from `batch`, fresh noise from `noise`, by block of steps."""
    drawn = batches({"noise": "fresh"}, [0])
    seed = int(grid_of(SMALL, replicates=3).trials().seed[0])
    streams, edge = Streams(seed), drawn.steps
    data = drawn.training_set()
    for step in (0, 3, edge + 2):
        block, offset = divmod(step, edge)
        rows = streams.generator("batch", block).integers(0, 10, edge * 4).reshape(edge, 4)[offset]
        noise = streams.generator("noise", block).standard_normal((edge * 4, 2)).reshape(edge, 4, 2)[offset]
        assert torch.equal(drawn.at(step).x[0], data.x[0][torch.from_numpy(rows)])
        assert torch.equal(drawn.at(step).noise[0], torch.from_numpy(noise))


def test_streams_are_independent() -> None:
    names = ("teacher", "data", "test", "init", "batch", "noise")
    keys = [(name, position, seed) for name in names for position in (0, 1) for seed in (1, 2)]
    draws = np.stack(
        [Streams(seed).generator(name, position).standard_normal(1000) for name, position, seed in keys]
    )  # type: ignore[arg-type]
    correlations = np.corrcoef(draws) - np.eye(len(keys))
    assert np.abs(correlations).max() < 5 / np.sqrt(1000)


def test_data_seed_pins_teacher_data_and_test_alone() -> None:
    for name in ("teacher", "data", "test", "init", "batch", "noise"):
        one, other = (Streams(seed, 7).generator(name).standard_normal(5) for seed in (1, 2))  # type: ignore[arg-type]
        assert np.array_equal(one, other) == (name in ("teacher", "data", "test"))
        unpinned = Streams(1).generator(name).standard_normal(5)  # type: ignore[arg-type]
        assert np.array_equal(one, unpinned) == (name not in ("teacher", "data", "test"))


def test_the_full_batch_is_the_data_set_at_every_step() -> None:
    still, noisy = batches({"batch_size": 0}, [0]), batches({"batch_size": 0, "noise": "fresh"}, [0])
    assert still.constant
    assert not noisy.constant
    data = still.training_set()
    for step in (0, 1, 700):
        assert equal(still.at(step), data)
        assert torch.equal(noisy.at(step).x, data.x)
        assert torch.equal(noisy.at(step).y, data.y)
    assert not torch.equal(noisy.at(0).noise, noisy.at(1).noise)


def test_quenched_noise_is_that_of_the_training_set_and_tests_have_none() -> None:
    still = batches({"batch_size": 0}, [0, 1])
    data, test = still.training_set(), still.test_set()
    assert torch.equal(still.at(5).noise, data.noise)
    assert data.noise.shape == data.y.shape == (2, 10, 2)
    assert 0.3 < float(data.noise.std()) < 2
    assert test.x.shape == (2, 6, 3)
    assert torch.equal(test.noise, torch.zeros_like(test.y))
    assert not (test.x[0][:, None] == data.x[0][None]).all(-1).any()


def test_the_loss_on_fresh_data_uses_samples_and_noise_that_training_has_not_seen() -> None:
    fresh = batches({"samples": 0, "batch_size": 4}, [0])
    data = fresh.training_set()
    assert equal(data, fresh.training_set())
    assert data.x.shape == (1, 6, 3)
    for step in range(20):
        batch = fresh.at(step)
        assert not (batch.x[0][:, None] == data.x[0][None]).all(-1).any()
        assert not torch.isin(batch.noise, data.noise).any()
