"""`task: my_data.npz`: arrays of a file are data, checked before anything is recorded."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.numpy import load_file

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import Grid, read_grid
from phasediag.registry import component
from phasediag.sweeps.rerun import rerun
from phasediag.trial import Streams

DOCS = Path(__file__).parents[2] / "docs" / "own-data.md"
X = np.arange(120, dtype=np.float64).reshape(20, 2, 3) / 100
NUMBERS = np.linspace(-1, 1, 20)
LABELS = np.arange(20) % 3 * 5 - 1
SPLIT = {"samples": 12, "test_samples": 8}


def grid_file(folder: Path, axes: dict[str, Any] | None = None, **fixed: Any) -> Path:
    text = io.StringIO()
    values = {"task": "data.npz", "batch_size": 4, "steps": 6, **fixed}
    YAML(typ="safe").dump({"name": "own", "fixed": values, "axes": axes or {}, "replicates": 2}, text)
    (folder / "grid.yaml").write_text(text.getvalue())
    return folder / "grid.yaml"


def grid_of(folder: Path, arrays: dict[str, Any], **fixed: Any) -> Grid:
    np.savez(folder / "data.npz", **arrays)
    return read_grid(grid_file(folder, **fixed))


def task_in(folder: Path, seed: int = 5, **values: Any) -> Any:
    cls = component("task", "data.npz", folder).cls
    return cls({"input_scale": 1.0, "batch_size": 4, **SPLIT, **values}, Streams(seed))


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, grid = re.findall(r"```(?:python|yaml)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    exec(code, {})
    (tmp_path / "moons.yaml").write_text(grid)
    outcome = phasediag.launch("moons.yaml", "sweeps", executor="inline", compile="off")
    assert (outcome.exit_code, outcome.status.ok) == (0, 12)
    trials = phasediag.load_trials("sweeps/moons")
    assert trials["test_accuracy"].between(0.3, 1).all()
    assert trials["task_source"].nunique() == 1
    for name in re.findall(r"^\| `(\w+)`", DOCS.read_text(), re.MULTILINE):
        assert name in {"x", "y", "x_test"} or name in component("task", "moons.npz", tmp_path).parameters


def test_both_sets_are_parts_of_the_file_and_share_no_sample(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=NUMBERS)
    one, again, other = (task_in(tmp_path, seed) for seed in (5, 5, 6))
    (x, y), (x_test, y_test) = one.train_set(), one.test_set()
    assert x.dtype == y.dtype == torch.float64
    rows = torch.cat([y, y_test])[:, 0]
    assert sorted(rows.tolist()) == NUMBERS.tolist()
    order = [int(np.flatnonzero(np.isclose(NUMBERS, value))[0]) for value in rows.tolist()]
    assert torch.equal(torch.cat([x, x_test]), torch.from_numpy(X.reshape(20, 6)[order]))
    assert torch.equal(x, again.train_set()[0])
    assert not torch.equal(x, other.train_set()[0])
    assert torch.equal(task_in(tmp_path, input_scale=2.0).train_set()[0], 2 * x)


def test_a_test_set_of_the_file_is_taken_as_it_is(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"x": X, "y": NUMBERS, "x_test": X[:3], "y_test": NUMBERS[:3]})
    assert "test_samples" not in grid.parameters
    assert set(grid.trials().values("samples")) == {20}
    task = task_in(tmp_path, samples=20)
    assert torch.equal(task.test_set()[0], torch.from_numpy(X[:3].reshape(3, 6)))


@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(np.uint8), LABELS[:, None], LABELS > 0])
def test_whole_numbers_are_classes(tmp_path: Path, labels: Any) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=labels)
    component_class = component("task", "data.npz", tmp_path)
    known = np.unique(labels)
    assert component_class.classes == len(known)
    assert component_class.cls.sizes({}) == (6, len(known))
    x, y = task_in(tmp_path).train_set()
    rows = [int(np.flatnonzero((X.reshape(20, 6) == row.numpy()).all(axis=1))[0]) for row in x]
    assert known[y.argmax(dim=1).numpy()].tolist() == labels.reshape(-1)[rows].tolist()
    assert (y.sum(dim=1) == 1).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": NUMBERS}, "no array 'x'"),
        ({"x": X}, "no array 'y'"),
        ({"x": X, "y": NUMBERS, "x_test": X}, "no array 'y_test'"),
        ({"x": X, "y": NUMBERS, "Xtest": X}, "'Xtest'"),
        ({"x": X, "y": NUMBERS[:7]}, "20 samples in x and 7 targets in y"),
        ({"x": X, "y": NUMBERS, "x_test": X[:4], "y_test": NUMBERS[:3]}, "4 samples in x_test"),
        ({"x": X, "y": NUMBERS, "x_test": X[:, :1], "y_test": NUMBERS}, "(1, 3) in x_test"),
        ({"x": X, "y": NUMBERS, "x_test": X, "y_test": X[:, 0]}, "(3,) in y_test"),
        ({"x": np.where(X.max() == X, np.nan, X), "y": NUMBERS}, "x[19] is not finite"),
        ({"x": X, "y": np.where(NUMBERS == 1, np.inf, NUMBERS)}, "y[19] is not finite"),
        ({"x": X.astype(str), "y": NUMBERS}, "give real numbers"),
        ({"x": X.astype(complex), "y": NUMBERS}, "give real numbers"),
        ({"x": X.astype(object), "y": NUMBERS}, "Python objects"),
        ({"x": X[:0], "y": NUMBERS[:0]}, "shape (0, 2, 3)"),
        ({"x": np.array(1.0), "y": NUMBERS}, "one row for each sample"),
        ({"x": X, "y": np.eye(20, dtype=int)}, "one label for each sample"),
        ({"x": X, "y": np.ones(20, dtype=int)}, "one class alone"),
        ({"x": X, "y": LABELS, "x_test": X, "y_test": NUMBERS}, "whole numbers in both"),
    ],
)
def test_faults_of_a_file_are_one_sentence_each(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    path = grid_file(tmp_path, **SPLIT)
    with pytest.raises(PhasediagError, match=re.escape(message)) as refused:
        phasediag.plan(path, str(tmp_path / "sweeps"))
    text = str(refused.value)
    assert (refused.value.exit_code, text.count("grid.yaml:"), text.count("data.npz")) >= (2, 1, 1)
    assert len(text.splitlines()) == 1
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 cut off"])
def test_what_is_no_file_of_arrays_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(PhasediagError, match=r"data\.npz cannot be read as arrays"):
        read_grid(grid_file(tmp_path, **SPLIT))
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(PhasediagError, match="one array without a name"):
        read_grid(grid_file(tmp_path, **SPLIT))


def test_a_split_is_explicit_and_fits(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=NUMBERS)
    with pytest.raises(PhasediagError, match="'test_samples' has no value"):
        read_grid(grid_file(tmp_path, samples=12))
    with pytest.raises(PhasediagError, match="15 samples and 8 for the test set are more than the 20"):
        read_grid(grid_file(tmp_path, samples=15, test_samples=8))
    with pytest.raises(PhasediagError, match="does not exist"):
        read_grid(grid_file(tmp_path, task="dat.npz", **SPLIT))


def test_another_content_is_another_trial(tmp_path: Path) -> None:
    first = grid_of(tmp_path, {"x": X, "y": NUMBERS}, **SPLIT).trials().trial_id
    again = grid_of(tmp_path, {"x": X, "y": NUMBERS}, **SPLIT).trials().trial_id
    other = grid_of(tmp_path, {"x": X, "y": 2 * NUMBERS}, **SPLIT).trials().trial_id
    assert first.tolist() == again.tolist()
    assert not {*first} & {*other}


def test_a_sweep_keeps_the_file_and_trains_a_users_network_on_it(tmp_path: Path) -> None:
    """The dry step of the network takes samples of the file; a rerun finds the copy when the file is gone."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self, inputs, outputs):\n"
        "        first, last = nn.Linear(inputs, 5), nn.Linear(5, outputs)\n"
        "        super().__init__(first, nn.BatchNorm1d(5), nn.Tanh(), last)\n"
    )
    np.savez(tmp_path / "data.npz", x=X, y=LABELS)
    path = grid_file(tmp_path, {"label_noise": [0.0, 0.3]}, model="net.py:Net", **SPLIT)
    outcome = phasediag.launch(path, str(tmp_path / "sweeps"), executor="inline", compile="off")
    assert (outcome.exit_code, outcome.status.ok) == (0, 4), outcome.first_error
    (tmp_path / "data.npz").unlink()
    (tmp_path / "net.py").unlink()
    sweep = tmp_path / "sweeps" / "own"
    trial = phasediag.load_trials(str(sweep))["trial_id"].iloc[0]
    assert not rerun(sweep, trial, tmp_path / "again").differs
    weights = load_file(tmp_path / "again" / "weights.safetensors")
    assert int(weights["1.num_batches_tracked"]) == 6
    assert weights["1.running_mean"].any()


def test_classes_of_a_file_are_learned_by_cross_entropy(tmp_path: Path) -> None:
    """Three Gaussian clouds, 6 standard deviations apart: the best rule errs on 0.3 % of samples.

    Chance is right on 33 of 99 test samples with standard deviation 4.7; each of the 3 replicates must be
    right on 90 (12 deviations above), and cross entropy be below log 3, that of equal shares.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    centres = 6 * np.stack([np.cos(2 * np.pi * labels / 3), np.sin(2 * np.pi * labels / 3)], axis=1) / 3**0.5
    np.savez(tmp_path / "data.npz", x=centres + generator.standard_normal((300, 2)), y=10 * labels)
    path = grid_file(
        tmp_path, {"learning_rate": [0.1]}, loss="cross_entropy", samples=200, test_samples=99, width=8,
        activation="relu", bias=True, batch_size=20, steps=200,
    )  # fmt: skip
    path.write_text(path.read_text().replace("replicates: 2", "replicates: 3"))
    assert phasediag.launch(path, str(tmp_path / "sweeps"), executor="inline", compile="off").exit_code == 0
    trials = phasediag.load_trials(tmp_path / "sweeps" / "own")
    assert len(trials) == 3
    assert (trials["test_accuracy"] >= 90 / 99).all(), trials["test_accuracy"].tolist()
    assert (trials["train_loss"] < np.log(3)).all()


def test_numbers_beyond_the_trials_precision_are_said(tmp_path: Path) -> None:
    """1e300 is infinite in float32: it is no divergence, and no fault of linear algebra."""
    np.savez(tmp_path / "data.npz", x=np.where(X.max() == X, 1e300, X), y=NUMBERS)
    outcome = phasediag.launch(grid_file(tmp_path, **SPLIT), str(tmp_path), executor="inline", compile="off")
    trials = phasediag.load_trials(outcome.sweep)
    assert set(trials["status"]) == {"failed"}
    assert (
        trials["error"]
        .str.contains("data.npz gives inputs or targets that are not finite in torch.float32")
        .all()
    )
