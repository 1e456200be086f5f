"""All crossings of a diagram: followed as branches, along x and along y, each with its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.boundary import Boundary, Rows, SingleValues, find_boundary
from phasediag.analysis.branches import followed, main_of
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.arrays import FloatArray

X, Y = "weight_decay", "lr_over_batch"


def trials_of(means: FloatArray, xs: FloatArray, ys: FloatArray, spread: float = 0.01) -> pd.DataFrame:
    """Six replicates about the means, shape (ys, xs), each moved as a whole."""
    moved = spread * np.linspace(-1, 1, 6)
    index = pd.MultiIndex.from_product([ys, xs, range(6)], names=[Y, X, "replicate"])
    values = means[:, :, None] + moved
    return index.to_frame(index=False).assign(status="ok", converged=True, degree_normalized=values.ravel())


def diagram_of(means: FloatArray, **options: object) -> PhaseDiagram:
    ys, xs = (np.arange(1.0, count + 1) for count in means.shape)
    return phase_diagram(trials_of(means, xs, ys), X, Y, **options)  # type: ignore[arg-type]


def swapped(means: FloatArray) -> PhaseDiagram:
    """The same with x and y exchanged."""
    ys, xs = (np.arange(1.0, count + 1) for count in means.shape)
    return phase_diagram(trials_of(means, xs, ys), Y, X)


def hills(width: int = 9, height: int = 12) -> FloatArray:
    """Above the level between two lines that move with y, below outside."""
    x, y = np.meshgrid(np.arange(1.0, width + 1), np.arange(1.0, height + 1))
    return 1 - np.abs(x - 4.3 - 0.15 * y) / 5


def test_two_lines_are_two_branches_each_in_all_rows() -> None:
    diagram = diagram_of(hills())
    boundary = diagram.boundary
    assert boundary.groupby("branch")["direction"].nunique().tolist() == [1, 1]
    for direction, offset in (("rising", -2.5), ("falling", 2.5)):
        line = boundary[boundary["direction"] == direction]
        assert line["branch"].nunique() == 1
        expected = 4.3 + 0.15 * line[Y] + offset
        inside = expected < 9
        np.testing.assert_allclose(line["position"][inside], expected[inside], atol=1e-9)
    assert diagram.main[Y].is_unique
    assert diagram.main["branch"].dropna().eq(1).all()


def test_a_branch_that_ends_leaves_rows_without_it_in_the_main_boundary() -> None:
    means = hills(width=7)
    boundary = diagram_of(means).boundary
    falling = boundary[boundary["direction"] == "falling"]
    assert 0 < len(falling) < 12
    rest = diagram_of(means, direction="falling")
    assert rest.boundary["position"].notna().sum() == len(falling)
    assert len(rest.main) == 12
    assert rest.main["position"].isna().sum() == 12 - len(falling)
    assert rest.main[rest.main["position"].isna()]["branch"].isna().all()


@pytest.mark.parametrize("slope", [0.0, 0.002, -0.002])
def test_a_boundary_parallel_to_x_is_the_one_parallel_to_y_seen_from_the_side(slope: float) -> None:
    """No row crosses it: it is found, told, and has the interval that it has with the axes exchanged."""
    x, y = np.meshgrid(np.arange(1.0, 13), np.arange(1.0, 9))
    means = 0.5 + (y - 4.4) / 20 + slope * (x - 6)
    diagram, other = diagram_of(means), swapped(means)
    assert diagram.boundary["position"].isna().all()
    across = diagram.across
    assert across is not None
    assert across[X].tolist() == other.boundary[X].tolist()
    for name in ("position", "low", "high", "branch", "direction", "replicates"):
        pd.testing.assert_series_equal(across[name], other.boundary[name], check_dtype=False)
    assert "along" in diagram.findings[0]
    assert "12 values of it cross it" in diagram.findings[0]
    assert "no boundary in this range" not in " ".join(diagram.warnings)
    assert other.across is not None
    assert other.across.empty
    assert "across" in diagram.tables
    assert len(diagram.as_dict()["across"]) == 12


def test_a_boundary_along_x_beside_unconverged_cells_is_told() -> None:
    means = 0.5 + (np.mgrid[1.0:9, 1.0:13][0] - 4.4) / 20
    trials = trials_of(means, np.arange(1.0, 13), np.arange(1.0, 9)).assign(converged=False)
    text = phase_diagram(trials, X, Y).summary()
    assert "12 of 12 boundary points lie beside unconverged cells" in text
    assert "No boundary point lies beside such a cell" not in text


def test_a_boundary_that_turns_is_found_on_both_its_parts() -> None:
    """Down along y, then along x: the corner is where one part ends and the other begins."""
    means = np.full((8, 8), 0.2)
    means[4:, 3:] = 0.8
    diagram = diagram_of(means)
    assert diagram.boundary["position"].notna().sum() == 4
    assert diagram.across is not None
    assert diagram.across[X].tolist() == [4.0, 5, 6, 7, 8]
    np.testing.assert_allclose(diagram.across["position"], 4.5)
    assert "Between rows it also runs" in diagram.findings[0]


def test_no_line_between_rows_is_stated_twice() -> None:
    """A slanted boundary crosses sides along y too: they lie on the line from row to row."""
    x, y = np.meshgrid(np.arange(1.0, 20), np.arange(1.0, 6))
    diagram = diagram_of(0.5 + (x - 4 * y + 1.5) / 30)
    assert diagram.across is not None
    assert diagram.across.empty or (diagram.across["position"] > 0).all()
    inside = diagram.boundary.dropna(subset="position")
    assert len(inside) == 5
    covered = diagram.across[X].between(inside["position"].min(), inside["position"].max())
    assert not covered.any()


def test_the_page_on_boundaries_names_what_a_diagram_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "boundaries.md").read_text()
    trials = trials_of(hills(), np.arange(1.0, 10), np.arange(1.0, 13))
    names: dict[str, object] = {"trials": trials}
    exec(page.split("```python\n")[1].split("```")[0], names)
    diagram = names["diagram"]
    assert isinstance(diagram, PhaseDiagram)
    for column in ("position", "low", "high", "branch", "direction", "censored", "support"):
        assert column in diagram.boundary
        assert column in page


def test_facets_have_branches_of_their_own() -> None:
    ys, xs = np.arange(1.0, 13), np.arange(1.0, 10)
    both = pd.concat([
        trials_of(hills(), xs, ys).assign(label_noise=0.0),
        trials_of(hills()[:, ::-1] * 0.9, xs, ys).assign(label_noise=1.0),
    ])  # fmt: skip
    boundary = phase_diagram(both, X, Y).boundary
    for noise, part in ((0.0, hills()), (1.0, hills()[:, ::-1] * 0.9)):
        alone = phase_diagram(trials_of(part, xs, ys), X, Y).boundary
        rows = boundary[boundary["label_noise"] == noise].drop(columns="label_noise")
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone)


def row_of(values: FloatArray) -> tuple[Rows, SingleValues]:
    """One row of cells with so many replicates, shape (cells, replicates)."""
    count, replicates = values.shape
    rows = Rows(
        row=np.zeros(count, dtype=np.int64), coordinate=np.arange(float(count)), value=values.mean(axis=1),
        replicates=np.full(count, replicates), linked=np.full(count - 1, True),
    )  # fmt: skip
    cell = np.repeat(np.arange(count), replicates)
    return rows, SingleValues(
        cell=cell, replicate=np.tile(np.arange(replicates), count), value=values.ravel()
    )


def test_a_pair_that_some_draws_lack_is_told_by_its_support() -> None:
    """The dip of a plateau below the level: where replicates raise it, its two crossings have met."""
    rng = np.random.default_rng(0)
    means = np.array([1.0, 0.9, 0.8, 0.48, 0.8, 0.9, 0.7, 0.3, 0.1])
    values = means[:, None] + 0.06 * rng.normal(size=10)
    boundary = find_boundary(*row_of(values), 0.5, 1000, 0)
    assert boundary.rising.tolist() == [False, True, False]
    assert (boundary.support[:2] < 0.9).all()
    assert boundary.support[2] == 1
    assert np.isfinite(boundary.low).all()
    assert np.isfinite(boundary.high).all()
    assert boundary.low[0] <= boundary.position[0] <= boundary.high[0] <= boundary.position[1] + 1e-9
    assert boundary.position[0] - 1e-9 <= boundary.low[1] <= boundary.position[1] <= boundary.high[1]


def test_crossings_are_followed_to_the_nearest_of_their_direction() -> None:
    position = np.array([1.0, 5.0, 1.2, 5.3, 5.5, 1.6, 5.6])
    row = np.array([0, 0, 1, 1, 2, 3, 3])
    boundary = Boundary(
        row=row, position=position, low=position, high=position, rising=np.full(7, True),
        crossings=np.ones(7, dtype=np.int64), replicates=np.full(7, 5), cell=np.zeros(7, dtype=np.int64),
        support=np.ones(7),
    )  # fmt: skip
    rows, _ = row_of(np.array([[0.0, 0.0], [1.0, 1.0]]))
    branch = followed(np.zeros(7, dtype=np.int64), boundary, rows)
    assert branch.tolist() == [2, 1, 2, 1, 1, 2, 1]


def test_one_row_of_a_boundary_without_branches_is_kept() -> None:
    boundary = pd.DataFrame({
        "y": [1.0, 2.0, 2.0], "position": [np.nan, 1.0, 2.0], "low": np.nan, "high": np.nan,
        "converged": pd.array([None, True, True], dtype="boolean"), "direction": [None, "rising", "falling"],
        "branch": pd.array([None, 2, 1], dtype="Int64"), "censored": "none", "support": np.nan,
        "plateau": False,
    })  # fmt: skip
    main = main_of(boundary, ["y"])
    assert main["y"].tolist() == [1.0, 2.0]
    assert np.isnan(main["position"][0])
    assert main["position"][1] == 2.0


RATES = np.array([0.05, 0.07, 0.1, 0.14, 0.2])
SIGMAS = np.geomspace(1.5, 20, 41)


def test_both_lines_of_e5_at_batch_two_lie_within_their_intervals() -> None:
    """At batch 2 noise first collapses the network and, much stronger, makes it grow again (E5).

    Near the origin u + w of a chain grows by the factor m + 2 eta sigma n a step, m = 1 - 2 eta gamma +
    2 eta c, n the mean of two signs: -1, 0, 0 or 1. E log of its size is zero where (2 eta sigma)^2 is
    m^2 - m^-2 and where it is m^2 + m^-2. Each rate has noise of its own; of ten intervals of 95 % at least
    eight hold their zero, which fewer do in less than 1 of 40 draws.
    """
    rng = np.random.default_rng(4)
    rows = []
    for rate in RATES:
        noise = rng.choice([-1.0, 1.0], (20, 3000, 2)).mean(axis=2)
        mean = 1 - 2 * rate * 0.05 + 2 * rate * 0.7
        rates = np.log(np.abs(mean + 2 * rate * SIGMAS[:, None, None] * noise)).mean(axis=2)
        index = pd.MultiIndex.from_product([SIGMAS, range(20)], names=["label_noise", "replicate"])
        rows.append(index.to_frame(index=False).assign(learning_rate=rate, log_rate=rates.ravel()))
    diagram = phase_diagram(pd.concat(rows), "label_noise", "learning_rate", order="log_rate", level=0.0)
    held = 0
    for direction, sign in (("falling", -1), ("rising", 1)):
        line = diagram.boundary[diagram.boundary["direction"] == direction]
        assert line["branch"].nunique() == 1
        assert line["learning_rate"].tolist() == RATES.tolist()
        mean = 1 + 2 * RATES * (0.7 - 0.05)
        zeros = np.sqrt(mean**2 + sign / mean**2) / (2 * RATES)
        np.testing.assert_allclose(line["position"], zeros, rtol=0.02)
        held += int((line["low"].to_numpy() <= zeros).sum() - (line["high"].to_numpy() < zeros).sum())
    assert held >= 8
