"""Elementary functions as compiled programs compute them are accurate, bounded and odd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phasediag.native.elementary import erf, tanh

SAMPLE = torch.cat([torch.logspace(-37, 1.3, 400_001), torch.linspace(0, 12, 400_001)])


def test_tanh_is_within_eight_units_in_the_last_place() -> None:
    exact = torch.tanh(SAMPLE.double())
    unit = torch.exp2(exact.log2().floor().clamp(min=-126) - 23)
    assert float(((tanh(SAMPLE).double() - exact).abs() / unit).max()) <= 8


def test_erf_is_within_six_units_in_the_last_place() -> None:
    exact = torch.erf(SAMPLE.double())
    unit = torch.exp2(exact.log2().floor().clamp(min=-126) - 23)
    assert float(((erf(SAMPLE).double() - exact).abs() / unit).max()) <= 6
    assert torch.equal(erf(-SAMPLE), -erf(SAMPLE))
    assert float(erf(SAMPLE).max()) <= 1


def test_tanh_is_odd_bounded_and_itself_at_the_ends() -> None:
    assert torch.equal(tanh(-SAMPLE), -tanh(SAMPLE))
    assert float(tanh(SAMPLE).max()) <= 1
    ends = torch.tensor([0.0, float("inf"), -float("inf"), float("nan")])
    torch.testing.assert_close(tanh(ends), torch.tensor([0.0, 1.0, -1.0, float("nan")]), equal_nan=True)


@given(st.floats(-(2**-20), 2**-20, width=32))
def test_tanh_of_a_small_number_keeps_its_relative_accuracy(x: float) -> None:
    """Near a symmetric state the signal is the relative size of the smallest activations."""
    assert float(tanh(torch.tensor(x))) == pytest.approx(x, rel=5e-7, abs=1e-44)
