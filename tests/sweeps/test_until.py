"""`launch --until-converged`: the points that are not settled, for longer and longer, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import phasediag
from phasediag.analysis.lengths import points_of
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.errors import AnalysisError, PhasediagError
from phasediag.storage.launches import extension_of, launches_of, refines, trains_until_converged
from phasediag.storage.store import Store
from phasediag.sweeps.designs import longest_designs, read_designs
from phasediag.sweeps.extend import extend
from phasediag.sweeps.status import status
from phasediag.sweeps.sweep import Outcome
from phasediag.sweeps.undo import UNTIL_CONVERGED, undo
from phasediag.sweeps.until import LongerRound, TrainedOn, train_until_converged
from small_sweeps import assert_same_rows, grid_text, launched, measurements, rewrite, run_here, write

FIXED = {"steps": 6, "learning_rate": 0.1}
CHAIN = """\
name: g
fixed:
  {task: linear_map, inputs: 1, outputs: 1, singular_values: [1.0], samples: 4, test_samples: 1, model: mlp,
   depth: 2, width: 2, activation: linear, init: balanced, init_scale: 0.5, batch_size: 0, learning_rate: 0.2,
   steps: 10, dtype: float64}
axes:
  weight_decay: [0.5, 1.0, 1.5, 6.0]
replicates: 2
measure: {every: 10, distances: all}
resources: {trials_per_pack: 2}
"""
"""10 relaxations take 100, 50, 33 and 8 steps, and nothing else keeps these chains from their phases."""
INLINE = ("--executor", "inline", "--compile", "off")


def train(grid: Path, *, sweep: str) -> Outcome:
    return phasediag.launch(grid, sweep=sweep, executor="inline", compile="off")


def trained_on(sweep: Path, **options: Any) -> TrainedOn:
    return train_until_converged(sweep, **{"train": train, **options})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies of a sweep of four points with two replicates each."""
    folder = tmp_path_factory.mktemp("until")
    launched(folder, CHAIN)
    return lambda to: shutil.copytree(folder, to / "s") / "g"


@pytest.fixture
def swept(kept: Callable[[Path], Path], tmp_path: Path) -> Path:
    return kept(tmp_path)


@pytest.fixture(scope="module")
def finished(
    kept: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainedOn, list[LongerRound], pd.DataFrame]:
    """A sweep that was trained on, how that ended, what was told of its rounds, and the trials before."""
    sweep = kept(tmp_path_factory.mktemp("finished"))
    before, rounds = phasediag.load_trials(sweep), []
    return sweep, trained_on(sweep, most=8, on_round=rounds.append), rounds, before


Finished = tuple[Path, TrainedOn, list[LongerRound], pd.DataFrame]


def test_only_points_that_are_not_settled_are_trained_on_and_each_as_a_whole(finished: Finished) -> None:
    """Each length but the longest of a point is unsettled; the longest is settled, or the longest allowed."""
    sweep, done, rounds, before = finished
    trials = phasediag.load_trials(sweep)
    expected = {0.5: [1, 2, 4, 8], 1.0: [1, 2, 4, 8], 1.5: [1, 2, 4], 6.0: [1]}
    for decay, rows in trials.groupby("weight_decay"):
        lengths = dict(list(rows.groupby("steps")))
        assert list(lengths) == [10 * factor for factor in expected[decay]]
        assert all(sorted(part["replicate"]) == [0, 1] for part in lengths.values())
        *shorter, longest = lengths.values()
        assert all(not part["converged"].all() for part in shorter)
        assert longest["converged"].all() or longest["steps"].iloc[0] == 80
    assert (done.points, done.unsettled, done.failed, done.unknown) == (4, 1, 0, 0)
    assert (done.trained, done.exit_code, done.stopped) == (len(trials) - len(before), 0, "")
    assert [(r.number, r.factor, r.points, r.trials) for r in done.rounds] == [
        (1, 2, 3, 6), (2, 4, 3, 6), (3, 8, 2, 4)
    ]  # fmt: skip
    assert rounds[1::2] == list(done.rounds)
    assert all(r.moved is None and r.coming_s > 0 for r in rounds[::2])
    assert all(r.moved is not None and len(r.moved.pairs) == r.trials for r in done.rounds)
    assert status(sweep).unconverged == 2
    old = trials["trial_id"].isin(before["trial_id"])
    pd.testing.assert_frame_equal(trials[old].reset_index(drop=True), before)


def test_asked_again_it_goes_on_where_it_was(finished: Finished, tmp_path: Path) -> None:
    sweep = shutil.copytree(finished[0], tmp_path / "g")
    again = trained_on(sweep, most=16)
    assert [(r.factor, r.points) for r in again.rounds] == [(16, 1)]
    assert again.unsettled == 0
    assert trained_on(sweep, most=16).trained == 0
    assert (status(sweep).total, status(sweep).unconverged, status(sweep).more_steps) == (26, 0, None)


def test_a_longer_trial_passes_through_the_shorter_one(finished: Finished) -> None:
    swept = finished[0]
    trials = phasediag.load_trials(swept)
    rows = measurements(swept).to_pandas()
    rows = rows.merge(trials[["trial_id", "weight_decay", "replicate", "steps"]], on="trial_id")
    key = ["weight_decay", "replicate", "observable"]
    short, long = (
        rows[(rows["steps"] == steps) & (rows["step"] == 10)].set_index(key).sort_index()
        for steps in (10, 20)
    )
    assert 0 < len(long) < len(short)
    for one, other in zip(short.loc[long.index, "distances"], long["distances"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_take_the_longest_of_each_point(finished: Finished) -> None:
    swept = finished[0]
    with pytest.warns(VersionsWarning, match="taken are the longest, left out 16 shorter ones"):
        taken = newest(phasediag.load_trials(swept), ("weight_decay",))
    steps = taken.groupby("weight_decay")["steps"].unique().map(list).to_dict()
    assert steps == {0.5: [80], 1.0: [80], 1.5: [40], 6.0: [10]}
    assert len(np.unique(points_of(phasediag.load_trials(swept)))) == 4


@pytest.mark.parametrize(
    "cut", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_what_was_interrupted_goes_on_and_leaves_the_same_rows(
    finished: Finished, swept: Path, cut: int
) -> None:
    undisturbed, other = finished[0], swept
    calls: list[Path] = []

    def cut_off(grid: Path, *, sweep: str) -> Outcome:
        calls.append(grid)
        if len(calls) < cut:
            return train(grid, sweep=sweep)
        return phasediag.launch(
            grid, sweep=sweep, executor="inline", compile="off",
            observer=lambda watch: watch.ending.begin("test") if watch.trained else None,
        )  # fmt: skip

    stopped = trained_on(other, most=8, train=cut_off)
    assert stopped.stopped.startswith("drained: test; run the same command again")
    said: list[str] = []
    done = trained_on(other, most=8, notify=said.append)
    assert any("are not done: they come first" in sentence for sentence in said)
    assert stopped.trained + done.trained == 16
    assert_same_rows(undisturbed, other)
    names = [sorted(path.name for path in (s / "grids").glob("*.yaml")) for s in (undisturbed, other)]
    assert names[0] == names[1]


def test_a_replicate_that_is_not_settled_takes_all_of_its_point_along(swept: Path) -> None:
    """Also where the count of the one is asked for, and its phase stands."""
    rewrite(swept, lambda rows: _judged(rows, count=True))
    assert trained_on(swept, most=2).rounds == ()
    done = trained_on(swept, most=2, order="neuron_count")
    assert [(r.points, r.trials) for r in done.rounds] == [(1, 2)]


def _judged(rows: Any, *, count: bool) -> Any:
    import pyarrow as pa

    named = [rows[name].to_pylist() for name in ("weight_decay", "replicate")]
    late = [decay == 1.5 and replicate == 1 for decay, replicate in zip(*named, strict=True)]
    flags = {
        "converged": [True] * len(late),
        "count_converged": [not (one and count) for one in late],
        "unsettled": ["neuron_count" if one and count else "" for one in late],
    }
    for name, values in flags.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
    return rows


def test_undo_takes_all_rounds_back_and_no_extension(swept: Path) -> None:
    extend(swept, 2, train=train)
    before = phasediag.load_trials(swept)
    done = trained_on(swept, most=8)
    assert [r.factor for r in done.rounds] == [4, 8]
    undone = undo(swept, UNTIL_CONVERGED)
    assert str(undone).startswith(
        "taken back: the extension of what had not converged to at most 8 times the steps "
        f"(0003.yaml to 0004.yaml); {done.trained} trials of its own"
    )
    pd.testing.assert_frame_equal(phasediag.load_trials(swept), before)
    with pytest.raises(PhasediagError, match="was not trained until converged, so there is nothing"):
        undo(swept, UNTIL_CONVERGED)


def test_a_round_is_a_grid_of_listed_points_from_which_no_refinement_goes_on(swept: Path) -> None:
    trained_on(swept, most=2)
    store = Store.at(swept)
    _, (name, text) = store.grids()
    assert (extension_of(text), trains_until_converged(text), refines(text)) == (
        ("0001.yaml", 2),
        True,
        False,
    )
    content = YAML(typ="safe").load(text)
    assert content["points"] in store.grid_sources(name)
    assert content["fixed"]["steps"] == 20
    assert not {"axes", "zip", "exclude"} & set(content)
    designs = read_designs(store, swept.parent / "read")
    assert [design.name for design in longest_designs(designs)] == ["0001.yaml"]
    assert launches_of(store).factors == (2,)
    why = "of 0001.yaml: weight_decay by x, resolution 1"
    added = designs[0].extended([{"weight_decay": 0.7}], why, replicates=2)
    train(designs[0].written(swept.parent / "b", added), sweep=str(swept))
    done = trained_on(swept, most=2)
    assert [(r.factor, r.points, r.of) for r in done.rounds] == [(2, 1, 5)]
    assert refines(store.grids()[-1][1])
    assert launches_of(store).planned == {"weight_decay": (0.5, 1.0, 1.5, 6.0)}


@pytest.mark.parametrize(
    ("axes", "fixed", "top"),
    [
        ({"weight_decay": [0.5, 1.0], "steps": [9, 7]}, {}, {"zip": [["weight_decay", "steps"]]}),
        ({"weight_decay": [0.5], "lr_over_batch": "{values: [0.02, 0.01], hold: learning_rate}"}, {}, {}),
        ({"weight_decay": [0.5]}, {"steps": None, "learning_time": 2.0}, {}),
        ({"weight_decay": [0.5]}, {"steps": None, "relaxations": 3.0}, {}),
        ({"weight_decay": [0.5]}, {}, {"points": [{"weight_decay": 0.7}]}),
    ],
    ids=["zip", "hold", "learning_time", "relaxations", "points"],
)
def test_every_way_to_write_a_grid_is_trained_on_as_an_extension_trains_it(
    tmp_path: Path, axes: dict[str, Any], fixed: dict[str, Any], top: dict[str, Any]
) -> None:
    """The trials of a round are those of the extension of the whole grid: nothing is left to train."""
    given = {name: value for name, value in {**FIXED, **fixed}.items() if value is not None}
    if "lr_over_batch" in axes:
        given = {**given, "batch_size": None}
        text = "\n".join(
            line for line in grid_text(axes, given, **top).split("\n") if "batch_size:" not in line
        )
    else:
        text = grid_text(axes, given, **top)
    launched(tmp_path, text)
    done = trained_on(tmp_path / "g", most=2)
    assert done.trained == status(tmp_path / "g").total / 2 > 0
    assert extend(tmp_path / "g", 2, train=train).trained == 0


def test_a_grid_is_launched_first_and_only_its_points_are_trained_on(swept: Path) -> None:
    text = CHAIN.replace("[0.5, 1.0, 1.5, 6.0]", "[1.2, 5.0]").replace("replicates: 2", "replicates: 1")
    done = trained_on(write(swept.parent, text, "other.yaml"), most=2, storage=str(swept.parent))
    assert (done.trained, done.points, done.unsettled) == (3, 2, 1)
    trials = phasediag.load_trials(swept)
    assert sorted(trials.loc[trials["steps"] == 20, "weight_decay"]) == [1.2]


def test_points_whose_longer_trials_fail_are_told_of_and_not_asked_for_again(swept: Path) -> None:
    def failing(grid: Path, *, sweep: str) -> Outcome:
        outcome = train(grid, sweep=sweep)
        rewrite(swept, lambda rows: _failed(rows, steps=20, decay=0.5))
        return outcome

    done = trained_on(swept, most=4, train=failing)
    assert (done.unsettled, done.failed) == (2, 1)
    assert [(r.factor, r.points) for r in done.rounds] == [(2, 3), (4, 2)]


def _failed(rows: Any, *, steps: int, decay: float) -> Any:
    import pyarrow as pa

    at = rows.schema.get_field_index("status")
    named = ("status", "steps", "weight_decay")
    values = [
        "failed" if (s, d) == (steps, decay) else status
        for status, s, d in zip(*(rows[name].to_pylist() for name in named), strict=True)
    ]
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (grid_text({"steps": [10, 20]}, FIXED), {}, r"0001\.yaml has steps as an axis of its own"),
        (grid_text({"weight_decay": [1.0]}, FIXED), {"most": 1}, "--most 1 is not allowed"),
        (grid_text({"weight_decay": [1.0]}, FIXED), {"order": "neurons"}, "no column 'neurons'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    launched(tmp_path, text)
    with pytest.raises((PhasediagError, AnalysisError), match=message):
        trained_on(tmp_path / "g", **options)
    assert len(Store.at(tmp_path / "g").grids()) == 1


def test_the_command_tells_before_and_after_and_takes_back(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_here(capsys, "launch", swept, "--until-converged", "--most", "8", *INLINE)
    assert (code, out.strip()) == (0, str(swept))
    before = "round 1: 3 of 4 points are not settled; their 6 trials are trained to 2 times their first steps"
    assert before in err
    assert "round 1: of 6 trials " in err
    assert "1 of 4 points are not settled in degree_normalized; 1 of them were trained to 8 times" in err
    assert "oundary" in err.splitlines()[-1]
    code, out, err = run_here(capsys, "launch", swept, "--until-converged", "--undo")
    assert (code, out.strip(), status(swept).total) == (0, str(swept), 8)
    assert "extension of what had not converged to at most 8 times the steps" in err
    assert run_here(capsys, "launch", swept, "--until-converged", "--extend", "2")[0] == 2
    assert run_here(capsys, "launch", swept, "--until-converged", "--set", "steps=3")[0] == 2
