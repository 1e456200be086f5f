"""A training whose end is known: it tells a machine that is sick from trials that are."""

from __future__ import annotations

from typing import Final

import torch

SIZE: Final = 16
"""Inputs; a power of two."""
NETWORKS: Final = 4
STEPS: Final = 12
RATE: Final = 0.25
TOLERANCES: Final = {torch.float32: 1e-4, torch.float64: 1e-10}
"""Largest error of a weight; the weights are of order 1."""


def sickness(device: torch.device) -> str:
    """Why a device must not train: what it trains is wrong, or it raises; empty where it is well.

    Some linear networks are trained side by side by gradient descent from zero. The inputs are a Hadamard
    matrix H / sqrt(SIZE), so that each step brings a weight nearer to its end by the factor 1 - RATE:
    w(t) = (1 - (1 - RATE)^t) w*.
    """
    try:
        errors = {dtype: _error(device, dtype) for dtype in TOLERANCES}
    except (RuntimeError, OSError, AssertionError) as raised:
        return f"it cannot train: {str(raised).splitlines()[0] if str(raised) else repr(raised)}"
    for dtype, error in errors.items():
        if not error <= TOLERANCES[dtype]:
            name = str(dtype).removeprefix("torch.")
            return f"it computes wrongly: a known training in {name} comes out wrong by {error:.1g}"
    return ""


def _error(device: torch.device, dtype: torch.dtype) -> float:
    """By how much the weights differ from those that are known, at most."""
    inputs = _hadamard().to(device, dtype) / SIZE**0.5
    ends = torch.linspace(0.5, 1.5, NETWORKS * SIZE, device=device, dtype=dtype).reshape(NETWORKS, SIZE)

    targets, weights = ends @ inputs.T, torch.zeros_like(ends)
    for _ in range(STEPS):
        weights.requires_grad_()
        loss = (weights @ inputs.T - targets).square().sum() / 2
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = weights.detach() - RATE * gradient
    known = (1 - (1 - RATE) ** STEPS) * ends
    return float((weights - known).abs().max())


def _hadamard() -> torch.Tensor:
    """A matrix of ones and minus ones whose rows are orthogonal, shape (SIZE, SIZE)."""
    matrix = torch.ones(1, 1)
    while len(matrix) < SIZE:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix
