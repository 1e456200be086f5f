"""What a pilot tells of the replicates that a wished interval takes, and of what they do not reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phasediag import phase_diagram
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.replication import replicates_needed
from phasediag.errors import AnalysisError

XS = np.geomspace(0.1, 10, 25)
SPREAD = 0.1
"""Standard deviation of one replicate's boundary, in decades; that of the mean is its over sqrt(n)."""


def pilot(
    replicates: int, seed: int = 0, *, broad: float = 0.5, converged: bool = True, spread: float = SPREAD
) -> PhaseDiagram:
    """Three rows, whose boundary is at 1 but for a shift in decades that a replicate has in all of them."""
    shift = np.random.default_rng(seed).normal(0, spread, replicates)
    table = pd.MultiIndex.from_product(
        [XS, [8, 16, 32], range(replicates)], names=["weight_decay", "width", "replicate"]
    ).to_frame(index=False)
    away = np.log10(table["weight_decay"]) - shift[table["replicate"]] - 0.013
    table = table.assign(
        degree_normalized=np.clip(0.5 + away / (2 * broad), 0, 1), status="ok", converged=converged
    )
    return phase_diagram(table, "weight_decay", "width", resamples=500)


def needed_exactly(width: float) -> int:
    counts = np.arange(3, 10_000)
    widths = 2 * stats.t.ppf(0.975, counts - 1) * SPREAD / np.sqrt(counts)
    return int(counts[widths <= width][0])


@pytest.mark.parametrize("width", [0.3, 0.1, 0.04])
def test_so_many_replicates_give_that_interval(width: float) -> None:
    """From 60 replicates: within 25 % of the exact number; an interval of so many is as wide within 30 %."""
    needed = replicates_needed(pilot(60), width)
    assert needed.needed == pytest.approx(needed_exactly(width), rel=0.25, abs=1)
    assert needed.fewest <= needed.needed <= needed.most
    if needed.needed < 60:
        wide = [
            np.log10(b.high / b.low).median() for b in (pilot(needed.needed, s).boundary for s in range(40))
        ]
        assert np.median(wide) == pytest.approx(width, rel=0.3)


@pytest.mark.slow
def test_a_small_pilot_says_how_little_it_knows() -> None:
    """Of 100 pilots of 4 replicates, 90 % intervals hold the exact number in 80 or more (5 % chance: 85)."""
    exact = needed_exactly(0.06)
    needs = [replicates_needed(pilot(4, seed), 0.06) for seed in range(100)]
    assert sum(each.fewest <= exact <= each.most for each in needs) >= 80
    assert sum(each.needed != exact for each in needs) > 50
    assert np.median([each.most / each.fewest for each in needs]) > 5


def test_what_replicates_do_not_reach_is_said() -> None:
    needed = replicates_needed(pilot(8, broad=1e-3, spread=0.001), 0.01)
    assert needed.needed == 0
    assert "jumps within a cell of 0.083" in needed.warnings[0]
    assert "3 of 3 rows" in needed.warnings[0]
    assert "No number of replicates" in needed.findings[0]
    assert (
        replicates_needed(pilot(8, converged=False), 0.1).rows["hindrance"].str.contains("train longer").all()
    )
    assert "jumps within a cell" in replicates_needed(pilot(8, spread=0.0), 0.01).warnings[0]


def test_a_pilot_that_tells_nothing_is_refused() -> None:
    with pytest.raises(AnalysisError, match="fewer than 3 replicates"):
        replicates_needed(pilot(2), 0.1)
    for width in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(AnalysisError, match="no interval"):
            replicates_needed(pilot(4), width)


def test_it_is_drawn_and_told() -> None:
    needed = replicates_needed(pilot(5), 0.05)
    assert needed.as_dict()["needed"] == needed.needed
    assert "decades of weight decay" in needed.summary()
    assert "data:image/png" in needed._repr_html_()
