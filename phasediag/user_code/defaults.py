"""What torch takes where nothing is said: one setting for all files that a process imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Defaults = tuple[torch.dtype, torch.device, bool]


@contextmanager
def kept_defaults() -> Iterator[None]:
    """Put torch's defaults back that a user's code changes, and refuse the change.

    Other networks of the process would be built by them too, in an order that nobody promises.

    Raises
    ------
    RuntimeError
        Where the default type or device is another one afterwards, or gradients are switched on or off.
    """
    before = _defaults() if "torch" in sys.modules else None
    try:
        yield
    except BaseException:
        _restore(before)
        raise
    if fault := _restore(before):
        raise RuntimeError(fault)


def _restore(before: Defaults | None) -> str:
    """Put defaults back; what was changed, in words, and what to do instead."""
    if "torch" not in sys.modules:
        return ""

    import torch

    dtype, device, gradients = before or (torch.float32, torch.device("cpu"), True)
    now = _defaults()
    if now[0] != dtype:
        torch.set_default_dtype(dtype)
        remedy = "leave that out, and write dtype: float64 in the grid"
        return f"it sets torch's default dtype to {now[0]}: {remedy}"
    if now[1] != device:
        torch.set_default_device(None if device == torch.device("cpu") else device)
        return f"it sets torch's default device to {now[1]}: leave that out; the grid's resources say where"
    if now[2] != gradients:
        torch.set_grad_enabled(gradients)
        return f"it leaves gradients switched {'on' if now[2] else 'off'}: use a with statement"
    return ""


def _defaults() -> Defaults:
    import torch

    return torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
