"""Extreme eigenvalues of a symmetric operator by Lanczos' recursion; of one network, under vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

STEPS: Final = 48
"""Steps of the recursion, each one product with the operator; all eigenvalues of so many dimensions are
exact."""
TOLERANCE: Final = 1e-2
"""An eigenvalue is known where the residual of its vector is below this share of the largest one's size.

The error of an isolated eigenvalue is of the order of the square of the residual over the gap.
"""


def extreme_eigenvalues(product: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest eigenvalue in the subspace that the start reaches.

    Every vector is made orthogonal to all before it, twice, by sums and not by products of matrices, whose
    rounding depends on how many networks are side by side. Where the subspace is exhausted, what is left
    takes no part.

    Parameters
    ----------
    product
        The operator times a vector, shape (n,) to (n,).
    start
        Not orthogonal to what is looked for; shape (n,), on the device and of the dtype of the operator.

    Returns
    -------
    Two scalars; NaN where the residual is above `TOLERANCE`.
    """
    import torch

    size = start.shape[0]
    steps = min(STEPS, size)
    tiny = torch.finfo(start.dtype).eps
    vectors = [start / torch.linalg.vector_norm(start)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for step in range(steps):
        image = product(vectors[step])
        diagonal.append((image * vectors[step]).sum())
        known = torch.stack(vectors)
        for _ in range(2):
            shares = (known * image).sum(dim=1)
            image = image - (shares[:, None] * known).sum(dim=0)
        length = torch.linalg.vector_norm(image)
        scale = torch.stack([entry.abs() for entry in (*diagonal, *beside)]).amax()
        alive = length > 10 * tiny * scale
        beside.append(torch.where(alive, length, 0))
        vectors.append(torch.where(alive, image / torch.where(alive, length, 1), 0))
    return _ends(torch.stack(diagonal).double(), torch.stack(beside).double(), torch.stack(vectors[:-1]))


def _ends(diagonal: Tensor, beside: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of the spectrum of the tridiagonal matrix; what is exhausted lies inside of them."""
    import torch

    used = (vectors != 0).any(dim=1)
    diagonal = torch.where(used, diagonal, diagonal[0])
    matrix = torch.diag_embed(diagonal)
    matrix = matrix + torch.diag_embed(beside[:-1], 1) + torch.diag_embed(beside[:-1], -1)
    matrix = torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)
    values, states = torch.linalg.eigh(matrix)
    residual = beside[-1] * states[-1].abs()
    known = residual <= TOLERANCE * values.abs().amax()
    known = known & torch.isfinite(diagonal).all() & torch.isfinite(beside).all()
    values = torch.where(known, values, torch.nan)
    return values[0], values[-1]


def start_vector(like: Tensor) -> Tensor:
    """Fixed numbers of all signs, the same for every network; shape, dtype and device of `like`."""
    import torch

    drawn = np.random.Generator(np.random.Philox(key=0)).standard_normal(tuple(like.shape))
    return torch.from_numpy(drawn).to(device=like.device, dtype=like.dtype)
