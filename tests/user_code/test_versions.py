"""Two versions of a user's file in one sweep: told apart, never averaged, and trained again as recorded."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch

import phasediag
from phasediag.analysis.finite_size import fit_collapse
from phasediag.analysis.strength import fit_strength
from phasediag.analysis.transition import transition_order
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.cli import main
from phasediag.errors import AnalysisError
from phasediag.running.tile_run import TileRun
from phasediag.sweeps.refine import refine
from phasediag.sweeps.rerun import Rerun, rerun
from phasediag.sweeps.rounds import Goal
from small_sweeps import launched, rewrite, write

NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 16):
        super().__init__()
        self.first = torch.nn.Linear(inputs, width)
        self.second = torch.nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(torch.{act}(self.first(x)))
"""
GRID = """
name: edited
fixed: {{task: teacher_student, inputs: 16, outputs: 1, samples: 64, test_samples: 32, model: "net.py:Net",
  batch_size: 0, {length}}}
axes: {{weight_decay: [0.01, 0.1, 1.0], learning_rate: [0.02, 0.05]}}
replicates: {replicates}
"""
inline = partial(phasediag.launch, executor="inline", compile="off")
Captured = pytest.CaptureFixture[str]


def grid(length: str = "steps: 20", replicates: int = 3) -> str:
    return GRID.format(length=length, replicates=replicates)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep launched with tanh, then with sin; the file says sin."""
    folder = tmp_path_factory.mktemp("edited")
    for act in ("tanh", "sin"):
        write(folder, NET.format(act=act), "net.py")
        launched(folder, grid())
    return folder / "edited"


def versions(sweep: Path) -> list[pd.DataFrame]:
    """The trials of each version, oldest first."""
    trials = phasediag.load_trials(sweep)
    groups = [group for _, group in trials.groupby("model_source")]
    return sorted(groups, key=lambda group: group["started_at"].max())


DRAW = partial(phasediag.phase_diagram, x="weight_decay", y="learning_rate", order="train_loss", level=0.2)


def test_a_diagram_takes_the_newest_and_says_so(edited: Path) -> None:
    trials = phasediag.load_trials(edited)
    assert len(trials) == 36
    with pytest.warns(
        VersionsWarning, match=r"2 versions .* taken is the newest, .*18 of .*--where model_source"
    ):
        diagram = DRAW(trials)
    assert (diagram.cells["replicates"] == 3).all()
    pd.testing.assert_frame_equal(diagram.cells, DRAW(versions(edited)[1]).cells)


def test_versions_that_are_asked_for_are_drawn_apart(edited: Path) -> None:
    diagram = DRAW(phasediag.load_trials(edited), facet="model_source")
    assert diagram.facets == ("model_source",)
    assert (diagram.cells["replicates"] == 3).all()


@pytest.mark.parametrize(
    "statistic",
    [
        lambda t: phasediag.fit_scaling(t, y="train_loss"), lambda t: fit_strength(t, y="train_loss"),
        lambda t: fit_collapse(t, y="train_loss"),
        lambda t: transition_order(t, "weight_decay", "learning_rate", "train_loss", 0.2),
        lambda t: DRAW(t),
    ],
)  # fmt: skip
def test_every_statistic_follows_the_rule(edited: Path, statistic: Any) -> None:
    """Whether the fit then succeeds is another question."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress(AnalysisError):
            statistic(phasediag.load_trials(edited))
    assert [w for w in caught if issubclass(w.category, VersionsWarning)]


def test_a_frame_that_cannot_tell_versions_apart_is_refused(edited: Path) -> None:
    names = ["weight_decay", "learning_rate", "replicate", "train_loss", "status"]
    with pytest.raises(AnalysisError, match="model_source to tell them apart; load these columns too"):
        DRAW(phasediag.load_trials(edited, columns=names))


def test_without_its_sweep_a_frame_goes_by_time(edited: Path) -> None:
    trials = phasediag.load_trials(edited)
    trials.attrs.clear()
    with pytest.warns(VersionsWarning):
        kept = newest(trials)
    assert set(kept["trial_id"]) == set(versions(edited)[1]["trial_id"])


def test_a_file_that_is_changed_back_is_the_newest_again(tmp_path: Path) -> None:
    for act in ("tanh", "sin", "tanh"):
        write(tmp_path, NET.format(act=act), "net.py")
        last = launched(tmp_path, grid(replicates=1))
    assert last.trained == 0
    with pytest.warns(VersionsWarning):
        kept = newest(phasediag.load_trials(tmp_path / "edited"))
    assert set(kept["trial_id"]) == set(versions(tmp_path / "edited")[0]["trial_id"])
    counts = phasediag.status(tmp_path / "edited")
    assert (counts.total, counts.done, counts.earlier) == (6, 6, 6)


LATE = """
    def unit_noise(self, generator, count):
        if 0 < generator.bit_generator.state["state"]["counter"][1] < 2**40:
            raise ArithmeticError("late")
        return super().unit_noise(generator, count)
"""
"""A fault that no dry step shows: it comes with the second block of fresh noise."""


def test_failed_trials_of_an_earlier_version_do_not_haunt_the_sweep(tmp_path: Path) -> None:
    task = "from phasediag.tasks.teacher_student import TeacherStudent\n\n\nclass Task(TeacherStudent):\n{}"
    text = grid("noise: fresh, steps: 300", replicates=1)
    text = text.replace("teacher_student", '"task.py:Task"').replace('"net.py:Net"', "mlp, width: 16")
    write(tmp_path, task.format(LATE), "task.py")
    assert launched(tmp_path, text).exit_code == 1
    assert phasediag.status(tmp_path / "edited").failed == 6
    write(tmp_path, task.format("    pass\n"), "task.py")
    assert launched(tmp_path, text).exit_code == 0
    counts = phasediag.status(tmp_path / "edited")
    assert (counts.total, counts.done, counts.failed, counts.missing, counts.earlier) == (6, 6, 0, 0, 6)


def command(*arguments: Any) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


DIAGRAM = ("--x", "weight_decay", "--y", "learning_rate", "--order", "train_loss", "--level", "0.2")


def test_commands_say_it_once_and_take_either(edited: Path, tmp_path: Path, capsys: Captured) -> None:
    out = ("--output", tmp_path / "d.png", "--json")
    assert command("diagram", edited, *DIAGRAM, *out) == 0
    said = capsys.readouterr()
    assert said.err.count("2 versions of its files") == 1
    assert len(json.loads(said.out)["notices"]) == 1
    old = versions(edited)[0]["model_source"].iloc[0][:8]
    assert command("diagram", edited, *DIAGRAM, *out, "--where", f"model_source={old}") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["notices"] == []
    assert "versions" not in said.err
    assert command("status", edited, "--json") == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["total"], answer["done"], answer["earlier"]) == (18, 18, 18)
    assert "18 trials belong to earlier versions" in said.err
    assert command("report", edited, "--output", tmp_path / "r.html") == 0
    assert "2 versions of its files" in (tmp_path / "r.html").read_text()
    assert capsys.readouterr().err.count("2 versions of its files") == 1
    write(tmp_path, NET.format(act="relu"), "net.py")
    assert command("plan", write(tmp_path, grid()), "--storage", edited.parent) == 0
    assert "the sweep holds 18 trials of" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", [("steps: 20", "steps: 30"), ("steps: 20", "learning_time: 2")])
def test_a_longer_launch_takes_the_place_of_the_shorter(tmp_path: Path, lengths: tuple[str, str]) -> None:
    write(tmp_path, NET.format(act="tanh"), "net.py")
    for length in lengths:
        launched(tmp_path, grid(length))
    trials = phasediag.load_trials(tmp_path / "edited")
    with pytest.warns(
        VersionsWarning, match="taken is the newest, .* left out are 18 of steps 20; --where steps=20"
    ):
        diagram = DRAW(trials)
    assert diagram.facets == ()
    assert (diagram.cells["replicates"] == 3).all()
    assert len(diagram.cells) == 6
    DRAW(trials[trials["steps"] == 20])
    assert DRAW(trials, facet="steps").facets == ("steps",)


def test_lengths_given_as_relaxations_are_told_apart_too(tmp_path: Path) -> None:
    write(tmp_path, NET.format(act="tanh"), "net.py")
    for relaxations in (0.05, 0.1):
        launched(tmp_path, grid(f"relaxations: {relaxations}"))
    trials = phasediag.load_trials(tmp_path / "edited")
    words = "newest, relaxations 0.1 .18 trials., left out are 18 of relaxations 0.05; launch them"
    with pytest.warns(VersionsWarning, match=words):
        diagram = DRAW(trials)
    assert (diagram.facets, len(diagram.cells)) == ((), 6)
    assert (diagram.cells["replicates"] == 3).all()


def test_an_axis_of_steps_stays_an_axis_and_other_regions_stay(tmp_path: Path) -> None:
    write(tmp_path, NET.format(act="tanh"), "net.py")
    launched(tmp_path, grid("init_scale: 1").replace("axes: {", "axes: {steps: [10, 20], "))
    diagram = DRAW(phasediag.load_trials(tmp_path / "edited"))
    assert diagram.facets == ("steps",)
    other = tmp_path / "other"
    write(other, NET.format(act="tanh"), "net.py")
    launched(other, grid("steps: 20"))
    launched(other, grid("steps: 40").replace("weight_decay: [0.01, 0.1, 1.0]", "weight_decay: [3.0]"))
    assert len(newest(phasediag.load_trials(other / "edited"))) == 24


def test_rerun_trains_the_stored_copy_of_either_version(
    edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(edited.parent)
    for number, rows in enumerate(versions(edited)):
        row = rows.iloc[0]
        again = rerun(edited, row["trial_id"], tmp_path / str(number))
        assert again.train_loss == pytest.approx(row["train_loss"], rel=1e-6)
        assert again.differs == ()
        assert (
            json.loads((tmp_path / str(number) / "trial.json").read_text())["model_source"]
            == row["model_source"]
        )
    monkeypatch.chdir(tmp_path)
    assert command("rerun", edited, versions(edited)[0]["trial_id"].iloc[0], "--save", tmp_path / "x") == 0
    assert "the same" in capsys.readouterr().err


def test_rerun_of_another_outcome_exits_1_and_tells_both(
    edited: Path, tmp_path: Path, capsys: Captured
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(edited, copy)
    rows = pd.read_parquet(next((copy / "trials").glob("*.parquet")))
    outcome = ["status", "steps_done", "train_loss", "test_loss"]
    for changed in ({"train_loss": rows["train_loss"] * 1.001}, {"steps_done": rows["steps_done"] + 1}, {}):
        rewrite(
            copy, lambda table, changed=changed: pa.Table.from_pandas(rows.assign(**changed), table.schema)
        )
        assert command("rerun", copy, rows["trial_id"].iloc[0], "--save", tmp_path / "x") == len(changed)
        err = capsys.readouterr().err
        assert f"the same in {', '.join(name for name in outcome if name not in changed)}\n" in err
        for name, values in changed.items():
            assert f", recorded {values.iloc[0]}: {name} DIFFER (both on cpu" in err


def test_a_rerun_compares_counts_exactly_and_numbers_as_far_as_they_are_known(tmp_path: Path) -> None:
    row = {
        "status": "ok", "steps_done": 9, "train_loss": 1.0, "test_loss": 2.0, "test_accuracy": None,
        "neuron_count": 3, "alive_count": None, "curved": 1.0, "device": "cpu", "torch_version": "2",
        "phasediag_version": "0",
    }  # fmt: skip

    def repeated(**recorded: object) -> Rerun:
        return Rerun(folder=tmp_path, row=row, recorded={**row, **recorded}, observables=("curved",))

    assert repeated().compared == (
        "status", "steps_done", "train_loss", "test_loss", "neuron_count", "curved"
    )  # fmt: skip
    assert repeated(train_loss=1 + 9e-5, curved=1.009).differs == ()
    assert repeated(train_loss=1 + 2e-4, curved=1.02).differs == ("train_loss", "curved")
    assert repeated(neuron_count=4, alive_count=1).differs == ("neuron_count", "alive_count")
    assert "neuron_count 3, recorded 4: neuron_count DIFFER (both on cpu" in str(repeated(neuron_count=4))
    assert "recorded on cpu, torch 1" in str(repeated(neuron_count=4, torch_version="1"))
    other = repeated(neuron_count=4, definitions=2)
    assert other.differs == ()
    assert "counts were recorded by other definitions and are not compared" in str(other)
    assert repeated(status="failed").compared == ()
    assert Rerun(folder=tmp_path, row=row, recorded=None).compared == ()


def test_rerun_trains_compiled_and_on_the_threads_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, NET.format(act="tanh"), "net.py")
    launched(tmp_path, grid(replicates=1), compile="on")
    trial = phasediag.load_trials(tmp_path / "edited").iloc[0]
    assert trial["compiled"]
    seen = []
    advance = TileRun.advance_to

    def noted(self: TileRun, step: int) -> None:
        seen.append((self.pack.compiled, torch.get_num_threads()))
        advance(self, step)

    monkeypatch.setattr(TileRun, "advance_to", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = rerun(tmp_path / "edited", trial["trial_id"], tmp_path / "x")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {(True, 1)}
    assert again.differs == ()


def test_a_stored_copy_that_was_edited_is_one_error(edited: Path, tmp_path: Path, capsys: Captured) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(edited, copy)
    for kept in (copy / "grids").glob("*/net.py"):
        kept.write_text("import nonesuch\n")
    assert command("rerun", copy, versions(edited)[0]["trial_id"].iloc[0], "--save", tmp_path / "x") == 2
    err = capsys.readouterr().err
    assert "net.py is damaged" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["copied", "renamed", "linked", "relative with a slash", "uri"])
def test_refine_grows_the_folder_that_is_given(
    edited: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweeps" / "backup"
    shutil.copytree(edited, folder)
    original = tmp_path / "sweeps" / "edited"
    if how == "copied":
        shutil.copytree(edited, original)
    given: str | Path = folder
    if how == "linked":
        given = tmp_path / "link"
        given.symlink_to(folder)
    elif how == "relative with a slash":
        monkeypatch.chdir(tmp_path)
        given = "sweeps/backup/"
    elif how == "uri":
        given = f"{folder.as_uri()}/"
    before = phasediag.status(folder)
    level = float(
        versions(edited)[1].groupby("weight_decay")["train_loss"].mean().sort_values().iloc[:2].mean()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionsWarning)
        goal = Goal(
            x="weight_decay", y="learning_rate", order="train_loss", level=level, resolution=0.6, budget=60,
            beyond=True,
        )  # fmt: skip
        refinement = refine(given, goal, train=inline)
    after = phasediag.status(folder)
    assert after.total - before.total == sum(done.added for done in refinement.rounds) > 0
    assert after.missing == 0
    assert after.earlier == before.earlier
    if how == "copied":
        assert phasediag.status(original) == before
    else:
        assert not original.exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["backup"] + ["edited"] * (
        how == "copied"
    )


def without_model_source(rows: pa.Table) -> pa.Table:
    at = rows.column_names.index("model_source")
    return rows.set_column(at, "model_source", pa.nulls(len(rows), pa.string()))


def test_trials_from_before_frozen_weights_were_kept_are_told(tmp_path: Path) -> None:
    """They have no `model_source`: plan and launch say that their numbers are of another network."""
    for name, freeze, warned in (
        ("plain", "pass", False),
        ("frozen", "self.first.requires_grad_(False)", True),
    ):
        folder = tmp_path / name
        write(
            folder,
            NET.format(act="tanh").replace("    def forward", f"        {freeze}\n\n    def forward"),
            "net.py",
        )
        launched(folder, grid())
        rewrite(folder / "edited", without_model_source)
        said: list[str] = []
        path = folder / "grid.yaml"
        phasediag.launch(path, folder, executor="inline", notify=said.append)
        words = [text for text in said if "18 trials were recorded by a phasediag that kept neither" in text]
        assert bool(words) is warned
        assert phasediag.plan(path, folder).survey.notices == tuple(words)
