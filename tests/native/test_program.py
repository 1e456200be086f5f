"""A native program computes what torch does, of each network alone, in place, step after step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from native_calls import NATIVE, natively, one_by_one
from phasediag.native.lowering import UnsupportedError
from phasediag.native.program import NativeProgram
from phasediag.native.source import Slot
from properties import examples

pytestmark = NATIVE
INF, NAN = math.inf, math.nan
ENDS = [0.0, -0.0, 1.0, -1.5, 3.0, INF, -INF, NAN, 1e-30, 88.0, -88.0, 1e4]


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def pairs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Every pair of special numbers, as two networks' worth."""
    ends = torch.tensor(ENDS, dtype=dtype)
    a, b = torch.meshgrid(ends, ends, indexing="ij")
    return torch.stack([a, b]), torch.stack([b, a])


BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge, "eq": torch.eq,
    "ne": torch.ne, "where": lambda a, b: torch.where(a > b, a, -b), "reversed": lambda a, b: 2 - a / b,
    "logic": lambda a, b: (a > 0) & ~(b > 0) | (a == b),
    "counts": lambda a, b: (a > 0) + (b > 0).to(torch.int64),
}  # fmt: skip
UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg, "abs": torch.abs, "relu": torch.relu, "sign": torch.sign,
    "reciprocal": torch.reciprocal,
    "square": torch.square, "cube": lambda x: x**3, "clamp": lambda x: x.clamp(-1, 2),
    "least": lambda x: x.clamp(min=0.5), "isfinite": torch.isfinite, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
    "exp": torch.exp, "expm1": torch.expm1, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "silu": torch.nn.functional.silu, "double": lambda x: x.double() + 1, "powers": lambda x: 0.9**x.abs(),
}  # fmt: skip


def assert_same(actual: Tensor, expected: Tensor, ulps: float = 4) -> None:
    assert actual.dtype == expected.dtype
    if not expected.is_floating_point():
        assert torch.equal(actual, expected)
        return
    unit = torch.finfo(expected.dtype).eps
    torch.testing.assert_close(actual, expected, rtol=ulps * unit, atol=1e-37, equal_nan=True)


def multiplied(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Beside a product, so that functions of the C library are no more than a part of the program."""

    def both(*given: Tensor) -> Tensor:
        *tensors, left, right = given
        result = function(*tensors)
        return torch.where((left @ right).sum() > -INF, result, torch.zeros_like(result))

    return both


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_of_two_numbers(name: str, dtype: torch.dtype) -> None:
    a, b = pairs(dtype)
    assert_same(natively(BINARY[name], a, b), one_by_one(BINARY[name], a, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_of_one_number(name: str, dtype: torch.dtype) -> None:
    values = torch.cat([torch.tensor(ENDS), torch.linspace(-30, 30, 200)]).to(dtype).reshape(2, -1)
    factors = drawn(2, 200, 150), drawn(2, 150, 100)
    function = multiplied(UNARY[name])
    expected = one_by_one(UNARY[name], values)
    assert_same(natively(function, values, *factors), expected, ulps=16 if name == "tanh" else 6)


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_angles(name: str, dtype: torch.dtype) -> None:
    """To rounding of the largest value: near a zero far out the angle itself is no better known."""
    values = torch.linspace(-300, 300, 2001, dtype=dtype).repeat(2, 1)
    angles = natively(getattr(torch, name), values)
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(angles, getattr(torch, name)(values), rtol=0, atol=4 * unit)
    ends = natively(getattr(torch, name), torch.tensor([[INF, NAN, 1e30, -1e30]] * 2, dtype=dtype))
    assert ends[:, :2].isnan().all()
    assert (ends[:, 2:].abs() <= 1).all()


WORDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "not": lambda a, b: ~a - ~b,
    "left": lambda a, b: a << b, "right": lambda a, b: a >> b, "far left": lambda a, b: (a << 70) + (b << -1),
    "far right": lambda a, b: (a >> 64) - (b >> -3), "low": lambda a, b: (a & 0xFFFFFFFF) >> 19 | (b > 0),
    "called": lambda a, b: torch.bitwise_left_shift(a, 3) ^ torch.bitwise_right_shift(b, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_of_whole_numbers_bit_by_bit(name: str) -> None:
    """To the bit, also where a number is shifted by more places than it has, or by fewer than none."""
    ends = torch.tensor([0, 1, -1, 5, 31, 32, 63, 64, -64, 2**32 - 1, 2**62, -(2**63), 0x1BD11BDA])
    a, b = (each.reshape(2, -1) for each in torch.meshgrid(torch.cat([ends, ends[:1]]), ends, indexing="ij"))
    assert_same(natively(WORDS[name], a, b), one_by_one(WORDS[name], a, b))


@settings(max_examples=examples(40))
@given(
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.booleans(),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_products_of_any_sizes_and_layouts(
    matrices: int, rows: int, depth: int, columns: int, left: bool, right: bool, dtype: torch.dtype
) -> None:
    a = drawn(2, matrices, *((depth, rows) if left else (rows, depth)), dtype=dtype)
    b = drawn(2, matrices, *((columns, depth) if right else (depth, columns)), dtype=dtype, seed=1)

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a.transpose(-1, -2) if left else a) @ (b.transpose(-1, -2) if right else b)

    exact = one_by_one(product, a.double(), b.double())
    bound = one_by_one(product, a.double().abs(), b.double().abs()) * torch.finfo(dtype).eps * (depth + 2)
    assert ((natively(product, a, b).double() - exact).abs() <= bound).all()


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x.sum(-1), "columns": lambda x: x.sum(0), "all": lambda x: x.sum(),
    "kept": lambda x: x.sum(1, True),
    "outer": lambda x: x.sum((0, 2)), "mean": lambda x: x.mean((1, 2)), "largest": lambda x: x.amax(-1),
    "largest column": lambda x: x.amax(0), "turned": lambda x: (x.permute(2, 0, 1) * 2).sum(1),
    "select": lambda x: x[1] + x[:, 2].mean(), "slice": lambda x: x[:, 1:3] * x[:, :1],
    "reshaped": lambda x: x.transpose(0, 2).reshape(5, -1) + 1,
    "stacked": lambda x: torch.stack([x, 2 * x], 1),
    "joined": lambda x: torch.cat([x, x[:, :2].square()], dim=1), "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "diagonal": lambda x: x[:, :3, :3].diagonal(dim1=1, dim2=2) * 1,
    "variance": lambda x: x.var((0, 2)) + x.std(),
    "layer norm": lambda x: torch.nn.functional.layer_norm(x, (4, 5)),
    "constant": lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]) + torch.arange(4)[:, None],
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_of_whole_tensors(name: str) -> None:
    x = drawn(3, 3, 4, 5)
    function = multiplied(SHAPES[name]) if name == "log_softmax" else SHAPES[name]
    factors = (drawn(3, 200, 150), drawn(3, 150, 100)) if name == "log_softmax" else ()
    torch.testing.assert_close(
        natively(function, x, *factors), one_by_one(SHAPES[name], x), rtol=2e-6, atol=2e-6
    )


@settings(max_examples=examples(30))
@given(st.lists(st.tuples(st.integers(0, 8), *[st.integers(0, 60)] * 2), min_size=3, max_size=24))
def test_any_chain_of_operators(steps: list[tuple[int, int, int]]) -> None:
    """What is fused, kept or written over must not show: operators in any order on whatever is there."""

    def function(*tensors: Tensor) -> Tensor:
        pool = list(tensors)
        for kind, first, second in steps:
            a, b = pool[first % len(pool)], pool[second % len(pool)]
            pool.append(
                [
                    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a @ b / 4, lambda a, b: a.T - b,
                    lambda a, b: torch.where(a > b, a, b), lambda a, b: a.sum(0, keepdim=True) / 4 + b,
                    lambda a, b: a.mean() * b, lambda a, b: (a * b).amax(1, keepdim=True) - a,
                    lambda a, b: a.clamp(-1, 1),
                ][kind](a, b).clamp(-8, 8)
            )  # fmt: skip
        return torch.stack(pool[len(tensors) :])

    x, y = drawn(2, 6, 6, dtype=torch.float64), drawn(2, 6, 6, dtype=torch.float64, seed=1)
    torch.testing.assert_close(natively(function, x, y), one_by_one(function, x, y), rtol=1e-7, atol=1e-7)


def test_results_replace_the_first_arguments_step_after_step() -> None:
    """Also where each needs the old value of the other."""
    a, b, rate = drawn(5, 4), drawn(5, 4, seed=1), drawn(5, seed=2)
    fed = drawn(7, 2, 4, seed=3)
    world = torch.tensor([0, 1, 1, 0, 1])
    expected = [a.clone(), b.clone()]
    for step in range(7):
        x = fed[step][world]
        expected = [expected[0] - rate[:, None] * expected[1] + x, expected[1] + expected[0] * rate[:, None]]
    program = NativeProgram(
        lambda a, b, rate, x: [a - rate * b + x, b + a * rate],
        [torch.zeros(4), torch.zeros(4), torch.zeros(()), torch.zeros(4)],
        [Slot.TRIAL, Slot.TRIAL, Slot.TRIAL, Slot.WORLD],
    )
    program([a, b, rate, fed], world, steps=7)
    torch.testing.assert_close([a, b], expected)


@pytest.mark.parametrize("threads", [2, 3])
def test_a_network_does_not_depend_on_its_neighbours_or_on_threads(threads: int) -> None:
    a, b = drawn(7, 9, 13), drawn(7, 13, 5, seed=1)

    def function(a: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(a @ b)

    together = natively(function, a, b)
    alone = torch.cat([natively(function, a[i : i + 1], b[i : i + 1]) for i in range(7)])
    assert torch.equal(together, alone)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(natively(function, a, b), together)
    finally:
        torch.set_num_threads(1)


REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda x: x + torch.rand(3), "value": lambda x: x * float(x.sum()),
    "sorted": lambda x: x.sort()[0],
    "half": lambda x: x.half() * 2, "in place": lambda x: x.clone().add_(1), "calls": torch.lgamma,
    "argument": lambda x: x, "constant": lambda x: torch.ones(3), "log": torch.log,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_native_programs_do_not_do_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError):
        natively(REFUSED[name], drawn(2, 3).abs())


def test_what_fails_while_it_is_written_down_is_left_to_torch() -> None:
    with pytest.raises(UnsupportedError, match="shape"):
        NativeProgram(lambda x: [x.view(7, 7)], [torch.ones(3)], [Slot.TRIAL])


def test_a_large_second_factor_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="large"):
        natively(torch.matmul, drawn(1, 2, 300), drawn(1, 300, 300))
