"""What a dry step compares."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch

from phasediag.rehearsal.alone import largest_difference


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ([1.0, 2.0], [1.0, 4.5], 2.5),
        ([nan, 2.0], [nan, 2.0], 0.0),
        ([inf, -inf], [inf, -inf], 0.0),
        ([nan, 2.0], [1.0, 2.0], inf),
        ([1.0, 2.0], [1.0, nan], inf),
        ([inf, 2.0], [-inf, 2.0], inf),
        ([inf, 2.0], [nan, 2.0], inf),
        ([], [], 0.0),
    ],
)
def test_what_is_not_finite_on_one_side_alone_is_a_difference(
    one: list[float], other: list[float], difference: float
) -> None:
    assert largest_difference(torch.tensor(one), torch.tensor(other)) == difference
