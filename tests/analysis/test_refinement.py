"""Points are added where the boundary runs, and a refined diagram is read as well as a dense one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.analysis.phases import PhaseDiagram, Scale, phase_diagram
from phasediag.analysis.refinement import Axis, Lattice, Place, RowCrossing, Side, crossings_of, places_of
from properties import examples

X, Y = "weight_decay", "lr_over_batch"
DECAYS, RATES = np.geomspace(1e-2, 1, 9), np.geomspace(3e-4, 3e-3, 9)
REPLICATES = 6
Field = Callable[[pd.DataFrame], pd.Series]


def exact(rates: np.ndarray) -> np.ndarray:
    """A boundary that is straight on no axis."""
    return 0.1 * (rates / 1e-3) ** -0.5 * (1 + 0.3 * np.sin(3 * np.log(rates / 1e-3)))


def ramp(trials: pd.DataFrame) -> pd.Series:
    """Smooth across the boundary; the replicates lie a little to its left and right."""
    shift = np.linspace(-0.02, 0.02, REPLICATES)[trials["replicate"]]
    return 1 / (1 + np.exp(-8 * (np.log(trials[X] / exact(trials[Y])) + shift)))


def noisy(trials: pd.DataFrame) -> pd.Series:
    """As smooth, but the replicates differ by more than the cells of a dense grid."""
    shift = np.random.default_rng(5).normal(0, 0.3, REPLICATES)[trials["replicate"]]
    return 1 / (1 + np.exp(-3 * (np.log(trials[X] / exact(trials[Y])) + shift)))


def jump(trials: pd.DataFrame) -> pd.Series:
    """0 or 1, as the degree of a symmetry that breaks at once."""
    return (trials[X] >= exact(trials[Y])).astype(float)


def trained(points: list[tuple[float, float]], field: Field) -> pd.DataFrame:
    frame = pd.DataFrame(points, columns=[X, Y]).merge(
        pd.DataFrame({"replicate": range(REPLICATES)}), "cross"
    )
    frame = frame.assign(status="ok", converged=True)
    return frame.assign(degree_normalized=field(frame))


def product(xs: np.ndarray, ys: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for y in ys for x in xs]


def lattice(diagram: PhaseDiagram, xs: np.ndarray, ys: np.ndarray) -> Lattice:
    return Lattice(
        x=Axis.of(X, xs, integers=False), y=Axis.of(Y, ys, integers=False),
        columns=xs.tolist(), rows=ys.tolist(),
        places=places_of(diagram.cells, X, Y, diagram.order, diagram.level),
    )  # fmt: skip


def refined(field: Field, resolution: float, start: list[tuple[float, float]] | None = None) -> pd.DataFrame:
    """The trials of a refinement from 9 by 9 on."""
    trials = trained(start or product(DECAYS, RATES), field)
    for _ in range(20):
        proposal = lattice(phase_diagram(trials, X, Y, resamples=2), DECAYS, RATES).propose(resolution)
        if not proposal.points:
            return trials
        trials = pd.concat([trials, trained(list(proposal.points), field)], ignore_index=True)
    raise AssertionError("the refinement does not end")


def error(trials: pd.DataFrame) -> float:
    """Root mean square of log(boundary / exact) over 200 rates, straight between rows."""
    rows = phase_diagram(trials, X, Y, resamples=2).boundary
    assert rows["position"].notna().all()
    rates = np.geomspace(RATES[0], RATES[-1], 200)
    interpolated = np.interp(np.log(rates), np.log(rows[Y]), np.log(rows["position"]))
    return float(np.sqrt(np.mean((interpolated - np.log(exact(rates))) ** 2)))


@pytest.mark.parametrize("field", [ramp, jump])
def test_a_refinement_is_as_exact_as_a_dense_grid_with_fifteen_percent_of_its_trials(field: Field) -> None:
    dense = trained(product(np.geomspace(1e-2, 1, 64), np.geomspace(3e-4, 3e-3, 64)), field)
    few = refined(field, 1 / 63)
    assert len(few) <= 0.15 * len(dense)
    assert error(few) <= error(dense)


def test_rows_of_few_points_have_the_interval_of_full_rows() -> None:
    """The bootstrap of a refined row must not end at the row's last point."""
    few = refined(noisy, 0.06)
    xs, ys = np.unique(few[X]), np.unique(few[Y])
    rows = phase_diagram(few, X, Y).boundary
    full = phase_diagram(trained(product(xs, ys), noisy), X, Y).boundary
    assert (rows["crossings"] == 1).all()
    np.testing.assert_allclose(
        rows[["position", "low", "high"]], full[["position", "low", "high"]], rtol=0.02
    )
    width = np.log(full["high"] / full["low"])
    assert (width > 4 * np.log(xs[-1] / xs[0]) / 64).all(), "wider than the cells, so that it is a test"


def test_a_refinement_that_ended_proposes_nothing_and_a_finer_one_goes_on_from_it() -> None:
    coarse = refined(jump, 0.1)
    points = list(coarse[[X, Y]].drop_duplicates().itertuples(index=False, name=None))
    assert len(refined(jump, 0.1, points)) == len(coarse)
    finer = refined(jump, 0.03, points)
    assert set(points) < set(finer[[X, Y]].itertuples(index=False, name=None))
    direct = refined(jump, 0.03)
    assert len(finer) == pytest.approx(len(direct), rel=0.1)
    assert error(finer) == pytest.approx(error(direct), rel=0.1)


def test_a_boundary_that_leaves_and_enters_through_one_edge_is_followed() -> None:
    """The corners of a cell agree; a point on its edge, left by its neighbour, does not."""
    x = y = Axis.of("a", np.array([0.0, 1.0, 2.0]), integers=False)
    places = {(i, j): Place(side=Side.BELOW) for i in (0.0, 1.0, 2.0) for j in (0.0, 1.0)}
    assert not Lattice(x=x, y=y, columns=[0, 1, 2], rows=[0, 1], places=places).propose(0.1).points
    cut = places | {p: Place(side=Side.BELOW) for p in [(0.5, 0.0), (0.5, 1.0), (0.0, 0.5), (0.5, 0.5)]}
    cut[1.0, 0.5] = Place(side=Side.ABOVE)
    crossed = Lattice(x=x, y=y, columns=[0, 1, 2], rows=[0, 1], places=cut).propose(0.1).crossed
    assert {(cell.left, cell.right) for cell in crossed} == {(0.5, 1.0), (1.0, 2.0)}


def test_what_is_missing_is_no_phase_and_divergence_only_on_request() -> None:
    axis = Axis.of("a", np.array([0.0, 1.0]), integers=False)
    for side, asked, proposed in (
        (Side.UNKNOWN, True, False), (Side.DIVERGED, False, False), (Side.DIVERGED, True, True)
    ):  # fmt: skip
        places = {(0.0, 0.0): Place(side=side)}
        places |= {point: Place(side=Side.ABOVE) for point in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]}
        cells = Lattice(x=axis, y=axis, columns=[0, 1], rows=[0, 1], places=places)
        assert bool(cells.propose(0.1, diverged=asked).points) == proposed


values = st.floats(1e-6, 1e6, allow_nan=False)


@given(st.lists(values, min_size=2, max_size=2, unique=True), st.sampled_from(["linear", "log", "asinh"]))
def test_the_middle_lies_between_and_halves_the_size(ends: list[float], kind: str) -> None:
    low, high = sorted(ends)
    axis = Axis(name="a", scale=Scale(kind=kind, width=1e-3), integers=False, low=low, high=high)
    middle = axis.middle(low, high)
    if middle is None:
        assert high - low <= 1e-11 * high
    else:
        assert low < middle < high
        assert axis.size(low, middle) == pytest.approx(axis.size(low, high) / 2, rel=1e-3, abs=1e-9)


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from(["linear", "log"]))
def test_whole_numbers_stay_whole(low: int, step: int, kind: str) -> None:
    axis = Axis(name="width", scale=Scale(kind=kind), integers=True, low=low, high=low + step)
    middle = axis.middle(low, low + step)
    assert (middle is None) == (step == 1)
    if middle is not None:
        assert middle.is_integer()
        assert low < middle < low + step


@settings(max_examples=examples(20))
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.1, 0.04]))
def test_any_field_is_refined_to_the_resolution_within_the_lattice(seed: int, resolution: float) -> None:
    """Random smooth fields, with islands: at the end no cell on the boundary is larger than asked."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 3, (4, 2))
    phases = rng.uniform(0, 6, 4)

    def side(x: float, y: float) -> Side:
        u = np.array([np.log10(x), np.log10(y)])
        return Side.ABOVE if np.sin(waves @ u + phases).sum() > 0 else Side.BELOW

    xs, ys = np.geomspace(1e-2, 1, 5), np.geomspace(1, 10, 4)
    x, y = Axis.of(X, xs, integers=False), Axis.of(Y, ys, integers=False)
    places = {point: Place(side=side(*point)) for point in product(xs, ys)}
    while (
        proposal := Lattice(x=x, y=y, columns=xs.tolist(), rows=ys.tolist(), places=places).propose(
            resolution
        )
    ).points:
        assert len(set(proposal.points)) == len(proposal.points)
        assert not places.keys() & set(proposal.points)
        assert all(xs[0] <= px <= xs[-1] and ys[0] <= py <= ys[-1] for px, py in proposal.points)
        places |= {point: Place(side=side(*point)) for point in proposal.points}
    for cell in proposal.crossed:
        assert x.size(cell.left, cell.right) <= resolution * 1.001
        assert y.size(cell.bottom, cell.top) <= resolution * 1.001


@pytest.mark.parametrize("order", ["diverged", "order"])
def test_cells_have_the_side_on_which_the_boundary_puts_them(order: str) -> None:
    """Where divergence is the order parameter, a cell that diverged lies above; it was a side of its own."""
    rows = [
        {X: x, Y: y, "replicate": r, "status": "diverged" if x > 2 else "ok", "order": float(x > 1)}
        for x in (1.0, 2.0, 3.0, 4.0) for y in (1.0, 2.0) for r in range(4)
    ]  # fmt: skip
    diagram = phase_diagram(pd.DataFrame(rows), X, Y, order=order, resamples=10)
    places = places_of(diagram.cells, X, Y, order, diagram.level)
    sides = [places[x, 1.0].side.value for x in (1.0, 2.0, 3.0, 4.0)]
    beyond = "above" if order == "diverged" else "diverged"
    assert sides == ["below", "below" if order == "diverged" else "above", beyond, beyond]
    between = (2.0, 3.0) if order == "diverged" else (1.0, 2.0)
    assert diagram.boundary["position"].between(*between).all()


def shifted(points: list[tuple[float, float]], first: int, last: int) -> pd.DataFrame:
    """Replicates first to last - 1 of a broad transition, each with a boundary of its own."""
    frame = pd.DataFrame(points, columns=[X, Y]).merge(
        pd.DataFrame({"replicate": range(first, last)}), "cross"
    )
    shift = np.random.default_rng(3).normal(0, 0.1 * np.log(10), 1000)[frame["replicate"]]
    value = np.clip(0.5 + 0.2 * (np.log(frame[X] / exact(frame[Y])) + shift), 0, 1)
    return frame.assign(status="ok", converged=True, degree_normalized=value)


def spent_on(wish: float | None, resolution: float) -> pd.DataFrame:
    """The trials of a refinement from 9 by 9 points with 4 replicates on, for an interval."""
    trials = shifted(product(DECAYS, RATES), 0, 4)
    for _ in range(20):
        diagram = phase_diagram(trials, X, Y, resamples=300)
        proposal = lattice(diagram, DECAYS, RATES).propose(
            resolution, crossings=crossings_of(diagram.boundary, Y), interval=wish
        )
        if not proposal.points and not proposal.repeated:
            return trials
        counts = trials.groupby([X, Y]).size().to_dict()
        more = [shifted([p], counts.get(p, 0), n) for p, n in (proposal.points | proposal.repeated).items()]
        trials = pd.concat([trials, *more], ignore_index=True)
    raise AssertionError("the refinement does not end")


def widths(trials: pd.DataFrame) -> pd.Series:
    rows = phase_diagram(trials, X, Y).boundary
    return np.log10(rows["high"] / rows["low"])


def test_networks_are_spent_where_they_narrow_the_interval() -> None:
    """Where replicates differ by more than the cells, smaller cells alone leave the interval as wide."""
    wished, cut = spent_on(0.1, 0.01), spent_on(None, 0.01)
    assert widths(wished).median() <= 0.1
    assert widths(cut).median() > 0.2
    most = wished.groupby([X, Y]).size().max()
    assert len(wished) < 0.25 * len(cut) * most / 4, "as many replicates everywhere take four times as many"
    rows = phase_diagram(wished, X, Y).boundary
    assert ((rows["low"] <= exact(rows[Y])) & (exact(rows[Y]) <= rows["high"])).mean() > 0.5


def test_replicates_are_added_along_the_row_beside_the_crossing() -> None:
    trials = shifted(product(DECAYS, RATES), 0, 4)
    diagram = phase_diagram(trials, X, Y, resamples=300)
    rows = crossings_of(diagram.boundary, Y)
    some = lattice(diagram, DECAYS, RATES)
    assert some.propose(1.0, crossings=rows, interval=10.0).repeated == {}
    repeated = some.propose(1.0, crossings=rows, interval=0.01).repeated
    assert {y for _, y in repeated} == set(RATES)
    for row in rows:
        xs = sorted(x for x, y in repeated if y == row.y)
        assert xs[0] < row.low or xs[0] == DECAYS[0]
        assert xs[-1] > row.high or xs[-1] == DECAYS[-1]
    few = [RowCrossing(y=RATES[0], position=0.11, low=np.nan, high=np.nan, replicates=2)]
    assert len(some.propose(1.0, crossings=few, interval=0.5).repeated) == 2
    assert set(repeated.values()) == {8}
    agreeing = [RowCrossing(y=RATES[0], position=0.1, low=np.nan, high=np.nan, replicates=5)]
    assert some.propose(1.0, crossings=agreeing, interval=0.5).repeated == {}


def test_an_island_between_the_points_is_found_by_looking_off_the_boundary() -> None:
    """A disk that no point of the lattice lies in, beside a boundary elsewhere."""
    decays, rates = np.geomspace(1e-2, 1, 5), np.geomspace(3e-4, 3e-3, 5)
    centre = np.sqrt(decays[0] * decays[1]), np.sqrt(rates[3] * rates[4])

    def field(trials: pd.DataFrame) -> pd.Series:
        away = np.hypot(np.log(trials[X] / centre[0]) / 0.35, np.log(trials[Y] / centre[1]) / 0.2)
        return ((trials[X] > 0.5) | (away < 1)).astype(float)

    def islands(explore: float) -> int:
        trials = trained(product(decays, rates), field)
        for _ in range(20):
            diagram = phase_diagram(trials, X, Y, resamples=2)
            proposal = lattice(diagram, decays, rates).propose(0.05, explore=explore)
            if not proposal.points:
                break
            assert (len(proposal.explored) > 0) == (explore > 0)
            trials = pd.concat([trials, trained(list(proposal.points), field)], ignore_index=True)
        return int(((trials[X] < 0.1) & (trials["degree_normalized"] > 0.5)).sum())

    assert islands(0.0) == 0
    assert islands(0.3) > 20
