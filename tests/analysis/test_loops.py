"""Loops of ramps: planted ones, and those of exact results: E3 has one, E1 and E9 have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import phasediag
from phasediag import exact
from phasediag.analysis.loops import hysteresis
from phasediag.errors import AnalysisError
from small_sweeps import launched

CHAIN = """
  task: scalar_linear
  signal: 0.8
  test_samples: 1
  batch_size: 1
  model: mlp
  depth: 3
  width: 1
  activation: linear
  init: balanced
  dtype: float64
  learning_rate: 0.05
  steps: 1500
"""


def planted(up: np.ndarray, down: np.ndarray, unconverged: float = 0.0, **columns: Any) -> pd.DataFrame:
    """Ramps from 0 to 2 and back whose count drops at `up` and returns at `down`, one value a replicate."""
    there = np.round(np.linspace(0, 2, 41), 12)
    rows = []
    for replicate, (high, low) in enumerate(zip(up, down, strict=True)):
        walk = [("up", x, x < high) for x in there] + [("down", x, x < low) for x in there[-2::-1]]
        for stage, (way, x, alive) in enumerate(walk):
            edge = high if way == "up" else low
            rows.append(
                {
                    "trial_id": str(replicate), "replicate": replicate, "stage": stage, "way": way,
                    "ramp": "weight_decay", "ramp_kick": 1e-4, "weight_decay": x, "alive_count": float(alive),
                    "status": "ok", "converged": abs(x - edge) >= unconverged, **columns,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_planted_loop_is_found_with_its_ends_span_and_area() -> None:
    rng = np.random.default_rng(0)
    up, down = 1.51 + 0.1 * rng.standard_normal(8), 0.51 + 0.1 * rng.standard_normal(8)
    loop = hysteresis(planted(up, down), "alive_count")
    assert loop.verdict == "hysteresis"
    ends = loop.ends.set_index("way")
    assert ends.loc["up", "position"] == pytest.approx(up.mean(), abs=0.025)
    assert ends.loc["down", "position"] == pytest.approx(down.mean(), abs=0.025)
    for way, edges in (("up", up), ("down", down)):
        assert ends.loc[way, "low"] < edges.mean() < ends.loc[way, "high"]
    (row,) = loop.loops.to_dict("records")
    assert row["span_low"] < (up - down).mean() < row["span_high"]
    assert row["area"] == pytest.approx((up - down).mean(), abs=0.05)
    assert (loop.as_dict()["verdict"], loop.x) == ("hysteresis", "weight_decay")
    assert "hysteresis" in loop.summary()
    assert isinstance(loop.plot(), Axes)


def test_the_interval_of_an_end_covers_what_it_says() -> None:
    """200 draws of 5 replicates: 95 % Student's intervals, widened by the stages; at least 186 must cover.

    Of a binomial of 200 draws at 0.95 fewer than 186 are a chance of 8 in 1000.
    """
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        loop = hysteresis(planted(1.5 + 0.1 * rng.standard_normal(5), np.full(5, 0.5)), "alive_count")
        end = loop.ends.set_index("way").loc["up"]
        covered += bool(end["low"] <= 1.5 <= end["high"])
    assert covered >= 186


def test_a_delay_of_unconverged_stages_is_no_loop() -> None:
    delayed = planted(np.full(4, 1.08), np.full(4, 0.92), unconverged=0.12)
    assert hysteresis(delayed, "alive_count").verdict == "no loop within the resolution"
    loop = planted(np.full(4, 1.08), np.full(4, 0.92))
    assert hysteresis(loop, "alive_count").verdict == "hysteresis"


def test_a_way_that_never_comes_back_is_an_open_loop() -> None:
    loop = hysteresis(planted(np.full(3, 1.5), np.full(3, -1.0)), "alive_count")
    (row,) = loop.loops.to_dict("records")
    assert (row["verdict"], row["reason"]) == (
        "hysteresis", "the way down never comes back within the ramp: the loop is open"
    )  # fmt: skip
    end = loop.ends.set_index("way").loc["down"]
    assert (end["low"], end["high"], end["crossed"]) == (-np.inf, 0.0, 0)
    assert np.isnan(row["span"])


def test_what_does_not_change_has_no_transition_and_wrong_order_cannot_be_told() -> None:
    flat = planted(np.full(3, 9.0), np.full(3, 9.0))
    assert hysteresis(flat, "alive_count").verdict == "no transition"
    crossed = planted(np.full(3, 0.5), np.full(3, 1.5))
    assert hysteresis(crossed, "alive_count").verdict == "cannot tell"


def test_a_diverged_stage_ends_a_leg() -> None:
    stages = planted(np.full(3, 1.5), np.full(3, 0.5))
    stages.loc[stages["stage"] > 60, ["status", "alive_count"]] = ["diverged", np.nan]
    loop = hysteresis(stages, "alive_count")
    ends = loop.ends.set_index("way")
    assert (ends.loc["up", "crossed"], ends.loc["down", "crossed"]) == (3, 0)
    assert (ends.loc["up", "lost"], ends.loc["down", "lost"]) == (0, 3)


@pytest.mark.parametrize(("since", "way"), [(10, "up"), (35, "down"), (45, "down"), (60, "down")])
def test_a_way_that_ends_in_divergence_is_no_open_loop(since: int, way: str) -> None:
    """What had diverged was said never to come back, or never to leave the state in which it began."""
    stages = planted(np.full(4, 1.51), np.full(4, 0.51))
    stages.loc[stages["stage"] > since, ["status", "alive_count"]] = ["diverged", np.nan]
    loop = hysteresis(stages, "alive_count")
    (row,) = loop.loops.to_dict("records")
    assert (row["verdict"], row["reason"]) == (
        "cannot tell", f"on the way {way} all trials diverge before they cross the level"
    )  # fmt: skip
    assert "nan" not in loop.summary()
    assert "end in divergence" in loop.summary()
    assert isinstance(loop.plot(), Axes)


def test_a_trial_that_diverges_is_left_out_of_the_end_that_it_does_not_reach() -> None:
    rest = planted(np.array([1.45, 1.5, 1.6, 1.5]), np.array([0.45, 0.5, 0.6, 0.5]))
    one = rest.copy()
    one.loc[(one["replicate"] == 3) & (one["stage"] > 50), ["status", "alive_count"]] = ["diverged", np.nan]
    three = rest[rest["replicate"] < 3]
    lost, without = (
        hysteresis(rows, "alive_count").ends.set_index("way").loc["down"] for rows in (one, three)
    )
    assert (lost["crossed"], lost["replicates"], lost["lost"]) == (3, 3, 1)
    assert lost["position"] == pytest.approx(without["position"])
    np.testing.assert_allclose(lost[["low", "high"]].tolist(), without[["low", "high"]].tolist(), atol=0.05)
    assert hysteresis(one, "alive_count").verdict == "hysteresis"


def test_facets_have_loops_of_their_own() -> None:
    one, other = planted(np.full(3, 1.5), np.full(3, 0.5), width=4), planted(np.ones(3), np.ones(3), width=8)
    loop = hysteresis(pd.concat([one, other], ignore_index=True), "alive_count")
    assert loop.loops.set_index("width")["verdict"].to_dict() == {
        4: "hysteresis", 8: "no loop within the resolution"
    }  # fmt: skip
    assert loop.verdict == "cannot tell"
    assert isinstance(loop.plot(), Axes)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: rows.drop(columns="stage"), "have no ramps"),
        (lambda rows: rows[rows["way"] == "up"], "there_and_back"),
        (lambda rows: rows.assign(ramp=["a"] * 81 + ["b"] * (len(rows) - 81)), "keep one"),
    ],
)
def test_what_is_no_walk_there_and_back_is_refused(change: Any, match: str) -> None:
    with pytest.raises(AnalysisError, match=match):
        hysteresis(change(planted(np.full(2, 1.5), np.full(2, 0.5))), "alive_count")


def ramp(start: float, end: float, stages: int) -> str:
    return (
        f"ramp: {{parameter: weight_decay, from: {start}, to: {end}, stages: {stages}, "
        "there_and_back: true}\nreplicates: 3\n"
    )


def of_chain(folder: Path, more: str, start: float, end: float, stages: int) -> pd.DataFrame:
    text = f"name: g\nfixed:{CHAIN}{more}{ramp(start, end, stages)}"
    launched(folder, text + "measure: {threshold: {absolute: 0.4, relative: 0}}\n", compile="on")
    return phasediag.load_trials(folder / "g")


def test_e3_has_a_loop_that_is_open_below(tmp_path: Path) -> None:
    """Up, a chain of 3 is learned until gamma_sp. Down, it never comes back: the origin is a minimum at every
    gamma > 0, and a kick of 1e-4 leaves its basin only below gamma = 1e-4 c."""
    loop = hysteresis(of_chain(tmp_path, "", 0.5, 0.8, 31), "alive_count")
    up, down = (loop.ends.set_index("way").loc[way] for way in ("up", "down"))
    expected = 2 * exact.chain_metastability(0.8, 3)
    assert up["position"] == pytest.approx(expected, rel=0.02)
    assert up["low"] <= expected <= up["high"]
    assert (loop.verdict, down["crossed"]) == ("hysteresis", 0)


def test_e3_with_a_shift_has_a_loop_with_two_exact_ends(tmp_path: Path) -> None:
    """syre by a constant shift makes both states finite: the ends are the extrema of gamma(u)."""
    more = "  control: syre\n  syre_distribution: constant\n  syre_scale: 0.05\n"
    loop = hysteresis(of_chain(tmp_path, more, 0.29, 0.8, 52), "alive_count")
    low, high = exact.shifted_chain_ends(0.8, 3, 0.05)
    assert (2 * low, 2 * high) == pytest.approx((0.3195989, 0.7682723), rel=1e-6)
    ends = loop.ends.set_index("way")
    assert loop.verdict == "hysteresis"
    for way, expected in (("up", 2 * high), ("down", 2 * low)):
        assert ends.loc[way, "position"] == pytest.approx(expected, rel=0.02)
        assert ends.loc[way, "low"] <= expected <= ends.loc[way, "high"]


HERMITE = """
  task: hermite
  model: hermite
  teacher_weights: [1.0, 0.2]
  width: 2
  batch_size: 0
  learning_rate: 0.02
  steps: 6000
  dtype: float64
  init_scale: 0.5
"""
LINEAR = """
  task: linear_map
  inputs: 2
  outputs: 2
  samples: 4
  test_samples: 1
  singular_values: [1.0]
  depth: 2
  width: 2
  activation: linear
  init_scale: 0.5
  learning_rate: 0.05
  batch_size: 0
  steps: 2000
"""


@pytest.mark.parametrize(
    ("fixed", "rate", "steps", "stages", "order", "expected"),
    [
        (HERMITE, 0.02, 6000, 41, "degree_normalized", 2 * exact.permutation_threshold([1.0, 0.2], 2)),
        (LINEAR, 0.05, 2000, 21, "rank", 2.0),
    ],
    ids=["E9", "E1"],
)
def test_continuous_transitions_have_no_loop(
    fixed: str, rate: float, steps: int, stages: int, order: str, expected: float, tmp_path: Path
) -> None:
    """Exactly equal neurons, and exactly dead ones, stay so without kicks; slow passages delay both ways."""
    walk = ramp(expected - 0.4, expected + 0.4, stages)
    text = f"name: g\nfixed:{fixed}{walk}measure: {{observables: [rank]}}\n"
    launched(tmp_path, text, compile="on")
    loop = hysteresis(phasediag.load_trials(tmp_path / "g"), order)
    assert loop.verdict == "no loop within the resolution"
    resolution = loop.loops["resolution"].iloc[0]
    assert resolution == pytest.approx(np.log(1e4) / (rate * steps))
    np.testing.assert_allclose(loop.ends["position"], expected, atol=resolution)
