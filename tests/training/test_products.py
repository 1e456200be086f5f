"""Products of small matrices are those of double precision to rounding, whatever strides and sides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phasediag.training.compilation import replacements
from phasediag.training.elementary import tanh
from phasediag.training.products import (
    LARGEST_SIDE,
    products,
    products_descent,
    products_tanh,
    products_tanh_backward,
    suits,
)

sides = st.integers(1, 41)
needs_its_processor = pytest.mark.skipif(
    not suits(torch.ones(1, 1, 1), torch.ones(1, 1, 1)), reason="measured on processors with AVX2 only"
)


def drawn(shape: tuple[int, int, int], layout: str, seed: int) -> Tensor:
    """A batch of matrices of this shape: side by side, transposed, the same one throughout, or rows apart."""
    generator = torch.Generator().manual_seed(seed)
    batch, rows, columns = shape
    if layout == "transposed":
        return torch.randn(batch, columns, rows, generator=generator).transpose(1, 2)
    if layout == "shared":
        return torch.randn(1, rows, columns, generator=generator).expand(batch, -1, -1)
    if layout == "apart":
        return torch.randn(rows, batch, 2 * columns, generator=generator).transpose(0, 1)[..., ::2]
    return torch.randn(batch, rows, columns, generator=generator)


layouts = st.sampled_from(["plain", "transposed", "shared", "apart"])


@needs_its_processor
@settings(max_examples=300)
@given(st.integers(1, 5), sides, sides, sides, layouts, layouts, st.integers(0, 99))
def test_any_shapes_and_strides(
    batch: int, rows: int, depth: int, columns: int, left: str, right: str, seed: int
) -> None:
    a, b = drawn((batch, rows, depth), left, seed), drawn((batch, depth, columns), right, seed + 100)
    found, exact = products(a, b), a.double() @ b.double()
    bound = 1e-7 * (depth + 2) * (a.double().abs() @ b.double().abs())
    assert found.is_contiguous()
    assert found.shape == exact.shape
    assert bool(((found - exact).abs() <= bound).all())


@needs_its_processor
def test_a_product_does_not_depend_on_its_neighbours_or_on_threads() -> None:
    a, b = drawn((64, 33, 47), "plain", 0), drawn((64, 47, 21), "transposed", 1)
    together, threads = products(a, b), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(products(a, b), together)
    finally:
        torch.set_num_threads(threads)
    for row in (0, 17, 63):
        assert torch.equal(products(a[row : row + 1], b[row : row + 1])[0], together[row])


@needs_its_processor
def test_infinities_and_nans_pass() -> None:
    a, b = torch.ones(1, 2, 3), torch.ones(1, 3, 2)
    a[0, 0, 0], a[0, 1, 1] = float("inf"), float("nan")
    assert torch.equal(products(a, b)[0].isinf(), torch.tensor([[True, True], [False, False]]))
    assert torch.equal(products(a, b)[0].isnan(), torch.tensor([[False, False], [True, True]]))


def test_other_types_sides_and_devices_keep_torchs_own() -> None:
    small = torch.ones(2, 3, 3)
    assert not suits(small.double(), small.double())
    assert not suits(torch.ones(1, 1, LARGEST_SIDE + 1), torch.ones(1, LARGEST_SIDE + 1, 1))
    assert not suits(small.to("meta"), small.to("meta"))
    assert not replacements(torch.device("cuda"))
    bmm = replacements(torch.device("cpu"))[torch.ops.aten.bmm.default]
    assert bmm(small.double(), small.double()) is NotImplemented


def test_only_tanh_in_single_precision_is_replaced() -> None:
    tanh = replacements(torch.device("cpu"))[torch.ops.aten.tanh.default]
    assert tanh(torch.ones(2, dtype=torch.float64)) is NotImplemented
    torch.testing.assert_close(tanh(torch.ones(2)), torch.tanh(torch.ones(2)))


@needs_its_processor
@settings(max_examples=100)
@given(st.integers(1, 3), sides, sides, sides, layouts, layouts, st.integers(0, 99))
def test_what_follows_a_product_is_taken_of_it(
    batch: int, rows: int, depth: int, columns: int, left: str, right: str, seed: int
) -> None:
    a, b = drawn((batch, rows, depth), left, seed), drawn((batch, depth, columns), right, seed + 100)
    plain, y = products(a, b), drawn((batch, rows, columns), "plain", seed + 200)
    torch.testing.assert_close(products_tanh(a, b), tanh(plain), rtol=1e-6, atol=1e-44)
    torch.testing.assert_close(products_tanh_backward(a, b, y), plain * (1 - y * y), rtol=2e-6, atol=1e-6)


@needs_its_processor
def test_the_tanh_of_a_product_is_that_of_torch_up_to_the_ends() -> None:
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([float("inf"), -float("inf"), float("nan")])])
    found = products_tanh(x.view(1, -1, 1), torch.ones(1, 1, 1)).view(-1)
    torch.testing.assert_close(found, torch.tanh(x), rtol=5e-7, atol=0, equal_nan=True)


@needs_its_processor
@settings(max_examples=100)
@given(st.integers(1, 3), sides, sides, sides, layouts, layouts, st.integers(0, 99))
def test_a_descent_moves_the_active_and_keeps_the_others_whatever_their_gradient(
    batch: int, rows: int, depth: int, columns: int, left: str, right: str, seed: int
) -> None:
    a, b = drawn((batch, rows, depth), left, seed), drawn((batch, depth, columns), right, seed + 100)
    w, active = drawn((batch, rows, columns), "plain", seed + 200), torch.arange(batch) % 2 == 0
    rate, decay = torch.linspace(0.1, 0.5, batch), torch.linspace(0.0, 0.7, batch)
    moved = w - rate.view(-1, 1, 1) * (products(a, b) + decay.view(-1, 1, 1) * w)
    found = products_descent(a, b, w, active, rate, decay)
    torch.testing.assert_close(found[active], moved[active], rtol=2e-6, atol=2e-6)
    assert torch.equal(found[~active], w[~active])
    broken = products_descent(a * float("nan"), b, w, active, rate, decay)
    assert bool(broken[active].isnan().all())
    assert torch.equal(broken[~active], w[~active])


@needs_its_processor
def test_values_of_tanh_or_weights_that_lie_apart_are_refused() -> None:
    a, b, apart = torch.ones(2, 3, 4), torch.ones(2, 4, 5), torch.ones(2, 5, 3).transpose(1, 2)
    with pytest.raises(RuntimeError, match="phasediag::products"):
        products_tanh_backward(a, b, apart)
    with pytest.raises(RuntimeError, match="phasediag::products"):
        products_descent(a, b, apart, torch.ones(2, dtype=torch.bool), torch.ones(2), torch.ones(2))
