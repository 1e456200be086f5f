"""Gram matrices of what is known of some samples; of one network, under vmap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

PROBES: Final = 100
"""Samples of a Gram matrix: the first of the test set, fewer where it has fewer."""


def triangle(matrix: Tensor) -> Tensor:
    """The upper triangle with the diagonal, row by row: shape (n, n) to (n (n + 1) / 2,)."""
    import torch

    rows, columns = torch.triu_indices(*matrix.shape, device=matrix.device)
    return matrix[rows, columns]


def inner_products(vectors: Tensor) -> Tensor:
    """Inner products of all pairs of samples: shape (n, ...) to (n (n + 1) / 2,), row by row."""
    flat = vectors.reshape(len(vectors), -1)
    return triangle(flat @ flat.T)
