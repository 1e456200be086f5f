"""First-passage times: E10's exact ones, planted exponential ones with censoring, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import phasediag
from phasediag.analysis.breaking_times import BreakingTimes, breaking_times
from phasediag.cli import main
from phasediag.errors import AnalysisError
from small_sweeps import launched

SIGNAL, EPSILON = 1.0, 0.2
DECAYS, STARTS = (0.4, 0.8, 1.2, 1.6), (1e-2, 1e-3, 1e-4)
E10 = f"""
name: g
fixed: {{task: scalar_linear, signal: {SIGNAL}, test_samples: 1, batch_size: 1, model: mlp, depth: 2,
  width: 1, activation: linear, init: balanced, dtype: float64, learning_rate: 0.004, steps: 6000}}
axes: {{weight_decay: {list(DECAYS)}, init_scale: {list(STARTS)}}}
replicates: 3
measure: {{every: 60, distances: all, threshold: {{absolute: {EPSILON}, relative: 0}}}}
"""


def expected(decay: float, start: float) -> float:
    """E10: u^2 = P / (1 + (P / p0 - 1) exp(-4 P t)) reaches a = epsilon^2 / 2."""
    excess, a, p0 = SIGNAL - decay / 2, EPSILON**2 / 2, start**2
    return float(np.log((excess / p0 - 1) / (excess / a - 1)) / (4 * excess))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("times")
    launched(folder, E10, compile="on")
    return folder / "g"


@pytest.fixture(scope="module")
def times(sweep: Path) -> BreakingTimes:
    measured = phasediag.load_measurements(sweep, observable="sign_flip")
    trials = phasediag.load_trials(sweep)
    return breaking_times(measured, trials, x="weight_decay", critical=2 * SIGNAL, starts="init_scale")


def test_e10_the_times_are_the_exact_ones(times: BreakingTimes) -> None:
    """Steps of 0.004 make it slower by less than 1 %."""
    assert (times.unit, len(times.times), times.times["broken"].all()) == ("learning time", 36, True)
    exact = [expected(d, s) for d, s in times.times[["weight_decay", "init_scale"]].to_numpy()]
    np.testing.assert_allclose(times.times["time"], exact, rtol=0.01)
    assert (times.times["early"] <= times.times["time"]).all()
    assert (times.times["time"] <= times.times["late"]).all()


def test_e10_the_rate_vanishes_with_exponent_1_and_the_start_enters_by_its_logarithm(
    times: BreakingTimes,
) -> None:
    delays = times.growth.set_index("weight_decay")["delay"]
    np.testing.assert_allclose(delays, [1 / (2 * (SIGNAL - d / 2)) for d in delays.index], rtol=0.01)
    scaling = times.scaling.set_index("quantity")
    assert scaling.loc["rate", "exponent"] == pytest.approx(1.0, abs=0.01)
    logs = [np.log([2 * SIGNAL - d, expected(d, min(STARTS))]) for d in DECAYS]
    slope = -np.polyfit(*np.transpose(logs), 1)[0]
    assert scaling.loc["time", "exponent"] == pytest.approx(slope, abs=0.01)
    assert "power of 1.0" in times.summary()


def test_the_command_draws_them(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "times.png"
    main(["times", str(sweep), "--observable", "sign_flip", "--x", "weight_decay", "--critical", "2",
          "--starts", "init_scale", "--output", str(figure)])  # fmt: skip
    assert figure.is_file()
    assert capsys.readouterr().out == f"{figure}\n"


def planted(rate: float, trials: int, end: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exponential times of one generator, recorded at every step up to an end; learning rate 1."""
    drawn = np.ceil(np.random.default_rng(seed).exponential(1 / rate, trials))
    rows = [
        {"trial_id": str(t), "step": step, "layer": "hidden.1", "observable": "permutation",
         "degree": int(step < drawn[t]), "max_degree": 1, "epsilon": 1.0, "distances": None}
        for t in range(trials) for step in range(end + 1)
    ]  # fmt: skip
    frame = {"trial_id": [str(t) for t in range(trials)], "replicate": range(trials), "learning_rate": 1.0,
             "status": "ok", "point_id": "p"}  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(frame)


def test_the_median_holds_what_was_not_seen_and_its_interval_covers() -> None:
    """100 draws of 40 trials, a third not seen: the interval of the median covers in 90 to 100 of them.

    A binomial of 100 draws at 0.95 is below 90 with a chance of 1 in 90.
    """
    rate, covered = 0.02, 0
    for seed in range(100):
        median = breaking_times(*planted(rate, 40, 55, seed)).distribution.iloc[0]
        assert median["broken"] < median["trials"] == 40
        covered += bool(median["low"] <= np.log(2) / rate <= median["high"])
    assert covered >= 90


def test_generators_that_never_break_and_those_that_were_broken_are_told() -> None:
    measured, trials = planted(1e-9, 5, 20, 0)
    never = breaking_times(measured, trials)
    assert never.distribution["median"].tolist() == [np.inf]
    assert "0 of 5 generators" in never.summary()
    assert isinstance(never.plot(), Axes)
    measured.loc[measured["trial_id"] == "0", "degree"] = 0
    assert breaking_times(measured, trials).at_once == 1


def several(rates: Sequence[float], critical: float | None = None) -> BreakingTimes:
    """Planted sweeps of several decays, each of them with a rate of its own."""
    drawn = [planted(rate, 4, 20, seed) for seed, rate in enumerate(rates)]
    named = [
        tuple(part.assign(trial_id=f"{number}-" + part["trial_id"]) for part in pair)
        for number, pair in enumerate(drawn)
    ]
    trials = [
        each.assign(weight_decay=number, point_id=str(number)) for number, (_, each) in enumerate(named)
    ]
    return breaking_times(pd.concat([rows for rows, _ in named]), pd.concat(trials), "weight_decay", critical)


def test_curves_that_never_break_leave_room_and_the_others_are_told_apart_without_colour() -> None:
    ax = several([1e-9, 0.3, 1e-9, 0.1]).plot()
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [float(line.get_ydata()[-1]) < 1 for line in curves] == [True, True]
    assert len({line.get_linestyle() for line in curves}) == 2
    many = several([0.3] * 9).plot()
    (said,) = [legend.get_title().get_text() for legend in many.figure.legends]
    assert "6 of 9 curves" in " ".join(said.split())


def test_the_critical_value_itself_is_not_drawn_on_a_logarithmic_axis() -> None:
    ax = several([0.3] * 5, critical=0.0).plot()
    assert min(np.min(line.get_xdata()) for line in ax.lines) == 1.0
    ax.figure.draw_without_rendering()
    words = [tick.get_text() for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_ticklabels(which="both")]
    assert not [word for word in words if "times" in word], "numbers of one decade are plain"


def test_an_exponent_that_cannot_be_had_is_told() -> None:
    few = several([0.3, 0.3], critical=0.0)
    assert few.scaling.empty
    assert any("no exponent: it takes 3 values of weight decay besides 0" in each for each in few.warnings)


@pytest.mark.parametrize(
    ("measured", "trials", "match"),
    [
        (lambda m: m[m["step"] < 2], lambda t: t, "every"),
        (lambda m: m.assign(observable="sharpness"), lambda t: t, "counts no generators"),
        (lambda m: pd.concat([m, m.assign(layer="hidden.2")]), lambda t: t, "one layer"),
        (lambda m: m, lambda t: t.assign(stage=0), "ramps"),
        (lambda m: m.assign(degree=0), lambda t: t, "none can break"),
    ],
)
def test_what_has_no_times_is_refused(measured: Any, trials: Any, match: str) -> None:
    rows, frame = planted(0.1, 3, 10, 0)
    with pytest.raises(AnalysisError, match=match):
        breaking_times(measured(rows), trials(frame))
