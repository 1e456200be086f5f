"""A fit takes what converged, from cells that did, and where the width leaves room."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.finite_size import fit_collapse
from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.selection import reasons_in_words, select
from phasediag.analysis.strength import fit_strength
from phasediag.errors import AnalysisError

WIDTHS = (8, 16, 32, 64, 128)


def limited(replicates: int = 10, seed: int = 0) -> pd.DataFrame:
    """As many neurons as 2 / sqrt(decay) or as the width, whichever is fewer, give or take a few."""
    rng = np.random.default_rng(seed)
    axes = [np.geomspace(1e-3, 1, 13), WIDTHS, range(replicates)]
    frame = pd.MultiIndex.from_product(axes, names=["weight_decay", "width", "replicate"])
    frame = frame.to_frame(index=False).assign(status="ok", converged=True)
    free = 2 * frame["weight_decay"] ** -0.5 * np.exp(rng.normal(0, 0.1, len(frame)))
    return frame.assign(neuron_count=np.minimum(free.round(), frame["width"]))


def kept(frame: pd.DataFrame, **options: float) -> tuple[pd.DataFrame, dict[str, int]]:
    columns = (frame[name].to_numpy(dtype=float) for name in ("weight_decay", "neuron_count", "width"))
    chosen, left_out = select(frame, *columns, **options)
    return frame[chosen], left_out


def test_the_width_that_limits_a_count_does_not_enter_its_law() -> None:
    """The law of x is that of cells with room; the width is asked of all cells."""
    fit = fit_scaling(limited(), resamples=100)
    assert fit.low <= -0.5 <= fit.high
    assert fit.left_out["limited by the width"] > 0
    assert fit.claims[1].verdict == "cannot tell"
    assert "no change is seen, with room, at" in fit.claims[1].reason
    pooled = fit_scaling(limited(), resamples=100, room=1)
    assert pooled.low > -0.4
    assert pooled.claims[1] == fit.claims[1]
    narrow = limited()[lambda f: f["width"] <= 32]
    assert fit_scaling(narrow, resamples=10).claims[1].verdict == "not supported"
    roomy = limited(20)[lambda f: f["weight_decay"] > 4e-3]
    assert fit_scaling(roomy, resamples=10).claims[1].verdict == "supported"


def test_whole_cells_are_limited_not_single_trials() -> None:
    frame, _ = kept(limited())
    means = frame.groupby(["weight_decay", "width"])["neuron_count"].agg(["mean", "size"]).reset_index()
    assert (means["size"] == 10).all()
    assert (means["mean"] <= means["width"] / 2).all()
    assert frame["neuron_count"].gt(frame["width"] / 2).any()


def test_what_may_exceed_the_width_is_not_limited_by_it() -> None:
    frame = limited().assign(neuron_count=lambda f: 3 * f["neuron_count"])
    assert len(kept(frame)[0]) == len(frame)
    assert len(kept(limited(), room=1)[0]) == len(frame)


def test_the_first_of_a_cell_to_converge_do_not_speak_for_it() -> None:
    frame = limited(replicates=10)
    frame["converged"] = frame["replicate"] < frame["width"].map({8: 10, 16: 10, 32: 5, 64: 4, 128: 0})
    chosen, left_out = kept(frame, room=1)
    assert set(chosen["width"]) == {8, 16, 32}
    cells = frame["weight_decay"].nunique()
    assert left_out["not converged"] == (5 + 6 + 10) * cells
    assert left_out["in cells most of which has not converged"] == 4 * cells


def test_every_trial_is_left_out_for_one_reason() -> None:
    frame = limited()
    frame["status"] = np.where(frame["replicate"] == 0, "diverged", "ok")
    frame["converged"] = (frame["replicate"] > 1) & (frame["width"] != 16)
    chosen, left_out = kept(frame)
    assert len(chosen) + sum(left_out.values()) == len(frame)
    assert reasons_in_words(left_out).startswith(f"{left_out['diverged']} diverged, ")
    assert reasons_in_words({"failed": 0}) == "none"


def test_negative_counts_are_refused() -> None:
    with pytest.raises(AnalysisError, match="negative"):
        kept(limited().assign(neuron_count=-1.0))


def half_converged() -> pd.DataFrame:
    """Of the cells of small decay three trials of five have not converged."""
    rng = np.random.default_rng(0)
    axes = [np.geomspace(1e-3, 1, 8), [1e-3, 1e-2], (64, 128), range(5)]
    names = ["weight_decay", "lr_over_batch", "width", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    counts = rng.poisson(2 * (frame["weight_decay"] / 2 + frame["lr_over_batch"]) ** -0.5)
    late = (frame["weight_decay"] < 3e-3) & (frame["replicate"] > 1)
    return frame.assign(status="ok", converged=~late, neuron_count=counts)


def test_every_fit_takes_the_same_trials_and_says_which_it_leaves_out() -> None:
    """The collapse and the strength took the early converged trials of a cell, which the fit leaves out."""
    frame = half_converged()
    fit = fit_scaling(frame, resamples=5)
    late = "in cells most of which has not converged"
    assert fit.left_out["not converged"] == int((~frame["converged"]).sum())
    same = {"window": fit.window, "resamples": 3}
    for other in (fit_collapse(frame, **same), fit_strength(frame, **same)):
        assert (other.n, other.replicates) == (fit.n, fit.replicates)
        assert other.left_out == fit.left_out
        assert f"{fit.left_out[late]} {late}" in other.summary()
        assert f"{fit.n} trials, {fit.replicates} replicates" in other.summary()
    collapse = fit_collapse(frame, resamples=3)
    assert collapse.n == fit_strength(frame, resamples=3).n
    assert collapse.left_out[late] == fit.left_out[late]


def test_a_cell_of_no_counts_has_no_logarithm_and_is_told() -> None:
    frame = half_converged().assign(converged=True)
    empty = (frame["weight_decay"] == 1) & (frame["width"] == 64)
    collapse = fit_collapse(frame.assign(neuron_count=frame["neuron_count"].mask(empty, 0)), resamples=3)
    assert collapse.left_out["in cells of mean 0, which has no logarithm"] == int(empty.sum())
