"""Products of many small matrices on the CPU: an operator of torch's, with a C++ program behind it."""

from __future__ import annotations

from ctypes import CDLL, Array, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

SOURCE: Final = Path(__file__).with_name("products.cpp")
PROCESSOR: Final = "AVX2"
"""As torch names what a processor can do."""
LARGEST_SIDE: Final = 256
"""Of a matrix: larger ones keep torch's product, which is no slower there."""

_library: Final = torch.library.Library("phasediag", "DEF")  # type: ignore[no-untyped-call]
_library.define(  # type: ignore[no-untyped-call]
    "products(Tensor a, Tensor b) -> Tensor", tags=(torch.Tag.flexible_layout,)
)


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
    result: Tensor = torch.ops.phasediag.products(a, b)
    return result


def build() -> None:
    """Build the program before it is needed, where it will be."""
    if torch.backends.cpu.get_cpu_capability() == PROCESSOR:
        _program()


def _on_the_cpu(a: Tensor, b: Tensor) -> Tensor:
    out = _empty(a, b)
    sizes = (*a.shape, b.shape[2])
    _program().products(
        _numbers(sizes), c_void_p(a.data_ptr()), _numbers(a.stride()), c_void_p(b.data_ptr()),
        _numbers(b.stride()), c_void_p(out.data_ptr()), c_int64(torch.get_num_threads()),
    )  # fmt: skip
    return out


def _empty(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))


def _numbers(values: tuple[int, ...]) -> Array[c_int64]:
    return (c_int64 * len(values))(*values)


@cache
def _program() -> CDLL:
    """Built by the compiler that `torch.compile` uses, once a machine."""
    from torch._inductor.codecache import CppCodeCache

    program: CDLL = CppCodeCache.load(
        SOURCE.read_text(), extra_flags=("-mavx2", "-mfma"), needs_vec_isa=False
    )
    return program


_library.impl("products", _on_the_cpu, "CPU")  # type: ignore[no-untyped-call]
torch.library.register_fake("phasediag::products", _empty, lib=_library)
