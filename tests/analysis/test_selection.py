"""A fit takes what converged, from cells that did, and where the width leaves room."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.scaling import fit_scaling
from phasediag.analysis.selection import reasons_in_words, select
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
    fit = fit_scaling(limited(), resamples=100)
    assert fit.low <= -0.5 <= fit.high
    assert fit.independence.exponent == pytest.approx(0, abs=0.02)
    assert [claim.verdict for claim in fit.claims] == ["supported"] * 3
    assert fit.left_out["limited by the width"] > 0
    pooled = fit_scaling(limited(), resamples=100, room=1)
    assert pooled.low > -0.4
    assert pooled.claims[1].verdict == "not supported"


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
