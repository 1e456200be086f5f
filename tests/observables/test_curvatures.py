"""Sharpness, escape and effective rank of single networks, against dense Hessians and exact values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.functional import hessian
from torch.func import functional_call, vmap

import phasediag
from phasediag.models.mlp import MLP
from phasediag.observables._curvature import join, split
from phasediag.observables._lanczos import extreme_eigenvalues, start_vector
from phasediag.observables.effective_rank import EffectiveRank, effective_rank
from phasediag.observables.escape import Escape
from phasediag.observables.sharpness import Sharpness
from phasediag.observables.specimen import Data, Specimen
from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.groups.neuron_symmetry import NeuronSymmetry
from phasediag.symmetry.groups.permutation import Permutation
from phasediag.symmetry.groups.sign_flip import SignFlip
from phasediag.symmetry.vectors import Neurons
from properties import examples
from small_sweeps import grid_text, launched

WIDTH, INPUTS, OUTPUTS, SAMPLES = 4, 3, 2, 40


def mlp(activation: str, width: int = WIDTH, inputs: int = INPUTS) -> MLP:
    return MLP(inputs=inputs, outputs=OUTPUTS, depth=2, width=width, activation=activation, bias=False)


def weights_of(module: MLP, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: p.shape for name, p in module.named_parameters()}
    return {name: torch.randn(s, generator=generator, dtype=torch.float64) for name, s in shapes.items()}


def samples(inputs: int = INPUTS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(99)
    x = torch.randn(SAMPLES, inputs, generator=generator, dtype=torch.float64)
    return x, torch.tanh(x[:, :OUTPUTS]) + 0.1 * torch.randn(SAMPLES, OUTPUTS, generator=generator).double()


def specimen(module: MLP, weights: Mapping[str, Tensor]) -> Specimen:
    """A network by itself, as a recorder would give it."""
    x, y = samples(weights["layers.0.weight"].shape[1])
    group = module.neuron_groups[0]
    geometry = Geometry.of_one(weights, group)

    def plain(neurons: Neurons) -> Neurons:
        parts = (neurons.incoming[0], neurons.bias[0], neurons.outgoing[0])
        return Neurons(incoming=parts[0], bias=parts[1], outgoing=parts[2], parity=neurons.parity)

    def predict(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        prediction: Tensor = functional_call(module, dict(weights), (x,))
        return prediction

    def features(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        return module.activation.apply(x @ weights["layers.0.weight"].T)

    return Specimen(
        weights=weights, trained=tuple(weights), group=group, neurons=plain(geometry.fixed),
        raw=plain(geometry.raw),
        data=Data(
            predict=predict, probe=lambda: x, layer_features=features, training_set=lambda: (x, y),
            training_loss=lambda weights: (predict(weights, x) - y).square().sum(dim=1).mean(),
        ),
    )  # fmt: skip


def dense(network: Specimen, at: Mapping[str, Tensor]) -> Tensor:
    names = tuple(at)

    def loss(joined: Tensor) -> Tensor:
        return network.loss(split(joined, at, names))

    matrix: Tensor = hessian(loss, join(at, names))
    return matrix


@pytest.mark.parametrize("activation", ["tanh", "gelu", "linear"])
def test_sharpness_is_the_largest_eigenvalue_of_the_dense_hessian(activation: str) -> None:
    module = mlp(activation)
    for seed in range(3):
        network = specimen(module, weights_of(module, seed))
        expected = torch.linalg.eigvalsh(dense(network, network.weights))[-1]
        torch.testing.assert_close(Sharpness().measure(network)[0], expected, rtol=1e-8, atol=1e-10)


def test_sharpness_of_many_weights_is_known_to_its_tolerance() -> None:
    """220 weights by 48 products: to 1e-3, or not at all."""
    module = mlp("tanh", width=20, inputs=9)
    network = specimen(module, weights_of(module, 1))
    expected = torch.linalg.eigvalsh(dense(network, network.weights))[-1]
    torch.testing.assert_close(Sharpness().measure(network)[0], expected, rtol=1e-3, atol=0.0)


def symmetric(values: list[float], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator).double()).Q
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def product_with(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda vector: matrix @ vector


@settings(max_examples=examples(20))
@given(st.lists(st.floats(-5, 5).map(lambda v: round(v, 2)), min_size=1, max_size=12), st.integers(0, 99))
def test_both_ends_of_a_small_spectrum_are_exact(values: list[float], seed: int) -> None:
    """Repeated, zero and negative eigenvalues too: what is exhausted is never taken for a zero."""
    matrix = symmetric(values, seed)
    low, high = extreme_eigenvalues(product_with(matrix), start_vector(matrix[0]))
    size = max(map(abs, values)) + 1e-3
    assert float(low) == pytest.approx(min(values), abs=1e-6 * size)
    assert float(high) == pytest.approx(max(values), abs=1e-6 * size)


def test_what_has_not_converged_is_not_told() -> None:
    """A continuum of 2,000 eigenvalues whose end 48 products do not resolve to the tolerance, or a NaN."""
    values = torch.linspace(0, 1, 2000, dtype=torch.float64) ** 0.5
    _, high = extreme_eigenvalues(lambda v: values * v, start_vector(values))
    assert bool(torch.isnan(high)) or abs(float(high) - 1) < 1e-2
    low, high = extreme_eigenvalues(lambda v: v * torch.nan, start_vector(values))
    assert bool(torch.isnan(torch.stack([low, high])).all())


@pytest.mark.parametrize("symmetry", [Permutation, SignFlip])
@pytest.mark.parametrize("activation", ["tanh", "square"])
def test_escape_is_the_smallest_eigenvalue_in_the_breaking_directions(
    symmetry: type[NeuronSymmetry], activation: str
) -> None:
    module = mlp(activation)
    network = specimen(module, weights_of(module, 3))
    names = network.group.parameters
    of_group = symmetry(network.group)
    at = of_group.projected({name: network.weights[name] for name in names})
    size = len(join(at, names))
    unit = torch.eye(size, dtype=torch.float64)
    kept = torch.stack([join(of_group.projected(split(row, at, names)), names) for row in unit])
    values, directions = torch.linalg.eigh(unit - kept)
    breaking = directions[:, values > 0.5]
    expected = torch.linalg.eigvalsh(breaking.T @ dense(network, at) @ breaking)[0]
    escape = Escape().measure(network)[0 if symmetry is Permutation else 1]
    torch.testing.assert_close(escape, expected, rtol=1e-7, atol=1e-9)


def test_escape_from_the_origin_is_the_exact_collapse_threshold(tmp_path: Path) -> None:
    """E1, E2: gamma_c = slope |E y x^T| = -lambda_min / 2, recorded by two ways in one sweep; and law 1."""
    axes = {"weight_decay": [0.01, 0.1], "init_scale": [0.5, 1.0]}
    fixed = {"activation": "tanh", "steps": 5, "label_noise": 0.3, "dtype": "float64"}
    asked = {"observables": ["sharpness", "escape", "effective_rank"]}
    launched(tmp_path, grid_text(axes, fixed, replicates=2, measure=asked))
    together = phasediag.load_trials(tmp_path / "g")
    np.testing.assert_allclose(together["escape_sign_flip"], -together["collapse_weight_decay"], rtol=1e-8)
    assert (together["effective_rank_features"] > 1).all()
    start = together.groupby(["replicate", "init_scale"])["sharpness_at_start"]
    assert (start.nunique() == 1).all()
    assert together["sharpness_at_start"].nunique() == 4
    alone = grid_text({"weight_decay": [0.1], "init_scale": [1.0]}, fixed, replicates=1, measure=asked)
    launched(tmp_path / "alone", alone)
    one = phasediag.load_trials(tmp_path / "alone" / "g").set_index("trial_id")
    same = together.set_index("trial_id").loc[one.index]
    for name in ("sharpness", "sharpness_at_start", "escape_permutation", "effective_rank_features"):
        assert same[name].tolist() == one[name].tolist(), name


def test_the_highest_is_that_of_the_steps_after_the_start(tmp_path: Path) -> None:
    """At rates far below and far above 2 / sharpness: the loss falls, and rises above where it began."""
    axes, fixed = {"learning_rate": [0.001, 1.0]}, {"steps": 4, "batch_size": 0, "dtype": "float64"}
    asked = {"observables": ["sharpness", "loss"], "every": 1}
    launched(tmp_path, grid_text(axes, fixed, replicates=2, measure=asked))
    trials = phasediag.load_trials(tmp_path / "g").set_index("trial_id")
    for name, last in (("sharpness", "sharpness"), ("loss", "loss_at_end")):
        measured = phasediag.load_measurements(tmp_path / "g", observable=name)
        course = measured.assign(value=measured["distances"].map(lambda numbers: numbers[0]))
        by_step = course.pivot(index="trial_id", columns="step", values="value").loc[trials.index]
        np.testing.assert_array_equal(trials[f"{name}_at_start"], by_step[0])
        np.testing.assert_array_equal(trials[last], by_step[4])
        np.testing.assert_array_equal(trials[f"{name}_highest"], by_step[[1, 2, 3, 4]].max(axis=1))
    np.testing.assert_allclose(trials["loss_at_end"], trials["train_loss"], rtol=1e-12)
    beyond = trials["learning_rate"] * trials["sharpness_at_start"] > 2
    assert beyond.sum() == 2
    assert ((trials["loss_highest"] > trials["loss_at_start"]) == beyond).all()


@pytest.mark.parametrize("observable", [Sharpness(), Escape(), EffectiveRank()])
def test_law_4_what_a_symmetry_leaves_is_measured_alike(
    observable: Sharpness | Escape | EffectiveRank,
) -> None:
    module = mlp("tanh")
    weights = weights_of(module, 5)
    before = observable.measure(specimen(module, weights))
    generator = torch.Generator().manual_seed(6)
    for symmetry in (Permutation(module.neuron_groups[0]), SignFlip(module.neuron_groups[0])):
        moved = symmetry.act(weights, symmetry.random_element(weights, generator))
        assert not torch.equal(moved["layers.0.weight"], weights["layers.0.weight"])
        after = observable.measure(specimen(module, moved))
        kept = (
            slice(1, 2) if isinstance(observable, Escape) and isinstance(symmetry, SignFlip) else slice(None)
        )
        torch.testing.assert_close(after[kept], before[kept], rtol=1e-7, atol=1e-9)


def test_effective_rank_of_known_spectra() -> None:
    """exp of the entropy (Roy and Vetterli 2007): n equal values have n, one alone 1, none 0."""
    assert float(effective_rank(torch.eye(5).double())) == pytest.approx(5)
    assert float(
        effective_rank(3 * torch.outer(torch.arange(1, 4), torch.arange(1, 6)).double())
    ) == pytest.approx(1)
    assert float(effective_rank(torch.zeros(3, 2).double())) == 0
    share = np.array([0.5, 0.25, 0.25])
    rank = float(effective_rank(torch.diag(torch.tensor([2.0, -1.0, 1.0])).double()))
    assert rank == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    many = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(vmap(effective_rank)(many), torch.stack([effective_rank(m) for m in many]))
