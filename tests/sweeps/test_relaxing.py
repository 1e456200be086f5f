"""What `plan` says of trials that are too short to converge, against the grids that follow its advice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import phasediag
from phasediag.grids.grid import Grid, parse_grid
from phasediag.sweeps.relaxing import Relaxing, relaxing_of
from small_sweeps import grid_text, write

AXES = {"weight_decay": "[0.003, 0.02, 0.1]", "learning_rate": "[0.01, 0.03]"}
STEPS = {"steps": 5000}


def grid_of(axes: dict[str, str], fixed: dict[str, Any]) -> Grid:
    return parse_grid(grid_text(axes, fixed, replicates=2), Path("grid.yaml"))


def relaxing(axes: dict[str, str], fixed: dict[str, Any]) -> Relaxing:
    grid = grid_of(axes, fixed)
    return relaxing_of(grid.lot(), grid)


def advised(axes: dict[str, str], fixed: dict[str, Any], training_s: float | None = None) -> str:
    grid = grid_of(axes, fixed)
    return relaxing_of(grid.lot(), grid).remedy(grid, training_s)


def test_short_trials_are_counted() -> None:
    """0.1 x 0.01 x 5000 is 5, 0.1 x 0.03 x 5000 is 15: of six points one is long enough."""
    made = relaxing(AXES, STEPS)
    assert (made.trials, made.short) == (12, 10)
    assert made.fewest == pytest.approx(0.15)
    assert "10 of 12 trials train for fewer than 10 relaxation times" in made.warning
    assert relaxing(AXES, {"steps": 10**6}).warning == ""


def test_the_decay_that_is_named_is_enough_and_no_larger_than_that() -> None:
    needed = relaxing(AXES, STEPS).needed_decay
    assert relaxing({**AXES, "weight_decay": f"[{needed}]"}, STEPS).short == 0
    assert relaxing({**AXES, "weight_decay": f"[{0.999 * needed}]"}, STEPS).short == 2


def test_the_steps_that_are_named_are_enough_and_no_more_than_that() -> None:
    needed = relaxing(AXES, STEPS).needed_steps
    assert relaxing(AXES, {"steps": round(needed)}).short == 0
    assert relaxing(AXES, {"steps": round(0.999 * needed)}).short == 2


def test_the_cost_of_relaxations_is_that_of_the_grid_that_has_them() -> None:
    before = relaxing(AXES, STEPS)
    after = relaxing(AXES, {"relaxations": 20})
    assert after.short == 0
    assert after.steps == before.advised_steps
    text = advised(AXES, STEPS, training_s=2.0)
    factor = after.steps / before.steps
    assert (
        f"relaxations: 20 under fixed instead of steps gives each trial its own: {factor:.2g} times" in text
    )
    assert f"about {2 * factor:.0f} s of training here" in text
    assert "instead of relaxations 5" in advised(AXES, {"relaxations": 5})
    assert "instead of learning_time" in advised(AXES, {"learning_time": 40})


@pytest.mark.parametrize(
    ("axes", "fixed"),
    [
        pytest.param({"weight_decay": "[0, 0.02]"}, STEPS, id="some do not decay"),
        pytest.param(AXES, {**STEPS, "schedule": "cosine"}, id="the rate changes"),
        pytest.param({**AXES, "steps": "[5000, 9000]"}, {}, id="steps are an axis"),
        pytest.param({"weight_decay": "[1e-200]"}, STEPS, id="so many steps nobody takes"),
    ],
)
def test_where_relaxations_cannot_give_the_steps_these_are_to_be_raised(
    axes: dict[str, str], fixed: dict[str, Any]
) -> None:
    """By so much that all have their ten."""
    made, text = relaxing(axes, fixed), advised(axes, fixed)
    assert made.short > 0
    assert "relaxations:" not in text
    factor = float(re.findall(r"raise steps by ([\d,.e+]+):", text)[0].replace(",", ""))
    assert factor * made.fewest >= 10
    assert factor * made.fewest == pytest.approx(10, rel=0.01)


def test_a_ramp_over_decay_has_steps_a_stage() -> None:
    ramp = "{parameter: weight_decay, from: 0.02, to: 0.5, stages: 3}"
    grid = parse_grid(grid_text({"learning_rate": "[0.01]"}, STEPS, ramp=ramp), Path("grid.yaml"))
    made = relaxing_of(grid.lot(), grid)
    assert (made.short, made.needed_steps, made.steps) == (1, pytest.approx(50_000), 15_000)
    assert "raise steps by 10:" in made.remedy(grid, None)


def test_nothing_is_said_where_nothing_decays() -> None:
    made = relaxing({"learning_rate": "[0.01, 0.03]"}, {**STEPS, "weight_decay": 0})
    assert (made.short, made.warning) == (0, "")


def test_plan_tells_both_and_the_time_only_of_a_grid_of_which_nothing_is_done(tmp_path: Path) -> None:
    """Part of a grid that is done says nothing of the time of all of it."""
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10})
    path = write(tmp_path, text)
    lines = repr(phasediag.plan(path, str(tmp_path))).splitlines()
    assert lines[1].startswith("warning: 2 of 2 trials train for fewer than 10 relaxation times")
    assert re.match(
        r"note: within these steps 10 of them take weight_decay >= 50 \(the grid has 0.01 to 0.1\); the "
        r"slowest trial takes 50,000 steps; relaxations: 20 .*: 5,500 times the steps in all, .* of training "
        r"here$",
        lines[2],
    )
    phasediag.launch(path, str(tmp_path), executor="inline", compile="off")
    assert phasediag.plan(path, str(tmp_path)).advice.endswith("times the steps in all")
