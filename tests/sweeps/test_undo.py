"""The way back from a refinement: the sweep is as before, and nothing that was trained is lost."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import phasediag
from phasediag.cli import main
from phasediag.errors import LeaseHeldError, PhasediagError
from phasediag.storage import aside
from phasediag.storage.launches import MARK
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from phasediag.sweeps.refine import Refinement, refine
from phasediag.sweeps.rounds import Goal
from phasediag.sweeps.undo import REFINEMENT, Undone, last_refinement, undo
from small_sweeps import assert_same_rows, launched, trials

Captured = pytest.CaptureFixture[str]
FIXED = {
    "task": "linear_map", "inputs": 1, "outputs": 1, "singular_values": "[1.0]", "samples": 4, "data_seed": 0,
    "test_samples": 1, "model": "mlp", "depth": 2, "width": 1, "activation": "linear", "init": "balanced",
    "init_scale": 0.5, "batch_size": 0, "learning_rate": 0.05, "steps": 50, "dtype": "float64",
}  # fmt: skip
AXES = {
    "weight_decay": "{logspace: [0.1, 10], num: 4}", "learning_rate": "{linspace: [0.02, 0.08], num: 3}",
}  # fmt: skip
inline = partial(phasediag.launch, executor="inline", compile="off")


def grid(axes: dict[str, str] = AXES) -> str:
    lines = ["name: chain", "fixed:", *(f"  {n}: {v}" for n, v in FIXED.items() if n not in axes)]
    return "\n".join([*lines, "axes:", *(f"  {n}: {v}" for n, v in axes.items())]) + "\n"


def refined(sweep: Path, **options: Any) -> Refinement:
    wish = {"order": "train_loss", "level": 0.25, "resolution": 0.2, **options}
    return refine(sweep, Goal(x="weight_decay", y="learning_rate", **wish), train=inline)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep as it was launched (`before`), and refined (`after`)."""
    folder = tmp_path_factory.mktemp("kept")
    launched(folder / "before", grid())
    shutil.copytree(folder / "before", folder / "after")
    assert len(refined(folder / "after" / "chain").rounds) > 2, "several rounds are one refinement"
    return folder


@pytest.fixture
def before(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept / "before", tmp_path / "before") / "chain"


@pytest.fixture
def sweep(kept: Path, tmp_path: Path) -> Path:
    """A sweep that was refined."""
    return shutil.copytree(kept / "after", tmp_path / "after") / "chain"


def set_aside(undone: Undone, kind: str = "trials") -> set[str]:
    return set(pq.read_table(Path(undone.place) / f"{kind}.parquet")["trial_id"].to_pylist())


@pytest.mark.parametrize("compactions", [0, 1, 2])
def test_a_sweep_is_as_before_its_refinement(compactions: int, before: Path, sweep: Path) -> None:
    """Whether its rows lie in fragments, in merged files, or in both until the next compaction."""
    for _ in range(compactions):
        Store.at(sweep).compact()
    added = set(trials(sweep).index) - set(trials(before).index)
    undone = undo(sweep, REFINEMENT)
    assert undone.trials == len(added) > 0
    assert undone.kept == 0
    assert undone.asked == "weight_decay by learning_rate, train_loss at 0.25, resolution 0.2"
    assert_same_rows(before, sweep)
    assert phasediag.status(sweep) == phasediag.status(before)
    assert sorted(os.listdir(sweep / "grids")) == sorted(os.listdir(before / "grids"))
    assert set_aside(undone) == added
    assert set_aside(undone, "measurements") <= added
    kept = sorted(path.name for path in (Path(undone.place) / "grids").glob("*.yaml"))
    assert tuple(kept) == undone.grids
    Store.at(sweep).compact()
    assert_same_rows(before, sweep)
    assert launched(sweep.parent, grid()).trained == 0
    assert refined(sweep).rounds[-1].spent == len(added), "it can be refined again"


def test_only_the_last_one_is_taken_back_and_each_in_its_turn(before: Path, sweep: Path) -> None:
    plain = set(trials(before).index)
    once = set(trials(sweep).index)
    refined(sweep, resolution=0.1)
    twice = set(trials(sweep).index)
    assert plain < once < twice
    second = undo(sweep, REFINEMENT)
    assert second.asked.endswith("resolution 0.1")
    assert set(trials(sweep).index) == once
    assert set_aside(second) == twice - once
    undo(sweep, REFINEMENT)
    assert set(trials(sweep).index) == plain
    with pytest.raises(PhasediagError, match="was not refined"):
        undo(sweep, REFINEMENT)


def test_trials_that_another_grid_asks_for_stay(sweep: Path) -> None:
    one = phasediag.load_trials(sweep).sort_values("started_at").iloc[-1]
    axes = {name: f"[{float(one[name])!r}]" for name in AXES}
    assert launched(sweep.parent, grid(axes)).trained == 0
    undone = undo(sweep, REFINEMENT)
    assert undone.kept == 1
    left = set(trials(sweep).index)
    assert one["trial_id"] in left
    assert one["trial_id"] not in set_aside(undone)
    assert len(left) == 13
    assert phasediag.status(sweep).missing == 0


def test_a_dry_run_says_what_would_be_taken_back(sweep: Path) -> None:
    files = sorted(path for path in sweep.rglob("*") if path.is_file())
    would = undo(sweep, REFINEMENT, dry_run=True)
    assert str(would).startswith("would be taken back: the refinement of weight_decay by learning_rate")
    assert sorted(path for path in sweep.rglob("*") if path.is_file()) == files
    done = undo(sweep, REFINEMENT)
    assert (done.trials, done.grids) == (would.trials, would.grids)


def test_nothing_is_taken_back_while_a_launch_runs(sweep: Path) -> None:
    before = set(trials(sweep).index)
    with take(Store.at(sweep)), pytest.raises(LeaseHeldError, match="is held by"):
        undo(sweep, REFINEMENT)
    assert set(trials(sweep).index) == before


@pytest.mark.parametrize("write", range(1, 5))
def test_an_undo_that_is_cut_off_loses_nothing_and_is_finished_by_the_next(
    write: int, before: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, every = set(trials(before).index), set(trials(sweep).index)
    replace, calls = aside._replace, []

    def cut_off(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == write:
            raise KeyboardInterrupt
        replace(*arguments)

    monkeypatch.setattr(aside, "_replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        undo(sweep, REFINEMENT)
    monkeypatch.setattr(aside, "_replace", replace)
    undone = undo(sweep, REFINEMENT)
    assert len(undone.grids) > 1
    assert set(trials(sweep).index) == plain
    moved: set[str] = set()
    for path in (sweep / aside.ASIDE).rglob("trials.parquet"):
        moved |= set(pq.read_table(path)["trial_id"].to_pylist())
    assert moved == every - plain


def test_rounds_of_one_refinement_belong_together() -> None:
    one, other = f"{MARK} of 0001.yaml: a by b, l at 1\n", f"{MARK} of 0001.yaml: a by c, l at 1\n"
    beside = f"{MARK} of 0002.yaml: a by b, l at 1\n"
    plain = "name: g\n"
    texts = (plain, one, other, one, plain, beside)
    named = [(f"000{number}", text) for number, text in enumerate(texts, start=1)]
    assert last_refinement(named) == ["0004", "0006"]
    assert last_refinement(named[:3]) == ["0003"]
    assert last_refinement(named[:1]) == []


def test_the_command_takes_back_and_says_so(sweep: Path, capsys: Captured) -> None:
    capsys.readouterr()
    main(["refine", str(sweep), "--undo", "--json"])
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err.startswith("taken back: the refinement of weight_decay by learning_rate")
    assert f"{answer['trials']:,} trials of its own are kept in {answer['place']}" in err
    assert phasediag.status(sweep).total == 12


@pytest.mark.parametrize("options", ["--undo --x width", "--undo --y width", "--x width", ""])
def test_the_command_wants_axes_or_undo(options: str, tmp_path: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["refine", str(tmp_path), *options.split()])
    assert ended.value.code == 2
    assert "--" in capsys.readouterr().err
