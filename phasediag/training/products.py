"""Products of many small matrices on the CPU: an operator of torch's, with a C++ program behind it."""

from __future__ import annotations

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
    build()
    result: Tensor = torch.ops.phasediag.products(a, b)
    return result


@cache
def build() -> None:
    """Build the operator's program, where it will be needed, and load it.

    The compiler of `torch.compile` does it, once a machine.
    """
    if torch.backends.cpu.get_cpu_capability() == PROCESSOR:
        from torch._inductor.codecache import CppCodeCache

        CppCodeCache.load(SOURCE.read_text(), extra_flags=("-mavx2", "-mfma"), needs_vec_isa=False)


def _empty(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))


torch.library.register_fake("phasediag::products", _empty, lib=_library)
