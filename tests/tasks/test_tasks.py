"""The sources of data against independent computations of what they promise."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from phasediag.errors import PhasediagError
from phasediag.training.data import GeneratedTask, Task
from phasediag.trial import Streams
from trained_tiles import grid_of, task_of, tile_of

WEIGHTS = st.lists(st.floats(-2, 2).map(lambda v: round(v, 3)), min_size=1, max_size=5)


def task(fixed: dict[str, Any], seed: int = 0, replicate: int = 0) -> Task:
    return task_of(grid_of(fixed, replicates=replicate + 1, seed=seed).trials(), replicate)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (2, 6), (6, 2)])
@pytest.mark.parametrize("samples", [6, 50])
def test_linear_map_is_whitened_exactly_and_has_its_singular_values(
    inputs: int, outputs: int, samples: int
) -> None:
    fixed = {
        "task": "linear_map", "inputs": inputs, "outputs": outputs, "samples": samples,
        "singular_values": [1.5, 0.25],
    }  # fmt: skip
    x, y = (part.numpy() for part in task(fixed).train_set())
    assert x.shape == (samples, inputs)
    assert y.shape == (samples, outputs)
    np.testing.assert_allclose(x.T @ x / samples, np.eye(inputs), atol=1e-12)
    correlation = y.T @ x / samples
    expected = np.zeros(min(inputs, outputs))
    expected[:2] = 1.5, 0.25
    np.testing.assert_allclose(np.linalg.svd(correlation, compute_uv=False), expected, atol=1e-12)
    np.testing.assert_allclose(y, x @ correlation.T, atol=1e-12)


def test_linear_map_draws_fresh_normal_inputs_for_the_same_map() -> None:
    fixed = {"task": "linear_map", "inputs": 3, "outputs": 3, "singular_values": [2.0, 1.0, 0.5]}
    fresh, still = task(fixed | {"samples": 0}), task(fixed | {"samples": 10})
    assert fresh.fresh
    assert not still.fresh
    assert isinstance(fresh, GeneratedTask)
    x = fresh.sample(np.random.default_rng(0), 20000)
    np.testing.assert_allclose(np.cov(x.numpy().T), np.eye(3), atol=0.05)
    x, y = still.train_set()
    torch.testing.assert_close(fresh.target(x), y)


@given(WEIGHTS, WEIGHTS)
def test_hermite_quadrature_is_the_population_loss(teacher: list[float], student: list[float]) -> None:
    """(sum w - S)^2 + (sum w^2 - Q)^2 of `docs/physics.md` E9, for the tile's own loss."""
    fixed = {
        "task": "hermite", "teacher_weights": teacher, "model": "hermite", "width": len(student),
        "batch_size": 0, "dtype": "float64", "steps": 1,
    }  # fmt: skip
    tile = tile_of(grid_of(fixed).trials())
    tile.state.weights["weight"][0] = torch.tensor(student, dtype=torch.float64)[:, None]
    first, second = sum(student) - sum(teacher), sum(w * w for w in student) - sum(w * w for w in teacher)
    for loss in tile.losses()[:2]:
        assert float(loss[0]) == pytest.approx(first**2 + second**2, rel=1e-9, abs=1e-12)


def test_hermite_samples_give_the_population_loss_on_average() -> None:
    made = task({"task": "hermite", "teacher_weights": [1.0, 0.2], "model": "hermite", "batch_size": 8})
    assert made.fresh
    assert isinstance(made, GeneratedTask)
    x = made.sample(np.random.default_rng(1), 200_000)
    y = made.target(x).numpy().ravel()
    he_1, he_2 = x.numpy().ravel(), (x.numpy().ravel() ** 2 - 1) / sqrt(2)
    assert (y * he_1).mean() == pytest.approx(1.2, abs=0.03)
    assert (y * he_2).mean() == pytest.approx(1.04, abs=0.03)
    assert (y**2).mean() == pytest.approx(1.2**2 + 1.04**2, rel=0.03)


@pytest.mark.parametrize("x_kind", ["rademacher", "gaussian"])
@pytest.mark.parametrize("noise_kind", ["rademacher", "gaussian"])
def test_scalar_linear_has_its_moments(x_kind: str, noise_kind: str) -> None:
    made = task(
        {
            "task": "scalar_linear", "signal": 0.7, "batch_size": 1, "input_distribution": x_kind,
            "noise_distribution": noise_kind,
        }
    )  # fmt: skip
    assert made.fresh
    assert isinstance(made, GeneratedTask)
    x = made.sample(np.random.default_rng(2), 50_000).numpy().ravel()
    noise = made.unit_noise(np.random.default_rng(3), 50_000).numpy().ravel()
    for draws, kind in ((x, x_kind), (noise, noise_kind)):
        assert draws.mean() == pytest.approx(0, abs=0.02)
        assert draws.var() == pytest.approx(1, abs=0.03)
        assert (draws**4).mean() == pytest.approx(1 if kind == "rademacher" else 3, abs=0.15)
    np.testing.assert_allclose(made.target(torch.from_numpy(x)[:, None]).numpy().ravel(), 0.7 * x, rtol=1e-14)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_teacher_is_a_plain_network_of_its_stream(activation: str, depth: int) -> None:
    fixed = {
        "task": "teacher_student", "inputs": 4, "outputs": 2, "samples": 30, "teacher_width": 5,
        "teacher_depth": depth, "teacher_activation": activation, "teacher_scale": 3.0, "input_scale": 0.5,
    }  # fmt: skip
    trials = grid_of(fixed).trials()
    x, y = (part.numpy() for part in task_of(trials, 0).train_set())
    streams = Streams(int(trials.seed[0]))
    np.testing.assert_array_equal(x, 0.5 * streams.generator("data").standard_normal((30, 4)))
    draws = streams.generator("teacher")
    hidden, sizes = x, [4, *[5] * (depth - 1), 2]
    for i in range(depth):
        weights = draws.standard_normal((sizes[i + 1], sizes[i])) * sqrt(2 / sizes[i])
        hidden = hidden @ weights.T
        if i < depth - 1:
            hidden = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
    np.testing.assert_allclose(y, 3 * hidden, rtol=1e-12)


@pytest.mark.parametrize("name", ["teacher_student", "linear_map"])
def test_replicates_have_teachers_of_their_own_unless_data_seed_pins_them(name: str) -> None:
    fixed: dict[str, Any] = {"task": name, "samples": 8}
    one, other = (task(fixed, replicate=r).train_set() for r in (0, 1))
    assert not torch.allclose(one[0], other[0])
    pinned = [task(fixed | {"data_seed": 5}, seed=seed, replicate=r) for seed, r in ((0, 0), (0, 1), (9, 0))]
    for made in pinned[1:]:
        for part in ("train_set", "test_set"):
            for a, b in zip(getattr(made, part)(), getattr(pinned[0], part)(), strict=True):
                assert torch.equal(a, b)


def test_digits_are_the_images_and_their_classes() -> None:
    pixels, classes = load_digits(return_X_y=True)
    made = task({"task": "digits", "samples": 1500, "input_scale": 2.0})
    (x, y), (test_x, test_y) = made.train_set(), made.test_set()
    assert x.shape == (1500, 64)
    assert test_x.shape == (297, 64)
    assert torch.equal(y.sum(1), torch.ones(1500, dtype=torch.float64))
    every = torch.cat([x, test_x]) / 2
    assert float(every.square().mean()) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(every.mean(0).numpy(), 0, atol=1e-12)
    counts = torch.cat([y, test_y]).sum(0).tolist()
    assert counts == np.bincount(classes).tolist()
    scale = np.sqrt(np.mean((pixels - pixels.mean(0)) ** 2))
    samples = np.concatenate([every.numpy(), torch.cat([y, test_y]).argmax(1)[:, None].numpy()], axis=1)
    expected = np.concatenate([(pixels - pixels.mean(0)) / scale, classes[:, None]], axis=1)
    order = [np.lexsort(rows.round(9).T) for rows in (samples, expected)]
    np.testing.assert_allclose(samples[order[0]], expected[order[1]], atol=1e-9)
    few = task({"task": "digits", "samples": 100})
    assert torch.equal(few.train_set()[0] * 2, x[:100])
    assert torch.equal(few.test_set()[0] * 2, test_x)


def test_a_small_network_learns_the_digits() -> None:
    fixed = {
        "task": "digits", "samples": 1000, "depth": 2, "width": 32, "activation": "relu", "optimizer": "adam",
        "learning_rate": 3e-3, "batch_size": 32, "init_scale": 0.3, "steps": 400,
    }  # fmt: skip
    trials = grid_of(fixed, replicates=2).trials()
    tile = tile_of(trials)
    before = tile.losses()[2]
    tile.advance(400)
    train, test, accuracy = tile.losses()
    assert before is not None
    assert accuracy is not None
    assert (before < 0.3).all()
    assert (accuracy > 0.9).all()
    assert (train < test).all()
    network = tile.program.network
    images, classes = task_of(trials, 1).test_set()
    first, second = (w[1].double() for w in tile.state.weights.values())
    assert list(network.shapes.values()) == [(32, 64), (10, 32)]
    answers = (images @ first.T).clamp(min=0) @ second.T
    assert float(accuracy[1]) == pytest.approx(
        float((answers.argmax(1) == classes.argmax(1)).double().mean())
    )


@pytest.mark.parametrize("exponent", [0.0, 2.0, 4.0])
def test_random_field_has_its_spectrum(exponent: float) -> None:
    """In one dimension <y(0) y(d)> = sum_j v_j cos(k_j d), v_j of the spectrum: within 5 standard errors."""
    fixed = {
        "task": "random_field", "outputs": 2000, "waves": 50, "field_exponent": exponent,
        "smallest_wave": 0.5, "largest_wave": 8.0, "width": 1,
    }  # fmt: skip
    made = task(fixed)
    assert isinstance(made, GeneratedTask)
    apart = np.array([0.0, 0.1, 0.3, 1.0, 3.0])
    fields = made.target(torch.from_numpy(apart)[:, None]).numpy()
    edges = np.geomspace(0.5, 8.0, 50)
    share = edges ** (1 - exponent)
    share /= share.sum()
    exact = (share[:, None] * np.cos(edges[:, None] * apart)).sum(axis=0)
    products = fields[0] * fields
    error = products.std(axis=1) / sqrt(2000)
    assert (np.abs(products.mean(axis=1) - exact) < 5 * error).all()


def test_random_field_of_many_inputs_is_that_of_plane_waves_of_their_wave_numbers() -> None:
    made: Any = task({"task": "random_field", "inputs": 5, "waves": 20})
    vectors = made.wave_vectors.numpy()[0]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.geomspace(0.5, 16.0, 20))
    x, y = (part.numpy() for part in made.train_set())
    phases = made.phases.numpy()[0]
    waves = sum(
        a * np.cos(x @ v + p) for a, v, p in zip(made.amplitudes.numpy(), vectors, phases, strict=True)
    )
    np.testing.assert_allclose(y[:, 0], waves)
    assert (made.amplitudes.numpy() ** 2).sum() == pytest.approx(2)


def test_random_field_refuses_wave_numbers_the_wrong_way_round() -> None:
    with pytest.raises(PhasediagError, match="wave numbers from 4 to 2 are none"):
        grid_of({"task": "random_field", "smallest_wave": 4.0, "largest_wave": 2.0})
