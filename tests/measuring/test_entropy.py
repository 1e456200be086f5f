"""The entropic loss against plain loops over samples, and the boundary that it predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import phasediag
from phasediag.errors import PhasediagError
from phasediag.measuring.entropy import COLUMNS, entropic_columns
from phasediag.training.tiles import Tile
from small_sweeps import grid_text, launched
from trained_tiles import grid_of, pair, tile_of

SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 9, "test_samples": 7, "width": 4,
    "depth": 3, "bias": True, "batch_size": 4, "learning_rate": 0.03, "steps": 6, "dtype": "float64",
    "label_noise": 0.3, "weight_decay": 0.2,
}  # fmt: skip
GROUP = {"layers.0.weight": 0, "layers.0.bias": 0, "layers.1.weight": 1}
"""Parameters of hidden.1 and the axis that counts its neurons."""


def plain_terms(tile: Tile, row: int) -> dict[str, float]:
    """The terms of one trial by autograd, one sample after another."""
    network, values = tile.program.network, tile.trials.record(row)
    rates = {name: rate[row] for name, rate in tile.rates.items()}
    trained = {n: w[row].clone().requires_grad_() for n, w in tile.state.weights.items()}
    data, world = tile.batches.training_set(), int(tile.world[row])
    weights = network.control.effective(trained, rates)
    gradients = []
    for x, y, e in zip(data.x[world], data.y[world], data.noise[world], strict=True):
        loss = (functional_call(network.module, weights, (x,)) - y - values["label_noise"] * e).square().sum()
        parts = torch.autograd.grad(loss, tuple(trained.values()), create_graph=True)
        gradients.append(torch.cat([part.flatten() for part in parts]))
    each = torch.stack(gradients)
    mean = each.mean(0)
    noise = (each - mean).square().sum(1).mean()
    force = [-part for part in torch.autograd.grad(noise, tuple(trained.values()), retain_graph=True)]
    step = {n: w.detach() + 1e-6 * f.detach() for (n, w), f in zip(trained.items(), force, strict=True)}
    back = {n: w.detach() - 1e-6 * f.detach() for (n, w), f in zip(trained.items(), force, strict=True)}
    ahead, behind = (network.control.effective(numbers, rates) for numbers in (step, back))
    pushed = {n: ahead[n] - behind[n] for n in ahead}
    square = sum(float(w.detach().square().sum()) for w in trained.values())
    temperature = values["learning_rate"] / (values["batch_size"] or np.inf)
    factor = len(each) / (len(each) - 1) if tile.batches.fresh else 1.0
    return {
        "gradient_noise": factor * noise.item(),
        "entropic_term": factor * temperature / 4 * noise.item(),
        "gradient_square": mean.square().sum().item(),
        "decay_term": values["weight_decay"] / 2 * square,
        "entropic_permutation": cosine(pushed, weights, mean=True),
        "entropic_sign_flip": cosine(pushed, weights, mean=False),
    }


def cosine(force: dict[str, Tensor], weights: dict[str, Tensor], mean: bool) -> float:
    way, along = [], []
    for name, axis in GROUP.items():
        weight = weights[name].detach()
        target = weight.mean(dim=axis, keepdim=True) if mean else torch.zeros_like(weight)
        way.append((target - weight).flatten())
        along.append(force[name].flatten())
    return torch.cosine_similarity(torch.cat(along), torch.cat(way), dim=0).item()


def trained(fixed: dict[str, Any], axes: dict[str, Any] | None = None, **more: Any) -> Tile:
    tile = tile_of(grid_of(fixed, axes, **more).trials())
    tile.advance(max(tile.steps))
    return tile


@pytest.mark.parametrize(
    "given",
    [
        {}, {"samples": 0}, {"batch_size": 0}, {"noise": "fresh"}, {"control": "gate"},
        {"control": "dcs", "dcs_symmetry": "permutation"}, {"control": "syre", "syre_scale": 0.1},
        {"activation": "relu", "optimizer": "adam"},
    ],
)  # fmt: skip
def test_every_term_is_that_of_a_loop_over_samples(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = trained(SMALL | given, {"learning_rate": [0.01, 0.05]}, replicates=2)
    terms = entropic_columns(tile, "hidden.1")
    assert tuple(terms) == COLUMNS
    for row in range(len(tile.trials)):
        expected = plain_terms(tile, row)
        for name, value in expected.items():
            assert terms[name][row] == pytest.approx(value, rel=1e-6), name
    monkeypatch.setattr("phasediag.measuring.entropy.GRADIENT_NUMBERS", 4 * 4 * 30)
    for name, values in entropic_columns(tile, "hidden.1").items():
        np.testing.assert_allclose(values, terms[name], rtol=1e-10)


def test_a_trials_terms_do_not_depend_on_its_mates() -> None:
    sixteens = {"inputs": 16, "outputs": 16, "width": 16, "batch_size": 16, "samples": 32, "dtype": "float32"}
    trials = grid_of(SMALL | sixteens, {"weight_decay": [0.0, 0.1, 0.3]}, replicates=3).trials()
    tiles = [tile_of(trials), tile_of(pair(trials, 5))]
    for tile in tiles:
        tile.advance(6)
    together, alone = (entropic_columns(tile, "hidden.1") for tile in tiles)
    for name, values in together.items():
        assert values[5] == alone[name][0], name


def test_where_batches_do_not_vary_there_is_no_entropic_term() -> None:
    axes = {"noise": ["quenched", "fresh"]}
    for noise, expected in zip(axes["noise"], (0.0, np.nan), strict=True):
        terms = entropic_columns(trained(SMALL | {"batch_size": 0, "noise": noise}), "hidden.1")
        np.testing.assert_array_equal(terms["entropic_term"], expected)
        assert (terms["gradient_noise"] > 0).all()
    fixed = {"task": "hermite", "model": "hermite", "batch_size": 0, "steps": 3, "dtype": "float64"}
    population = entropic_columns(trained(fixed), "hidden.1")
    assert population["entropic_term"] == 0
    assert np.isnan(population["gradient_noise"])
    assert np.isnan(entropic_columns(trained(SMALL | {"depth": 1}), "hidden.1")["entropic_sign_flip"]).all()


def test_with_momentum_the_entropic_term_is_not_known() -> None:
    """A velocity remembers gradients: (T / 4) Tr Sigma is the term of plain steps alone."""
    terms = {kept: entropic_columns(trained(SMALL | {"momentum": kept}), "hidden.1") for kept in (0.0, 0.9)}
    assert (terms[0.0]["entropic_term"] > 0).all()
    assert np.isnan(terms[0.9]["entropic_term"]).all()
    assert (terms[0.9]["gradient_noise"] > 0).all()


SIGNAL, RATE, SCALE = 0.5, 0.05, 1e-4


def moments(tile: Tile, row: int) -> tuple[float, float]:
    """Mean and mean square of xy over the sample on which the terms are taken, shape ()."""
    data, world = tile.batches.training_set(), int(tile.world[row])
    noise = float(tile.rates["label_noise"][row])
    product = data.x[world] * (data.y[world] + noise * data.noise[world])
    return product.mean().item(), product.var(correction=1).item()


def test_the_entropic_loss_loses_its_symmetric_minimum_where_the_dynamics_does_to_first_order() -> None:
    """E5: F grows from the origin along u = w iff gamma + eta E[(xy)_B^2] > c, x = +-1, y = c x +- sigma."""
    fixed = {
        "task": "scalar_linear", "signal": SIGNAL, "model": "mlp", "depth": 2, "width": 1,
        "activation": "linear", "init": "balanced", "init_scale": SCALE, "learning_rate": RATE,
        "steps": 1, "dtype": "float64", "batch_size": 2, "data_seed": 0, "test_samples": 400,
    }  # fmt: skip
    axes = {"label_noise": [0.5, 1.0, 2.0, 3.0, 4.0], "weight_decay": [0.0, 0.1, 0.4, 0.8, 1.2]}
    tile = tile_of(grid_of(fixed, axes).trials())
    terms = entropic_columns(tile, "hidden.1")
    at_start = tile.losses()[0].numpy()
    tile.state.weights.update({name: 0 * w for name, w in tile.state.weights.items()})
    at_origin = tile.losses()[0].numpy()
    quadratic = terms["decay_term"] + RATE / 4 * terms["gradient_square"] + terms["entropic_term"]
    curvature = (at_start - at_origin + quadratic) / (2 * SCALE**2)
    grows = []
    for row, (noise, decay) in enumerate((n, d) for n in axes["label_noise"] for d in axes["weight_decay"]):
        mean, variance = moments(tile, row)
        exact = decay / 2 + RATE * (mean**2 + variance / 2) - mean
        assert curvature[row] == pytest.approx(exact, abs=1e-5), (noise, decay)
        grows.append(exact > 0)
    assert 5 < sum(grows) < 20
    np.testing.assert_allclose(terms["entropic_sign_flip"], 1, atol=1e-6)


def test_a_sweep_records_the_terms_where_it_is_asked_to(tmp_path: Path) -> None:
    axes = {"weight_decay": "[0.0, 0.1]", "learning_rate": "[0.02, 1e4]"}
    launched(tmp_path, grid_text(axes, {"steps": 30}))
    assert phasediag.load_trials(tmp_path / "g")[list(COLUMNS)].isna().all(axis=None)
    asked = grid_text(axes, {"steps": 30}, measure="{entropic: true}")
    with pytest.raises(PhasediagError, match="not measured for the entropic loss"):
        launched(tmp_path, asked)
    assert launched(tmp_path, asked, remeasure=True).exit_code == 0
    rows = phasediag.load_trials(tmp_path / "g").set_index("status")
    assert rows.loc["ok", list(COLUMNS)].notna().all(axis=None)
    assert rows.loc["diverged", list(COLUMNS)].isna().all(axis=None)
    again = launched(tmp_path, asked)
    assert again.exit_code == 0
    assert len(phasediag.load_trials(tmp_path / "g")) == 4
