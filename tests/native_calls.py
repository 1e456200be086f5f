"""Functions of tensors, run natively for several networks at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phasediag.native.building import suits
from phasediag.native.program import NativeProgram
from phasediag.native.source import Slot

NATIVE = pytest.mark.skipif(not suits(), reason="native programs need AVX2 and a C++ compiler")
WIDE = pytest.mark.skipif(
    not suits() or torch.backends.cpu.get_cpu_capability() != "AVX512", reason="this processor has no AVX-512"
)


def capability(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let programs be compiled from now on for a processor that torch calls so."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)


def natively(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`function` of each network's tensors, which have a leading axis of networks."""
    expected = function(*(tensor[0] for tensor in tensors))
    result = torch.zeros(len(tensors[0]), *expected.shape, dtype=expected.dtype)
    held = [result, *(tensor.contiguous() for tensor in tensors)]
    program = NativeProgram(
        lambda before, *rest: [function(*rest)],
        [tensor[0].clone() for tensor in held],
        [Slot.TRIAL] * len(held),
    )
    program(held, torch.zeros(len(result), dtype=torch.int64), steps=1)
    return result


def one_by_one(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The same by torch."""
    return torch.stack([function(*parts) for parts in zip(*tensors, strict=True)])
