"""When a tile is measured, and the columns that come of it, against snapshots of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from phasediag.measuring import recording
from phasediag.measuring.convergence import RELAXATIONS, SMALL_DRIFT
from phasediag.measuring.layer_distances import Distances, Request, measure
from phasediag.measuring.recording import Recorder
from phasediag.measuring.result_columns import results
from phasediag.observables.threshold import Threshold
from trained_tiles import grid_of, pair, recorded, tile_of

BASE: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 20, "test_samples": 4, "width": 5,
    "batch_size": 4, "learning_rate": 0.05, "steps": 41, "dtype": "float64", "depth": 3, "bias": True,
}  # fmt: skip
LOOSE = {"threshold": {"absolute": 0.4, "relative": 0.2}}


def columns(recorder: Recorder, layer: str = "hidden.1") -> dict[str, np.ndarray]:
    rates = {name: recorder.tile.rates[name].numpy() for name in ("learning_rate", "weight_decay")}
    return results(recorder, rates, recorder.tile.state.steps_done.numpy(), layer)


def snapshot(trials: Any, row: int, step: int) -> dict[str, np.ndarray]:
    tile = tile_of(pair(trials, row))
    tile.advance(step)
    return {name: w[0].numpy() for name, w in tile.state.weights.items()}


def vectors(weights: dict[str, np.ndarray], layer: int) -> np.ndarray:
    """Incoming weights, bias and outgoing weights of each neuron."""
    parts = [weights[f"layers.{layer - 1}.weight"], weights[f"layers.{layer}.weight"].T]
    bias = weights.get(f"layers.{layer - 1}.bias")
    return np.concatenate([*parts, *([] if bias is None else [bias[:, None]])], axis=1)


def permutation_degree(weights: dict[str, np.ndarray], layer: int, threshold: Threshold) -> int:
    """Edges of the spanning tree that are shorter than epsilon; of gelu, which has no gauge."""
    v = vectors(weights, layer)
    squares = np.sum(v**2, axis=1)
    epsilon = max(threshold.absolute, threshold.relative * np.sqrt(np.sum(squares**2) / np.sum(squares)))
    return int((minimum_spanning_tree(squareform(pdist(v))).data < epsilon).sum())


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [
        (None, 41, [0, 41]),
        (10, 41, [0, 10, 20, 30, 40, 41]),
        (41, 41, [0, 41]),
        (100, 41, [0, 41]),
        (1, 2, [0, 1, 2]),
    ],
)
def test_step_0_multiples_of_every_and_the_last_step_are_recorded(
    every: int | None, steps: int, expected: list[int]
) -> None:
    measure = {"every": every, "observables": ["rank"]} if every else {"observables": ["rank"]}
    grid = grid_of(BASE | {"steps": steps}, replicates=2, measure=measure)
    recorder = recorded(tile_of(grid.trials()), grid.measure)
    for observable in ("permutation", "sign_flip", "classes", "rank"):
        rows = [(b.step, r) for b in recorder.recording.blocks if b.observable == observable for r in b.rows]
        assert sorted(rows) == [(step, row) for step in expected for row in (0, 1)]


def test_what_starts_alike_is_measured_once_and_each_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that differ in weight decay alone start alike; those of other scales and replicates do not."""
    axes = {"weight_decay": [0.0, 0.1], "init_scale": [1.0, 0.5]}
    grid = grid_of(BASE, axes, replicates=2, measure={"distances": "all"})
    tile = tile_of(grid.trials())
    counts = []

    def counted(weights: Any, *given: Any) -> list[Distances]:
        counts.append(len(next(iter(weights.values()))))
        return measure(weights, *given)

    monkeypatch.setattr(recording, "measure", counted)
    recorder = Recorder(grid.measure, tile, len(tile.trials))
    recorder.record()
    assert counts == [4]
    for block in recorder.recording.blocks:
        request = Request(observable=block.observable, layer=block.layer)
        (own,) = measure(tile.weights, tile.network.groups, [request])
        np.testing.assert_array_equal(block.distances, own.distances.numpy())
        assert len(np.unique(block.distances, axis=0)) == 4


@pytest.mark.parametrize("kept", ["last", "all", "none"])
def test_distances_are_kept_where_the_grid_says(kept: str) -> None:
    grid = grid_of(BASE, {"steps": [10, 41]}, measure={"every": 10, "distances": kept})
    recorder = recorded(tile_of(grid.trials()), grid.measure)
    seen = set()
    for block in recorder.recording.blocks:
        for row in block.rows:
            last = block.step == grid.trials().values("steps")[row]
            assert (block.distances is not None) == (kept == "all" or (kept == "last" and last))
            seen.add((block.observable, block.step, int(row)))
    assert seen == {
        (observable, step, row)
        for observable in ("permutation", "sign_flip", "classes")
        for row, steps in enumerate(((0, 10), (0, 10, 20, 30, 40, 41)))
        for step in steps
    }


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 41])
def test_log_rate_is_the_growth_of_the_layers_norm_over_the_second_half(layer: int, steps: int) -> None:
    grid = grid_of(
        BASE | {"steps": steps}, {"weight_decay": [0.0, 3.0]}, measure={"layer": f"hidden.{layer}"}
    )
    trials = grid.trials()
    rates = columns(recorded(tile_of(trials), grid.measure), f"hidden.{layer}")["log_rate"]
    for row in range(2):
        half, end = (np.linalg.norm(vectors(snapshot(trials, row, t), layer)) for t in (steps // 2, steps))
        assert rates[row] == pytest.approx(np.log(end / half) / (steps - steps // 2), rel=1e-9)
    assert rates[1] < rates[0]


def test_log_rate_of_a_layer_that_is_zero_is_minus_infinity() -> None:
    """Underflow must not read as the boundary, whose rate is zero."""
    fixed = BASE | {"teacher_scale": 0, "depth": 2, "activation": "square", "bias": False, "steps": 10}
    grid = grid_of(fixed, {"init_scale": [0.0, 1.0]})
    rates = columns(recorded(tile_of(grid.trials()), grid.measure))["log_rate"]
    assert rates[0] == -np.inf
    assert np.isfinite(rates[1])


def test_log_rate_of_pure_decay_is_that_of_decay() -> None:
    """Weights of a dead task shrink by (1 - rate * decay) a step, far below where their squares underflow."""
    fixed = BASE | {
        "teacher_scale": 0,
        "depth": 2,
        "activation": "square",
        "bias": False,
        "init_scale": 1e-160,
    }
    grid = grid_of(fixed | {"steps": 400}, {"weight_decay": [1.0, 3.0]})
    rates = columns(recorded(tile_of(grid.trials()), grid.measure))["log_rate"]
    np.testing.assert_allclose(rates, [np.log(1 - 0.05), np.log(1 - 0.15)], rtol=1e-6)


def test_drift_and_degrees_are_those_of_the_snapshots() -> None:
    fixed = BASE | {"activation": "gelu", "width": 12, "steps": 60, "learning_rate": 0.1}
    grid = grid_of(fixed, {"weight_decay": [0.0, 0.3, 1.0]}, replicates=2, measure=LOOSE)
    trials = grid.trials()
    values = columns(recorded(tile_of(trials), grid.measure))
    for row in range(len(trials)):
        late, last = (
            permutation_degree(snapshot(trials, row, t), 1, grid.measure.threshold) for t in (54, 60)
        )
        assert values["degree_of_symmetry"][row] == last
        assert values["degree_normalized"][row] == pytest.approx(last / 11)
        assert values["drift"][row] == pytest.approx((last - late) / 11)
    assert len(set(values["degree_of_symmetry"])) > 1
    assert (values["drift"] != 0).any()


def test_converged_needs_a_settled_degree_and_ten_relaxations_where_decay_acts() -> None:
    axes = {"weight_decay": [0.0, 0.1, 4.0]}
    grid = grid_of(BASE | {"learning_rate": 0.1, "steps": 100}, axes, measure=LOOSE)
    values = columns(recorded(tile_of(grid.trials()), grid.measure))
    np.testing.assert_allclose(values["relaxations"], [0, 0.1 * 0.1 * 100, 0.1 * 4 * 100])
    for drift, relaxations, converged in zip(
        values["drift"], values["relaxations"], values["converged"], strict=True
    ):
        settled = abs(drift) <= SMALL_DRIFT
        assert converged == (settled and (relaxations == 0 or relaxations >= RELAXATIONS))
    assert values["converged"].tolist()[1:] == [0, 1]


def test_a_drifting_trial_is_not_converged() -> None:
    grid = grid_of(BASE | {"steps": 20}, replicates=2, measure=LOOSE)
    recorder = recorded(tile_of(grid.trials()), grid.measure)
    assert columns(recorder)["converged"].tolist() == [1, 1]
    late = recorder.recording.moments["late", "permutation"]
    late[1] = 0.0
    assert columns(recorder)["drift"][1] <= -0.25
    assert columns(recorder)["converged"].tolist() == [1, 0]


def test_trials_of_different_length_are_measured_as_if_alone() -> None:
    """learning_time in one tile: each has its own half, nine tenths and end."""
    fixed = {k: v for k, v in BASE.items() if k not in ("steps", "learning_rate")}
    fixed |= {"learning_time": 2.0, "width": 16, "inputs": 16, "outputs": 16, "batch_size": 16}
    grid = grid_of(fixed, {"learning_rate": [0.2, 0.06, 0.03]}, measure=LOOSE | {"every": 7})
    trials = grid.trials()
    assert trials.values("steps").tolist() == [10, 34, 67]
    together = recorded(tile_of(trials), grid.measure)
    for row in range(3):
        alone = recorded(tile_of(pair(trials, row)), grid.measure)
        for name, column in columns(alone).items():
            np.testing.assert_array_equal(columns(together)[name][row], column[0], err_msg=name)
        one, other = (
            {
                (b.step, b.observable): (b.degree[at].tolist(), b.epsilon[at].tolist())
                for b in recorder.recording.blocks
                for at in np.flatnonzero(b.rows == position)
            }
            for recorder, position in ((together, row), (alone, 0))
        )
        assert one == other


def test_one_neuron_has_no_normalized_degree() -> None:
    grid = grid_of(BASE | {"width": 1, "depth": 2, "bias": False}, replicates=2)
    values = columns(recorded(tile_of(grid.trials()), grid.measure))
    assert np.isnan(values["degree_normalized"]).all()
    assert np.isnan(values["drift"]).all()
    assert values["degree_of_symmetry"].tolist() == [0, 0]
    assert values["alive_count"].tolist() == values["neuron_count"].tolist() == [1, 1]
    assert values["converged"].tolist() == [1, 1]


def test_a_network_without_hidden_layer_has_nothing_to_measure() -> None:
    grid = grid_of(BASE | {"depth": 1}, replicates=2)
    recorder = recorded(tile_of(grid.trials()), grid.measure)
    assert recorder.recording.blocks == []
    assert recorder.started
    values = columns(recorder)
    for name in set(values) - {"relaxations"}:
        assert np.isnan(values[name]).all(), name


def test_a_layer_that_the_network_lacks_is_left_out() -> None:
    """An axis over depth measures hidden.2 only where there is one."""
    other = {"observable": "rank", "layer": "hidden.2"}
    grid = grid_of(BASE, {"depth": [2, 3]}, measure={"observables": ["rank", other]})
    shallow, deep = (recorded(tile_of(pair(grid.trials(), row)), grid.measure) for row in (0, 1))
    assert {(b.layer, b.observable) for b in deep.recording.blocks} > {
        ("hidden.2", "rank"),
        ("hidden.1", "rank"),
    }
    assert {b.layer for b in shallow.recording.blocks} == {"hidden.1"}
    assert np.isnan(columns(shallow, "hidden.2")["degree_of_symmetry"]).all()


def test_a_diverged_mate_changes_no_measurement() -> None:
    fixed = BASE | {"activation": "cube", "init_scale": 0.3, "width": 16, "inputs": 16}
    grid = grid_of(fixed, {"learning_rate": [1e-3, 1e4]}, measure=LOOSE)
    trials = grid.trials()
    tile = tile_of(trials)
    recorder = recorded(tile, grid.measure)
    assert tile.state.alive.tolist() == [True, False]
    assert not all(torch.isfinite(w[1]).all() and w[1].abs().max() < 1e9 for w in tile.state.weights.values())
    alone = columns(recorded(tile_of(pair(trials, 0)), grid.measure))
    for name, column in columns(recorder).items():
        np.testing.assert_array_equal(column[0], alone[name][0], err_msg=name)
