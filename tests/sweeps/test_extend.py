"""`launch --extend`: the same trials for longer, what statistics take then, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import phasediag
from phasediag.analysis.extension import extension, known_extension
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.errors import PhasediagError
from phasediag.storage.launches import extension_of, refines
from phasediag.storage.store import Store
from phasediag.sweeps.designs import longest_designs, read_designs
from phasediag.sweeps.extend import extend, extended_text
from phasediag.sweeps.status import status
from phasediag.sweeps.sweep import Outcome
from phasediag.sweeps.undo import EXTENSION, REFINEMENT, undo
from small_sweeps import grid_text, launched, measurements, run_here, write

FIXED = {"steps": 40, "learning_rate": 0.1}
DECAYS = {"weight_decay": [0.5, 1.0]}


def train(grid: Path, *, sweep: str) -> Outcome:
    return phasediag.launch(grid, sweep=sweep, executor="inline", compile="off")


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    launched(tmp_path, grid_text(DECAYS, FIXED, replicates=2, measure={"every": 40, "distances": "all"}))
    return tmp_path / "g"


def longer_text(folder: Path, text: str, factor: float = 2.0) -> dict:
    """The content of the extension of a grid, as YAML reads it."""
    launched(folder, text, max_failures=1)
    (design,) = read_designs(Store.at(folder / "g"), folder / "read")
    text = extended_text(design, factor)
    assert extension_of(text) == ("0001.yaml", factor)
    return YAML(typ="safe").load(text)


def test_an_extension_trains_the_same_trials_on_and_nothing_twice(swept: Path) -> None:
    before = phasediag.load_trials(swept)
    done = extend(swept, 2, train=train)
    assert (done.trained, done.exit_code, done.stopped, done.notes) == (4, 0, "", ())
    again = extend(swept, 2, train=train)
    assert again.trained == 0
    trials = phasediag.load_trials(swept)
    assert sorted(trials["steps"]) == [40] * 4 + [80] * 4
    assert status(swept).total == 8
    pd.testing.assert_frame_equal(trials[trials["steps"] == 40].reset_index(drop=True), before)
    rows = measurements(swept).to_pandas()
    rows = rows.merge(trials[["trial_id", "weight_decay", "replicate", "steps"]], on="trial_id")
    key = ["weight_decay", "replicate", "observable"]
    short, long = (
        rows[(rows["steps"] == steps) & (rows["step"] == 40)].set_index(key).sort_index()
        for steps in (40, 80)
    )
    assert len(short) == len(long) > 0
    for one, other in zip(short["distances"], long["distances"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_take_the_longest_and_say_so(swept: Path) -> None:
    extend(swept, 2, train=train)
    extend(swept, 4, train=train)
    trials = phasediag.load_trials(swept)
    with pytest.warns(VersionsWarning, match="taken are the longest, left out 8 shorter ones"):
        taken = newest(trials, ("weight_decay",))
    assert taken["steps"].tolist() == [160] * 4
    assert len(newest(trials, ("weight_decay", "steps"))) == 12
    moved = extension(trials)
    assert moved.factors == (2, 4)
    assert moved.pairs["longest"].tolist() == [160] * 4


def test_a_point_whose_extension_is_not_complete_keeps_its_length(swept: Path) -> None:
    extend(swept, 2, train=train)
    trials = phasediag.load_trials(swept)
    last = trials.index[(trials["steps"] == 80) & (trials["weight_decay"] == 1.0)][0]
    with pytest.warns(VersionsWarning, match="1 longer trials of points whose extension is not complete"):
        taken = newest(trials.drop(index=last), ("weight_decay",))
    assert taken.groupby("weight_decay")["steps"].unique().map(list).to_dict() == {0.5: [80], 1.0: [40]}
    assert len(taken) == 4


def test_undo_takes_the_last_extension_back(swept: Path) -> None:
    before = phasediag.load_trials(swept)
    extend(swept, 2, train=train)
    middle = phasediag.load_trials(swept)
    extend(swept, 4, train=train)
    undone = undo(swept, EXTENSION)
    assert str(undone).startswith(
        "taken back: the extension to 4 times the steps (0003.yaml); 4 trials of its own"
    )
    pd.testing.assert_frame_equal(phasediag.load_trials(swept), middle)
    undo(swept, EXTENSION)
    pd.testing.assert_frame_equal(phasediag.load_trials(swept), before)
    with pytest.raises(PhasediagError, match="was not extended, so there is nothing to take back"):
        undo(swept, EXTENSION)
    assert known_extension(phasediag.load_trials(swept)) is None


def test_a_refinement_goes_on_from_the_longer_trials_and_is_taken_back_first(swept: Path) -> None:
    store = Store.at(swept)
    extend(swept, 2, train=train)
    (design,) = longest_designs(read_designs(store, swept.parent / "a"))
    assert (design.name, set(design.trials.values("steps"))) == ("0002.yaml", {80})
    why = f"of {design.name}: weight_decay by x, resolution 1"
    added = design.extended([{"weight_decay": 0.7}], why, replicates=2)
    train(design.written(swept.parent / "b", added), sweep=str(swept))
    with pytest.raises(PhasediagError, match=r"0003.yaml adds to 0002.yaml.*take that back first.*refine"):
        undo(swept, EXTENSION)
    assert extend(swept, 2, train=train).trained == 0
    assert extend(swept, 4, train=train).trained == 6
    grids = dict(store.grids())
    assert [extension_of(text) for text in grids.values()] == [
        None, ("0001.yaml", 2), None, ("0001.yaml", 4), ("0003.yaml", 2)
    ]  # fmt: skip
    assert [refines(text) for text in grids.values()] == [False, False, True, False, True]
    with pytest.raises(PhasediagError, match=r"0005.yaml adds to 0003.yaml.*--extend 2 --undo"):
        undo(swept, REFINEMENT)


def test_lengths_that_go_with_another_axis_are_lengthened_with_it(tmp_path: Path) -> None:
    axes = {"weight_decay": [0.5, 1.0], "steps": [30, 21]}
    content = longer_text(tmp_path, grid_text(axes, FIXED, zip=[["weight_decay", "steps"]]), 1.5)
    assert content["axes"]["steps"] == [45, 32]
    extend(tmp_path / "g", 1.5, train=train)
    trials = phasediag.load_trials(tmp_path / "g")
    with pytest.warns(VersionsWarning, match="left out 2 shorter ones"):
        taken = newest(trials, ("weight_decay",))
    assert sorted(taken["steps"]) == [32, 45]


@pytest.mark.parametrize(
    ("axes", "fixed", "where", "expected"),
    [
        ({"weight_decay": [0.5]}, {"steps": None, "learning_time": 2.0}, "learning_time", 4.0),
        ({"weight_decay": [0.5]}, {"steps": None, "relaxations": 3.0}, "relaxations", 6.0),
    ],
)
def test_other_ways_to_say_how_long_are_lengthened_too(
    tmp_path: Path, axes: dict, fixed: dict, where: str, expected: float
) -> None:
    given = {name: value for name, value in {**FIXED, **fixed}.items() if value is not None}
    assert longer_text(tmp_path, grid_text(axes, given))["fixed"][where] == expected
    extend(tmp_path / "g", 2, train=train)
    trials = phasediag.load_trials(tmp_path / "g")
    assert len(trials) == 2
    assert len(extension(trials).pairs) == 1
    with pytest.warns(VersionsWarning, match="--extend"):
        assert len(newest(trials)) == 1


def test_a_length_that_is_an_axis_of_its_own_is_refused(tmp_path: Path) -> None:
    launched(tmp_path, grid_text({"steps": [10, 20]}, FIXED))
    with pytest.raises(PhasediagError, match=r"0001\.yaml has steps as an axis of its own"):
        extend(tmp_path / "g", 2, train=train)
    assert len(Store.at(tmp_path / "g").grids()) == 1


def test_a_schedule_that_follows_the_length_is_told_of(tmp_path: Path) -> None:
    launched(tmp_path, grid_text({"weight_decay": [0.5]}, {**FIXED, "schedule": "cosine"}))
    notices: list[str] = []
    done = extend(tmp_path / "g", 2, train=train, notify=notices.append)
    assert done.notes == tuple(notices)
    assert notices[0].startswith("the schedule cosine follows the length of training")


@pytest.mark.parametrize(("given", "message"), [(1, "above 1"), (float("nan"), "above 1")])
def test_a_factor_that_lengthens_nothing_is_refused(swept: Path, given: float, message: str) -> None:
    with pytest.raises(PhasediagError, match=message):
        extend(swept, given, train=train)


INLINE = ("--executor", "inline", "--compile", "off")


def test_the_command_extends_tells_and_takes_back(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_here(capsys, "launch", swept, "--extend", "2", *INLINE)
    assert (code, out.strip()) == (0, str(swept))
    assert "4 trials were trained again, to 2 times their steps." in err
    shown = json.loads(run_here(capsys, "status", swept, "--json")[1])["extension"]
    assert (shown["trials"], shown["factors"], shown["order"]) == (4, [2.0], "degree_normalized")
    page = swept.parent / "report.html"
    run_here(capsys, "report", swept, "--output", page)
    assert "Trained for longer" in page.read_text()
    assert "planned trials are missing" not in page.read_text()
    code, out, err = run_here(capsys, "launch", swept, "--extend", "2", "--undo")
    assert (code, out.strip()) == (0, str(swept))
    assert "the extension to 2 times the steps" in err
    assert "extension" not in json.loads(run_here(capsys, "status", swept, "--json")[1])


def test_the_command_takes_a_grid_that_was_launched(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--storage", swept.parent, *INLINE)
    code, _, _ = run_here(capsys, "launch", swept.parent / "grid.yaml", "--extend", "3", *options)
    assert (code, status(swept).total) == (0, 8)
    other = write(swept.parent, grid_text({"weight_decay": [2.0]}, FIXED), "other.yaml")
    code, _, err = run_here(capsys, "launch", other, "--extend", "3", *options)
    assert code == 2
    assert "was not launched as it stands" in err
    assert run_here(capsys, "launch", swept, "--undo")[0] == 2
    assert run_here(capsys, "launch", swept, "--extend", "0.5", *options)[0] == 2
