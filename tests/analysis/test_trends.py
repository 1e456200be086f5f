"""Rank correlations and tests of saturation say what was planted, and doubt what noise alone gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.trends import rank_correlation, rank_trends
from phasediag.analysis.width_saturation import width_saturation
from phasediag.errors import AnalysisError


def planted(slope: float, seed: int, replicates: int = 5) -> pd.DataFrame:
    """y = slope * x + noise, x of 5 values; each replicate has an offset that all its cells share."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(5), range(replicates)], names=["x", "replicate"])
    frame = index.to_frame(index=False)
    y = (
        slope * frame["x"]
        + rng.normal(size=len(frame))
        + 10 * rng.normal(size=replicates)[frame["replicate"]]
    )
    return frame.assign(y=y, status="ok", converged=True)


def test_a_trend_is_found_in_spite_of_differences_between_replicates() -> None:
    (row,) = rank_trends(planted(1.0, 0), "y", {"x": "rises"}).series.to_dict("records")
    assert row["verdict"] == "as claimed"
    assert 0.5 < row["low"] <= row["correlation"] <= row["high"] <= 1
    (row,) = rank_trends(planted(1.0, 0), "y", {"x": "falls"}).series.to_dict("records")
    assert row["verdict"] == "against the claim"


def test_noise_alone_passes_as_often_as_an_interval_of_95_percent_says() -> None:
    """150 draws of noise, seeds 0 to 149: a verdict in 5 % on average, in 12 % at most (3.9 sigma)."""
    verdicts = [
        rank_trends(planted(0.0, seed), "y", {"x": "rises"}).series["verdict"][0] for seed in range(150)
    ]
    assert np.mean([verdict != "not shown" for verdict in verdicts]) <= 0.12


def test_only_rows_at_the_baseline_count() -> None:
    along = planted(1.0, 0).assign(other=0.0)
    beside = planted(-9.0, 1).assign(other=1.0)
    frame = pd.concat([along, beside])
    alone = rank_trends(frame, "y", {"x": "rises"}, baseline={"x": 0, "other": 0.0})
    assert alone.series["verdict"][0] == "as claimed"
    with pytest.raises(AnalysisError, match="other has 2 values"):
        rank_trends(frame, "y", {"other": "rises"}, baseline={"x": 0, "other": 0.0})


def test_what_is_constant_has_no_trend() -> None:
    assert rank_correlation(np.arange(4.0), np.ones(4)) == 0
    trend = rank_trends(planted(1.0, 0).assign(y=3.0), "y", {"x": "rises"})
    (row,) = trend.series.to_dict("records")
    assert row["verdict"] == "not shown"
    assert row["constant"] == row["replicates"] == 5
    assert np.isnan([row["low"], row["high"]]).all()
    assert "does not vary in any replicate" in trend.summary()


def test_replicates_that_agree_have_an_interval_all_the_same() -> None:
    """Ranks come in steps: five equal correlations of 0.9 are known no better than to a step of 0.1."""
    y = np.array([0.0, 1.0, 2.0, 4.0, 3.0])
    frame = planted(0.0, 0)
    (row,) = rank_trends(frame.assign(y=y[frame["x"]]), "y", {"x": "rises"}).series.to_dict("records")
    assert row["correlation"] == pytest.approx(0.9)
    assert 0.85 < row["low"] < 0.9 < row["high"] < 0.95
    assert row["verdict"] == "as claimed"


def test_some_replicates_without_variation_are_told() -> None:
    frame = planted(1.0, 0)
    trend = rank_trends(frame.assign(y=frame["y"].where(frame["replicate"] > 0, 1.0)), "y", {"x": "rises"})
    assert trend.series["constant"][0] == 1
    assert "1 of 5 replicates do not vary" in trend.summary()


def test_an_x_that_was_measured_is_compared_inside_each_replicate() -> None:
    """Ranks of 4 layers, alike in two of them; y rises with them, from another place in each replicate."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(4), range(5)], names=["layer", "replicate"])
    frame = index.to_frame(index=False)
    frame["rank"] = np.array([9, 7, 7, 2])[frame["layer"]]
    frame["y"] = frame["rank"] + 100 * frame["replicate"] + rng.uniform(0, 0.5, len(frame))
    (row,) = rank_trends(frame, "y", {"rank": "rises"}, within=["layer"]).series.to_dict("records")
    assert row["verdict"] == "as claimed"
    assert row["correlation"] == pytest.approx(0.948683)  # ranks 4, 2.5, 2.5, 1 and 4, 3, 2, 1
    assert 0.85 < row["low"] < 0.948683 < row["high"] <= 1


def test_unconverged_trials_are_told() -> None:
    result = rank_trends(planted(1.0, 0).assign(converged=False), "y", {"x": "rises"})
    assert "100% along x" in result.warnings[0]


def widths(curve: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([[50, 100, 200, 400], range(5)], names=["width", "replicate"])
    frame = index.to_frame(index=False)
    assert callable(curve)
    y = curve(frame["width"].to_numpy()) * np.exp(0.02 * rng.normal(size=len(frame)))
    return frame.assign(y=y, status="ok", converged=True)


def test_a_curve_that_bends_saturates_and_a_power_grows() -> None:
    bent = widths(lambda w: 20 * (1 - np.exp(-w / 40))).assign(decay=1.0)
    power = widths(lambda w: w**0.5).assign(decay=0.0)
    result = width_saturation(pd.concat([bent, power]), "y", ["decay"])
    by = result.series.set_index("decay")
    assert list(by["verdict"]) == ["grows", "saturates"]
    assert by.loc[1.0, "limit_low"] < 20 < by.loc[1.0, "limit_high"]
    assert by.loc[0.0, "low"] < 0.5 < by.loc[0.0, "high"]


def test_few_and_noisy_replicates_cannot_tell() -> None:
    rng = np.random.default_rng(1)
    frame = widths(lambda w: 20 * np.ones(len(w)))
    frame = frame[frame["replicate"] < 3].assign(y=lambda f: f["y"] * np.exp(rng.normal(size=len(f))))
    assert width_saturation(frame, "y").series["verdict"][0] == "cannot tell"


def test_one_width_is_refused() -> None:
    frame = widths(lambda w: 20 * np.ones(len(w)))
    with pytest.raises(AnalysisError, match="two values of width"):
        width_saturation(frame[frame["width"] == 50], "y")


def test_the_figures_have_plain_numbers_at_their_ticks() -> None:
    frame = planted(0.3, 0).assign(width=lambda each: 16 * 2 ** each["x"], y=lambda each: 3 + each["x"])
    saturation = width_saturation(frame, "y", []).plot()
    trend = rank_trends(frame, "y", {"width": "rises"}).plot()
    for figure in (saturation.figure, trend):
        figure.draw_without_rendering()
        axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
        texts = [tick.get_text() for axis in axes for tick in axis.get_ticklabels(which="both")]
        assert texts
        assert not [text for text in texts if "$" in text]


def test_means_of_replicates_that_agree_exactly_have_no_interval() -> None:
    """They had one of width zero."""
    frame = planted(1.0, 0).assign(y=lambda rows: rows["x"])
    means = rank_trends(frame, "y", {"x": "rises"}).means
    assert means["mean"].tolist() == means["value"].tolist()
    assert means[["low", "high"]].isna().all(axis=None)
