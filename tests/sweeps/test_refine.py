"""Refinement through real launches: what is added, what a killed one leaves, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import phasediag
from phasediag.analysis.versions import VersionsWarning
from phasediag.cli import main
from phasediag.errors import PhasediagError
from phasediag.sweeps.refine import refine
from phasediag.sweeps.rounds import Goal, Refinement
from phasediag.sweeps.sweep import Outcome
from phasediag.sweeps.undo import REFINEMENT, undo
from small_sweeps import assert_same_rows, command, ended, fragments, launched, pack_workers, run

Captured = pytest.CaptureFixture[str]
FIXED = {
    "task": "linear_map", "inputs": 1, "outputs": 1, "singular_values": "[1.0]", "samples": 4, "data_seed": 0,
    "test_samples": 1, "model": "mlp", "depth": 2, "width": 1, "activation": "linear", "init": "balanced",
    "init_scale": 0.5, "batch_size": 0, "learning_rate": 0.05, "steps": 200, "dtype": "float64",
}  # fmt: skip
"""A chain that decay shrinks: its loss is (weight_decay / 2)^2 up to 1, sooner where the rate is high."""
AXES = {
    "weight_decay": "{logspace: [0.1, 10], num: 4}", "learning_rate": "{linspace: [0.02, 0.08], num: 3}",
}  # fmt: skip
LEVEL = 0.25
inline = partial(phasediag.launch, executor="inline", compile="off")


def grid(axes: dict[str, str] = AXES, **top: Any) -> str:
    lines = ["name: chain", "fixed:", *(f"  {n}: {v}" for n, v in FIXED.items() if n not in axes)]
    lines += ["axes:", *(f"  {n}: {v}" for n, v in axes.items())]
    return "\n".join([*lines, *(f"{n}: {v}" for n, v in top.items())]) + "\n"


def refined(sweep: Path, **options: Any) -> Refinement:
    """A refinement by the fields of its goal; `train`, `select` and `on_round` are those of `refine`."""
    how = {name: options.pop(name) for name in ("train", "select", "on_round") if name in options}
    wish = {"y": "learning_rate", "order": "train_loss", "level": LEVEL, "resolution": 0.26, **options}
    return refine(sweep, Goal(x="weight_decay", **wish), **{"train": inline, **how})


def test_the_boundary_is_found_where_it_is_and_a_second_refinement_adds_nothing(tmp_path: Path) -> None:
    launched(tmp_path, grid(replicates=2))
    refinement = refined(tmp_path / "chain", resolution=0.1)
    assert (refinement.exit_code, refinement.stopped) == (0, "")
    sizes = [(done.size_x, done.size_y) for done in refinement.rounds]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes[-1]) <= 0.1 * 1.001
    np.testing.assert_allclose(refinement.boundary["position"], 1.0, rtol=0.02)
    status = phasediag.status(tmp_path / "chain")
    assert (status.missing, status.failed) == (0, 0)
    assert refinement.rounds[-1].spent == status.total - 24 == sum(done.added for done in refinement.rounds)
    assert refinement.rounds[-1].trials == status.total < 0.6 * refinement.rounds[-1].dense
    trials = phasediag.load_trials(tmp_path / "chain")
    assert (trials.groupby("point_id")["replicate"].nunique() == 2).all()
    again = refined(tmp_path / "chain", resolution=0.1)
    assert [done.added for done in again.rounds] == [0]
    assert phasediag.status(tmp_path / "chain").total == status.total


def test_a_design_from_a_file_is_refined_like_its_axes(tmp_path: Path) -> None:
    decays, rates = np.geomspace(0.1, 10, 4), np.linspace(0.02, 0.08, 3)
    points = pd.MultiIndex.from_product([decays, rates], names=list(AXES)).to_frame(index=False)
    points.to_parquet(tmp_path / "points.parquet")
    lines = ["name: chain", "fixed:", *(f"  {n}: {v}" for n, v in FIXED.items() if n not in AXES)]
    launched(tmp_path, "\n".join([*lines, "points: points.parquet", "replicates: 2"]) + "\n")
    refinement = refined(tmp_path / "chain")
    assert refinement.rounds[-1].spent > 0
    np.testing.assert_allclose(refinement.boundary["position"], 1.0, rtol=0.1)


def test_every_slice_is_refined_for_itself_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    axes = {"weight_decay": AXES["weight_decay"], "width": "[1, 3]", "init_scale": "[0.4, 0.5]"}
    launched(tmp_path, grid(axes))
    refined(tmp_path / "chain", y="width")
    trials = phasediag.load_trials(tmp_path / "chain")
    assert set(trials["width"]) == {1, 2, 3}
    added = trials.groupby("init_scale")["weight_decay"].nunique()
    assert (added > 4).all()
    only = refined(tmp_path / "chain", y="width", resolution=0.13, select=lambda t: t[t["init_scale"] == 0.4])
    assert only.rounds[-1].spent > 0
    more = phasediag.load_trials(tmp_path / "chain").groupby("init_scale")["weight_decay"].nunique()
    assert more[0.5] == added[0.5]
    assert more[0.4] > added[0.4]


def test_a_round_that_exceeds_the_budget_is_not_begun(tmp_path: Path) -> None:
    launched(tmp_path, grid())
    first = refined(tmp_path / "chain", budget=12, explore=0.0)
    assert 0 < first.rounds[-1].spent <= 12 < first.rounds[-1].spent + first.rounds[-1].coming
    assert "--budget" in first.stopped
    assert phasediag.status(tmp_path / "chain").total == 12 + first.rounds[-1].spent
    second = refined(tmp_path / "chain", budget=first.rounds[-1].spent, explore=0.0)
    assert second.rounds[-1].added == 0, "the budget counts what earlier refinements spent"


def test_points_that_the_grid_excludes_are_asked_once(tmp_path: Path) -> None:
    launched(tmp_path, grid(exclude='["weight_decay > 0.9 and weight_decay < 1.5 and learning_rate < 0.03"]'))
    refinement = refined(tmp_path / "chain", resolution=0.1)
    assert refinement.rounds[-1].coming == 0
    trials = phasediag.load_trials(tmp_path / "chain")
    assert not trials.eval("weight_decay > 0.9 and weight_decay < 1.5 and learning_rate < 0.03").any()


def test_a_drained_round_ends_the_refinement_and_the_next_one_finishes_it_first(tmp_path: Path) -> None:
    launched(tmp_path, grid())
    asked: list[str] = []

    def drained(grid: Path, *, sweep: str) -> Outcome:
        asked.append(grid.read_text())
        return inline(grid, sweep=sweep, time_limit_s=1e-6)

    first = refined(tmp_path / "chain", train=drained)
    assert first.exit_code == 130
    assert "again" in first.stopped
    assert len(asked) == 1
    second = refined(tmp_path / "chain")
    assert second.exit_code == 0
    assert phasediag.status(tmp_path / "chain").missing == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"y": "learning_rat"}, "did you mean 'learning_rate'?"),
        ({"y": "weight_decay"}, "both 'weight_decay'"),
        ({"y": "steps"}, "do not vary 'steps' themselves"),
        ({"resolution": 0.0}, "--resolution 0 is not allowed"),
        ({"order": "los"}, "no column 'los'"),
    ],
)
def test_what_cannot_be_refined_is_told(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    launched(tmp_path, grid())
    with pytest.raises(PhasediagError, match=said.replace("?", r"\?")):
        refined(tmp_path / "chain", **options)


def test_zipped_axes_have_no_values_between_theirs(tmp_path: Path) -> None:
    axes = {**AXES, "init_scale": "[0.3, 0.4, 0.5]"}
    launched(tmp_path, grid(axes, zip="[[learning_rate, init_scale]]"))
    with pytest.raises(PhasediagError, match="zips learning_rate, init_scale"):
        refined(tmp_path / "chain")


def test_the_command_tells_what_each_round_gained(tmp_path: Path, capsys: Captured) -> None:
    launched(tmp_path, grid())
    arguments = ["refine", str(tmp_path / "chain"), "--x", "weight_decay", "--y", "learning_rate",
                 "--order", "train_loss", "--level", str(LEVEL), "--resolution", "0.26",
                 "--executor", "inline", "--compile", "off", "--json"]  # fmt: skip
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert [done["number"] for done in answer["rounds"]] == list(range(len(answer["rounds"])))
    assert err.count("cells on the boundary, at most") == len(answer["rounds"])
    assert "the resolution is reached" in err
    assert {"learning_rate", "position"} <= answer["boundary"][0].keys()


ARGUMENTS = (
    "--x", "weight_decay", "--y", "learning_rate", "--order", "train_loss", "--level", str(LEVEL),
    "--compile", "off", "--resolution",
)  # fmt: skip
LOCAL = {**os.environ, "RAY_ADDRESS": ""}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_killed_refinement_leaves_the_rows_of_an_undisturbed_one(executor: str, tmp_path: Path) -> None:
    for name in ("one", "other"):
        launched(tmp_path / name, grid(resources="{trials_per_pack: 2}"))
    assert (
        run("refine", tmp_path / "one" / "chain", *ARGUMENTS, "0.08", "--executor", "inline").returncode == 0
    )
    sweep = tmp_path / "other" / "chain"
    arguments = (sweep, *ARGUMENTS, "0.08", "--executor", executor)
    before = len(fragments(sweep))
    with subprocess.Popen(
        command("refine", *arguments), stderr=subprocess.DEVNULL, env=LOCAL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 300
        while len(fragments(sweep)) <= before and time.monotonic() < deadline:
            time.sleep(0.01)
        workers, descendants = pack_workers(process.pid), psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    ended(workers)
    for left in descendants:
        with suppress(psutil.Error):
            left.kill()
    assert len(list((sweep / "grids").glob("*.yaml"))) > 1
    assert process.returncode == -signal.SIGKILL
    assert phasediag.status(sweep).missing > 0
    again = run("refine", *arguments, env=LOCAL, timeout=600)
    assert again.returncode == 0, again.stderr
    assert_same_rows(tmp_path / "one" / "chain", sweep)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_refinement_starts_ray_once_for_all_rounds_and_leaves_the_rows_of_an_inline_one(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasediag.executors.ray_tune import connection

    monkeypatch.setenv("RAY_ADDRESS", "")
    starts: list[object] = []
    init = connection.ray.init
    monkeypatch.setattr(connection.ray, "init", lambda **options: (starts.append(options), init(**options)))
    for executor in ("inline", "ray"):
        launched(tmp_path / executor, grid())
        arguments = [str(tmp_path / executor / "chain"), *ARGUMENTS, "0.2", "--executor", executor]
        try:
            with pytest.raises(SystemExit) as stopped:
                main(["refine", *arguments])
        finally:
            connection.ray.shutdown()
        assert stopped.value.code == 0
    assert capsys.readouterr().err.count("trials added") >= 4
    assert len(starts) == 1
    assert_same_rows(tmp_path / "inline" / "chain", tmp_path / "ray" / "chain")


def test_a_dry_run_tells_and_trains_nothing(tmp_path: Path, capsys: Captured) -> None:
    launched(tmp_path, grid())
    options = ("--x", "weight_decay", "--y", "learning_rate", "--order", "train_loss", "--level", LEVEL)
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in ("refine", tmp_path / "chain", *options, "--resolution", 0.26, "--dry-run")])
    assert end.value.code == 0
    err = capsys.readouterr().err
    assert "next round:" in err
    assert "of one worker" in err
    assert "dry run: nothing was trained" in err
    assert phasediag.status(tmp_path / "chain").total == 12


def test_a_boundary_that_runs_everywhere_is_refused_unless_asked_for(tmp_path: Path) -> None:
    axes = {
        "weight_decay": "{linspace: [0.1, 1], num: 5}",
        "learning_rate": "{linspace: [0.02, 0.03], num: 5}",
    }
    launched(tmp_path, grid(axes))

    def random(trials: pd.DataFrame) -> pd.DataFrame:
        return trials.assign(noise=[int(trial[:8], 16) % 2 for trial in trials["trial_id"]])

    noise = {"order": "noise", "level": 0.5, "resolution": 0.01, "select": random}
    limited = refined(tmp_path / "chain", **noise)
    assert "where a regular grid with cells half as large takes" in limited.stopped
    total = phasediag.status(tmp_path / "chain").total
    assert total == limited.rounds[-1].trials <= limited.rounds[-1].finer
    refused = refined(tmp_path / "chain", **noise)
    assert (refused.exit_code, refused.stopped) == (2, limited.stopped)
    assert phasediag.status(tmp_path / "chain").total == total
    allowed = refined(tmp_path / "chain", **noise, beyond=True, budget=limited.rounds[-1].coming + total)
    assert allowed.rounds[-1].spent > limited.rounds[-1].spent


def test_a_diagram_along_other_axes_is_as_it_was_before(tmp_path: Path) -> None:
    axes = {**AXES, "init_scale": "[0.4, 0.5, 0.6]"}
    launched(tmp_path, grid(axes))
    draw = partial(
        phasediag.phase_diagram, x="weight_decay", y="learning_rate", order="train_loss", level=LEVEL
    )
    before = draw(phasediag.load_trials(tmp_path / "chain"))
    refined(tmp_path / "chain", y="init_scale", resolution=0.05, beyond=True)
    trials = phasediag.load_trials(tmp_path / "chain")
    assert trials["init_scale"].nunique() > 6
    with pytest.warns(VersionsWarning, match="values of init_scale that only a refinement asked for"):
        after = draw(trials)
    assert after.facets == before.facets
    shared = after.cells.merge(before.cells, on=[*before.facets, "weight_decay", "learning_rate"])
    assert len(shared) == len(before.cells)
    np.testing.assert_allclose(shared["mean_x"], shared["mean_y"])


@pytest.mark.slow
def test_replicates_are_added_where_an_interval_is_wished(tmp_path: Path) -> None:
    """Data sets that differ: the interval narrows, a second refinement adds nothing, undo takes all back."""
    noisy = {"samples": 4, "label_noise": 0.3, "steps": 2000}
    lines = ["name: chain", "fixed:"]
    lines += [f"  {n}: {v}" for n, v in {**FIXED, **noisy}.items() if n not in (*AXES, "data_seed")]
    axes = {"weight_decay": "{linspace: [0.5, 4], num: 15}", "learning_rate": "[0.04, 0.06]"}
    lines += ["axes:", *(f"  {n}: {v}" for n, v in axes.items())]
    launched(tmp_path, "\n".join([*lines, "replicates: 4"]) + "\n")
    before = phasediag.load_trials(tmp_path / "chain")

    def width(trials: pd.DataFrame) -> float:
        rows = phasediag.phase_diagram(trials, "weight_decay", "learning_rate", "alive_count", 0.5).boundary
        return float((rows["high"] - rows["low"]).median())

    options = {"order": "alive_count", "level": 0.5, "resolution": 0.5, "beyond": True, "explore": 0.0}
    refinement = refined(tmp_path / "chain", interval=0.25, budget=2000, **options)
    assert (refinement.exit_code, refinement.stopped) == (0, "")
    after = phasediag.load_trials(tmp_path / "chain")
    assert after.groupby("point_id")["replicate"].nunique().max() >= 8
    assert width(after) < width(before)
    assert width(after) <= 0.25 * 3.5
    assert sum(done.repeats for done in refinement.rounds) > 0
    again = refined(tmp_path / "chain", interval=0.25, budget=2000, **options)
    assert [done.added for done in again.rounds] == [0]
    undone = undo(tmp_path / "chain", REFINEMENT)
    assert "interval 0.25" in undone.asked
    pd.testing.assert_frame_equal(
        phasediag.load_trials(tmp_path / "chain").sort_values("trial_id", ignore_index=True),
        before.sort_values("trial_id", ignore_index=True),
    )


@pytest.mark.parametrize(
    ("options", "said"), [({"interval": 0.0}, "--interval 0"), ({"explore": 1.5}, "--explore 1.5")]
)
def test_what_is_no_interval_and_no_share_is_told(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    launched(tmp_path, grid())
    with pytest.raises(PhasediagError, match=said):
        refined(tmp_path / "chain", **options)


def test_a_ramp_is_refused_in_one_sentence(tmp_path: Path) -> None:
    axes = {"init_scale": "[0.3, 0.5]", "learning_rate": "[0.02, 0.08]"}
    ramp = "{parameter: weight_decay, from: 0.1, to: 4, stages: 3}"
    launched(tmp_path, grid(axes, ramp=ramp))
    for x in ("weight_decay", "init_scale"):
        goal = Goal(x=x, y="learning_rate", order="train_loss", level=0.3)
        with pytest.raises(
            PhasediagError, match="has a ramp: each of its trials walks through all values of"
        ):
            refine(tmp_path / "chain", goal, train=inline)
