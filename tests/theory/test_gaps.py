"""Numbers of neurons by the largest gap: planted ones come back, and no threshold enters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.errors import AnalysisError
from phasediag.theory.gaps import cut_at_gap, gap_counts


@given(st.integers(1, 30), st.integers(1, 30), st.floats(20, 1e4), st.integers(0, 2**31), st.floats(-3, 3))
def test_a_planted_number_comes_back_in_any_order_and_units(
    above: int, below: int, gap: float, seed: int, decades: float
) -> None:
    draw = np.random.default_rng(seed)
    distances = draw.uniform(1, 2, above + below) * 10**decades
    distances[above:] /= 2 * gap
    distances[: above + below : above + below] = distances.max()
    cut = cut_at_gap(draw.permutation(distances))
    assert cut.above == above
    assert cut.gap >= gap
    assert cut.second <= 4.0


def test_what_lies_below_rounding_is_one_cluster() -> None:
    distances = np.array([1.0, 0.5, 1e-9, 1e-15, 0.0, 0.0], dtype=np.float32)
    cut = cut_at_gap(distances)
    assert cut.above == 2
    assert cut.second == pytest.approx(2.0)


def frame(*distances: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"t{place}" for place in range(len(distances))]
    trials = pd.DataFrame({"trial_id": names, "status": "ok", "threshold_absolute": 1e-4})
    measured = pd.DataFrame({"trial_id": names, "observable": "directions"})
    return trials, measured.assign(distances=[np.array(each) for each in distances])


def test_undecided_and_gone_layers_are_told() -> None:
    table = gap_counts(*frame([1.0, 0.5, 0.2, 0.1], [1.0, 0.9, 0.01, 0.0005], [1e-5, 1e-9, 1e-9, 1e-9]))
    assert table["decided"].tolist() == [False, True, True]
    assert table["neurons"].tolist()[1:] == [2, 0]
    assert table["second_gap"][1] == pytest.approx(20.0)


def test_several_observables_or_missing_distances_are_refused() -> None:
    trials, measured = frame([1.0, 0.5], [1.0, 0.1])
    with pytest.raises(AnalysisError, match="one measurement a trial"):
        gap_counts(trials, pd.concat([measured, measured]))
    with pytest.raises(AnalysisError, match="distances were not stored"):
        gap_counts(trials, measured.assign(distances=None))
