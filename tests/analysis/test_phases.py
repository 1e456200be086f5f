"""The boundary is where it was planted, and its interval holds what it says."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.analysis.phases import DecoupledDecayWarning, Scale, phase_diagram
from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.slices import slices
from phasediag.errors import AnalysisError
from properties import examples

X, Y = "weight_decay", "lr_over_batch"
RATES = np.array([3e-4, 1e-3, 3e-3])


def grid(xs, ys, replicates):
    index = pd.MultiIndex.from_product([xs, ys, range(replicates)], names=[X, Y, "replicate"])
    return index.to_frame(index=False).assign(status="ok", converged=True)


def planted(seed=0, replicates=10, points=16, slope=1.6, noise=0.25, ys=RATES):
    """A ramp in log x through 1/2 at 0.1 (y/0.001)^-0.5, shifted by one number a replicate."""
    rng = np.random.default_rng(seed)
    frame = grid(np.geomspace(1e-2, 1, points), ys, replicates)
    shift = rng.normal(0, noise, replicates)[frame["replicate"]]
    away = np.log(frame[X] / true_position(frame[Y])) + shift + rng.normal(0, 0.1, len(frame))
    return frame.assign(degree_normalized=0.5 + away / slope / 5)


def true_position(rates):
    return 0.1 * (rates / 1e-3) ** -0.5


def from_means(rows, xs=None, replicates=4, spread=0.0, **columns):
    """Replicates about the given means, one list a row, all moved alike by a multiple of the spread."""
    xs = np.geomspace(1e-2, 1, len(rows[0])) if xs is None else xs
    frame = grid(xs, np.arange(1.0, len(rows) + 1), replicates)
    place = np.searchsorted(xs, frame[X]), frame[Y].astype(int) - 1
    moved = spread * (frame["replicate"] - (replicates - 1) / 2)
    return frame.assign(degree_normalized=np.array(rows).T[place] + moved, **columns)


def boundary_of(frame, **options):
    return phase_diagram(frame, X, Y, **options).boundary


def test_planted_boundary_is_recovered():
    boundary = boundary_of(planted(noise=0.02, replicates=40))
    np.testing.assert_allclose(boundary["position"], true_position(boundary[Y]), rtol=0.03)
    assert (boundary["low"] < boundary["position"]).all()
    assert (boundary["position"] < boundary["high"]).all()
    assert boundary["crossings"].eq(1).all()
    assert boundary["replicates"].eq(40).all()


def test_interval_covers_the_truth_as_often_as_it_says():
    hits = []
    for seed in range(200):
        boundary = boundary_of(planted(seed, ys=RATES[:2]), seed=seed, resamples=500)
        hits.append(
            boundary["low"].le(true_position(boundary[Y])) & boundary["high"].ge(true_position(boundary[Y]))
        )
    assert 0.90 <= np.mean(hits) <= 0.99


def test_replicates_are_resampled_jointly_over_cells():
    """A replicate's shift is the same in all cells: resampling cells apart would average it away."""
    frame = planted(noise=0.25).assign(degree_normalized=lambda f: f["degree_normalized"].round(6))
    boundary = boundary_of(frame)
    shifts = np.random.default_rng(0).normal(0, 0.25, 10)
    expected = 2 * 2.262 * shifts.std(ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(np.log(boundary["high"] / boundary["low"]), expected, rtol=0.25)


@settings(max_examples=examples(30))
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.1, 10))
def test_boundary_ignores_row_order_and_follows_units(seed, factor):
    frame = planted(seed % 1000, replicates=4, points=8)
    shuffled = frame.sample(frac=1, random_state=seed).assign(**{X: lambda f: f[X] * factor})
    one, other = boundary_of(frame, resamples=50), boundary_of(shuffled, resamples=50)
    for name in ("position", "low", "high"):
        np.testing.assert_allclose(other[name], one[name] * factor, rtol=1e-9)


@pytest.mark.parametrize(("scale", "expected"), [("log", 10**-0.5), ("linear", 2.5)])
def test_interpolates_on_the_scale_of_the_axis(scale, expected):
    xs = {"log": np.array([1e-2, 1e-1, 1e0, 1e1]), "linear": np.array([1.0, 2, 3, 4])}[scale]
    boundary = boundary_of(from_means([[0.1, 0.25, 0.75, 0.9]] * 2, xs))
    np.testing.assert_allclose(boundary["position"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1, 2, 3, 4], "linear"), ([4, 8, 16, 32], "log"), ([1, 10], "log"), ([16, 64], "linear"),
     ([-1, 1, 10], "linear"), ([0, 1e-3, 1e-2, 1e-1], "asinh"), ([0, 0.25, 0.5], "linear")],
)  # fmt: skip
def test_scale_of_an_axis(values, kind):
    scale = Scale.of(np.array(values, dtype=float))
    assert scale.kind == kind
    np.testing.assert_allclose(scale.inverse(scale.forward(np.array(values, float))), values, atol=1e-15)


def test_no_crossing_is_nan():
    boundary = boundary_of(from_means([[0.6, 0.7, 0.8], [0.1, 0.2, 0.3], [0.2, 0.45, 0.8]]))
    assert boundary["position"].isna().tolist() == [True, True, False]
    assert boundary["low"].isna().tolist() == [True, True, False]
    assert boundary["crossings"].tolist() == [0, 0, 1]


def test_every_crossing_of_a_row_is_stated_with_its_direction_and_branch():
    xs = np.geomspace(1e-2, 1, 6)
    frame = from_means([[0.4, 0.6, 0.4, 0.1, 0.8, 0.9]] * 2, xs, spread=0.01)
    diagram = phase_diagram(frame, X, Y)
    boundary = diagram.boundary
    assert boundary["crossings"].eq(3).all()
    assert boundary["direction"].tolist() == ["rising", "falling", "rising"] * 2
    assert boundary["branch"].tolist() == [2, 3, 1] * 2, "of equally many rows the steepest is the first"
    places = [(xs[0], xs[1]), (xs[1], xs[2]), (xs[3], xs[4])] * 2
    assert all(low < at < high for at, (low, high) in zip(boundary["position"], places, strict=True))
    assert (boundary["low"] < boundary["position"]).all()
    assert (boundary["position"] < boundary["high"]).all()
    assert "2 of 2 rows cross 0.5 more than once" in " ".join(diagram.warnings)
    assert diagram.main["position"].between(xs[3], xs[4]).all()
    assert "2 (rising) in 2 of them" in diagram.findings[1]
    falling = phase_diagram(frame, X, Y, direction="falling")
    assert falling.boundary["direction"].tolist() == ["falling"] * 2
    pd.testing.assert_series_equal(
        falling.boundary["low"], boundary["low"][boundary["branch"] == 3].reset_index(drop=True)
    )
    with pytest.raises(AnalysisError, match="direction='up' is unknown; it is one of rising, falling"):
        phase_diagram(frame, X, Y, direction="up")


def test_where_it_jumps_the_interval_is_at_least_the_cell():
    rows = [[0.0, 0.02, 0.97, 1.0], [0.2, 0.4, 0.6, 0.8]]
    boundary = boundary_of(from_means(rows, spread=1e-4))
    xs = np.geomspace(1e-2, 1, 4)
    assert boundary["low"][0] <= xs[1] * (1 + 1e-12)
    assert boundary["high"][0] >= xs[2] * (1 - 1e-12)
    np.testing.assert_allclose(
        boundary.loc[1, ["low", "high"]].astype(float), boundary["position"][1], rtol=2e-3
    )


def test_a_step_of_a_staircase_is_a_jump():
    """A rank passes a third of its range in one cell and none in the next ones."""
    row, at = [0.0, 0.0, 0.3, 0.3, 0.7, 0.7, 1.0, 1.0], 3
    xs = np.geomspace(1e-2, 1, 8)
    boundary = boundary_of(from_means([row] * 2, xs))
    assert (boundary["low"] <= xs[at] * (1 + 1e-12)).all()
    assert (boundary["high"] >= xs[at + 1] * (1 - 1e-12)).all()


def test_a_resolved_slope_is_no_jump():
    """Three cells that share the change, or a crossing at the end of a row: nothing tells of a step."""
    for row in ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.3, 0.55, 0.7, 0.8, 0.9, 1.0]):
        boundary = boundary_of(from_means([row] * 2, np.geomspace(1e-2, 1, 6), spread=1e-4))
        np.testing.assert_allclose(boundary["low"], boundary["high"], rtol=2e-3)


def test_replicates_that_agree_exactly_tell_no_place_inside_the_cell():
    """As counts do: ranks 11, 8, 6, 4, 3, 2 of neighbouring cells, in every replicate."""
    row = boundary_of(from_means([[11, 8, 6, 4, 3, 2]] * 2), level=2.5).iloc[0]
    edges = np.geomspace(1e-2, 1, 6)[4:]
    np.testing.assert_allclose([row["low"], row["high"]], edges)
    assert edges[0] < row["position"] < edges[1]


def test_an_interval_that_leaves_the_row_is_open():
    """Nothing was measured beyond: not the edge of the grid is its end, but nothing is."""
    xs = np.geomspace(1e-2, 1, 4)
    frame = from_means([[0.9, 0.8, 0.7, 0.49]] * 2, xs, replicates=6)
    frame["degree_normalized"] += np.linspace(-0.2, 0.2, 6)[frame["replicate"]]
    diagram = phase_diagram(frame, X, Y)
    boundary = diagram.boundary
    assert boundary["high"].eq(np.inf).all()
    assert boundary["censored"].eq("high").all()
    assert (boundary["low"] < boundary["position"]).all()
    assert "2 of 2 boundary points have an interval that is open" in " ".join(diagram.warnings)
    row = json.loads(json.dumps(diagram.as_dict()))["boundary"][0]
    assert row["high"] is None
    assert row["censored"] == "high"
    mirrored = boundary_of(frame.assign(**{X: 1e-2 / frame[X]}))
    assert mirrored["low"].eq(-np.inf).all()
    assert mirrored["censored"].eq("low").all()
    assert mirrored["support"].lt(1).all()


@pytest.mark.parametrize("replicates", [1, 2, 3])
def test_interval_needs_three_replicates(replicates):
    boundary = boundary_of(planted(replicates=replicates))
    assert boundary["position"].notna().all()
    assert boundary["low"].isna().all() == (replicates < 3)
    assert boundary["replicates"].eq(replicates).all()


def test_what_an_interval_is_conditional_on_is_said():
    """One pinned teacher: no resampling of replicates knows what another would give."""
    sentence = "conditional on one teacher and one data set: data_seed = 3"
    pinned = planted(replicates=4).assign(data_seed=3.0)
    assert sentence in " ".join(phase_diagram(pinned, X, Y).warnings)
    assert sentence in " ".join(slices(pinned, X, by=Y).warnings)
    assert "conditional" not in " ".join(phase_diagram(planted(replicates=4), X, Y).warnings)
    few = pinned[pinned["replicate"] < 2]
    assert "conditional" not in " ".join(phase_diagram(few, X, Y).warnings), "there is no interval"
    counts = pinned.assign(neuron_count=lambda f: (3 / f[X]).round() + f["replicate"], width=900)
    assert sentence in " ".join(fit_scaling(counts).warnings)


def test_a_lost_cell_breaks_its_row():
    rows = [[0.1, 0.3, 0.5, 0.7, 0.9]] * 4
    frame = from_means(rows)
    xs = np.unique(frame[X])
    at = frame[X].eq(xs[2])
    frame = frame[~(at & frame[Y].eq(1))]
    frame["status"] = frame["status"].mask(at & frame[Y].eq(2), "failed")
    frame["status"] = frame["status"].mask(at & frame[Y].eq(3) & (frame["replicate"] < 3), "diverged")
    diagram = phase_diagram(frame, X, Y)
    assert diagram.boundary["position"].isna().tolist() == [True, True, True, False]
    phases = diagram.cells[diagram.cells[X].eq(xs[2])].set_index(Y)["phase"]
    assert phases.to_dict() == {2.0: "missing", 3.0: "diverged", 4.0: "symmetric"}
    shares = diagram.cells[diagram.cells[X].eq(xs[2])].set_index(Y)["diverged_share"]
    assert shares.to_dict() == {2.0: 0.0, 3.0: 0.75, 4.0: 0.0}


def test_a_refined_column_is_no_gap_in_the_other_rows():
    coarse = from_means([[0.0, 0.4, 0.6, 1.0]] * 4)
    xs = np.unique(coarse[X])
    extra = coarse[coarse[X].eq(xs[1]) & coarse[Y].eq(1)].assign(degree_normalized=0.45)
    boundary = boundary_of(pd.concat([coarse, extra.assign(**{X: np.sqrt(xs[1] * xs[2])})]))
    assert boundary["position"].notna().all()
    assert boundary["position"][0] > boundary["position"][1]


def test_cells_hold_the_statistics_of_the_ok_trials():
    frame = planted(replicates=5, points=4).assign(converged=pd.array([True, None] * 30, dtype="boolean"))
    frame.loc[frame["replicate"].eq(0), "status"] = "diverged"
    cells = phase_diagram(frame, X, Y).cells.set_index([X, Y])
    ok = frame[frame["status"].eq("ok")].groupby([X, Y])["degree_normalized"]
    np.testing.assert_allclose(cells["mean"], ok.mean().reindex(cells.index))
    np.testing.assert_allclose(cells["std"], ok.std().reindex(cells.index))
    assert cells["replicates"].eq(4).all()
    assert cells["diverged_share"].eq(0.2).all()
    assert cells["unconverged_share"].eq(0).all()
    assert (cells["phase"] == np.where(cells["mean"] < 0.5, "broken", "symmetric")).all()


def test_facets_are_independent_diagrams():
    parts = [planted(seed).assign(label_noise=noise) for seed, noise in enumerate([0.0, 0.5])]
    both = phase_diagram(pd.concat(parts), X, Y)
    assert both.facets == ("label_noise",)
    for noise, part in zip([0.0, 0.5], parts, strict=True):
        rows = both.boundary[both.boundary["label_noise"].eq(noise)].drop(columns="label_noise")
        pd.testing.assert_frame_equal(
            rows.reset_index(drop=True), boundary_of(part.drop(columns="label_noise"))
        )


def test_a_derived_column_is_no_facet():
    frame = planted().assign(learning_rate=lambda f: f[Y] * 32, steps=lambda f: (1 / f[Y]).round())
    assert phase_diagram(frame, X, Y).facets == ()
    other = pd.concat([frame.assign(width=width) for width in (16, 64)])
    assert phase_diagram(other, X, "width").facets == ("lr_over_batch",)


def test_a_users_result_column_is_no_facet():
    frame = planted().assign(point_id=lambda f: f[X].astype(str) + f[Y].astype(str))
    frame["own_measure"] = np.arange(len(frame)) / 7
    assert phase_diagram(frame, X, Y).facets == ()


def test_list_valued_parameters_can_be_facets():
    frame = planted()
    spectra = pd.concat(
        [frame.assign(singular_values=[s] * len(frame)) for s in (np.array([1.0, 0.5]), [2.0])]
    )
    assert phase_diagram(spectra, X, Y).cells["singular_values"].unique().tolist() == [
        "[1,0.5]",
        "[2]",
    ]


@pytest.mark.parametrize("y", [None, Y])
def test_a_row_without_a_crossing_crosses_no_more_than_once(y: str | None):
    frame = planted(ys=RATES if y else RATES[:1]).assign(degree_normalized=0.2)
    (warning,) = phase_diagram(frame, X, y).warnings
    assert warning.startswith("No row crosses 0.5, so there is no boundary in this range")
    assert "Let the axes reach further, or choose a level between these" in warning


def test_unconverged_cells_without_a_boundary_are_no_comfort():
    """That no boundary lies beside them says nothing where there is none: longer training may show one."""
    frame = planted().assign(degree_normalized=0.2, converged=False)
    _, warning = phase_diagram(frame, X, Y).warnings
    assert "cells have not converged. Longer training may yet show a boundary" in warning
    assert "No boundary point lies beside such a cell" not in warning


def test_too_many_values_of_a_forgotten_axis():
    frame = pd.concat([planted(replicates=1, points=3).assign(label_noise=n) for n in range(7)])
    with pytest.raises(AnalysisError, match=r"label_noise.*7 values.*, facet; .*name it"):
        phase_diagram(frame, X, Y)
    assert phase_diagram(frame, X, Y, facet="label_noise").facets == ("label_noise",)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f, {"x": "weigth_decay"}, "did you mean 'weight_decay'"),
        (lambda f: f.assign(alive_count=1), {"order": "sign_flip"}, "'sign_flip' is found in alive_count"),
        (lambda f: f, {"order": "sign_flip"}, "'sign_flip' was not measured"),
        (lambda f: f[:0], {}, "no trials"),
        (lambda f: f[f[X] == f[X].iloc[0]], {}, "only one value"),
        (lambda f: f, {"x": Y}, "named twice"),
        (lambda f: f, {"order": "status"}, "not numeric"),
        (lambda f: f.assign(**{X: f[X].replace(f[X].min(), np.nan)}), {}, "null or infinite"),
    ],
)
def test_refusals_say_what_to_do(change, options, message):
    with pytest.raises(AnalysisError, match=message):
        phase_diagram(change(planted()), **{"x": X, "y": Y, **options})


def test_a_rate_of_minus_infinity_counts_as_the_lowest():
    frame = planted(noise=0.0).assign(log_rate=lambda f: 0.5 - f["degree_normalized"])
    frame.loc[frame[X].eq(frame[X].max()), "log_rate"] = -np.inf
    diagram = phase_diagram(frame, X, Y, order="log_rate", level=0)
    np.testing.assert_allclose(diagram.boundary["position"], true_position(diagram.boundary[Y]), rtol=0.1)
    assert set(diagram.cells["phase"]) == {"growing", "collapsing"}


def test_importing_the_analysis_loads_nothing_heavy():
    modules = "phasediag.analysis.phases, phasediag.analysis.scaling"
    code = f"import sys, {modules}; print(set(sys.argv) & set(sys.modules))"
    heavy = ["torch", "ray", "matplotlib", "seaborn"]
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_a_diagram_over_the_decay_of_adamw_warns_that_there_is_no_threshold() -> None:
    """E13: adamw bounds weights and never collapses them."""
    trials = pd.DataFrame(
        [
            {"weight_decay": d, "width": w, "replicate": 0, "status": "ok", "degree_normalized": float(d > 1)}
            for d in (0.5, 1.0, 2.0) for w in (1, 2)
        ]
    )  # fmt: skip
    phase_diagram(trials.assign(optimizer="adam"), x="weight_decay", y="width")
    with pytest.warns(DecoupledDecayWarning, match="1 / weight_decay"):
        phase_diagram(trials.assign(optimizer="adamw"), x="weight_decay", y="width")
