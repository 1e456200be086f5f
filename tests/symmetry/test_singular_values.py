"""Rescaling, rotation and double rotation of layers and heads, as a sweep measures them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.measuring.layer_distances import Distances, Request, log_norm, measure, neurons
from phasediag.models.transformer import Transformer
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.views import width_of
from properties import examples
from symmetry.networks import factors, layers_of, mlp, rescaled
from trained_tiles import grid_of, tile_of

CONTINUOUS = ("rescaling", "rotation", "double_rotation")
HEAD = NeuronGroup(
    name="head.1.1", incoming=("query",), outgoing=("key",), outgoing_axis=0, parity="odd", homogeneity=1
)
SIZES = st.integers(1, 9)
SEEDS = st.integers(0, 2**31 - 1)


def of(parameters: dict[str, Tensor], groups: list[NeuronGroup], observable: Any, layer: str) -> Distances:
    (spectrum,) = measure(parameters, groups, [Request(observable=observable, layer=layer)])
    return spectrum


def counted(spectrum: Distances, threshold: Threshold | None = None) -> np.ndarray:
    cut = threshold or Threshold()
    epsilon = cut.epsilon(spectrum.norms.numpy())
    return distance_observables()[spectrum.observable].count(
        spectrum.distances.numpy(), epsilon, cut.absolute
    )


def head(trials: int, width: int, stream: int, seed: int, rank: int | None = None) -> dict[str, Tensor]:
    """Query and key of shape (trials, width, stream), of numerical rank `rank` together."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(trials, *shape, generator=generator, dtype=torch.float64)

    if rank is None:
        return {"query": normal(width, stream), "key": normal(width, stream)}
    mixing = torch.linalg.qr(normal(width, width)).Q[:, :, :rank]
    return {"query": mixing @ normal(rank, stream), "key": mixing @ normal(rank, stream)}


@settings(max_examples=examples(20))
@given(SIZES, SIZES, SIZES, SEEDS)
def test_rotations_measure_what_their_definitions_say(
    width: int, inputs: int, outputs: int, seed: int
) -> None:
    """Eigenvalues of the Gram matrices, and singular values of the product, by numpy."""
    parameters = mlp(2, (inputs, width, outputs), seed)
    groups = layers_of(1)
    rotation, double = (of(parameters, groups, o, "hidden.1") for o in ("rotation", "double_rotation"))
    for trial in range(2):
        into = torch.cat(
            [parameters["layers.0.weight"][trial], parameters["layers.0.bias"][trial][:, None]], dim=1
        ).numpy()
        out = parameters["layers.1.weight"][trial].numpy()
        eigenvalues = np.linalg.eigvalsh(into @ into.T + out.T @ out)[::-1]
        np.testing.assert_allclose(rotation.distances[trial].numpy() ** 2, eigenvalues, atol=1e-9)
        sigma = np.linalg.svd(out @ into, compute_uv=False)[:width]
        expected = np.pad(2 * sigma, (0, width - len(sigma)))
        np.testing.assert_allclose(double.distances[trial].numpy() ** 2, expected, atol=1e-9)
    assert rotation.distances.shape[1] == double.distances.shape[1] == width


@settings(max_examples=examples(20))
@given(SIZES, st.integers(1, 12), SEEDS)
def test_heads_are_invariant_under_their_groups(width: int, stream: int, seed: int) -> None:
    """W_Q -> W_Q A, W_K -> W_K A^-T: orthogonal A for rotation, diagonal for rescaling, else any."""
    parameters = head(1, width, stream, seed)
    generator = torch.Generator().manual_seed(seed)
    free = torch.randn(width, width, generator=generator, dtype=torch.float64)
    orthogonal, diagonal = (
        torch.linalg.qr(free).Q,
        torch.rand(width, generator=generator).double().exp().diag(),
    )
    invertible = orthogonal @ diagonal @ orthogonal.roll(1, dims=0)
    for observable, a in (
        ("rotation", orthogonal), ("rescaling", diagonal), ("double_rotation", invertible),
        ("permutation", torch.eye(width, dtype=torch.float64).roll(1, dims=0)), ("classes", diagonal),
    ):  # fmt: skip
        acted = {"query": a.mT @ parameters["query"], "key": torch.linalg.inv(a) @ parameters["key"]}
        before = of(parameters, [HEAD], observable, "head.1.1").distances
        after = of(acted, [HEAD], observable, "head.1.1").distances
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 3, 8])
def test_attention_of_rank_r_is_counted_exactly(rank: int) -> None:
    """width - r common null vectors; double rotation sees them in every gauge, rotation in all of these."""
    parameters = head(4, 8, 12, seed=1, rank=rank)
    for observable in ("rotation", "double_rotation"):
        np.testing.assert_array_equal(counted(of(parameters, [HEAD], observable, "head.1.1")), 8 - rank)
    free = torch.randn(8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    acted = {"query": free.mT @ parameters["query"], "key": torch.linalg.inv(free) @ parameters["key"]}
    np.testing.assert_array_equal(counted(of(acted, [HEAD], "double_rotation", "head.1.1")), 8 - rank)


def test_a_query_that_meets_no_key_is_null_for_double_rotation_alone() -> None:
    """W_Q n != 0, W_K n = 0: the logits do not see n, though the weights do."""
    parameters = head(1, 4, 6, seed=3)
    parameters["key"][:, 0] = 0
    assert counted(of(parameters, [HEAD], "rotation", "head.1.1")) == 0
    assert counted(of(parameters, [HEAD], "double_rotation", "head.1.1")) == 1
    assert counted(of(parameters, [HEAD], "rescaling", "head.1.1")) == 1


@settings(max_examples=examples(15))
@given(st.lists(st.integers(1, 6), min_size=3, max_size=5), st.sampled_from([1, 2, 3]), SEEDS)
def test_rescaling_is_invariant_across_layers(sizes: list[int], k: int, seed: int) -> None:
    """Of all homogeneous layers together: their scales touch the same matrices."""
    hidden = len(sizes) - 2
    parameters = mlp(2, tuple(sizes), seed, bias=False)
    into = factors(parameters, hidden, seed)
    acted = rescaled(parameters, hidden, into, [f**-k for f in into])
    groups = layers_of(hidden, bias=False, homogeneity=k)
    for group in groups:
        before, after = (of(p, groups, "rescaling", group.name).distances for p in (parameters, acted))
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6 * float(before.max()))


def test_rescaling_without_a_gauge_is_the_smallest_norm_over_the_scale() -> None:
    parameters = mlp(1, (3, 5, 2), 4)
    smallest = of(parameters, layers_of(1), "rescaling", "hidden.1").distances[0]
    layer = neurons(parameters, layers_of(1)[0], layers_of(1))
    into = torch.cat([layer.incoming, layer.bias], dim=2)[0]
    scale = torch.logspace(-2, 2, 200001, dtype=torch.float64)[:, None]
    norms = torch.hypot(scale * into.norm(dim=1), layer.outgoing[0].norm(dim=1) / scale)
    torch.testing.assert_close(smallest, norms.amin(dim=0).sort().values, rtol=1e-8, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_trial_does_not_depend_on_its_tile(dtype: torch.dtype) -> None:
    """Law 1: bit by bit, alone or among others, for sizes that are multiples of 16."""
    parameters = {name: p.to(dtype) for name, p in mlp(7, (16, 32, 16), 5).items()}
    parameters |= {name: p.to(dtype) for name, p in head(7, 16, 32, 6).items()}
    groups = [*layers_of(1), HEAD]
    requests = [Request(observable=o, layer=g.name) for g in groups for o in CONTINUOUS]  # type: ignore[arg-type]
    together = measure(parameters, groups, requests)
    for trial in (0, 3, 6):
        alone = measure({n: p[trial : trial + 1] for n, p in parameters.items()}, groups, requests)
        for company, one in zip(together, alone, strict=True):
            assert company.distances.dtype == dtype
            assert torch.equal(company.distances[trial], one.distances[0])


def test_trials_that_are_not_finite_are_nan_and_extreme_ones_are_measured() -> None:
    reference = head(1, 3, 5, seed=7)
    scales = torch.tensor([1, 1e-150, 1e150, torch.nan], dtype=torch.float64)[:, None, None]
    parameters = {name: p * scales for name, p in reference.items()}
    for observable in CONTINUOUS:
        distances = of(parameters, [HEAD], observable, "head.1.1").distances
        assert distances[3].isnan().all()
        for trial, scale in ((1, 1e-150), (2, 1e150)):
            torch.testing.assert_close(distances[trial] / scale, distances[0], rtol=1e-9, atol=0)


def test_heads_share_parameters_as_spans() -> None:
    """The heads of a transformer, against the same heads as parameters of their own."""
    module = Transformer(
        inputs=12, outputs=1, length=3, attention_layers=1, heads=2, head_width=3, stream_width=5
    )
    generator = torch.Generator().manual_seed(8)
    parameters = {
        n: torch.randn(2, *p.shape, generator=generator, dtype=torch.float64)
        for n, p in module.named_parameters()
    }
    groups = list(module.neuron_groups)
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters()}
    assert [g.name for g in groups] == ["head.1.1", "value.1.1", "head.1.2", "value.1.2"]
    for index, group in enumerate(groups):
        assert width_of(group, shapes) == 3
        rows = slice(3 * (index // 2), 3 * (index // 2) + 3)
        own = {"query": parameters["blocks.0.query.weight"][:, rows],
               "key": parameters["blocks.0.key.weight"][:, rows]}  # fmt: skip
        if group.name.startswith("value"):
            own = {"query": parameters["blocks.0.value.weight"][:, rows],
                   "key": parameters["blocks.0.output.weight"][:, :, rows].mT}  # fmt: skip
        for observable in (*CONTINUOUS, "permutation", "sign_flip", "classes", "rank"):
            expected = of(own, [HEAD], observable, "head.1.1")
            spectrum = of(parameters, groups, observable, group.name)
            torch.testing.assert_close(spectrum.distances, expected.distances, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(spectrum.norms, expected.norms)
        torch.testing.assert_close(log_norm(parameters, group), log_norm(own, HEAD))


def test_a_span_outside_its_parameter_is_an_error() -> None:
    wrong = NeuronGroup(name="head.1.1", incoming=("query",), outgoing=("key",), span=(2, 9), outgoing_axis=0)
    with pytest.raises(PhasediagError, match=r"span 2 to 9 does not lie within axis 0 of parameter 'query'"):
        of(head(1, 4, 3, 0), [wrong], "rotation", "head.1.1")


def test_e1_both_forms_are_twice_the_soft_threshold() -> None:
    """Training: 2 sigma_i(W_Q W_K^T) and the eigenvalues both reach 2 (s_i - gamma)_+ (E1)."""
    singular_values, decay = [1.5, 1.0, 0.6, 0.2], 0.8
    fixed = {
        "task": "linear_map", "inputs": 4, "outputs": 4, "samples": 16, "singular_values": singular_values,
        "model": "mlp", "activation": "linear", "width": 6, "batch_size": 0, "learning_rate": 0.1,
        "weight_decay": decay, "init_scale": 0.3, "steps": 1500, "dtype": "float64",
    }  # fmt: skip
    tile = tile_of(grid_of(fixed, replicates=2).trials())
    tile.advance(1500)
    expected = np.sort(2 * np.maximum(np.array([*singular_values, 0, 0]) - decay / 2, 0))[::-1]
    for observable in ("rotation", "double_rotation"):
        spectrum = of(tile.state.weights, list(tile.program.network.groups), observable, "hidden.1")  # type: ignore[arg-type]
        squares = spectrum.distances.numpy() ** 2
        np.testing.assert_allclose(squares, np.tile(expected, (2, 1)), atol=1e-6)
        np.testing.assert_array_equal(counted(spectrum), 3)
