"""Moments, densities and crossings against what is known of normal variables and planted curves."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phasediag.analysis.distributions import distributions
from phasediag.errors import AnalysisError


def frame(values, replicates=400, sizes=(16, 64), xs=(0.2, 0.5, 0.8), seed=0):
    """m = values(rng, x, size, n) in each cell."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame({"decay": x, "width": size, "replicate": range(replicates),
                      "m": values(rng, x, size, replicates)})
        for size in sizes for x in xs
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(status="ok", converged=True)


def normal(rng, x, size, n):
    return rng.normal(0, size**-0.5, n)


def test_a_normal_order_parameter_has_cumulant_zero_and_one_minimum():
    """U = 0 and chi = N (s^2 - (2/pi) s^2) for m normal of width s; -log P is a parabola."""
    made = distributions(frame(normal), "decay", "m", "width")
    np.testing.assert_allclose(made.moments["binder"], 0, atol=4 * np.sqrt(24 / 400) / 3)
    assert ((made.moments["binder_low"] < 0.1) & (made.moments["binder_high"] > -0.1)).all()
    exact = 1 - 2 / np.pi
    assert (made.moments["susceptibility_low"] <= exact).mean() >= 5 / 6
    assert (made.moments["susceptibility_high"] >= exact).mean() >= 5 / 6
    assert (made.moments["susceptibility_high"] - made.moments["susceptibility_low"] < 0.2).all()


def test_densities_hold_the_exact_shares_of_bins():
    """95 % intervals of the shares of bins hold the exact ones in at least 90 % of the bins."""
    made = distributions(frame(normal, replicates=2000), "decay", "m", "width").densities
    scale = made["width"] ** -0.5
    exact = (stats.norm.cdf(made["to"] / scale) - stats.norm.cdf(made["from"] / scale)) / (
        made["to"] - made["from"]
    )
    inside = (made["density_low"] <= exact) & (made["density_high"] >= exact)
    assert inside.mean() >= 0.9
    share = made["density"] * (made["to"] - made["from"])
    np.testing.assert_allclose(share.groupby([made["width"], made["decay"]]).sum(), 1)
    known = made["trials"] > 0
    np.testing.assert_allclose(made["free_energy"][known], -np.log(made["density"][known]))
    assert made["free_energy"][~known].isna().all()
    assert np.isinf(made["free_energy_high"][~known]).all()


def test_values_of_one_replicate_that_hang_together_widen_the_interval():
    """Each value ten times over is no more than once: the intervals stay as wide."""
    alone = frame(normal, replicates=100)
    copied = pd.concat([alone] * 10)
    one, ten = (distributions(each, "decay", "m", "width").densities for each in (alone, copied))
    width = [(each["density_high"] - each["density_low"])[one["trials"] > 5] for each in (one, ten)]
    assert (width[1] > 0.75 * width[0]).all()


def broken(rng, x, size, n):
    """Two peaks at +- sqrt(0.5 - x) below 0.5, one above, sharper the larger the size."""
    peak = np.sqrt(max(0.5 - x, 0))
    width = (0.2 + max(x - 0.5, 0)) * size**-0.5
    return rng.choice([-1, 1], n) * peak + rng.normal(0, width + 0.1 * (peak == 0) * size**-0.5, n)


def test_a_broken_phase_has_cumulant_two_thirds_and_two_minima():
    made = distributions(frame(broken, sizes=(256,)), "decay", "m", "width", bins=15)
    low = made.moments.set_index("decay")["binder"]
    assert low[0.2] == pytest.approx(2 / 3, abs=0.02)
    assert abs(low[0.8]) < 0.2
    rows = made.densities[made.densities["decay"] == 0.2].set_index("from")["density"]
    middle = rows[(rows.index > -0.2) & (rows.index < 0.1)]
    assert (middle < 0.1 * rows.max()).all()


def crossing(rng, x, size, n):
    """Two peaks that join as (x - 0.5) L^(1/2) grows: the cumulant is a function of it alone, falling."""
    peak = 3 / (1 + np.exp((x - 0.5) * size**0.5 / 0.5))
    return rng.choice([-1, 1], n) * peak + rng.normal(0, 1, n)


@pytest.mark.slow
def test_cumulants_of_two_sizes_cross_where_they_do_not_depend_on_the_size():
    """In 20 draws the 95 % interval of the crossing at 0.5 holds it in at least 16 (fewer: 0.3 %)."""
    hits, positions = 0, []
    for seed in range(20):
        trials = frame(crossing, 6000, (16, 64, 256), np.linspace(0.3, 0.7, 9), seed)
        made = distributions(trials, "decay", "m", "width", resamples=200)
        assert made.crossings[["smaller", "larger"]].to_numpy().tolist() == [[16, 64], [64, 256]]
        row = made.crossings.iloc[1]
        hits += row["low"] <= 0.5 <= row["high"]
        positions.append(row["position"])
    assert hits >= 16
    assert np.median(positions) == pytest.approx(0.5, abs=0.02)
    assert "the Binder cumulants of width 64 and 256 cross at decay = " in made.summary()


def test_cumulants_that_do_not_cross_say_so():
    def apart(rng, x, size, n):
        return rng.choice([-1, 1], n) + rng.normal(0, 0.2 if size == 64 else 1.0, n)

    made = distributions(frame(apart), "decay", "m", "width")
    assert made.crossings["position"].isna().all()
    assert "do not cross" in made.summary()


def test_the_centre_and_the_volume_are_the_users():
    trials = frame(normal).assign(m=lambda f: f["m"] + 3)
    made = distributions(trials, "decay", "m", "width", volume="width * width", centre=3.0)
    plain = distributions(frame(normal), "decay", "m", "width")
    np.testing.assert_allclose(made.moments["binder"], plain.moments["binder"], atol=1e-9)
    np.testing.assert_allclose(
        made.moments["susceptibility"], plain.moments["susceptibility"] * plain.moments["width"], rtol=1e-9
    )


def test_cells_of_few_trials_are_left_out_and_said():
    trials = frame(normal)
    short = trials[(trials["decay"] > 0.3) | (trials["replicate"] < 5)]
    made = distributions(short, "decay", "m", "width")
    assert set(made.moments["decay"]) == {0.5, 0.8}
    assert made.left_out == 10
    assert "10 trials are left out" in made.summary()
    with pytest.raises(AnalysisError, match="needs more replicates"):
        distributions(trials[trials["replicate"] < 5], "decay", "m", "width")


def test_without_an_interval_none_is_told():
    """Too few replicates for one: no nan among the words."""
    made = distributions(pd.concat([frame(normal, replicates=2)] * 4), "decay", "m", "width")
    assert made.moments["susceptibility_low"].isna().all()
    assert "without an interval" in made.findings[0]
    assert not any("nan" in finding for finding in made.findings)


def test_the_figure_spaces_x_as_it_was_run_and_writes_its_legend_off_the_curves():
    made = distributions(frame(normal, replicates=20, xs=(0.01, 0.1, 1.0)), "decay", "m", "width")
    figure = made.plot()
    figure.draw_without_rendering()
    panels = figure.axes
    assert [panel.get_xscale() for panel in panels] == ["linear", "linear", "log", "log"]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["decay 0.01", "decay 0.1", "decay 1", "width 16", "width 64"]
    assert not any(panel.get_legend() for panel in panels)
    bottom = legend.get_window_extent().y0
    assert all(panel.get_window_extent().y1 <= bottom for panel in panels)


def test_intervals_hold_only_what_can_be():
    """Few replicates, one of which lies far off: estimate and reach went below 0, and above 2/3."""
    rng = np.random.default_rng(0)
    spread = np.repeat([0.01, 0.01, 0.01, 3.0], 6)
    rows = {"decay": 0.1, "width": 8, "replicate": np.repeat(range(4), 6), "status": "ok", "converged": True}
    values = {"skewed": rng.normal(0, spread), "sharp": 1 + rng.normal(0, spread / 6)}
    for name, m in values.items():
        made = distributions(pd.DataFrame(rows | {"m": m}), "decay", "m", "width").moments.iloc[0]
        assert 0 <= made["susceptibility_low"] <= made["susceptibility"] <= made["susceptibility_high"], name
        assert made["binder_low"] <= made["binder"] <= made["binder_high"] <= 2 / 3, name
