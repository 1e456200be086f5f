"""An observable of the user's, as `docs/own-observable.md` has it: recorded, drawn, rerun, edited."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import phasediag
from phasediag.analysis.declared_columns import about
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.commands.filling import planned_of, view_of
from phasediag.commands.results import diagram
from phasediag.errors import GridError, PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.storage.store import Store
from phasediag.sweeps.refine import refine
from phasediag.sweeps.rerun import rerun
from phasediag.sweeps.rounds import Goal
from phasediag.sweeps.status import rosters
from small_sweeps import grid_text, launched, write

PAGE = (Path(__file__).parents[2] / "docs" / "own-observable.md").read_text()
FILE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
_, BUILT_IN, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
GRID = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
assert FILE is not None
assert GRID is not None

HEAD = """
import torch
from phasediag.columns import Column
from phasediag.observables.observable import DistanceObservable, NumberObservable, SpectrumObservable
"""
SHORT = {"steps": 6, "test_samples": 16}


def test_the_page_is_true(tmp_path: Path) -> None:
    """Recorded, drawn by its name, launched again, edited."""
    assert len(FILE[1].splitlines()) <= 30
    write(tmp_path, FILE[1], "curvature.py")
    grid = write(tmp_path, GRID[1])
    outcome = phasediag.launch(grid, str(tmp_path / "sweeps"), executor="inline")
    assert (outcome.status.ok, outcome.first_error) == (27, "")
    sweep = tmp_path / "sweeps" / "curved"
    trials = phasediag.load_trials(sweep)
    assert trials["curvature"].notna().all()
    assert about(trials, "curvature").label == "curvature along the gradient"
    history = phasediag.load_measurements(sweep, observable="curvature.py:Curvature")
    last = history.sort_values("step").groupby("trial_id").last()["distances"].str[0]
    np.testing.assert_allclose(last[trials["trial_id"]], trials["curvature"])
    figure = tmp_path / "diagram.png"
    words = f"{sweep} --x weight_decay --y init_scale --order curvature --level 0.5 --output {figure}"
    assert CliRunner().invoke(diagram, words.split(), catch_exceptions=False).exit_code == 0
    assert figure.stat().st_size > 1000

    def again(**options: bool) -> int:
        return phasediag.launch(grid, str(tmp_path / "sweeps"), executor="inline", **options).trained

    assert again() == 0
    write(tmp_path, FILE[1].replace("along / square", "2 * along / square"), "curvature.py")
    with pytest.raises(PhasediagError, match=r"27 committed .* for this version of \S+ \(its .* --remeasure"):
        again()
    assert again(remeasure=True) == 27
    twice = phasediag.load_trials(sweep).set_index("trial_id")["curvature"]
    np.testing.assert_allclose(twice[trials["trial_id"]], 2 * trials["curvature"], rtol=1e-3)


def test_the_page_s_built_in_one_counts_directions(tmp_path: Path) -> None:
    """Against the eigenvalues of the covariance, of a saved network; and null where there are no features."""
    write(tmp_path, BUILT_IN, "participation.py")
    asked = {"observables": ["participation.py:Participation"]}
    launched(tmp_path, grid_text({"init_scale": [0.1, 1.0]}, {**SHORT, "dtype": "float64"}, measure=asked))
    recorded = phasediag.load_trials(tmp_path / "g").set_index("trial_id")["participation"]
    for trial, ratio in recorded.items():
        again = rerun(tmp_path / "g", str(trial), tmp_path / str(trial))
        assert again.row["participation"] == ratio
    values: dict[str, Any] = {}
    exec(BUILT_IN, values)
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double() @ torch.diag(
        torch.tensor([3.0, 2.0, 1.0, 0.1, 0.0, 0.0], dtype=torch.float64)
    )
    given = SimpleNamespace(has_features=True, features=lambda: features, probe=features)
    eigenvalues = np.linalg.eigvalsh(np.cov(features.numpy().T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    measure = values["Participation"]().measure
    assert measure(given).tolist() == pytest.approx([expected])
    given.has_features = False
    assert measure(given).isnan().all()


def test_a_number_of_one_network_is_that_of_plain_pytorch(tmp_path: Path) -> None:
    """The doc's curvature against the dense Hessian; and in company as alone (law 1)."""
    write(tmp_path, FILE[1], "curvature.py")
    text = grid_text(
        {"weight_decay": [0.0, 0.1]}, {**SHORT, "width": 16, "dtype": "float64", "label_noise": 0.3},
        replicates=2, measure={"observables": ["curvature.py:Curvature"]}, keep="",
    ).replace("keep: \n", "")  # fmt: skip
    launched(tmp_path, text)
    together = phasediag.load_trials(tmp_path / "g")
    (tmp_path / "alone").mkdir()
    write(tmp_path / "alone", FILE[1], "curvature.py")
    launched(tmp_path / "alone", text.replace("[0.0, 0.1]", "[0.1]"))
    alone = phasediag.load_trials(tmp_path / "alone" / "g").set_index("trial_id")
    shared = together.set_index("trial_id").loc[alone.index]
    np.testing.assert_array_equal(shared["curvature"], alone["curvature"])
    assert together["curvature"].nunique() == 4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("class Mine: pass", "is no observable; derive it from"),
        ("class Mine(NumberObservable): pass", "lacks measure"),
        ("class Mine(NumberObservable):\n    def measure(self, network): return network.loss()[None]",
         "declares no columns"),
        ("class Mine(NumberObservable):\n    columns = (Column(name='rank', meaning='.'),)\n"
         "    def measure(self, network): return network.loss()[None]", "one of phasediag's"),
        ("class Other: pass", "has no class 'Mine'; it has"),
        ("def", "cannot be imported"),
    ],
)  # fmt: skip
def test_a_faulty_class_is_refused_with_its_line_before_anything_runs(
    tmp_path: Path, body: str, words: str
) -> None:
    write(tmp_path, HEAD + body, "obs.py")
    path = write(tmp_path, grid_text({"weight_decay": [0.1]}, measure={"observables": ["obs.py:Mine"]}))
    with pytest.raises(GridError, match=re.escape(words)) as error:
        read_grid(path)
    assert re.search(r"grid\.yaml:\d+: measure\.observables\[0\]", str(error.value))


NUMBER = "class Mine(NumberObservable):\n    columns = (Column(name='mine', meaning='.'),)\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (NUMBER + "    def measure(self, network): return network.loss()", "not a list of numbers"),
        (NUMBER + "    def measure(self, network): return torch.zeros(3)", "gives 3 numbers and declares 1"),
        (NUMBER + "    def measure(self, network): return torch.rand(1)", "leave random numbers out"),
        (NUMBER + "    def measure(self, network): return network.nothing", "obs.py:7"),
        (NUMBER + "    calls = []\n"
         "    def measure(self, network):\n        self.calls.append(1)\n        return network.loss()[None]",
         "keeps 'Mine.calls"),
        (NUMBER + "    start = None\n    def measure(self, network):\n"
         "        first = network.raw.incoming.detach()\n"
         "        self.start = first if self.start is None else self.start\n"
         "        return (first - self.start).norm()[None]", "keeps 'start'"),
        (NUMBER + "    def measure(self, network): return network.loss()[None] if network.loss() > 0 else 0",
         "torch.where"),
        ("class Mine(DistanceObservable):\n"
         "    def measure(self, network): return -network.raw.incoming.norm(dim=1)", "negative"),
        ("class Mine(SpectrumObservable):\n    columns = (Column(name='mine', meaning='.'),)\n"
         "    def measure(self, network): return network.raw.incoming[0]\n"
         "    def numbers(self, measured): return measured", "numbers and declares 1"),
        (NUMBER.replace("'mine'", "'width'") + "    def measure(self, network): return network.loss()[None]",
         "is a parameter"),
    ],
)  # fmt: skip
def test_one_measurement_is_tried_before_anything_is_recorded(tmp_path: Path, body: str, words: str) -> None:
    write(tmp_path, HEAD + body, "obs.py")
    grid = grid_text({"weight_decay": [0.1, 0.2]}, SHORT, measure={"observables": ["obs.py:Mine"]})
    with pytest.raises(PhasediagError, match=re.escape(words)) as error:
        launched(tmp_path, grid)
    assert "obs.py" in str(error.value)
    assert "Traceback" not in str(error.value)
    assert not (tmp_path / "g" / "trials").exists()


def test_distances_of_the_users_are_counted_at_any_threshold(tmp_path: Path) -> None:
    """Stored once; read at another threshold, as the same grid launched there counts them."""
    body = (
        "class Mine(DistanceObservable):\n    counts = 'above'\n    of_symmetry = False\n"
        "    def measure(self, network): return network.neurons.vectors.norm(dim=1)"
    )
    cut = {"absolute": 2.5, "relative": 0.0}
    frames = {}
    for name, threshold in (("one", {"absolute": 1e-3, "relative": 0.05}), ("two", cut)):
        write(tmp_path, HEAD + body, "obs.py")
        launched(tmp_path, grid_text({"weight_decay": [0.0, 0.1]}, SHORT, name=name,
                 measure={"observables": ["obs.py:Mine"], "threshold": threshold}))  # fmt: skip
        frames[name] = tmp_path / name
    (tmp_path / "obs.py").unlink()  # the sweep keeps what it rests on
    again = phasediag.load_measurements(frames["one"], "obs.py:Mine", last=True, threshold=cut)
    there = phasediag.load_measurements(frames["two"], "obs.py:Mine", last=True)
    assert again["degree"].tolist() == there["degree"].tolist()
    assert again["degree"].nunique() > 0
    assert (again["degree"] < 16).any()
    assert again["degree_per_neuron"].isna().all()


def test_a_spectrum_is_stored_and_its_numbers_derived(tmp_path: Path) -> None:
    body = (
        "class Mine(SpectrumObservable):\n    columns = (Column(name='widest', meaning='.', level=2.0),)\n"
        "    def measure(self, network): return torch.linalg.svdvals(network.features())\n"
        "    def numbers(self, measured): return [measured.max()]"
    )
    write(tmp_path, HEAD + body, "obs.py")
    launched(tmp_path, grid_text({"weight_decay": [0.0, 0.1]}, SHORT,
             measure={"observables": ["obs.py:Mine"]}))  # fmt: skip
    trials = phasediag.load_trials(tmp_path / "g").set_index("trial_id")
    rows = phasediag.load_measurements(tmp_path / "g", "obs.py:Mine", last=True).set_index("trial_id")
    np.testing.assert_allclose(rows["distances"].str[0][trials.index], trials["widest"])
    assert set(rows["distances"].map(len)) == {16}
    assert about(trials, "widest").level == 2.0


def test_whatever_draws_a_boundary_takes_the_level_that_an_observable_declares(tmp_path: Path) -> None:
    """Refinements, pilots, watches and live diagrams took 0.5 for whatever was the user's own."""
    body = (
        "class Mine(NumberObservable):\n    columns = (Column(name='size', meaning='.', level=4.0,\n"
        "               below='small', above='large'),)\n"
        "    def measure(self, network): return network.neurons.vectors.norm()[None]"
    )
    write(tmp_path, HEAD + body, "obs.py")
    launched(tmp_path, grid_text({"init_scale": [0.25, 1.0], "weight_decay": [0.1, 0.2]}, SHORT,
             measure={"observables": ["obs.py:Mine"]}))  # fmt: skip
    sweep = tmp_path / "g"
    trials = phasediag.load_trials(sweep)
    made, at_half = (
        phasediag.phase_diagram(trials, "init_scale", "weight_decay", "size", **level)
        for level in ({}, {"level": 0.5})
    )
    assert made.boundary["position"].notna().all()
    assert at_half.boundary["position"].isna().all()
    goal = Goal(x="init_scale", y="weight_decay", order="size", dry_run=True)
    refinement = refine(sweep, goal)
    assert refinement.boundary["position"].tolist() == made.boundary["position"].tolist()
    assert refinement.rounds[0].cells == 1
    store = Store.at(sweep)
    planned = planned_of([roster for _, roster in rosters(store, None)], None, None)
    view = view_of(store, planned, "size")
    assert (view.level, view.phases) == (4.0, ("small", "large"))


def test_no_statistic_averages_over_two_versions_of_an_observable(tmp_path: Path) -> None:
    """Two grids of one sweep, the file edited between: the newer measurements are taken, and that is said."""
    body = NUMBER + "    def measure(self, network): return network.loss()[None]"
    for version, axis in enumerate(([0.1, 0.2], [0.3, 0.4])):
        write(tmp_path, f"{HEAD}{body}\n# version {version}", "obs.py")
        launched(tmp_path, grid_text({"weight_decay": axis}, SHORT, measure={"observables": ["obs.py:Mine"]}))
    words = r"obs.py:Mine: 2 versions of its files have measured these trials \(2 by \w{8} and 2 by \w{8}\)"
    with pytest.warns(VersionsWarning, match=words):
        trials = phasediag.load_trials(tmp_path / "g")
    with pytest.warns(VersionsWarning, match=words):
        assert len(phasediag.load_trials(tmp_path / "g", columns=["weight_decay", "mine"])) == 4
    with pytest.warns(VersionsWarning, match=words):
        phasediag.load_measurements(tmp_path / "g", "obs.py:Mine")
    with pytest.warns(VersionsWarning, match="obs.py:Mine: 2 versions of its files .* 2 trials are left out"):
        taken = newest(trials, ["weight_decay", "mine"])
    assert sorted(taken["weight_decay"]) == [0.3, 0.4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(newest(trials, ["weight_decay", "degree_normalized"])) == 4
        phasediag.load_trials(tmp_path / "g", columns=["degree_normalized"])
        phasediag.load_measurements(tmp_path / "g", "permutation")


def test_other_observables_of_a_grid_make_no_version_of_one(tmp_path: Path) -> None:
    """One grid measures one, the next this one and another: nothing has changed, and nothing is left out."""
    one = NUMBER + "    def measure(self, network): return network.loss()[None]\n"
    other = one.replace("Mine", "Other").replace("'mine'", "'other'")
    write(tmp_path, HEAD + one, "one.py")
    write(tmp_path, HEAD + other, "two.py")
    for axis, asked in (([0.1, 0.2], ["one.py:Mine"]), ([0.3, 0.4], ["one.py:Mine", "two.py:Other"])):
        launched(tmp_path, grid_text({"weight_decay": axis}, SHORT, measure={"observables": asked}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trials = phasediag.load_trials(tmp_path / "g")
        assert len(newest(trials, ["weight_decay", "mine"])) == 4


def test_features_are_what_the_next_layer_is_given(tmp_path: Path) -> None:
    body = NUMBER + (
        "    def measure(self, network):\n"
        "        expected = torch.tanh(network.probe @ network.raw.incoming.T)\n"
        "        return (network.features() - expected).abs().max()[None]"
    )
    write(tmp_path, HEAD + body, "obs.py")
    launched(tmp_path, grid_text({"weight_decay": [0.1]}, {**SHORT, "activation": "tanh", "dtype": "float64"},
             measure={"observables": ["obs.py:Mine"]}))  # fmt: skip
    assert (phasediag.load_trials(tmp_path / "g")["mine"] < 1e-12).all()


def test_a_rerun_measures_by_the_version_that_measured_last(tmp_path: Path) -> None:
    """The number of an observable is compared, and the file that the first launch kept does not count."""
    for factor in (1, 2):
        body = NUMBER + f"    def measure(self, network): return {factor} * network.loss()[None]"
        write(tmp_path, HEAD + body, "obs.py")
        text = grid_text({"weight_decay": [0.1]}, SHORT, measure={"observables": ["obs.py:Mine"]})
        launched(tmp_path, text, remeasure=factor == 2)
    trial = phasediag.load_trials(tmp_path / "g").iloc[0]
    again = rerun(tmp_path / "g", trial["trial_id"], tmp_path / "again")
    assert "mine" in again.compared
    assert again.differs == ()
    assert again.row["mine"] == pytest.approx(trial["mine"])
