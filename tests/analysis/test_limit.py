"""Where a boundary goes when training gets longer: planted courses, the exact boundary of E1, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import phasediag
from phasediag.analysis.limit import boundary_limit, extrapolated, lengths_of
from phasediag.cli import main
from phasediag.errors import AnalysisError
from phasediag.storage.launches import LAUNCHES, Launches
from phasediag.sweeps.extend import extend
from phasediag.sweeps.sweep import Outcome
from small_sweeps import launched

TIMES = 2.0 ** np.arange(5)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_interval_of_the_limit_covers_the_planted_one(exponent: float, shared: float) -> None:
    """400 draws (seed 0), errors 0.01, a term of 0.05 at the longest length: at least 92 % (three standard
    errors of 95 %), with errors that are independent, and that lengths have in common to nine tenths."""
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((400, 1)), rng.standard_normal((400, len(TIMES)))
    noise = 0.01 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    course = 1.0 + 0.05 * (TIMES / TIMES[-1]) ** -exponent
    fits = [extrapolated(TIMES, course + each, np.full(len(TIMES), 0.01)) for each in noise]
    inside = [fit.low <= 1.0 <= fit.high for fit in fits]
    assert np.mean(inside) >= 0.92
    assert np.mean([fit.fits for fit in fits]) >= 0.92
    assert np.median([fit.high - fit.low for fit in fits]) < (0.3 if exponent < 1 else 0.1)


def test_the_interval_covers_shared_errors_of_unequal_size_too() -> None:
    """400 draws (seed 1) of errors that are one number times 0.03, 0.02, 0.015, 0.01, 0.01: at least 92 %."""
    errors = np.array([0.03, 0.02, 0.015, 0.01, 0.01])
    draws = np.random.default_rng(1).standard_normal((400, 1)) * errors
    course = 1.0 + 0.05 * (TIMES / TIMES[-1]) ** -1.0
    fits = [extrapolated(TIMES, course + each, errors) for each in draws]
    assert np.mean([fit.low <= 1.0 <= fit.high for fit in fits]) >= 0.92


def test_the_exponent_is_found_where_errors_are_small() -> None:
    for exponent in (0.75, 1.5):
        fit = extrapolated(TIMES, 2 - 0.3 * TIMES**-exponent, np.full(5, 1e-5))
        assert fit.fits
        assert fit.exponent_low <= exponent <= fit.exponent_high
        assert fit.limit == pytest.approx(2, abs=1e-3)


def trials(positions: dict[float, float], replicates: int = 4, spread: float = 0.01) -> pd.DataFrame:
    """Trials whose order parameter falls smoothly through the level at a place that the steps decide."""
    axes = [np.linspace(0, 2, 41), range(replicates), list(positions)]
    frame = pd.MultiIndex.from_product(axes, names=["weight_decay", "replicate", "steps"]).to_frame(
        index=False
    )
    shift = np.random.default_rng(1).normal(0, spread, replicates)
    at = frame["steps"].map(positions) + shift[frame["replicate"]]
    degree = 1 / (1 + np.exp((frame["weight_decay"] - at) / 0.1))
    return frame.assign(status="ok", converged=False, degree_normalized=degree)


def test_boundaries_of_an_axis_of_steps_are_extrapolated() -> None:
    limit = boundary_limit(trials({t: 1 + 0.4 / t for t in (1, 2, 4, 8)}), "weight_decay")
    (row,) = limit.limits.to_dict("records")
    assert (limit.time, row["verdict"], row["lengths"]) == ("steps", "extrapolated", 4)
    assert row["low"] < 1 < row["high"]
    assert row["high"] - row["low"] < 0.1
    assert row["exponent"] == 1
    assert len(limit.boundaries) == 4


def test_what_does_not_go_so_is_not_extrapolated() -> None:
    limit = boundary_limit(trials({1: 1.0, 2: 1.4, 4: 0.8, 8: 1.2}), "weight_decay")
    assert limit.limits["verdict"].tolist() == ["cannot tell"]
    assert limit.limits["limit"].isna().all()
    assert "cannot tell in 1 of 1 rows: the boundary does not go as b + c t^-p" in limit.warnings[0]
    few = boundary_limit(trials({t: 1 + 0.4 / t for t in (1, 2, 4)}, replicates=2), "weight_decay")
    assert "2 replicates give none" in few.warnings[0]
    outside = boundary_limit(trials({1: 5.0, 2: 1.4, 4: 1.2, 8: 9.0}), "weight_decay")
    assert "inside the range of x at 2 lengths" in outside.warnings[0]
    assert json.loads(json.dumps(outside.as_dict(), allow_nan=False))


def test_a_boundary_counts_only_where_both_sides_were_trained_for_so_long() -> None:
    """Points beside it that were called settled too early hold the boundary back: it is not believed."""
    frame = trials({t: 1 + 0.4 / t for t in (1, 2, 4, 8, 16)})
    early = (frame["weight_decay"] > 1.28) & (frame["steps"] > 2)
    held = boundary_limit(frame[~early], "weight_decay")
    assert held.limits["verdict"].tolist() == ["extrapolated"]
    assert held.boundaries["trained"].all()
    late = (frame["weight_decay"] > 1.03) & (frame["steps"] > 2)
    held = boundary_limit(frame[~late], "weight_decay")
    assert held.boundaries["trained"].tolist() == [True, True, False, False, False]
    assert "both sides of the boundary were trained for so long at 2 of the lengths" in held.warnings[0]


def test_fewer_than_three_lengths_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"have 2 lengths of training, and to tell where .* takes 3"):
        boundary_limit(trials({1: 1.0, 2: 1.1}), "weight_decay")


def test_a_point_that_was_not_trained_for_so_long_stands_with_its_longest() -> None:
    frame = trials({1: 1.0, 2: 1.1, 4: 1.1})
    settled = (frame["weight_decay"] > 1.5) & (frame["steps"] > 1)
    time, parts = lengths_of(frame[~settled])
    assert (time, list(parts)) == ("steps", [1, 2, 4])
    assert all(len(part) == 41 * 4 for part in parts.values())
    assert all("steps" not in part and part["converged"].all() for part in parts.values())


def test_the_length_is_what_is_alike_in_all_points() -> None:
    """Steps, where every grid has the same; else the learning time; else how many times the first ones."""
    frame = trials({100: 1.0, 200: 1.1, 400: 1.1}).assign(point=0)
    two = pd.concat([frame.assign(learning_rate=rate) for rate in (0.1, 0.2)], ignore_index=True)
    two = two.assign(learning_time=two["steps"] * two["learning_rate"])
    assert lengths_of(two)[0] == "steps"
    time = two.assign(steps=two["steps"] / two["learning_rate"], learning_time=two["steps"] * 1.0)
    named, parts = lengths_of(time)
    assert (named, list(parts)) == ("learning_time", [100, 200, 400])
    assert all(len(part) == len(two) / 3 for part in parts.values())
    relaxed = two.assign(steps=two["steps"] * (1 + (two["learning_rate"] > 0.1)))
    relaxed["learning_time"] = relaxed["steps"] * relaxed["learning_rate"]
    relaxed.attrs[LAUNCHES] = Launches(sources={}, lengths=[], factors=[2, 4]).plain()
    named, parts = lengths_of(relaxed)
    assert (named, list(parts)) == ("times the first steps", [1, 2, 4])
    assert all(len(part) == len(two) / 3 for part in parts.values())


CHAIN = """\
name: chain
fixed:
  {task: linear_map, inputs: 1, outputs: 1, singular_values: [1.0], samples: 4, test_samples: 1, model: mlp,
   depth: 2, width: 1, activation: linear, init: balanced, init_scale: 0.5, batch_size: 0, learning_rate: 0.2,
   steps: 200, dtype: float64}
axes:
  weight_decay: {linspace: [1.98, 2.2], num: 45}
replicates: 3
"""


def train(grid: Path, *, sweep: str) -> Outcome:
    return phasediag.launch(grid, sweep=sweep, executor="inline", compile="off")


def test_the_boundary_of_a_chain_goes_to_the_exact_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """E1: a two-layer linear network dies at gamma = s, and a trial of t steps only well beyond it (E10)."""
    launched(tmp_path, CHAIN)
    for factor in (2, 4):
        extend(tmp_path / "chain", factor, train=train)
    exact = 2.0  # weight decay is twice gamma
    limit = boundary_limit(phasediag.load_trials(tmp_path / "chain"), "weight_decay", order="alive_count",
                           level=0.5)  # fmt: skip
    (row,) = limit.limits.to_dict("records")
    positions = limit.boundaries["position"].to_numpy()
    assert (positions > exact + 0.01).all()
    assert (np.diff(positions) < 0).all()
    assert row["low"] <= exact <= row["high"]
    assert row["high"] - row["low"] < positions[-1] - exact
    figure = tmp_path / "limit.png"
    capsys.readouterr()
    command = ["diagram", str(tmp_path / "chain"), "--x", "weight_decay", "--order", "alive_count", "--level",
               "0.5", "--against", "steps", "--output", str(figure)]  # fmt: skip
    main([*command, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["limits"][0]["limit"] == pytest.approx(row["limit"])
    assert figure.stat().st_size > 1000
    main(command)
    assert "goes to weight decay = " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--transition"])
