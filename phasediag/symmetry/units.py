"""Powers of two to measure finite numbers in, so that squares neither overflow nor underflow."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def power_of_two(largest: Tensor) -> Tensor:
    """The largest power of two that is not above each number.

    Dividing and multiplying by it is exact, and the unit itself comes from exact arithmetic alone.

    Parameters
    ----------
    largest
        Non-negative floating point numbers, any shape.

    Returns
    -------
    Same shape and dtype; 1 where the number is zero or not finite.
    """
    mantissa, _ = torch.frexp(largest)
    usable = torch.isfinite(largest) & (largest > 0)
    return torch.where(usable, largest / (2 * mantissa), torch.ones_like(largest))


def finite_trials(parameters: Iterable[Tensor]) -> Tensor:
    """Trials all of whose numbers are finite, bool, shape (trials,).

    Parameters
    ----------
    parameters
        Each of shape (trials, ...).
    """
    largest = [parameter.abs().flatten(1).amax(dim=1) for parameter in parameters]
    return torch.isfinite(torch.stack(largest)).all(dim=0)
