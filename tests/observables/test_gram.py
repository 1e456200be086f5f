"""Gram matrices of layers: what is stored is the inner products of what the layer gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import phasediag
from phasediag.analysis.alignment import alignment
from phasediag.analysis.gram_matrices import gram_matrix
from phasediag.models.mlp import MLP
from phasediag.models.transformer import Transformer
from phasediag.observables._gram import PROBES, triangle
from phasediag.observables.gram import Gram
from phasediag.observables.input_gram import InputGram
from small_sweeps import grid_text, launched
from trained_networks import specimen_of


def test_a_triangle_is_the_matrix_it_is_of() -> None:
    matrix = torch.arange(9.0).reshape(3, 3)
    matrix = matrix + matrix.T
    assert triangle(matrix).tolist() == [0.0, 4.0, 8.0, 8.0, 12.0, 16.0]
    np.testing.assert_array_equal(gram_matrix(triangle(matrix).numpy()), matrix)


def test_tokens_are_part_of_a_sample_in_gram_and_samples_of_their_own_in_features() -> None:
    module = Transformer(
        inputs=12, outputs=2, length=3, attention_layers=1, heads=1, head_width=4, stream_width=5,
        feedforward=6,
    )  # fmt: skip
    network, x = specimen_of(module, "hidden.1")
    given: list[Tensor] = []
    module.blocks[0]["down"].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    torch.func.functional_call(module, dict(network.weights), (x,))
    torch.testing.assert_close(network.features_of(x), given[0])
    torch.testing.assert_close(network.features(), given[0].reshape(-1, 6))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of two widths of a linear network, with the Gram matrices of their two layers."""
    folder = tmp_path_factory.mktemp("gram")
    observables = [{"observable": "gram", "layer": f"hidden.{n}"} for n in (1, 2)]
    fixed = {"inputs": 3, "outputs": 2, "depth": 3, "activation": "linear", "samples": 40,
             "test_samples": 12, "steps": 20, "dtype": "float64"}  # fmt: skip
    text = grid_text(
        {"width": [4, 5], "weight_decay": [0.0, 0.1]}, fixed, replicates=3,
        measure={"observables": [*observables, "input_gram"], "every": 10, "distances": "all"},
    )  # fmt: skip
    launched(folder, text)
    return folder / "g"


def test_gram_is_of_the_features_after_the_activation_and_of_the_first_probes() -> None:
    module = MLP(inputs=3, outputs=2, depth=3, width=5, activation="tanh")
    network, x = specimen_of(module, "hidden.2", samples=130)
    first, second = (network.weights[f"layers.{n}.weight"] for n in (0, 1))
    features = torch.tanh(torch.tanh(x[:PROBES] @ first.T) @ second.T)
    expected = (features @ features.T).numpy()
    np.testing.assert_allclose(gram_matrix(Gram().measure(network).numpy()), expected, atol=1e-12)
    inputs = (x[:PROBES] @ x[:PROBES].T).numpy()
    np.testing.assert_allclose(gram_matrix(InputGram().measure(network).numpy()), inputs, atol=1e-12)


def test_what_is_stored_is_the_gram_matrix_of_the_trained_layer(sweep: Path) -> None:
    """Of a linear network it follows from the weights and the Gram matrix of the inputs."""
    trials = phasediag.load_trials(sweep)
    rows = phasediag.load_measurements(sweep, last=True).set_index(["trial_id", "observable", "layer"])
    for trial in trials["trial_id"]:
        inputs = gram_matrix(rows.loc[(trial, "input_gram", "hidden.1"), "distances"])
        assert inputs.shape == (12, 12)
        assert np.linalg.matrix_rank(inputs, tol=1e-9) == 3
        for layer in ("hidden.1", "hidden.2"):
            features = gram_matrix(rows.loc[(trial, "gram", layer), "distances"])
            assert np.linalg.matrix_rank(features, tol=1e-9) <= 3
            assert np.linalg.eigvalsh(features).min() > -1e-9 * features.max()


def test_layers_are_compared_within_networks_and_between_them(sweep: Path) -> None:
    trials, rows = phasediag.load_trials(sweep), phasediag.load_measurements(sweep)
    compared = alignment(rows, trials, by="width")
    assert compared.held == ("weight_decay",)
    between = compared.pairs[~compared.pairs["same_network"]]
    assert set(between["first"]) == {4}
    assert set(between["second"]) == {5}
    assert len(between) == 2 * 3 * 9  # decays, seeds, (2 layers and the inputs) squared
    assert (between["first_replicate"] == between["second_replicate"]).all()
    of_inputs = between[(between["first_layer"] == "input") & (between["second_layer"] == "input")]
    np.testing.assert_allclose(of_inputs[["cosine", "correlation", "cka"]], 1.0, atol=1e-12)
    within = compared.pairs[compared.pairs["same_network"]]
    assert len(within) == 2 * 2 * 3 * 3
    course = alignment(rows, trials, by="width", over_time=True)
    assert sorted(course.means["step"].unique()) == [0, 10, 20]
    last = course.pairs[course.pairs["step"] == 20].drop(columns="step").reset_index(drop=True)
    columns = [c for c in last if c in compared.pairs]
    left, right = (frame.sort_values(columns[:9], ignore_index=True)[columns]
                   for frame in (last, compared.pairs))  # fmt: skip
    assert left.equals(right)
