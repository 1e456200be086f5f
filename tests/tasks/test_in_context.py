"""Sequences of the in-context regression against the definition of their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasediag.training.data import DrawnTask
from trained_tiles import grid_of, task_of

FIXED: dict[str, Any] = {
    "task": "in_context", "model": "transformer", "length": 9, "token_size": 5, "samples": 40,
}  # fmt: skip


def tokens_and_targets(changes: dict[str, Any], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    task = task_of(grid_of(FIXED | changes, seed=seed).trials(), 0)
    x, y = task.train_set()
    return x.numpy().reshape(len(x), 9, 5), y.numpy()


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_the_context_determines_the_target(rank: int) -> None:
    """Least squares on the eight labelled tokens gives the last one's label, and maps of that rank."""
    tokens, targets = tokens_and_targets({"teacher_rank": rank})
    maps = []
    for sequence, target in zip(tokens, targets, strict=True):
        w, *_ = np.linalg.lstsq(sequence[:-1, :4], sequence[:-1, 4], rcond=None)
        np.testing.assert_allclose(sequence[-1, :4] @ w, target[0], rtol=1e-9, atol=1e-9)
        maps.append(w)
    assert (tokens[:, -1, 4] == 0).all()
    assert np.linalg.matrix_rank(np.array(maps), tol=1e-8) == (rank or 4)


def test_maps_have_norm_one_and_inputs_their_scale() -> None:
    task = task_of(grid_of(FIXED | {"samples": 0, "input_scale": 2.0}).trials(), 0)
    assert isinstance(task, DrawnTask)
    x, y = task.draw(np.random.default_rng(0), 20000)
    inputs = x.numpy().reshape(-1, 9, 5)[:, :, :4]
    assert np.std(inputs) == pytest.approx(2.0, rel=0.02)
    # E[(w . x)^2] = input_scale^2 E|w|^2
    assert float(y.square().mean()) == pytest.approx(4.0, rel=0.05)


def test_the_subspace_of_the_maps_is_the_teachers() -> None:
    """The same for every sequence and data set of a seed, another for another seed."""
    one, _ = tokens_and_targets({"teacher_rank": 1})
    other, _ = tokens_and_targets({"teacher_rank": 1}, seed=1)

    def direction(tokens: np.ndarray) -> np.ndarray:
        w = [np.linalg.lstsq(s[:-1, :4], s[:-1, 4], rcond=None)[0] for s in tokens]
        return np.linalg.svd(np.array(w))[2][0]

    assert abs(direction(one[:20]) @ direction(one[20:])) == pytest.approx(1, abs=1e-9)
    assert abs(direction(one) @ direction(other)) < 0.999
