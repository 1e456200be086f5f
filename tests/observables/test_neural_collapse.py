"""Neural collapse against its formulas, on features whose numbers are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import phasediag
from phasediag.analysis.gram_matrices import gram_matrix
from phasediag.models.mlp import MLP
from phasediag.observables.class_correlation import ClassCorrelation
from phasediag.observables.class_gap import ClassGap
from phasediag.observables.feature_spectrum import FeatureSpectrum
from phasediag.observables.neural_collapse import NeuralCollapse
from phasediag.observables.specimen import Specimen
from phasediag.observables.training_error import TrainingError
from small_sweeps import launched
from trained_networks import specimen_of

CLASSES, WIDTH = 4, 9


def labelled(spread: float, counts: tuple[int, ...] = (30, 30, 30, 30), classes: int = CLASSES) -> Specimen:
    """A linear layer on inputs around one centre a class; the classes in turn."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(len(counts), 7, generator=generator).double()
    label = torch.cat([torch.full((count,), c) for c, count in enumerate(counts)])
    label = label[torch.randperm(len(label), generator=generator)]
    x = centres[label] + spread * torch.randn(len(label), 7, generator=generator).double()
    y = torch.eye(max(CLASSES, len(counts))).double()[label]
    module = MLP(inputs=7, outputs=y.shape[1], depth=2, width=WIDTH, activation="linear")
    return specimen_of(module, "hidden.1", classes=classes, x=x, y=y)[0]


@pytest.mark.parametrize("counts", [(30, 30, 30, 30), (50, 20, 7, 11)])
def test_nc1_is_the_trace_of_its_definition(counts: tuple[int, ...]) -> None:
    network = labelled(0.5, counts)
    x, y = network.training_set
    h, label = network.features_of(x)[:, 0].numpy(), y.argmax(1).numpy()
    means = np.stack([h[label == c].mean(0) for c in range(CLASSES)])
    within = (h - means[label]).T @ (h - means[label]) / len(h)
    shares = np.array(counts) / len(h)
    between = (means - h.mean(0)).T @ np.diag(shares) @ (means - h.mean(0))
    nc1, share = NeuralCollapse().measure(network).tolist()
    assert nc1 == pytest.approx(np.trace(within @ np.linalg.pinv(between, rcond=1e-8)) / CLASSES, rel=1e-9)
    np.testing.assert_allclose(within + between, np.cov(h.T, bias=True), atol=1e-12)
    assert share == pytest.approx(np.trace(within) / np.trace(within + between))


def test_collapsed_features_are_flat_blocks_with_a_gap() -> None:
    sharp, wide = labelled(1e-5), labelled(1.0)
    assert NeuralCollapse().measure(sharp)[0] < 1e-8 < 1e-2 < NeuralCollapse().measure(wide)[0]
    assert ClassGap().measure(sharp)[0] > 1e6
    assert ClassGap().measure(wide)[0] < 30
    blocks = gram_matrix(ClassCorrelation().measure(sharp).numpy())
    assert blocks.shape == (10 * CLASSES, 10 * CLASSES)
    np.testing.assert_allclose(blocks, np.repeat(np.repeat(blocks[::10, ::10], 10, 0), 10, 1), atol=1e-4)
    within, between = ClassCorrelation().numbers(ClassCorrelation().measure(sharp).numpy())
    assert within == pytest.approx(1, abs=1e-8)
    assert between < 0


def test_the_spectrum_is_that_of_the_covariance() -> None:
    network = labelled(0.7)
    h = network.features_of(network.training_set[0])[:, 0].numpy()
    values = FeatureSpectrum().measure(network).numpy()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(np.cov(h.T, bias=True))[::-1], atol=1e-10)
    (dimension,) = FeatureSpectrum().numbers(values)
    assert dimension == pytest.approx(values.sum() ** 2 / (values**2).sum())
    assert float(ClassGap().measure(network)[0]) == pytest.approx(values[CLASSES - 2] / values[CLASSES - 1])
    few = labelled(0.7, counts=(1, 1, 1, 2))
    np.testing.assert_allclose(FeatureSpectrum().measure(few).numpy()[-1], 0, atol=1e-12)
    assert np.isnan(FeatureSpectrum().numbers(np.zeros(3))[0])


@pytest.mark.parametrize("wrong", [0, 7])
def test_the_training_error_is_the_share_that_is_misclassified(wrong: int) -> None:
    """Labels are those that the network gives, some of them moved to the next class."""
    network = labelled(0.7)
    assert network.data is not None
    x, _ = network.training_set
    label = network.predict(x).argmax(1)
    label[:wrong] = (label[:wrong] + 1) % CLASSES
    targets = torch.eye(CLASSES).double()[label]
    relabelled = replace(network, data=replace(network.data, training_set=lambda: (x, targets)))
    assert TrainingError().measure(relabelled).tolist() == [wrong / len(x)]


def test_a_class_with_few_samples_leaves_the_others_known() -> None:
    network = labelled(0.5, counts=(20, 20, 3, 0))
    measured = ClassCorrelation().measure(network).numpy()
    known = np.isfinite(np.diag(gram_matrix(measured)))
    assert known.reshape(CLASSES, 10).sum(axis=1).tolist() == [10, 10, 3, 0]
    assert np.isfinite(ClassCorrelation().numbers(measured)).all()
    assert torch.isfinite(NeuralCollapse().measure(network)).all()


def test_without_classes_nothing_of_them_is_known() -> None:
    network = labelled(0.5, classes=0)
    for observable in (NeuralCollapse(), ClassGap(), ClassCorrelation(), TrainingError()):
        assert torch.isnan(observable.measure(network)).all()
    assert torch.isfinite(FeatureSpectrum().measure(network)).all()


def test_they_are_columns_and_lists_of_a_sweep(tmp_path: Path) -> None:
    names = ["neural_collapse", "class_gap", "class_correlation", "feature_spectrum", "training_error"]
    asked = [{"observable": name, "layer": f"hidden.{n}"} for name in names for n in (1, 2)]
    grid = {
        "name": "g", "replicates": 2, "axes": {"weight_decay": [0.0, 0.01]},
        "fixed": {"task": "digits", "samples": 150, "width": 16, "depth": 3, "steps": 40},
        "measure": {"observables": asked, "layer": "hidden.2", "every": 20, "distances": "all"},
    }  # fmt: skip
    launched(tmp_path, json.dumps(grid))
    trials = phasediag.load_trials(tmp_path / "g")
    columns = [
        "nc1",
        "within_class_share",
        "class_gap",
        "correlation_within",
        "feature_dimension",
        "training_error",
    ]
    assert np.isfinite(trials[columns].to_numpy(float)).all()
    rows = phasediag.load_measurements(tmp_path / "g", observable="neural_collapse")
    assert sorted(rows["step"].unique()) == [0, 20, 40]
    assert sorted(rows["layer"].unique()) == ["hidden.1", "hidden.2"]
    lists = phasediag.load_measurements(tmp_path / "g", observable="class_correlation", last=True)
    assert set(lists["distances"].map(len)) == {5050}
