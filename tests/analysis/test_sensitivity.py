"""By how much results move with the threshold, counted again from the distances of a planted store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import phasediag
from phasediag.analysis import sensitivity
from phasediag.analysis.frames import load_recounted, load_trials
from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.recount import RECOUNTED
from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.sensitivity import Recounts, threshold_sensitivity
from phasediag.commands.results import diagram, scaling
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold
from phasediag.storage.store import Store
from synthetic_sweep import write_measured_pack

WIDTH = 11
THRESHOLD = Threshold(absolute=1e-6, relative=0.1)


def stored(folder: Path, distance: Callable[[float], float], **options: Any) -> Path:
    """Trials at weight decays 0.1, 0.2 ... of neurons of norm 1, all of them so far from their neighbours.

    The distances of `classes` fall as 1 / (decay * number ** 2), so that their count goes as decay ** -0.5
    at any threshold.
    """
    order = np.arange(1, WIDTH + 1)
    distances = {
        i: {
            "sign_flip": [1.0] * WIDTH, "permutation": [distance(0.1 * i)] * (WIDTH - 1),
            "classes": (1.0 / (0.1 * i * order**2)).tolist(),
        }
        for i in range(1, 31)
    }  # fmt: skip
    write_measured_pack(Store.open(folder, "sweep"), 1, distances, THRESHOLD, **options)
    return folder / "sweep"


def test_trials_are_counted_as_if_recorded_at_so_many_times_the_threshold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = {
        i: {
            "sign_flip": rng.uniform(0, 2, 6).tolist(), "permutation": rng.uniform(0, 1, 5).tolist(),
            "classes": sorted(rng.uniform(0, 2, 6).tolist(), reverse=True),
            "rank": sorted(rng.uniform(0, 2, 4).tolist(), reverse=True),
        }
        for i in range(40)
    }  # fmt: skip
    for name, factor in (("once", 1.0), ("twice", 2.0)):
        cut = Threshold(absolute=0.02 * factor, relative=0.3 * factor)
        write_measured_pack(Store.open(tmp_path, name), 1, drawn, cut)
    once, twice = (load_trials(tmp_path / name) for name in ("once", "twice"))
    some = once.sample(frac=0.5, random_state=1)
    recounted = load_recounted(tmp_path / "once", some, 2.0)
    columns = [name for name in RECOUNTED if name != "rank"]
    expected = twice.set_index("trial_id").loc[some["trial_id"], columns]
    np.testing.assert_array_equal(recounted[columns], expected)
    singular = np.array([of["rank"] for of in drawn.values()], dtype=np.float32)
    ranks = distance_observables()["rank"].count(singular, np.zeros(40), 0.04, 2)
    np.testing.assert_array_equal(recounted["rank"], ranks[recounted.index])
    pd.testing.assert_frame_equal(load_recounted(tmp_path / "once", once, 1.0), once, check_dtype=False)


def test_a_boundary_that_moves_is_told_by_how_much(tmp_path: Path) -> None:
    """Where distances fall as 1 / x, half the threshold is reached at twice the x."""
    sweep = stored(tmp_path, lambda x: 0.1 / (x + 1e-3))
    trials = load_trials(sweep)
    moves = threshold_sensitivity(sweep, phase_diagram(trials, "weight_decay"), trials)
    assert moves is not None
    assert moves.rows is not None
    (row,) = moves.rows.itertuples()
    assert (row.position, row.halved, row.doubled) == pytest.approx((0.95, 1.95, 0.45))
    assert not moves.stable
    assert "NOT stable: 1 of 1 boundary points leave their interval or cell" in moves.text
    assert "epsilon halved, it moves to +1 in weight_decay" in moves.text
    assert "epsilon doubled, it moves to -0.5 in weight_decay" in moves.text
    json.dumps(moves.as_dict(), allow_nan=False)


def test_a_boundary_that_stays_in_its_cell_is_stable(tmp_path: Path) -> None:
    sweep = stored(tmp_path, lambda x: 0.1 * np.exp(-40 * (x - 1.05)))
    trials = load_trials(sweep)
    moves = threshold_sensitivity(sweep, phase_diagram(trials, "weight_decay"), trials)
    assert moves is not None
    assert moves.stable
    assert "stable: all 1 boundary points stay" in moves.text


def test_a_boundary_that_another_threshold_takes_away_is_told(tmp_path: Path) -> None:
    sweep = stored(tmp_path, lambda x: 0.09 if x < 1 else 0.15)
    trials = load_trials(sweep)
    moves = threshold_sensitivity(sweep, phase_diagram(trials, "weight_decay"), trials)
    assert moves is not None
    assert not moves.stable
    assert moves.text.count("is gone in 1 row") == 2


def test_a_boundary_that_another_threshold_alone_has_is_told(tmp_path: Path) -> None:
    sweep = stored(tmp_path, lambda x: 0.15 if x < 1 else 0.25)
    trials = load_trials(sweep)
    moves = threshold_sensitivity(sweep, phase_diagram(trials, "weight_decay"), trials)
    assert moves is not None
    assert "NOT stable: there is no boundary, but other choices give one; epsilon halved" in moves.text


def test_an_exponent_at_other_thresholds(tmp_path: Path) -> None:
    sweep = stored(tmp_path, lambda x: 1.0)
    trials = load_trials(sweep).assign(converged=True)
    fit = fit_scaling(trials, window=(0, 10), resamples=50, room=1)
    moves = threshold_sensitivity(sweep, fit, trials)
    assert moves is not None
    assert moves.rows is not None
    assert moves.rows[["exponent", "halved", "doubled"]].to_numpy() == pytest.approx(-0.5, abs=0.15)
    assert f"epsilon halved, it is {moves.rows['halved'][0]:.3f}" in moves.text


@pytest.mark.parametrize("order", ["train_loss", "log_rate", "weight_decay * 2", "diverged"])
def test_what_rests_on_no_threshold_has_no_sensitivity(tmp_path: Path, order: str) -> None:
    sweep = stored(tmp_path, lambda x: x)
    trials = load_trials(sweep).assign(train_loss=np.arange(30.0), log_rate=0.0)
    drawn = phase_diagram(trials, "weight_decay", order=order)
    assert threshold_sensitivity(sweep, drawn, trials) is None


def test_without_distances_it_is_not_known(tmp_path: Path) -> None:
    sweep = stored(tmp_path, lambda x: x, stored=False)
    trials = load_trials(sweep)
    moves = threshold_sensitivity(sweep, phase_diagram(trials, "weight_decay"), trials)
    assert moves is not None
    assert moves.stable is None
    assert "not known, as 30 measurements" in moves.text


def run(command: Any, *arguments: str) -> Result:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_commands_tell_it_or_that_it_was_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, output = str(stored(tmp_path, lambda x: 0.1 / (x + 1e-3))), str(tmp_path / "d.png")
    line = (sweep, "--x", "weight_decay", "--output", output)
    assert "NOT stable: 1 of 1" in run(diagram, *line).stderr
    answer = json.loads(run(diagram, *line, "--json").stdout)
    assert answer["threshold_sensitivity"]["rows"][0]["halved"] == pytest.approx(1.95)
    assert "sensitivity" not in run(diagram, *line, "--no-sensitivity").stderr
    monkeypatch.setattr(sensitivity, "MOST_TRIALS", 10)
    assert "not computed for 30 trials" in run(diagram, *line).stderr
    assert "NOT stable: 1 of 1" in run(diagram, *line, "--sensitivity").stderr
    converged = load_trials(sweep).assign(converged=True)
    monkeypatch.setattr("phasediag.analysis.frames.load_trials", lambda path: converged)
    fit = (sweep, "--x", "weight_decay", "--room", "1", "--window", "0", "10")
    assert "not computed for 30 trials" in run(scaling, *fit).stdout
    assert "epsilon halved, it is -0." in run(scaling, *fit, "--sensitivity").stdout


def test_a_report_without_recounts_says_so() -> None:
    drawn = phase_diagram(
        pd.DataFrame({"x": [1.0, 2.0, 3.0], "degree_normalized": [0.0, 0.2, 1.0], "status": "ok"}), "x"
    )
    moves = Recounts(frames={}, reason="not computed").sensitivity(drawn, pd.DataFrame())
    assert moves is not None
    assert moves.text == "sensitivity to the threshold epsilon: not computed"
    assert phasediag.threshold_sensitivity is threshold_sensitivity
