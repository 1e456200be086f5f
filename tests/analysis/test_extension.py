"""What moved when trials were trained for longer, in planted trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.extension import extension
from phasediag.analysis.lengths import lengthened
from phasediag.errors import AnalysisError


def planted() -> pd.DataFrame:
    """Four decays, three replicates, at 100 and at 200 steps; what moves is written below."""
    axes = [[0.1, 0.2, 0.4, 0.8], range(3), [100, 200]]
    frame = pd.MultiIndex.from_product(axes, names=["weight_decay", "replicate", "steps"]).to_frame(
        index=False
    )
    frame = frame.assign(
        status="ok", learning_time=frame["steps"] * 0.1, degree_normalized=0.2, neuron_count=10,
        converged=True, count_converged=True, unsettled="",
    )  # fmt: skip
    longer = frame["steps"] == 200
    frame.loc[longer & (frame["weight_decay"] == 0.2) & (frame["replicate"] == 1), "neuron_count"] = 7
    here = (frame["weight_decay"] == 0.4) & (frame["replicate"] == 0)
    frame.loc[here, ["count_converged", "unsettled"]] = [False, "neuron_count"]
    frame.loc[here & longer, ["neuron_count", "degree_normalized"]] = [5, 0.9]
    big = (frame["weight_decay"] == 0.8) & (frame["replicate"] == 2)
    frame.loc[big, "neuron_count"] = 60
    frame.loc[big & longer, "neuron_count"] = 58
    return frame


def test_what_moved_is_counted_among_what_was_called_settled() -> None:
    moved = extension(planted(), factors=[2])
    plain = moved.as_dict()
    expected = {
        "trials": 12, "converged": 12, "phase_moved": 1, "settled": 11, "count_moved": 1, "largest_change": 3
    }  # fmt: skip
    assert {name: plain[name] for name in expected} == expected
    cells = moved.cells.set_index("weight_decay")
    assert cells["count moved"].to_dict() == {0.1: 0, 0.2: 1, 0.4: 0, 0.8: 0}
    assert cells["phase moved"].to_dict() == {0.1: 0, 0.2: 0, 0.4: 1, 0.8: 0}
    assert cells["largest change"].to_dict() == {0.1: 0, 0.2: 3, 0.4: 0, 0.8: 2}
    text = moved.summary()
    assert "Of 12 whose phase had converged, 1 changed it (degree_normalized at 0.5)." in text
    assert (
        "Of 11 whose neuron_count had settled, 1 changed it, by 3 at most; of the 1 others, 1 changed" in text
    )
    assert "More than 5% of the phases that were called settled moved" in text


def test_trials_of_other_files_are_not_the_same_ones_for_longer() -> None:
    old, new = planted().assign(model_source="aa"), planted().assign(model_source="bb", neuron_count=3)
    both = pd.concat([old[old["steps"] == 100], new], ignore_index=True)
    assert extension(both, factors=[2]).as_dict()["count_moved"] == 0
    with pytest.raises(AnalysisError, match="none of these trials was trained again"):
        extension(both[(both["model_source"] == "aa") | (both["steps"] == 200)], factors=[2])


def test_nothing_moved_says_so_without_a_warning() -> None:
    still = planted().assign(neuron_count=10, degree_normalized=0.2)
    moved = extension(still, factors=[2])
    assert moved.warnings == ()
    assert moved.plot() is not None


def test_what_diverges_or_fails_later_is_told_and_enters_no_pair() -> None:
    frame = planted()
    frame.loc[[1, 3], "status"] = ["diverged", "failed"]
    moved = extension(frame, factors=[2])
    assert (len(moved.pairs), moved.diverged) == (10, 1)
    assert "1 trials diverged when they were trained for longer." in moved.warnings


def test_trials_that_were_not_extended_are_refused() -> None:
    frame = planted()
    with pytest.raises(AnalysisError, match="--extend 2"):
        extension(frame[frame["steps"] == 100], factors=[2])
    with pytest.raises(AnalysisError, match="--extend 2"):
        extension(frame)


@pytest.mark.parametrize(
    ("short", "long", "factors", "is_longer"),
    [
        (100, 200, [2], True), (100, 400, [2], False), (100, 400, [2, 4], True), (200, 400, [2, 4], True),
        (200, 300, [2, 3], True), (21, 32, [1.5], True), (21, 31, [1.5], True), (100, 200, [], False),
        (67, 133, [2], True), (67, 132, [2], False), (1, 2, [2], True),
    ],
)  # fmt: skip
def test_lengths_are_told_by_their_ratio_but_for_rounding(
    short: float, long: float, factors: list[float], is_longer: bool
) -> None:
    assert lengthened(np.array([short]), np.array([long]), factors)[0] == is_longer
