"""What neurons contribute: those that do the same up to a factor are one, however the factor is shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import phasediag
from phasediag.models.mlp import MLP
from phasediag.observables.contributions import Contributions
from phasediag.theory.gaps import GAP, cut_at_gap, gap_counts
from small_sweeps import grid_text, launched
from trained_networks import specimen_of

LAYER = "hidden.1"


def normal(inputs: int) -> Tensor:
    """300 samples, always the same."""
    return torch.randn(300, inputs, generator=torch.Generator().manual_seed(2)).double()


def measured(incoming: Tensor, outgoing: Tensor, activation: str) -> np.ndarray:
    """The distances of a layer with neurons (width, inputs) and (width, outputs), on normal inputs."""
    (width, inputs), outputs = incoming.shape, outgoing.shape[1]
    module = MLP(inputs=inputs, outputs=outputs, depth=2, width=width, activation=activation)
    known = {"layers.0.weight": incoming.double(), "layers.1.weight": outgoing.T.double()}
    network, _ = specimen_of(module, LAYER, x=normal(inputs), known=known)
    return Contributions().measure(network).numpy()


def four_that_differ(inputs: int) -> tuple[Tensor, Tensor]:
    """Incoming weights (4, inputs), of a size that bends tanh, and outgoing ones (4, 1)."""
    if inputs == 1:
        incoming = torch.tensor([[0.8], [1.6], [3.2], [9.0]])
    else:
        turned, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
        incoming = 3 * turned
    return incoming, torch.tensor([[2.0], [1.5], [-1.0], [0.8]])


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_distances_are_those_of_the_definition(activation: str) -> None:
    """What is left of each contribution, samples by outputs, when its part along the other's ray is taken."""
    generator = torch.Generator().manual_seed(5)
    incoming, outgoing = torch.randn(9, 3, generator=generator), torch.randn(9, 2, generator=generator)
    incoming[4], outgoing[4] = 0.5 * incoming[3], 0.1 * outgoing[3]
    apply = {"tanh": torch.tanh, "relu": torch.relu, "linear": torch.clone}[activation]
    features = apply(normal(3) @ incoming.double().T)
    added = [
        np.outer(h, u).ravel() / np.sqrt(300) for h, u in zip(features.T, outgoing.double(), strict=True)
    ]

    def apart(of: np.ndarray, ray: np.ndarray) -> float:
        return float(np.linalg.norm(of - max(of @ ray, 0) * ray / (ray @ ray)))

    nearest, expected = [float(np.linalg.norm(each)) for each in added], []
    for _ in added:
        place = int(np.argmax(nearest))
        expected.append(nearest[place])
        nearest = [min(near, apart(each, added[place])) for near, each in zip(nearest, added, strict=True)]
    np.testing.assert_allclose(measured(incoming, outgoing, activation), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inputs", [1, 4])
@pytest.mark.parametrize("sizes", [np.geomspace(0.1, 1e-6, 20), np.full(20, 0.02), np.array([0.05])])
def test_nearly_linear_neurons_of_one_direction_are_one(inputs: int, sizes: np.ndarray) -> None:
    """Their weights may spread over decades without a gap: what they do is one linear map."""
    incoming, outgoing = four_that_differ(inputs)
    direction = torch.nn.functional.normalize(torch.arange(1.0, inputs + 1)[None], dim=1)
    size = torch.tensor(sizes, dtype=torch.float32)[:, None]
    size = torch.where(torch.arange(len(size))[:, None] % 2 == 0, size, -size)
    share = 0.3 * size / size.square().sum().sqrt()
    distances = measured(
        torch.cat([incoming, size * direction, torch.zeros(2, inputs)]),
        torch.cat([outgoing, share, torch.zeros(2, 1)]), "tanh",
    )  # fmt: skip
    assert (np.diff(distances) <= 0).all()
    cut = cut_at_gap(distances)
    assert (cut.above, cut.gap > GAP) == (5, True), distances


def test_it_is_what_a_neuron_adds_to_the_output() -> None:
    """The first distance is the largest contribution; one at right angles to all others comes whole."""
    incoming = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    distances = measured(incoming, torch.tensor([[2.0, 0.0], [0.0, 0.5]]), "tanh")
    sizes = torch.tanh(normal(2)).square().mean(dim=0).sqrt() * torch.tensor([2.0, 0.5])
    np.testing.assert_allclose(distances, sizes.numpy(), rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_copies_dead_neurons_and_width_change_nothing(activation: str) -> None:
    """Neurons twice with half of the outgoing weights, and dead ones: the same distances, then nothing."""
    incoming, outgoing = four_that_differ(4)
    few = measured(incoming, outgoing, activation)
    dead = torch.zeros(5, 4)
    many = measured(
        torch.cat([incoming, incoming, dead]), torch.cat([outgoing, outgoing, dead[:, :1]]) / 2, activation
    )
    np.testing.assert_allclose(many[:4], few / 2, rtol=1e-6)
    assert (many[4:] < 1e-6 * many[0]).all()


def test_the_two_signs_of_an_odd_neuron_are_one_and_opposite_contributions_two() -> None:
    incoming, outgoing = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [-1.0]])
    same = measured(incoming, outgoing, "tanh")
    assert same[1] < 1e-6 * same[0]
    against = measured(incoming, outgoing.abs(), "tanh")
    np.testing.assert_allclose(against[1], against[0], rtol=1e-12)


def test_relu_neurons_of_one_ray_are_one_however_they_are_split() -> None:
    generator = torch.Generator().manual_seed(3)
    incoming, outgoing = torch.randn(3, 5, generator=generator), torch.randn(3, 2, generator=generator)
    shares = torch.rand(4, 3, 1, generator=generator)
    distances = measured((incoming * shares).flatten(0, 1), (outgoing / shares).flatten(0, 1) / 4, "relu")
    cut = cut_at_gap(distances)
    assert cut.above == 3
    assert cut.gap > 1e4


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two widths of tanh networks at a decay under which a few neurons are left."""
    folder = tmp_path_factory.mktemp("contributions")
    fixed = {"activation": "tanh", "samples": 32, "test_samples": 64,
             "batch_size": 0, "learning_rate": 0.1, "momentum": 0.9, "steps": 400}  # fmt: skip
    measure = {"observables": ["classes", "contributions"], "distances": "last"}
    launched(
        folder,
        grid_text({"width": [8, 12], "weight_decay": [0.01, 0.3]}, fixed, replicates=2, measure=measure),
    )
    return folder / "g"


def test_a_sweep_records_it_and_the_gap_counts_it(sweep: Path) -> None:
    trials = phasediag.load_trials(sweep)
    rows = phasediag.load_measurements(sweep, observable="contributions", layer=LAYER, last=True)
    width = trials.set_index("trial_id")["width"]
    for row in rows.itertuples():
        assert len(row.distances) == width[row.trial_id]
        assert (np.diff(row.distances) <= 0).all()
    numbers = gap_counts(trials, rows)
    assert len(numbers) == len(trials)
    assert (numbers["neurons"] < numbers["trial_id"].map(width)).all()


def test_what_rounding_hides_makes_no_gap() -> None:
    """Copies are at the smallest distance that the precision tells, all of them at the same."""
    incoming, outgoing = four_that_differ(1)
    scale = torch.tensor([1.0, 1e-2, 1e-4])[:, None]
    distances = measured(incoming[:1].repeat(3, 1), outgoing[:1] * scale, "tanh")
    assert len(set(distances[1:])) == 1
    assert distances[1] > 0
