"""An axis that is a result: the learning rate in units of each trial's own sharpness at the start."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.binning import MOST_BINS, with_bins
from phasediag.analysis.frame import with_formulas
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.errors import AnalysisError

SCALED = "learning_rate * sharpness_at_start / 2"
RATES = np.geomspace(0.01, 1, 24)
STEP = np.log(RATES[1] / RATES[0])


def trained(replicates: int = 8, seed: int = 0) -> pd.DataFrame:
    """Losses rise beyond 1.5 (width 8) or 1.2 (width 32) times 2 / sharpness, of each replicate its own."""
    index = pd.MultiIndex.from_product(
        [RATES, [8, 32], range(replicates)], names=["learning_rate", "width", "replicate"]
    )
    frame = index.to_frame(index=False).assign(status="ok", converged=True)
    drawn = np.random.default_rng(seed).lognormal(0, 0.3, (33, replicates))
    frame["sharpness_at_start"] = 20 * drawn[frame["width"], frame["replicate"]]
    frame["point_id"] = frame["learning_rate"].astype(str) + "/" + frame["width"].astype(str)
    critical = np.where(frame["width"] == 8, 1.5, 1.2)
    rises = frame["learning_rate"] * frame["sharpness_at_start"] / 2 > critical
    return frame.assign(rises=rises.astype(float))


def diagram_of(frame: pd.DataFrame, x: str = SCALED, y: str = "width") -> PhaseDiagram:
    return phase_diagram(frame, x, y, order="rises", level=0.5)


def test_a_boundary_in_units_of_each_trials_own_start_is_where_it_was_planted() -> None:
    """Half a step of the grid is the resolution; against the learning rate itself it is spread threefold."""
    boundary = diagram_of(trained()).boundary
    assert np.abs(np.log(boundary["position"] / [1.5, 1.2])).max() < STEP / 2
    assert ((boundary["low"] < [1.5, 1.2]) & (boundary["high"] > [1.5, 1.2])).all()
    plain = diagram_of(trained(), "learning_rate").boundary
    assert (np.log(plain["high"] / plain["low"]) > 1.5 * np.log(boundary["high"] / boundary["low"])).all()


def test_each_replicate_has_one_trial_a_bin_and_no_trial_moves_by_more_than_half_a_step() -> None:
    frame = with_formulas(trained(), [SCALED])
    binned, behind = with_bins(frame, [SCALED, "width"])
    assert behind == ("learning_rate",)
    assert not binned.duplicated([SCALED, "width", "replicate"]).any()
    assert np.abs(np.log(binned[SCALED] / frame[SCALED])).max() < 0.5001 * STEP
    assert np.diff(np.log(np.unique(binned[SCALED]))) == pytest.approx(STEP)
    pd.testing.assert_frame_equal(binned.drop(columns=SCALED), frame.drop(columns=SCALED))


def test_axes_that_the_grid_gives_stay_as_they_are() -> None:
    frame = with_formulas(trained(), ["learning_rate * width"])
    same, behind = with_bins(frame, ["learning_rate * width", "width"])
    assert behind == ()
    pd.testing.assert_frame_equal(same, frame)
    unnamed = frame.drop(columns="point_id")
    pd.testing.assert_frame_equal(with_bins(unnamed, ["sharpness_at_start"])[0], unnamed)


def test_another_axis_still_becomes_a_facet() -> None:
    both = pd.concat([trained().assign(depth=2), trained(seed=1).assign(depth=4)])
    both["point_id"] += "/" + both["depth"].astype(str)
    diagram = diagram_of(both)
    assert diagram.facets == ("depth",)
    assert len(diagram.boundary) == 4


def test_a_result_by_itself_is_an_axis_of_few_bins() -> None:
    """No parameter walks along it: numpy's rule says how wide bins are."""
    binned, behind = with_bins(trained(), ["sharpness_at_start"])
    assert behind == ()
    assert 3 < binned["sharpness_at_start"].nunique() < 16


def test_values_of_very_uneven_distances_are_refused_in_one_sentence() -> None:
    frame = trained(replicates=2)
    frame["learning_rate"] = 1 + frame["learning_rate"] / 1e5
    frame.loc[frame["replicate"] == 1, "sharpness_at_start"] *= 1e6
    with pytest.raises(AnalysisError, match=f"too unevenly for bins .* {MOST_BINS} are allowed"):
        with_bins(with_formulas(frame, [SCALED]), [SCALED])
