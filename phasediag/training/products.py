"""Products of many small matrices on the CPU: operators of torch's, with a C++ program behind them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from phasediag.training.elementary import TANH_ABOVE, TANH_BELOW, TANH_BOUND

SOURCE: Final = Path(__file__).with_name("products.cpp")
PROCESSOR: Final = "AVX2"
"""As torch names what a processor can do."""
LARGEST_SIDE: Final = 256
"""Of a matrix: larger ones keep torch's product, which is no slower there."""

_library: Final = torch.library.Library("phasediag", "DEF")  # type: ignore[no-untyped-call]
for _operator in (
    "products(Tensor a, Tensor b) -> Tensor",
    "products_tanh(Tensor a, Tensor b) -> Tensor",
    "products_tanh_backward(Tensor a, Tensor b, Tensor y) -> Tensor",
    "products_descent(Tensor a, Tensor b, Tensor w, Tensor active, Tensor rate, Tensor decay) -> Tensor",
):
    _library.define(_operator, tags=(torch.Tag.flexible_layout,))  # type: ignore[no-untyped-call]


def suits(a: Tensor, b: Tensor) -> bool:
    """Whether `products` takes these factors, on a kind of processor where it was measured to be faster."""
    known = torch.backends.cpu.get_cpu_capability() == PROCESSOR and a.device.type == "cpu"
    small = max(*a.shape[1:], b.shape[2]) <= LARGEST_SIDE
    return known and small and a.dtype == b.dtype == torch.float32


def products(a: Tensor, b: Tensor) -> Tensor:
    """The product of each pair of matrices, as `torch.bmm` has it.

    It is faster than `torch.bmm` for sides of a few tens. Each product is that of its own two matrices, to
    the bit, whatever others lie beside them.

    Parameters
    ----------
    a, b
        Float32 on the CPU, shapes (batch, rows, depth) and (batch, depth, columns), any strides.

    Returns
    -------
    Float32, shape (batch, rows, columns), contiguous.
    """
    build()
    result: Tensor = torch.ops.phasediag.products(a, b)
    return result


def products_tanh(a: Tensor, b: Tensor) -> Tensor:
    """`tanh` of `elementary`, to rounding, of `products`: taken while each product is in the cache."""
    build()
    result: Tensor = torch.ops.phasediag.products_tanh(a, b)
    return result


def products_tanh_backward(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """`products` times `1 - y²`, the derivative of tanh where its value is `y`.

    Parameters
    ----------
    y
        Float32 on the CPU, shape (batch, rows, columns), contiguous.
    """
    build()
    result: Tensor = torch.ops.phasediag.products_tanh_backward(a, b, y)
    return result


def products_descent(a: Tensor, b: Tensor, w: Tensor, active: Tensor, rate: Tensor, decay: Tensor) -> Tensor:
    """The weights `w - rate * (products + decay * w)` where a trial is active, and `w` elsewhere.

    Parameters
    ----------
    w
        Float32 on the CPU, shape (batch, rows, columns), contiguous.
    active
        Bool, shape (batch,).
    rate, decay
        Float32, shape (batch,).
    """
    build()
    result: Tensor = torch.ops.phasediag.products_descent(a, b, w, active, rate, decay)
    return result


@cache
def build() -> None:
    """Build the operators' program, where it will be needed, and load it.

    The compiler of `torch.compile` does it, once a machine.
    """
    if torch.backends.cpu.get_cpu_capability() == PROCESSOR:
        from torch._inductor.codecache import CppCodeCache

        CppCodeCache.load(_source(), extra_flags=("-mavx2", "-mfma"), needs_vec_isa=False)


def _source() -> str:
    """The program, with the numbers of tanh before it."""
    constants = [f"constexpr float TANH_BOUND = {TANH_BOUND!r}f;"]
    for name, numbers in (("ABOVE", TANH_ABOVE), ("BELOW", TANH_BELOW)):
        constants.append(f"constexpr float TANH_{name}[] = {{{', '.join(f'{n!r}f' for n in numbers)}}};")
    return "\n".join([*constants, SOURCE.read_text()])


def _empty(a: Tensor, b: Tensor, *more: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))


for _name in ("products", "products_tanh", "products_tanh_backward", "products_descent"):
    torch.library.register_fake(f"phasediag::{_name}", _empty, lib=_library)
