"""Checkpoints whose heads are planted alike or different are called so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phasediag.analysis.likeness import compare_checkpoints
from phasediag.errors import AnalysisError


def heads(name: str, rank: float, count: int, spread: float = 1.0) -> pd.DataFrame:
    """Heads of width 64 whose ranks scatter about a mean."""
    ranks = rank + spread * np.random.default_rng(0).normal(size=count)
    return pd.DataFrame({
        "checkpoint": name, "part": "attention", "width": 64, "rank": ranks, "stable_rank": ranks / 4,
        "effective_rank": ranks / 2, "degree_normalized": 0.0,
    })  # fmt: skip


def verdicts(*parts: pd.DataFrame) -> list[str]:
    pairs = compare_checkpoints(pd.concat(parts), [("a", "b")]).pairs
    return list(pairs["verdict"])


def test_checkpoints_that_are_alike_and_others_that_are_not() -> None:
    assert verdicts(heads("a", 30, 36), heads("b", 31, 72)) == ["alike"] * 4
    assert verdicts(heads("a", 30, 36), heads("b", 45, 72)) == ["alike", "different", "alike", "different"]


def test_few_heads_that_scatter_cannot_tell() -> None:
    assert verdicts(heads("a", 30, 4, 20.0), heads("b", 31, 4, 20.0))[1] == "cannot tell"


def test_a_checkpoint_that_was_not_measured_is_told() -> None:
    with pytest.raises(AnalysisError, match="'b' has fewer than 3 heads of part attention; there are a"):
        compare_checkpoints(heads("a", 30, 9), [("a", "b")])


def test_the_interval_is_that_of_welch() -> None:
    one, other = heads("a", 30, 12, 5.0), heads("b", 33, 40, 2.0)
    row = compare_checkpoints(pd.concat([one, other]), [("a", "b")]).pairs.iloc[1]
    test = stats.ttest_ind(other["rank"] / 64, one["rank"] / 64, equal_var=False).confidence_interval(0.95)
    assert [row["low"], row["high"]] == pytest.approx([test.low, test.high])
