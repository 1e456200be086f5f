"""Intervals cover the truth as often as they say, at few replicates too.

The true coverage is to lie between 0.93 and 0.98. Each share below is of 2,000 draws, whose binomial error at
0.95 is 0.005, so that it lies between 0.92 and 0.985 but for three standard errors of chance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.bootstrap import Resamples, Sums, interval
from phasediag.analysis.boundary import Rows, SingleValues, find_boundary
from phasediag.analysis.scaling import fit_scaling
from phasediag.arrays import FloatArray

DRAWS = 2_000
LEAST, MOST = 0.92, 0.985
COUNTS = (3, 4, 5, 6, 8, 10)
COLUMNS = np.linspace(-1.5, 1.5, 9)
SHIFT = 0.25
"""Of a replicate: its teacher, data and seed move its whole row, which is shared along it."""


def curves(kind: str, away: FloatArray) -> FloatArray:
    return 0.5 + away / 8 if kind == "ramp" else 1 / (1 + np.exp(-away / 0.3))


def rows_of(kind: str, replicates: int) -> tuple[Rows, SingleValues]:
    """One experiment a row: the curve of each replicate is shifted as a whole, about 0 on average."""
    rng = np.random.default_rng([COUNTS.index(replicates), len(kind)])
    shift = rng.normal(0, SHIFT, (DRAWS, 1, replicates))
    values = curves(kind, COLUMNS[:, None] - shift)
    values += rng.normal(0, 0.02, values.shape)
    row = np.repeat(np.arange(DRAWS), len(COLUMNS))
    rows = Rows(
        row=row, coordinate=np.tile(COLUMNS, DRAWS), value=values.mean(axis=2).ravel(),
        replicates=np.full(len(row), replicates), linked=np.diff(row) == 0,
    )  # fmt: skip
    cell = np.repeat(np.arange(len(row)), replicates)
    replicate = np.tile(np.arange(replicates), len(row))
    return rows, SingleValues(cell=cell, replicate=replicate, value=values.ravel())


@pytest.mark.parametrize("replicates", COUNTS)
@pytest.mark.parametrize("kind", ["ramp", "sigmoid"])
def test_the_interval_of_a_boundary_covers_what_it_says(kind: str, replicates: int) -> None:
    boundary = find_boundary(*rows_of(kind, replicates), 0.5, resamples=500, seed=0)
    covered = np.mean((boundary.low <= 0) & (boundary.high >= 0))
    assert LEAST <= covered <= MOST


@pytest.mark.parametrize("replicates", COUNTS)
def test_the_interval_of_a_shared_mean_covers_what_it_says(replicates: int) -> None:
    """As that of any statistic that is nearly one of means: an exponent, the shift of a boundary."""
    values = np.random.default_rng(replicates).normal(size=(DRAWS, replicates))
    cell, replicate = np.divmod(np.arange(values.size), replicates)
    sums = Sums.of(cell, replicate, values.ravel())
    draws = Resamples.of(replicates, 500, 0)
    low, high = interval(sums.drawn_means(draws.weights), draws, sums.means)
    assert LEAST <= np.mean((low <= 0) & (high >= 0)) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [3, 5])
def test_the_interval_of_an_exponent_covers_what_it_says(replicates: int) -> None:
    """Teachers differ: the exponent of a replicate scatters by 0.05, and its amplitude by a tenth.

    150 draws, whose binomial error at 0.95 is 0.018: between 0.90 and 0.99.
    """
    x = np.geomspace(1e-3, 1e-1, 8)
    hits = []
    for draw in range(150):
        rng = np.random.default_rng([replicates, draw])
        exponent = -0.5 + rng.normal(0, 0.05, (replicates, 1))
        mean = 40 * np.exp(rng.normal(0, 0.1, (replicates, 1))) * (x / 1e-2) ** exponent
        trials = pd.DataFrame({
            "weight_decay": np.tile(x, replicates), "replicate": np.repeat(np.arange(replicates), len(x)),
            "neuron_count": rng.poisson(mean).ravel(), "width": 512, "status": "ok", "converged": True,
        })  # fmt: skip
        fit = fit_scaling(trials, window=(0, 1), resamples=500, seed=draw)
        hits.append(fit.low <= -0.5 <= fit.high)
    assert 0.90 <= np.mean(hits) <= 0.99
