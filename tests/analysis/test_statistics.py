"""Laws of the pure functions below diagrams and fits: draws, sums, crossings, slopes, cells, scales."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from phasediag.analysis.bootstrap import Resamples, Sums, interval, replicate_codes
from phasediag.analysis.boundary import Boundary, Rows, SingleValues, find_boundary, resampled_means
from phasediag.analysis.cells import cell_statistics, decided_means, order_values
from phasediag.analysis.frame import Groups
from phasediag.analysis.scale import Scale
from phasediag.analysis.slope import find_steepest
from phasediag.arrays import FloatArray
from properties import examples

SEEDS = st.integers(0, 2**32 - 1)
LEVEL = 0.5


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(seed: int, rows: int = 3, columns: int = 7, replicates: int = 5) -> FloatArray:
    """Values of every row, column and replicate; a few are NaN."""
    rng = rng_of(seed)
    steep, place = rng.uniform(1, 8, (rows, 1, 1)), rng.uniform(1, columns - 2, (rows, 1, 1))
    rise = 1 / (1 + np.exp(-steep * (np.arange(columns)[:, None] - place)))
    values = rise + rng.normal(0, 0.05, (rows, columns, replicates))
    values[rng.random(values.shape) < 0.03] = np.nan
    return values


def laid_out(values: FloatArray, coordinate: FloatArray | None = None) -> tuple[Rows, SingleValues]:
    """Cells and trials of a table, shape (rows, columns, replicates)."""
    rows, columns, replicates = values.shape
    at = np.arange(columns, dtype=np.float64) if coordinate is None else coordinate
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    mean[~known.any(axis=2)] = np.nan
    row = np.repeat(np.arange(rows), columns)
    cells = Rows(
        row=row, coordinate=np.tile(at, rows), value=mean.ravel(), replicates=known.sum(axis=2).ravel(),
        linked=np.diff(row) == 0,
    )  # fmt: skip
    cell = np.repeat(np.arange(rows * columns), replicates)
    samples = SingleValues(
        cell=cell, replicate=np.tile(np.arange(replicates), rows * columns), value=values.ravel()
    )
    return cells, samples


def located(values: FloatArray, coordinate: FloatArray | None = None, level: float = LEVEL) -> Boundary:
    return find_boundary(*laid_out(values, coordinate), level, resamples=60, seed=0, keep=True)


@settings(max_examples=examples(30), deadline=None)
@given(SEEDS, st.sampled_from([4, 12]))
def test_draws_that_are_alike_are_stored_once_and_have_as_many_replicates_as_there_are(
    seed: int, replicates: int
) -> None:
    draws = Resamples.of(replicates, 50, seed)
    assert (draws.weights.sum(axis=1) == replicates).all()
    assert len(np.unique(draws.weights, axis=0)) == len(draws.weights) == len(draws.times)
    assert draws.times.sum() == (4**4 if replicates == 4 else 50)
    np.testing.assert_array_equal(draws.weights, Resamples.of(replicates, 50, seed).weights)


@pytest.mark.parametrize("replicates", [1, 2, 3, 5, 6])
def test_all_draws_of_few_replicates_are_taken_as_often_as_they_are_made(replicates: int) -> None:
    draws = Resamples.of(replicates, 500, 0)
    assert draws.times.sum() == replicates**replicates
    share = draws.times / draws.times.sum()
    np.testing.assert_allclose(share @ draws.weights, 1)
    spread = (share[:, None, None] * (draws.weights[:, :, None] - 1) * (draws.weights[:, None] - 1)).sum(0)
    np.testing.assert_allclose(spread, np.eye(replicates) - 1 / replicates, atol=1e-12)


def test_an_interval_of_one_draw_each_is_that_of_its_values() -> None:
    draws = Resamples.of(9, 300, 0)
    values = draws.weights @ rng_of(0).normal(size=9) / 9
    once = Resamples(
        weights=np.repeat(draws.weights, draws.times, axis=0), times=np.ones(300, dtype=np.int64)
    )
    np.testing.assert_array_equal(
        interval(values, draws, 0.0), interval(np.repeat(values, draws.times), once, 0.0)
    )


@settings(max_examples=examples(30), deadline=None)
@given(SEEDS)
def test_resampled_means_are_those_of_the_drawn_trials(seed: int) -> None:
    """Each draw written out: its replicates one after the other, their values averaged."""
    rng = rng_of(seed)
    cell, replicate, values = rng.integers(0, 4, 30), rng.integers(0, 3, 30), rng.normal(size=30)
    sums = Sums.of(cell, replicate, values, (4, 3))
    draws = Resamples.of(3, 20, seed)
    for weights, means in zip(draws.weights, sums.drawn_means(draws.weights).T, strict=True):
        times = weights[replicate].astype(int)
        for at, mean in enumerate(means):
            taken = np.repeat(values[cell == at], times[cell == at])
            assert mean == pytest.approx(taken.mean()) if len(taken) else np.isnan(mean)
    np.testing.assert_allclose(sums.drawn_means(np.ones((1, 3)))[:, 0], sums.means)
    assert sums.numbers.sum() == 30


def once_each(replicates: int, count: int) -> Resamples:
    """So many draws, for values that are made up."""
    return Resamples(weights=np.ones((count, replicates)), times=np.ones(count, dtype=np.int64))


def test_an_interval_holds_the_median_and_widens_with_fewer_replicates() -> None:
    values = rng_of(0).normal(size=(3, 4000))
    values[2] = np.nan
    narrow, wide = (
        np.array(interval(values, once_each(count, 4000), values.mean(axis=1))) for count in (30, 4)
    )
    median = np.median(values[:2], axis=1)
    assert (narrow[0, :2] < median).all()
    assert (median < narrow[1, :2]).all()
    assert (wide[0, :2] < narrow[0, :2]).all()
    assert (wide[1, :2] > narrow[1, :2]).all()
    assert np.isnan(narrow[:, 2]).all()
    assert np.isnan(interval(values, once_each(2, 4000), values.mean(axis=1))).all()
    assert np.isnan(interval(values, once_each(9, 4000), values.mean(axis=1), replicates=2)).all()


@pytest.mark.parametrize("replicates", [3, 4, 5, 6])
def test_the_interval_of_a_mean_of_few_replicates_is_students(replicates: int) -> None:
    sample = rng_of(replicates).normal(3, 2, replicates)
    draws = Resamples.of(replicates, 1000, 0)
    estimated = interval((draws.weights @ sample / replicates)[None], draws, sample.mean())
    expected = stats.t.interval(0.95, replicates - 1, loc=sample.mean(), scale=stats.sem(sample))
    np.testing.assert_allclose(np.concatenate(estimated), expected)


@pytest.mark.parametrize("replicates", [3, 5, 8, 20])
def test_replicates_that_agree_exactly_have_no_interval(replicates: int) -> None:
    """An interval of width zero would claim to know everything."""
    values = np.full((2, 50), 0.7) + 1e-15 * rng_of(0).normal(size=(2, 50))
    draws = once_each(replicates, 50)
    assert np.isnan(interval(values, draws, 0.7)).all()
    values[1] += rng_of(0).normal(size=50)
    low, high = interval(values, draws, 0.7)
    assert np.isnan(low[0])
    assert low[1] < 0.7 < high[1]


@pytest.mark.parametrize("replicates", [3, 8])
def test_an_interval_is_open_where_draws_lie_beyond_all_that_was_measured(replicates: int) -> None:
    values = np.tile(rng_of(0).normal(size=400), (4, 1))
    values[1, :40] = np.inf
    values[2, :40] = -np.inf
    values[3, :1] = np.inf
    low, high = interval(values, once_each(replicates, 400), values[0].mean())
    assert np.isfinite(low).tolist() == [True, True, False, True]
    assert low[2] == -np.inf
    assert np.isfinite(high[[0, 2]]).all()
    assert high[1] == np.inf
    assert np.isfinite(high[3]) == (replicates == 8)  # one of 400 is less than the tail left out


@settings(max_examples=examples(30), deadline=None)
@given(SEEDS, st.sampled_from([8, 12, 40]))
def test_percentiles_are_where_draws_lie_on_average(seed: int, replicates: int) -> None:
    values = rng_of(seed).normal(size=(3, 31))
    values[0, :7] = np.nan
    student = stats.t.ppf(0.975, replicates - 1) * np.sqrt(replicates / (replicates - 1))
    levels = stats.norm.cdf([-student, student])
    expected = np.nanquantile(values, levels, axis=-1, method="weibull")
    np.testing.assert_allclose(interval(values, once_each(replicates, 31), 0.0), expected)


@settings(max_examples=examples(20), deadline=None)
@given(SEEDS)
def test_replicates_have_the_same_number_in_all_cells_whatever_their_order(seed: int) -> None:
    frame = pd.MultiIndex.from_product([range(3), [4, 7, 9]], names=["cell", "replicate"]).to_frame(
        index=False
    )
    frame = frame.sample(frac=1, random_state=seed % 2**31)
    codes = replicate_codes(frame, frame["cell"].to_numpy())
    assert dict(zip(frame["replicate"], codes, strict=True)) == {4: 0, 7: 1, 9: 2}
    mixed = pd.concat([frame.assign(seed=1), frame.assign(seed=2)])
    codes = replicate_codes(mixed, mixed["cell"].to_numpy())
    assert len({*zip(mixed["replicate"], mixed["seed"], codes, strict=True)}) == len(set(codes)) == 6


@settings(max_examples=examples(40), deadline=None)
@given(SEEDS)
def test_a_crossing_lies_where_the_means_pass_the_level(seed: int) -> None:
    values = table(seed)
    cells, _ = laid_out(values)
    crossing = located(values)
    for row, (position, cell) in enumerate(zip(crossing.position, crossing.cell, strict=True)):
        own = cells.value[cells.row == row]
        with np.errstate(invalid="ignore"):
            passes = (own[:-1] >= LEVEL) != (own[1:] >= LEVEL)
        passes &= ~np.isnan(own[:-1] + own[1:])
        assert crossing.crossings[row] == passes.sum()
        assert np.isnan(position) == (cell < 0) == (not passes.any())
        if cell >= 0:
            between = np.interp(position, cells.coordinate[[cell, cell + 1]], [0, 1])
            assert cells.value[cell] + between * (cells.value[cell + 1] - cells.value[cell]) == pytest.approx(
                LEVEL
            )
            assert abs(np.diff(own)[passes]).max() == abs(cells.value[cell + 1] - cells.value[cell])


@settings(max_examples=examples(40), deadline=None)
@given(SEEDS)
def test_a_boundary_moves_with_its_values_and_its_axis(seed: int) -> None:
    """Mirrored in x, mirrored in the level, stretched and shifted: the same crossing, seen otherwise."""
    values = table(seed)
    one = located(values)
    at = np.arange(values.shape[1], dtype=np.float64)
    stretched = located(values, 3 * at + 5)
    for name in ("position", "low", "high"):
        np.testing.assert_allclose(getattr(stretched, name), 3 * getattr(one, name) + 5, rtol=1e-9)
    several = one.crossings > 1  # of crossings equally steep the first is taken
    flipped = located(values[:, ::-1])
    last = at[-1]
    np.testing.assert_allclose(
        last - flipped.position[~several], one.position[~several], rtol=1e-9, atol=1e-9
    )
    upside = located(1 - values, level=1 - LEVEL + 1e-12)
    np.testing.assert_allclose(upside.position, one.position, atol=1e-6)


@settings(max_examples=examples(40), deadline=None)
@given(SEEDS)
def test_an_interval_holds_its_position_and_rows_do_not_know_of_each_other(seed: int) -> None:
    values = table(seed)
    crossing = located(values)
    known = ~np.isnan(crossing.low)
    assert (crossing.low[known] <= crossing.position[known]).all()
    assert (crossing.position[known] <= crossing.high[known]).all()
    alone = [located(values[[row]]) for row in range(len(values))]
    for name in ("position", "low", "high", "crossings", "replicates"):
        np.testing.assert_array_equal([getattr(one, name)[0] for one in alone], getattr(crossing, name))


def test_a_gap_is_crossed_by_no_boundary() -> None:
    values = np.repeat(np.array([0.0, 0.1, 0.9, 1.0])[None, :, None], 4, axis=2)
    cells, samples = laid_out(values)
    linked = cells.linked.copy()
    assert located(values).cell[0] == 1
    linked[1] = False
    apart = Rows(row=cells.row, coordinate=cells.coordinate, value=cells.value, replicates=cells.replicates,
                 linked=linked)  # fmt: skip
    assert np.isnan(find_boundary(apart, samples, LEVEL, 20, 0).position).all()


def test_means_of_some_cells_are_those_of_all() -> None:
    cells, samples = laid_out(table(3))
    draws = Resamples.of(5, 30, 0)
    everywhere = np.arange(len(cells.row))
    full = resampled_means(samples, everywhere, everywhere, draws)
    some = np.array([2, 11, 17])
    place = np.zeros(len(cells.row), dtype=np.int64)
    place[some] = np.arange(3)
    np.testing.assert_array_equal(resampled_means(samples, some, place, draws), full[some])


@settings(max_examples=examples(30), deadline=None)
@given(st.floats(1.5, 6.5), st.floats(0.4, 2))
def test_the_steepest_place_of_a_smooth_step_is_its_middle(place: float, width: float) -> None:
    at = np.arange(9, dtype=np.float64)
    values = np.repeat(np.tanh((at - place) / width)[None, :, None], 3, axis=2)
    steepest = find_steepest(*laid_out(values), 20, 0)
    assert steepest.position[0] == pytest.approx(place, abs=0.5)
    mirrored = find_steepest(*laid_out(values[:, ::-1]), 20, 0)
    assert 8 - mirrored.position[0] == pytest.approx(steepest.position[0], abs=1e-9)
    flat = find_steepest(*laid_out(np.full((1, 9, 3), 0.3)), 20, 0)
    assert np.isnan(flat.position[0])
    assert flat.cell[0] == -1


@settings(max_examples=examples(30), deadline=None)
@given(SEEDS)
def test_cells_are_what_their_replicates_say_one_by_one(seed: int) -> None:
    rng = rng_of(seed)
    frame = pd.DataFrame({
        "x": rng.integers(0, 4, 60), "order": rng.normal(size=60), "converged": rng.random(60) < 0.7,
        "status": rng.choice(["ok", "diverged", "failed"], 60, p=[0.7, 0.2, 0.1]),
    })  # fmt: skip
    values = order_values(frame, "order")
    cells = cell_statistics(frame, Groups.of(frame, ("x",)), values)
    for row in cells.itertuples():
        own = frame[frame["x"] == row.x]
        ok = own[own["status"] == "ok"]
        assert row.replicates == len(ok)
        assert row.mean == pytest.approx(ok["order"].mean(), nan_ok=True)
        assert row.std == pytest.approx(ok["order"].std(), nan_ok=True)
        ended = own[own["status"] != "failed"]
        assert row.diverged_share == pytest.approx(
            (ended["status"] == "diverged").mean() if len(ended) else 0
        )
        assert row.unconverged_share == pytest.approx((~ok["converged"]).mean() if len(ok) else 0)
    known = decided_means(cells, "order")
    np.testing.assert_array_equal(np.isnan(known), cells["mean"].isna() | (cells["diverged_share"] > 0.5))
    np.testing.assert_array_equal(decided_means(cells, "diverged"), cells["mean"])


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=8, unique=True), st.booleans())
def test_a_scale_goes_there_and_back_in_order(positive: list[float], zero: bool) -> None:
    values = np.array(sorted([0.0, *positive] if zero else positive))
    scale = Scale.of(values)
    there = scale.forward(values)
    assert (np.diff(there) > 0).all()
    np.testing.assert_allclose(scale.inverse(there), values, rtol=1e-9, atol=1e-9 * values[-1])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.geomspace(1e-3, 1, 7), "log"), (np.linspace(1, 7, 7), "linear"), ([0, 1, 10, 100], "asinh"),
        ([0, 1, 2, 3], "linear"), ([-1, 10, 100], "linear"), ([16, 64], "linear"), ([1, 10], "log"),
    ],
)  # fmt: skip
def test_an_axis_is_spaced_as_its_values_are(values: list[float], kind: str) -> None:
    assert Scale.of(np.array(values, dtype=np.float64)).kind == kind
