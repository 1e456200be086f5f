"""A boundary that its definition moves is told from one that stays, choice by choice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.systematics import boundary_systematics
from phasediag.analysis.versions import VersionsWarning, newest
from phasediag.storage.launches import LAUNCHES, Launches

X, Y = "weight_decay", "lr_over_batch"


def trials_of(width: float, skew: float = 1.0, points: int = 25) -> pd.DataFrame:
    """A rise through 1/2 at 0.1, over so many e-folds; a skewed one is steepest elsewhere."""
    axes = [np.geomspace(1e-2, 1, points), [1.0, 2.0, 3.0], range(6)]
    frame = pd.MultiIndex.from_product(axes, names=[X, Y, "replicate"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    away = np.log(frame[X] / 0.1) + rng.normal(0, 0.02, 6)[frame["replicate"]]
    rise = (1 + (2**skew - 1) * np.exp(-away / width)) ** (-1 / skew)
    return frame.assign(status="ok", converged=True, degree_normalized=rise)


def test_a_sharp_boundary_is_stable_under_every_choice() -> None:
    trials = trials_of(0.02, points=24)
    moves = boundary_systematics(trials, phase_diagram(trials, X, Y))
    assert moves is not None
    assert moves.verdicts == {"level": True, "resolution": True, "method": True}
    assert moves.stable
    assert "resolution: stable: all 3 boundary points" in moves.findings[0]
    assert "steps: not varied" in moves.findings[0]


def test_a_broad_boundary_moves_with_its_level_and_not_with_its_resolution() -> None:
    trials = trials_of(0.8)
    diagram = phase_diagram(trials, X, Y)
    moves = boundary_systematics(trials, diagram)
    assert moves is not None
    assert moves.verdicts == {"level": False, "resolution": True, "method": True}
    assert not moves.stable
    assert "level: NOT stable: 3 of 3" in moves.summary()
    exact = np.log(0.6 / 0.4) * 0.8  # a tenth of a range of nearly 1 higher
    moved = np.log(moves.rows["level_higher"] / moves.rows["position"])
    np.testing.assert_allclose(moved, exact, rtol=0.15)


def test_a_boundary_at_the_foot_of_a_rise_is_not_where_it_is_steepest() -> None:
    trials = trials_of(0.5)
    moves = boundary_systematics(trials, phase_diagram(trials, X, Y, level=0.1))
    assert moves is not None
    assert not moves.verdicts["method"]
    assert (moves.rows["steepest"] > 1.5 * moves.rows["position"]).all()


def test_each_of_several_crossings_is_followed_by_its_direction() -> None:
    trials = trials_of(0.2)
    hill = trials["degree_normalized"] * trials["degree_normalized"][::-1].to_numpy()
    trials = trials.assign(degree_normalized=hill / hill.max())
    diagram = phase_diagram(trials, X, Y)
    assert diagram.boundary["branch"].nunique() == 2
    moves = boundary_systematics(trials, diagram)
    assert moves is not None
    ratio = moves.rows[["level_lower", "first_half", "second_half"]].div(moves.rows["position"], axis=0)
    assert ratio.gt(0.7).all(axis=None)
    assert ratio.lt(1.4).all(axis=None)


def test_steps_that_were_varied_and_cells_that_have_not_converged_are_told() -> None:
    trials = trials_of(0.1)
    both = pd.concat([trials.assign(steps=steps) for steps in (100, 200)])
    varied = boundary_systematics(both, phase_diagram(both, X, Y))
    assert varied is not None
    assert "steps was varied" in varied.findings[0]
    late = trials.assign(converged=False)
    early = boundary_systematics(late, phase_diagram(late, X, Y))
    assert early is not None
    assert "steps: NOT stable where 3 points" in early.findings[0]


def test_it_is_computed_where_it_is_wanted_and_there_is_a_boundary() -> None:
    trials = trials_of(0.1)
    assert boundary_systematics(trials, phase_diagram(trials, X, Y), wanted=False) is None
    flat = trials.assign(degree_normalized=0.2)
    assert boundary_systematics(flat, phase_diagram(flat, X, Y)) is None


def test_a_boundary_that_runs_along_x_is_looked_at_along_y() -> None:
    trials = trials_of(0.2)
    along_y = phase_diagram(trials, Y, X)
    assert along_y.boundary["position"].isna().all()
    moves, seen = (
        boundary_systematics(trials, along_y),
        boundary_systematics(trials, phase_diagram(trials, X, Y)),
    )
    assert moves is not None
    assert seen is not None
    pd.testing.assert_frame_equal(moves.rows, seen.rows)


@pytest.mark.parametrize("moved", [1.0, 1.5])
def test_a_boundary_says_where_it_was_before_longer_training(moved: float) -> None:
    """launch --extend has trained all trials to twice their steps: only then the boundary is at 0.1."""
    last = trials_of(0.1)
    first = last.assign(steps=100, weight_decay=last[X])
    away = np.log(first[X] / (0.1 * moved))
    first["degree_normalized"] = 1 / (1 + np.exp(-away / 0.1))
    trials = pd.concat([first, last.assign(steps=200)], ignore_index=True)
    trials.attrs[LAUNCHES] = Launches(sources={}, lengths=[("steps", 100.0)], factors=[2.0]).plain()
    with pytest.warns(VersionsWarning, match="trained again for longer"):
        moves = boundary_systematics(trials, phase_diagram(trials, X, Y))
    assert moves is not None
    np.testing.assert_allclose(moves.rows["shorter"] / moves.rows["position"], moved, rtol=0.05)
    with pytest.warns(VersionsWarning, match="trained again for longer"):
        longest = newest(trials)
    again = boundary_systematics(longest, phase_diagram(longest, X, Y), every=trials)
    assert again is not None, "a command has left the shorter ones out before"
    pd.testing.assert_frame_equal(again.rows, moves.rows)
    assert moves.verdicts["steps"] is again.verdicts["steps"] is (moved == 1.0)
    assert "trained as long as first" in moves.findings[0]
    assert "not varied" not in moves.findings[0]
