"""Which numbers of neurons enter a fit: settled ones of layers that do not limit them."""

from __future__ import annotations

import numpy as np
import pytest

from phasediag.analysis.comparison import student
from phasediag.analysis.saturation import saturation
from phasediag.analysis.settled_counts import (
    ENTERS,
    FEW_NEURONS,
    LIMITED,
    NO_ROOM,
    ONE_WIDTH,
    UNSETTLED,
    counted_trials,
    settled_counts,
)
from phasediag.errors import AnalysisError
from planted_counts import planted


def states(number, **more) -> list[str]:  # type: ignore[no-untyped-def]
    counts = settled_counts(*planted(number, inputs=[1], decays=3, **more), ["inputs"])
    return counts.limits["state"].tolist()


def test_planted_numbers_enter_with_their_means() -> None:
    counts = settled_counts(*planted(lambda i, x, w, r, f: 5 + r % 2, inputs=[1], decays=3), ["inputs"])
    assert counts.limits["state"].tolist() == [ENTERS] * 3
    assert counts.limits["mean"].tolist() == [5.5] * 3
    numbers = counts.numbers((1,))
    assert numbers.shape == (3, 8)
    assert (numbers.to_numpy() == 5 + np.arange(8) % 2).all()
    assert counts.warnings == ()


def test_a_number_that_longer_training_changes_is_not_settled() -> None:
    assert states(lambda i, x, w, r, f: 6 if f < 4 else 5) == [UNSETTLED] * 3
    two_of_eight = lambda i, x, w, r, f: 6 if f < 4 and r < 2 else 5  # noqa: E731
    assert states(two_of_eight) == [ENTERS] * 3
    three_of_eight = lambda i, x, w, r, f: 6 if f < 4 and r < 3 else 5  # noqa: E731
    assert states(three_of_eight) == [UNSETTLED] * 3


def test_beyond_twenty_a_number_may_move_by_five_per_cent() -> None:
    assert states(lambda i, x, w, r, f: 31 if f < 2 else 30) == [ENTERS] * 3
    assert states(lambda i, x, w, r, f: 33 if f < 2 else 30) == [UNSETTLED] * 3


def test_only_two_lengths_settle_nothing() -> None:
    assert states(lambda i, x, w, r, f: 5, factors=(1, 2)) == [UNSETTLED] * 3


def test_a_number_that_grows_with_the_width_is_limited_by_it() -> None:
    assert states(lambda i, x, w, r, f: 6 if w == 256 else 5) == [LIMITED] * 3
    one_replicate = lambda i, x, w, r, f: 5 + (w == 256 and r == 0)  # noqa: E731
    assert states(one_replicate) == [ENTERS] * 3


def test_few_neurons_full_layers_and_single_widths_do_not_enter() -> None:
    assert states(lambda i, x, w, r, f: 2) == [FEW_NEURONS] * 3
    assert states(lambda i, x, w, r, f: 33) == [NO_ROOM] * 3
    assert states(lambda i, x, w, r, f: 32) == [ENTERS] * 3
    assert states(lambda i, x, w, r, f: 5, widths=(256,)) == [ONE_WIDTH] * 3


def test_undecided_networks_are_counted_and_do_not_enter() -> None:
    counts = settled_counts(*planted(lambda i, x, w, r, f: 5, inputs=[1], decays=3, gap=5), ["inputs"])
    assert (counts.cells["undecided"] == 1).all()
    assert counts.limits["state"].tolist() == [UNSETTLED] * 3
    assert "100% of 72 networks are undecided" in counts.summary()


def test_full_layers_are_told_of() -> None:
    counts = settled_counts(*planted(lambda i, x, w, r, f: w - 1, inputs=[1], decays=3), ["inputs"])
    assert "beyond half of their width" in " ".join(counts.warnings)


def test_an_axis_that_is_not_named_is_refused() -> None:
    with pytest.raises(AnalysisError, match="several trials of one length"):
        settled_counts(*planted(lambda i, x, w, r, f: 5, decays=3))


def test_counted_trials_are_the_longest_with_their_number() -> None:
    trials, numbers = planted(lambda i, x, w, r, f: 4 if r else 3 + int(f), inputs=[1], decays=3)
    rows = counted_trials(trials, settled_counts(trials, numbers, ["inputs"]))
    assert len(rows) == len(trials) / 3
    assert rows["converged"].to_numpy().tolist() == (rows["replicate"] > 0).tolist()
    assert set(rows["neurons"]) == {4, 7}


def test_students_interval() -> None:
    assert student(np.array([1.0, 2.0])) == pytest.approx((1.5, np.nan, np.nan), nan_ok=True)
    mean, low, high = student(np.array([1.0, 2.0, 3.0]))
    assert (mean, low, high) == pytest.approx((2, 2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)))
    mean, low, high = student(np.full(8, 5.0))
    assert high - low == pytest.approx(2 * 2.364624 * np.sqrt(1 / 12 / 8))
    assert np.isnan(student(np.full(8, 5.0), rounding=0)[1])


def test_saturation_at_the_teacher() -> None:
    def number(inputs: int, decay: float, width: int, replicate: int, factor: float) -> int:
        return {4: 4, 16: 15, 64: 64}[inputs] if decay < 0.1 else 2

    trials, numbers = planted(number, inputs=[4, 16, 64], decays=5)
    counts = settled_counts(trials.rename(columns={"inputs": "teacher_width"}), numbers, ["teacher_width"])
    assert saturation(counts)["verdict"].tolist() == ["saturates", "cannot tell", "saturates"]
