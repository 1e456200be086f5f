"""Jumps are told from continuous changes by their peaks and by hysteresis."""

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.transition import transition_order
from phasediag.errors import AnalysisError

X, Y = "weight_decay", "width"


def grid(replicates=20, starts=(0.1, 1.0), points=25):
    axes = [np.geomspace(1e-2, 1, points), [8, 16], starts, range(replicates)]
    names = [X, Y, "init_scale", "replicate"]
    return (
        pd.MultiIndex.from_product(axes, names=names)
        .to_frame(index=False)
        .assign(status="ok", converged=True)
    )


def continuous(seed=0, shift=0.0):
    """A smooth rise whose place moves by `shift` (in log x) with the start."""
    rng, frame = np.random.default_rng(seed), grid()
    away = np.log(frame[X] / 0.1) - shift * (frame["init_scale"] > 0.5)
    away += rng.normal(0, 0.1, 20)[frame["replicate"]]
    return frame.assign(degree_normalized=1 / (1 + np.exp(-away)) + rng.normal(0, 0.02, len(frame)))


def coexisting(seed=0):
    """Trials sit in one of two states, the upper ever more often along x."""
    rng, frame = np.random.default_rng(seed), grid()
    upper = rng.random(len(frame)) < 1 / (1 + np.exp(-2 * np.log(frame[X] / 0.1)))
    return frame.assign(degree_normalized=np.where(upper, 0.9, 0.1) + rng.normal(0, 0.03, len(frame)))


def verdicts(make, **options):
    return [transition_order(make(seed), X, Y, resamples=100, **options).verdict for seed in range(8)]


def test_a_smooth_change_is_continuous():
    assert verdicts(continuous, starts="init_scale").count("continuous") >= 7


def test_two_peaks_are_a_jump():
    transition = transition_order(coexisting(), X, Y, starts="init_scale", resamples=100)
    assert transition.verdict == "first order"
    assert transition.rows["bimodality"].gt(10).all()
    assert transition.rows["separation"].gt(10).all()
    assert transition.rows["reason"].str.contains("two peaks").all()


def test_hysteresis_is_measured_and_is_a_jump():
    transition = transition_order(continuous(shift=0.5), X, Y, starts="init_scale", resamples=200)
    assert transition.verdict == "first order"
    np.testing.assert_allclose(transition.rows["hysteresis"], 0.5, atol=0.05)
    assert transition.rows["hysteresis_low"].between(0.4, 0.5).all()
    assert transition.rows["hysteresis_high"].between(0.5, 0.6).all()


@pytest.mark.slow
def test_the_interval_of_the_hysteresis_covers_it():
    hits = []
    for seed in range(100):
        rows = transition_order(
            continuous(seed, 0.2), X, Y, starts="init_scale", resamples=200, seed=seed
        ).rows
        hits.append(rows["hysteresis_low"].le(0.2) & rows["hysteresis_high"].ge(0.2))
    assert 0.90 <= np.mean(hits) <= 0.995


def test_a_jump_inside_one_cell_cannot_be_told():
    frame = grid().assign(degree_normalized=lambda f: (f[X] > 0.1) * 1.0)
    transition = transition_order(frame, X, Y, starts="init_scale")
    assert transition.verdict == "cannot tell"
    assert transition.rows["reason"].str.contains("refine").all()
    assert transition.rows["jump"].eq(1).all()


def test_without_starts_or_y():
    frame = continuous()
    frame = frame[(frame["init_scale"] == 1) & (frame[Y] == 8)]
    transition = transition_order(frame, X, resamples=50)
    assert len(transition.rows) == 1
    assert transition.verdict == "continuous"
    assert transition.rows["hysteresis"].isna().all()


def diverging_cell(start, lost=4):
    """One cell of one start has mostly diverged, just where the step of the other lies."""
    rows = [
        {"weight_decay": x, "init_scale": s, "replicate": r, "converged": True,
         "degree_normalized": float(x < 4) + 0.01 * r,
         "status": "diverged" if s == start and x == 4 and r < lost else "ok"}
        for s in (0.1, 1.0) for x in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0) for r in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("lost", [4, 6])
@pytest.mark.parametrize("start", [0.1, 1.0])
def test_no_order_is_stated_from_a_boundary_that_is_not_there(start, lost):
    """It was called first order, moving by nan."""
    (row,) = transition_order(diverging_cell(start, lost), X, starts="init_scale").rows.itertuples()
    assert row.verdict == "cannot tell"
    assert row.reason == f"no boundary at init_scale = {start:g}: a cell is missing between its phases"
    assert np.isnan([row.hysteresis, row.hysteresis_low, row.hysteresis_high]).all()


def test_where_all_have_diverged_nothing_can_be_told():
    frame = continuous()
    for status in (frame["status"].mask(frame[Y] == 8, "diverged"), "diverged"):
        for starts in (None, "init_scale"):
            kept = frame["init_scale"].eq(1) | (starts is not None)
            one = frame.assign(status=status)[kept]
            rows = transition_order(one, X, Y, starts=starts, resamples=20).rows
            assert rows.loc[rows[Y] == 8, "verdict"].eq("cannot tell").all()


def test_a_front_of_training_time_has_no_order():
    frame = continuous(shift=0.5)
    late = frame["init_scale"].eq(1) & frame[X].between(0.05, 0.4)
    rows = transition_order(frame.assign(converged=~late), X, Y, starts="init_scale", resamples=50).rows
    assert rows["verdict"].eq("cannot tell").all()
    assert rows["reason"].str.contains("front of training time").all()


def test_no_boundary_cannot_be_told():
    frame = continuous().assign(degree_normalized=0.9)
    assert transition_order(frame, X, Y, starts="init_scale").rows["reason"].eq("no boundary").all()


@pytest.mark.parametrize("starts", ["width", "label_noise"])
def test_starts_must_be_starts(starts):
    with pytest.raises(AnalysisError, match="at least two values and to be neither"):
        transition_order(continuous().assign(label_noise=0.0), X, Y, starts=starts)


@pytest.mark.parametrize("start", [0.1, 1.0])
def test_peaks_at_either_start_are_a_jump(start):
    """Only the smallest start was looked at: two peaks at the largest were called continuous."""
    peaked = grid()["init_scale"].eq(start)
    frame = continuous().assign(
        degree_normalized=continuous()["degree_normalized"].mask(peaked, coexisting()["degree_normalized"])
    )
    rows = transition_order(frame, X, Y, starts="init_scale", resamples=50).rows
    assert rows["bimodality"].gt(10).all()
    assert rows["verdict"].eq("first order").all()


def test_a_jump_at_the_largest_start_is_not_continuous():
    jumps = grid()["init_scale"].eq(1.0)
    values = continuous()["degree_normalized"].mask(jumps, (grid()[X] > 0.1) * 1.0)
    rows = transition_order(grid().assign(degree_normalized=values), X, Y, starts="init_scale").rows
    assert rows["jump"].eq(1).all()
    assert not rows["verdict"].eq("continuous").any()


def test_a_cell_that_mostly_diverged_is_no_evidence():
    """Its few other trials counted as a cell beside the boundary, and its mean as a jump of the row."""
    frame = continuous()
    lost = frame[X].between(0.5, 0.6) & frame["replicate"].gt(0)
    spoiled = frame.assign(
        status=frame["status"].mask(lost, "diverged"),
        degree_normalized=frame["degree_normalized"].mask(frame[X].between(0.5, 0.6), -3.0),
    )
    assert lost.any()
    kept = transition_order(frame[~frame[X].between(0.5, 0.6)], X, Y, starts="init_scale", resamples=50).rows
    rows = transition_order(spoiled, X, Y, starts="init_scale", resamples=50).rows
    pd.testing.assert_series_equal(rows["jump"], kept["jump"])
    pd.testing.assert_series_equal(rows["verdict"], kept["verdict"])


def chain(depth, starts, steps, decays, signal=0.7, rate=0.05):
    """Gradient descent on (u^depth - signal)^2 with weight decay from u = start (E1, E3); 3 replicates alike.

    A trial has converged where its weight moves by less than a percent in as many steps again.
    """
    frame = pd.MultiIndex.from_product(
        [starts, decays, range(3)], names=["init_scale", X, "replicate"]
    ).to_frame(index=False)
    u, decay = frame["init_scale"].to_numpy(), frame[X].to_numpy()
    ends = []
    for step in range(2 * steps):
        u = u - rate * (2 * (u**depth - signal) * u ** (depth - 1) + decay * u)
        if step + 1 in (steps, 2 * steps):
            ends.append(u)
    settled = np.abs(ends[1] - ends[0]) <= 0.01 * np.maximum(ends[0], 0.05)
    return frame.assign(status="ok", converged=settled, alive=(ends[0] > 0.05) * 1.0, u=ends[0])


DECAYS = np.linspace(1.2, 1.6, 17)


def test_a_continuous_transition_is_not_of_first_order_however_unfinished_its_runs():
    """E1 with starts 0.05 and 0.8: the front of training time at 800 steps was called hysteresis."""
    early = transition_order(chain(2, (0.05, 0.8), 40, DECAYS), X, order="alive", starts="init_scale")
    assert early.verdict == "cannot tell"
    assert "front of training time" in early.rows["reason"].iloc[0]
    late = chain(2, (0.05, 0.8), 20_000, DECAYS)
    transition = transition_order(late, X, order="u", level=0.15, starts="init_scale")
    assert transition.rows["hysteresis_low"].iloc[0] <= 0 <= transition.rows["hysteresis_high"].iloc[0]
    assert transition.verdict == "continuous"
    assert transition.rows["reason"].iloc[0] == "the replicates agree, no jump, no hysteresis"
    rng = np.random.default_rng(0)
    many = pd.concat([late.assign(replicate=late["replicate"] + 3 * copy) for copy in range(4)])
    noisy = many.assign(u=many["u"] + rng.normal(0, 0.01, 12)[many["replicate"]])
    noisy["u"] += rng.normal(0, 0.002, len(noisy))
    assert transition_order(noisy, X, order="u", level=0.15, starts="init_scale").verdict == "continuous"


SPINODAL = np.linspace(0.3, 0.7, 41)
"""Exact: the start 0.4 dies from 2 (0.7 - 0.4^3) 0.4 = 0.509 on, 1 from 0.587 on, 0.1 from 0.14 on."""


def test_a_start_that_never_leaves_the_origin_is_evidence_of_hysteresis():
    """E3 with starts 0.1, 0.4, 1: only the smallest was looked at, which is dead at every decay."""
    late = chain(3, (0.1, 0.4, 1.0), 20_000, SPINODAL)
    transition = transition_order(late, X, order="alive", starts="init_scale")
    assert transition.verdict == "first order"
    least = transition.rows[["hysteresis_low", "hysteresis_high"]].abs().min(axis=1).iloc[0]
    assert 0.25 < least < 0.587 - 0.3
    both = transition_order(late[late["init_scale"] > 0.2], X, order="alive", starts="init_scale")
    assert both.verdict == "first order"
    low, high = both.rows[["hysteresis_low", "hysteresis_high"]].iloc[0]
    assert 0 < low < 0.587 - 0.509 < high
    only = transition_order(late[late["init_scale"] < 0.5], X, order="alive", starts="init_scale")
    assert only.verdict == "first order"
    assert "at init_scale = 0.1 it is nowhere in the row" in only.rows["reason"].iloc[0]
    early = transition_order(chain(3, (0.1, 0.4, 1.0), 30, SPINODAL), X, order="alive", starts="init_scale")
    assert early.verdict == "cannot tell"


def test_a_start_beyond_the_scan_is_no_evidence_where_the_scan_is_too_short_to_tell():
    """The other start leaves the row in its first cell: the two boundaries may be one."""
    late = chain(3, (0.1, 0.4), 20_000, SPINODAL[SPINODAL > 0.495])
    short = transition_order(late, X, order="alive", starts="init_scale")
    assert short.verdict == "cannot tell"
    assert "widen the axis" in short.rows["reason"].iloc[0]


def test_a_shift_that_more_steps_take_away_is_no_hysteresis():
    frame = pd.concat([
        continuous(shift=0.5).assign(steps=1000), continuous(shift=0.0).assign(steps=2000),
    ])  # fmt: skip
    rows = transition_order(frame, X, Y, starts="init_scale", resamples=100).rows
    early = rows[rows["steps"] == 1000]
    assert early["verdict"].eq("cannot tell").all()
    assert early["reason"].str.contains("gone at steps = 2000").all()
    stays = pd.concat([continuous(shift=0.5).assign(steps=steps) for steps in (1000, 2000)])
    rows = transition_order(stays, X, Y, starts="init_scale", resamples=100).rows
    assert rows["verdict"].eq("first order").all()


def teachers(width, spread=0.4, **columns):
    """Each replicate has a boundary of its own, about which it changes smoothly over so many e-folds."""
    rng = np.random.default_rng(3)
    frame = grid(points=41, starts=(1.0,))
    away = np.log(frame[X] / 0.1) + rng.normal(0, spread, 20)[frame["replicate"]]
    values = 1 / (1 + np.exp(-away / width)) + rng.normal(0, 0.01, len(frame))
    return frame.assign(degree_normalized=values, **columns)


def test_the_boundaries_of_teachers_that_differ_are_no_two_peaks():
    """A steep continuous change was called first order, as the replicates lie on either side of a cell."""
    smooth = transition_order(teachers(0.06), X, Y, resamples=50)
    assert smooth.rows["bimodality"].gt(10).any()
    assert not smooth.rows["verdict"].eq("first order").any()
    assert smooth.rows["own_jump"].lt(0.5).all()
    jumps = transition_order(teachers(0.005), X, Y, resamples=50)
    assert jumps.rows["verdict"].eq("cannot tell").all()
    assert jumps.rows["reason"].str.contains("at a boundary of its own").all()
    pinned = transition_order(teachers(0.005, data_seed=1), X, Y, resamples=50)
    assert pinned.rows["verdict"].eq("first order").all()


def test_trials_that_have_not_converged_do_not_enter():
    """A third of each cell lags behind at one start: their boundary is one of training time."""
    frame = continuous()
    late = frame["init_scale"].eq(1) & (frame["replicate"] % 3 == 0)
    lagging = frame.assign(converged=~late, degree_normalized=frame["degree_normalized"].mask(late, 0.0))
    rows = transition_order(lagging, X, Y, starts="init_scale", resamples=100).rows
    assert rows["verdict"].eq("continuous").all()
