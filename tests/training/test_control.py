"""Control of symmetry: against exact results, dense matrices, plain loops and the uncontrolled network."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.func import functional_call

import phasediag
from phasediag.errors import GridError, PhasediagError
from phasediag.sweeps.rerun import rerun
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.control import DCS, control_of
from phasediag.training.tiles import Tile
from phasediag.trial import Streams, Trials
from small_sweeps import grid_text, launched
from trained_tiles import grid_of, pair, tile_of, weights_of

CONTROLS: dict[str, dict[str, Any]] = {
    "weights": {"control": "dcs"},
    "permutation": {"control": "dcs", "dcs_symmetry": "permutation"},
    "sign_flip": {"control": "dcs", "dcs_symmetry": "sign_flip"},
    "gate": {"control": "gate"},
    "syre": {"control": "syre", "syre_scale": 0.3, "syre_anisotropy": 0.6},
}
SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 12, "test_samples": 7, "width": 4,
    "depth": 3, "bias": True, "batch_size": 4, "learning_rate": 0.03, "steps": 12, "dtype": "float64",
}  # fmt: skip
LINEAR: dict[str, Any] = {
    "task": "linear_map", "inputs": 5, "outputs": 3, "samples": 20, "singular_values": [1.0, 0.6, 0.3],
    "activation": "linear", "learning_rate": 0.2, "batch_size": 0, "steps": 1000, "dtype": "float64",
    "test_samples": 1,
}  # fmt: skip
GAMMAS = [0.03, 0.07, 0.13, 0.21, 0.3, 0.5, 0.9, 1.1, 1.4]


def trained(trials: Trials, compiled: bool = False) -> Tile:
    tile = tile_of(trials, compiled)
    tile.advance(max(tile.steps))
    return tile


def correlation(tile: Tile) -> np.ndarray:
    """E[y x^T] of the first world, shape (outputs, inputs)."""
    data = tile.batches.training_set()
    return (data.y[0].T @ data.x[0] / data.x.shape[1]).numpy()


def decays(gammas: list[float]) -> dict[str, list[float]]:
    return {"weight_decay": [2 * gamma for gamma in gammas]}


def test_a_product_of_factors_is_a_soft_threshold_of_every_weight() -> None:
    """E4: alive iff gamma < |E[x_i y]|, value sgn (|E[x_i y]| - gamma)_+."""
    tile = trained(grid_of(LINEAR | {"depth": 1, "control": "dcs"}, decays(GAMMAS)).trials())
    exact = correlation(tile)
    below = above = 0
    for row, gamma in enumerate(GAMMAS):
        (weight,) = weights_of(tile, row).values()
        far = np.abs(np.abs(exact) - gamma) > 0.03
        soft = np.sign(exact) * np.maximum(np.abs(exact) - gamma, 0)
        np.testing.assert_allclose(weight[far], soft[far], atol=1e-4)
        np.testing.assert_array_equal((np.abs(weight) > 1e-4)[far], (np.abs(exact) > gamma)[far])
        below, above = below + (soft != 0).sum(), above + (soft == 0).sum()
    assert min(below, above) > 30


def test_a_gated_matrix_is_alive_or_dead_as_a_whole() -> None:
    """E4: E[y x^T] (1 - gamma / |E[y x^T]|_F)_+."""
    tile = trained(grid_of(LINEAR | {"depth": 1, "control": "gate"}, decays(GAMMAS)).trials())
    exact = correlation(tile)
    norm = np.linalg.norm(exact)
    assert GAMMAS[4] < norm / 2 < 2 * norm / 3 < GAMMAS[-1]
    for row, gamma in enumerate(GAMMAS):
        (weight,) = weights_of(tile, row).values()
        np.testing.assert_allclose(weight, exact * max(0, 1 - gamma / norm), atol=1e-5)


CHAIN: dict[str, Any] = LINEAR | {
    "inputs": 1, "outputs": 1, "singular_values": [0.8], "depth": 2, "width": 1, "init": "balanced",
    "samples": 4, "data_seed": 0, "control": "syre", "syre_distribution": "constant", "steps": 500,
}  # fmt: skip


def test_syre_rounds_the_transition() -> None:
    """E12: p^3 - (c - gamma) p - gamma theta_0 = 0; at gamma = c, p = (gamma theta_0)^(1/3)."""
    gammas = [0.2, 0.5, 0.7, 0.8, 0.9, 1.2, 2.0]
    offsets = [0.01, 0.1, 0.5]
    tile = trained(grid_of(CHAIN, {"syre_scale": offsets, **decays(gammas)}).trials())
    assert correlation(tile).item() == pytest.approx(0.8)
    for row, (offset, gamma) in enumerate(itertools.product(offsets, gammas)):
        first, second = (w.item() for w in weights_of(tile, row).values())
        roots = np.roots([1, 0, -(0.8 - gamma), -gamma * offset])
        exact = roots[np.abs(roots.imag) < 1e-12].real.max()
        assert first == pytest.approx(exact, rel=1e-6)
        assert second == pytest.approx(exact, rel=1e-6)
    critical = weights_of(tile, 3)["layers.0.weight"].item()
    assert critical == pytest.approx((0.8 * 0.01) ** (1 / 3), rel=1e-6)


def test_syre_without_an_offset_is_no_control() -> None:
    plain = trained(grid_of(SMALL, {"weight_decay": [0.0, 0.2]}).trials())
    shifted = trained(
        grid_of(SMALL | {"control": "syre", "syre_scale": 0}, {"weight_decay": [0.0, 0.2]}).trials()
    )
    for name, weight in plain.weights.items():
        assert torch.equal(weight, shifted.weights[name])


def test_syre_starts_like_the_plain_network_and_its_offset_has_the_stated_size() -> None:
    fixed = SMALL | {"inputs": 40, "width": 40, "control": "syre"}
    plain = tile_of(grid_of(fixed | {"control": "none"}, replicates=2).trials())
    for scale, size in ((0.3, 0.3), (None, 0.01 / np.sqrt(40 * 40 * 2 + 40 * 4 + 2))):
        tile = tile_of(grid_of(fixed | ({"syre_scale": scale} if scale else {}), replicates=2).trials())
        for name, weight in plain.weights.items():
            torch.testing.assert_close(tile.weights[name], weight)
        offset = tile.weights["layers.1.weight"] - tile.state.weights["layers.1.weight"]
        assert offset.std().item() == pytest.approx(size, rel=0.05)
        assert abs(offset.mean().item()) < 0.1 * size
        assert not torch.allclose(offset[0], offset[1])


# A plain loop over one network whose weights are made by dense matrices.


def householder(size: int) -> np.ndarray:
    normal = np.full(size, size**-0.5) - np.eye(size)[0]
    return np.eye(size) - 2 * np.outer(normal, normal) / max(normal @ normal, 1e-300)


def directions(name: str, shape: tuple[int, ...], symmetry: str, layers: int) -> np.ndarray:
    """O of one parameter of the mlp as a dense matrix, shape (numbers of the parameter, columns)."""
    _, number, kind = name.split(".")
    layer, count = int(number), int(np.prod(shape))
    incoming, outgoing = layer < layers - 1, layer > 0 and kind == "weight"
    if symmetry == "weights" or (symmetry == "sign_flip" and (incoming or outgoing)):
        return np.eye(count)
    if symmetry == "sign_flip":
        return np.zeros((count, 0))
    sides = [householder(shape[0]) if incoming else np.eye(shape[0])]
    first = [np.arange(shape[0]) == 0 if incoming else np.ones(shape[0], bool)]
    if kind == "weight":
        sides.append(householder(shape[1]) if outgoing else np.eye(shape[1]))
        first.append(np.arange(shape[1]) == 0 if outgoing else np.ones(shape[1], bool))
    full, mean = sides[0], first[0]
    for side, flags in zip(sides[1:], first[1:], strict=True):
        full, mean = np.kron(full, side), np.kron(mean, flags)
    return full[:, ~mean]


Effective = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def dense_dcs(start: dict[str, Tensor], symmetry: str) -> tuple[dict[str, Tensor], Effective]:
    bases = {n: torch.from_numpy(directions(n, tuple(w.shape), symmetry, 3)) for n, w in start.items()}
    for basis in bases.values():
        torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    trained = {}
    for name, weight in start.items():
        trained |= {f"w{name}": weight, f"u{name}": bases[name].T @ weight.flatten()}
        trained[f"v{name}"] = torch.ones_like(trained[f"u{name}"])

    def effective(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
        weights = {}
        for name, basis in bases.items():
            kept = numbers[f"w{name}"].flatten()
            made = kept - basis @ (basis.T @ kept) + basis @ (numbers[f"u{name}"] * numbers[f"v{name}"])
            weights[name] = made.reshape(start[name].shape)
        return weights

    return trained, effective


def dense_gate(start: dict[str, Tensor]) -> tuple[dict[str, Tensor], Effective]:
    gates = {f"v{name}": torch.ones((), dtype=torch.float64) for name, w in start.items() if w.dim() == 2}

    def effective(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: numbers[name] * numbers.get(f"v{name}", torch.ones(())) for name in start}

    return start | gates, effective


def dense_syre(start: dict[str, Tensor], seed: int) -> tuple[dict[str, Tensor], Effective, dict[str, Tensor]]:
    normal, uniform = (Streams(seed).generator("control", position) for position in (0, 1))
    offset = {n: 0.3 * torch.from_numpy(normal.standard_normal(w.shape)) for n, w in start.items()}
    factor = {n: 1 + 0.6 * torch.from_numpy(uniform.uniform(-1, 1, w.shape)) for n, w in start.items()}

    def effective(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: numbers[name] + offset[name] for name in start}

    return {name: w - offset[name] for name, w in start.items()}, effective, factor


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", CONTROLS)
def test_a_controlled_network_trains_like_a_plain_loop_over_dense_matrices(kind: str, optimizer: str) -> None:
    trials = grid_of(SMALL | CONTROLS[kind] | {"optimizer": optimizer}, {"weight_decay": [0.0, 0.4]}).trials()
    tile = tile_of(trials)
    module = tile.program.network.module
    starts = [{n: torch.from_numpy(w) for n, w in weights_of(tile, row).items()} for row in (0, 1)]
    tile.advance(SMALL["steps"])
    for row, decay in enumerate((0.0, 0.4)):
        factors: dict[str, Tensor] = {}
        if kind == "gate":
            numbers, effective = dense_gate(starts[row])
        elif kind == "syre":
            numbers, effective, factors = dense_syre(starts[row], int(trials.seed[row]))
        else:
            numbers, effective = dense_dcs(starts[row], kind)
        parameters = {n: v.clone().requires_grad_() for n, v in numbers.items() if v.numel()}
        fixed = {n: v for n, v in numbers.items() if not v.numel()}
        groups = [{"params": [p]} for p in parameters.values()]
        cls = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
        stepper = cls(groups, lr=SMALL["learning_rate"])
        for step in range(SMALL["steps"]):
            batch = tile.batches.at(step)
            prediction = functional_call(module, effective(parameters | fixed), (batch.x[0],))
            penalty = sum((factors.get(n, torch.ones(())) * p.square()).sum() for n, p in parameters.items())
            loss = (prediction - batch.y[0]).square().sum(1).mean() + decay / 2 * penalty
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        for name, expected in effective(parameters | fixed).items():
            weights = torch.from_numpy(weights_of(tile, row)[name])
            torch.testing.assert_close(weights, expected.detach(), rtol=1e-9, atol=1e-11)
            assert not torch.allclose(weights, starts[row][name], atol=1e-4)


def test_dcs_merges_neurons_below_the_decay_at_which_they_merge_alone() -> None:
    """E9: without control the neurons of width 3 are equal from gamma = 1.12 on."""
    fixed = {
        "task": "hermite", "teacher_weights": [1.0, 0.2], "model": "hermite", "width": 3, "batch_size": 0,
        "learning_rate": 0.04, "init_scale": 0.25, "steps": 800, "dtype": "float64", "weight_decay": 1.6,
    }  # fmt: skip
    spread = {}
    for name, control in (("none", {}), ("dcs", CONTROLS["permutation"])):
        tile = trained(grid_of(fixed | control, replicates=4).trials())
        spread[name] = tile.weights["weight"].std(dim=1).max().item()
    assert spread["none"] == pytest.approx(np.sqrt((1.04 - 1.44 / 3 - 0.4) / 2), rel=1e-3)
    assert spread["dcs"] < 1e-6


def test_controls_of_one_structure_can_be_axes_in_one_tile() -> None:
    axes = {
        "syre_scale": [0.0, 0.1],
        "syre_anisotropy": [0.0, 0.5],
        "syre_distribution": ["normal", "constant"],
    }
    trials = grid_of(SMALL | {"control": "syre", "weight_decay": 0.3}, axes).trials()
    together = trained(trials)
    for row in range(len(trials)):
        alone = trained(pair(trials, row))
        for name, weight in together.weights.items():
            torch.testing.assert_close(weight[row], alone.weights[name][0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_controlled_trial_is_the_same_with_any_mates_and_after_a_checkpoint(kind: str) -> None:
    wide = SMALL | {
        "inputs": 16,
        "outputs": 16,
        "width": 16,
        "batch_size": 16,
        "samples": 32,
        "dtype": "float32",
    }
    trials = grid_of(wide | CONTROLS[kind], {"weight_decay": [0.0, 0.1, 0.2]}, replicates=2).trials()
    together, alone = trained(trials), tile_of(pair(trials, 4))
    alone.advance(5)
    saved = {name: tensor.clone() for name, tensor in alone.state.tensors().items()}
    resumed = tile_of(pair(trials, 4))
    resumed.restore(saved, 5)
    resumed.advance(12)
    for name, weight in together.weights.items():
        assert torch.equal(weight[4], resumed.weights[name][0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", CONTROLS)
def test_the_compiled_step_of_a_control_is_the_eager_step(kind: str) -> None:
    trials = grid_of(SMALL | CONTROLS[kind], {"weight_decay": [0.0, 0.2]}).trials()
    eager, compiled = trained(trials), trained(trials, compiled=True)
    for name, weight in eager.weights.items():
        torch.testing.assert_close(compiled.weights[name], weight, rtol=1e-9, atol=1e-11)


# In a grid.


def ids(text: str) -> list[str]:
    return grid_of(SMALL | {"control": text}).trials().trial_id.tolist()


def test_no_control_is_what_there_was_before() -> None:
    """Same id; same loss as before controls existed (commit 9401475, this trial, float64)."""
    assert ids("none") == grid_of(SMALL).trials().trial_id.tolist() == ["6d1542afbbe6938b5043530fa24405b6"]
    assert len({*ids("none"), *ids("dcs"), *ids("gate"), *ids("syre")}) == 4
    tile = trained(grid_of(SMALL | {"weight_decay": 0.1}).trials())
    assert tile.weights.keys() == tile.state.weights.keys()
    assert tile.losses()[0].tolist() == [pytest.approx(0.6917891379383834, rel=1e-10)]


def test_controls_are_an_axis_and_their_parameters_belong_to_one_of_them() -> None:
    axes = {"control": ["none", "dcs", "gate", "syre"], "syre_scale": [0.1, 0.2]}
    trials = grid_of(SMALL, axes).trials()
    names = ("control", "dcs_symmetry", "syre_scale", "syre_distribution", "syre_anisotropy")
    assert [tuple(trials.record(row)[name] for name in names) for row in range(len(trials))] == [
        ("none", None, None, None, None), ("dcs", "weights", None, None, None),
        ("gate", None, None, None, None), ("syre", None, 0.1, "normal", 0.0),
        ("syre", None, 0.2, "normal", 0.0),
    ]  # fmt: skip
    assert trials.trial_id[0] == ids("none")[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"syre_scale": 0.1}, "syre_scale is given, and no point has control: syre"),
        ({"control": "gate", "dcs_symmetry": "weights"}, "set control: dcs, or leave dcs_symmetry out"),
        ({"control": "syre", "syre_anisotropy": 0.1, "optimizer": "adamw"}, "adamw decouples it"),
        ({"control": "syre", "syre_anisotropy": 1}, "syre_anisotropy"),
        ({"control": "sire"}, "dcs, gate, syre"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(GridError, match=message):
        grid_of(SMALL | given)


def test_neurons_cannot_be_controlled_where_there_are_none() -> None:
    trials = grid_of(SMALL | CONTROLS["permutation"] | {"depth": 1}).trials()
    with pytest.raises(PhasediagError, match="dcs_symmetry: weights"):
        tile_of(trials)


def test_a_sweep_over_controls_records_and_saves_the_weights_of_the_network(tmp_path: Path) -> None:
    axes = {"control": "[none, dcs, gate, syre]", "weight_decay": "[0.05]"}
    launched(tmp_path, grid_text(axes, {"steps": 20, "depth": 2}, measure="{every: 10}"))
    rows = phasediag.load_trials(tmp_path / "g").set_index("control")
    assert set(rows["status"]) == {"ok"}
    assert rows["train_loss"].nunique() == 4
    assert rows["collapse_weight_decay"].notna().to_dict() == {
        name: name == "none" for name in ("none", "dcs", "gate", "syre")
    }
    for name, row in rows.iterrows():
        again = rerun(tmp_path / "g", str(row["trial_id"]), tmp_path / str(name))
        assert again.train_loss == pytest.approx(row["train_loss"], rel=1e-6)
        weights = safetensors.torch.load_file(tmp_path / str(name) / "weights.safetensors")
        assert {n: tuple(w.shape) for n, w in weights.items()} == {
            "layers.0.weight": (16, 16), "layers.1.weight": (16, 16)
        }  # fmt: skip
        assert json.loads((tmp_path / str(name) / "trial.json").read_text())["control"] == name
        neurons = torch.cat([weights["layers.0.weight"], weights["layers.1.weight"].T], dim=1)
        norms = phasediag.load_measurements(tmp_path / "g", observable="sign_flip", last=True)
        stored = norms.set_index("trial_id").loc[row["trial_id"], "distances"]
        np.testing.assert_allclose(np.sort(neurons.norm(dim=1).numpy()), stored, rtol=1e-5)


def test_dcs_counts_neurons_on_the_axis_that_the_layer_names() -> None:
    """Columns of a key matrix lie on axis 0, as those of the query do."""
    shapes = {"query": (6, 4), "key": (6, 3), "head": (2, 6)}
    groups = [
        NeuronGroup(name="head.1", incoming=("query",), outgoing=("key",), outgoing_axis=0),
        NeuronGroup(name="hidden.1", incoming=("query",), outgoing=("head",)),
    ]
    control = control_of({"control": "dcs", "dcs_symmetry": "permutation"}, shapes, groups)
    assert isinstance(control, DCS)
    assert control.axes == {"query": (0,), "key": (0,), "head": (1,)}
