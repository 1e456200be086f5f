"""The order of the neurons of a layer: by norm, ties broken by projections.

Two neurons whose norms differ by less than sqrt(machine epsilon) * s, s the root mean square of
the norms, are tied; so are, in turn, projections on a singular vector. Ties are broken only in
trials where tied neighbours differ, as a singular value decomposition is costly; in layers of trained
models with thousands of neurons and of inputs, where it takes hours, the order is by norm alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

ALIGNMENT: Final = 16
"""Matrices are padded to multiples of it: LAPACK rounds differently where they are not aligned."""

MOST_DIRECTIONS: Final = 2048
"""Ties are broken in layers with at most so many neurons, or so many numbers a neuron."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Numbers of each neuron that flip together, or not at all."""

    vectors: Tensor
    """The numbers of each neuron, shape (trials, width, numbers)."""
    flips: bool


def order_neurons(parts: Sequence[Part], norms: Tensor, pairs: Tensor) -> Tensor:
    """Positions of the neurons in ascending order of norm, ties broken (in layers up to `MOST_DIRECTIONS`).

    Parameters
    ----------
    parts
        The neuron vectors.
    norms
        Their norms, shape (trials, width).
    pairs
        Their gauge distances, shape (trials, width, width).

    Returns
    -------
    Int64, shape (trials, width).
    """
    ascending, order = norms.sort(dim=1, stable=True)
    if all(min(part.vectors.shape[1:]) > MOST_DIRECTIONS for part in parts):
        return order
    scale = norms.square().mean(dim=1, keepdim=True).sqrt()
    tolerance = torch.finfo(norms.dtype).eps ** 0.5 * scale
    block = _blocks(ascending.diff(dim=1) >= tolerance)
    rows = _undecided(order, block, pairs, tolerance).nonzero().squeeze(1)
    if len(rows) == 0:
        return order
    tied = [Part(vectors=part.vectors[rows], flips=part.flips) for part in parts]
    broken = _break_ties(tied, order[rows], block[rows], pairs[rows], tolerance[rows])
    return order.index_copy(0, rows, broken)


def neighbours(order: Tensor, pairs: Tensor) -> Tensor:
    """Distances of consecutive neurons.

    Parameters
    ----------
    order
        Positions of the neurons, shape (trials, width).
    pairs
        Their distances, shape (trials, width, width).

    Returns
    -------
    Shape (trials, width - 1).
    """
    width = order.shape[1]
    return pairs.flatten(1).gather(1, order[:, :-1] * width + order[:, 1:])


def _blocks(split: Tensor) -> Tensor:
    """Number the blocks between the splits, shape (trials, width) from (trials, width - 1)."""
    return torch.nn.functional.pad(split.long().cumsum(dim=1), (1, 0))


def _undecided(order: Tensor, block: Tensor, pairs: Tensor, tolerance: Tensor) -> Tensor:
    """Trials in which neighbours of one block differ, shape (trials,)."""
    return ((neighbours(order, pairs) >= tolerance) & (block.diff(dim=1) == 0)).any(dim=1)


def _break_ties(
    parts: Sequence[Part], order: Tensor, block: Tensor, pairs: Tensor, tolerance: Tensor
) -> Tensor:
    for key in _keys(parts, tolerance):
        undecided = _undecided(order, block, pairs, tolerance)[:, None]
        if not undecided.any():
            break
        new_order, new_block = _refine(order, block, key, tolerance)
        order = torch.where(undecided, new_order, order)
        block = torch.where(undecided, new_block, block)
    return order


def _refine(order: Tensor, block: Tensor, key: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
    """Sort by the key inside each block, and split the blocks where the key makes a step."""
    key = key.gather(1, order)
    by_key = key.argsort(dim=1, stable=True)
    step = by_key.gather(1, block.gather(1, by_key).argsort(dim=1, stable=True))
    order, key, block = order.gather(1, step), key.gather(1, step), block.gather(1, step)
    return order, _blocks((block.diff(dim=1) > 0) | (key.diff(dim=1) >= tolerance))


def _keys(parts: Sequence[Part], tolerance: Tensor) -> Iterator[Tensor]:
    """Projections on the singular vectors of each part, strongest first, signs fixed.

    A singular vector is turned so that the projections sum to a positive number. Where neurons
    may flip, each is first turned so that its first projection that is not zero is positive.

    Yields
    ------
    Shape (trials, width).
    """
    for part in parts:
        projections = _projections(part.vectors)
        sign = torch.full_like(tolerance, 0.0 if part.flips else 1.0).expand(projections.shape[1:])
        for projection in projections:
            turned = (sign * projection).sum(dim=1, keepdim=True) < 0
            projection = torch.where(turned, -projection, projection)
            unsigned = sign == 0
            yield torch.where(unsigned, projection.abs(), sign * projection)
            settled = unsigned & (projection.abs() >= tolerance)
            sign = torch.where(settled, projection.sign(), sign)


def _projections(vectors: Tensor) -> Tensor:
    """Projections on the right singular vectors, shape (vectors, trials, width)."""
    left, values, _ = torch.linalg.svd(padded(vectors), full_matrices=False)
    width, numbers = vectors.shape[1:]
    kept: Tensor = (left * values[:, None, :])[:, :width, : min(width, numbers)]
    return kept.permute(2, 0, 1).contiguous()


def padded(matrices: Tensor) -> Tensor:
    """Matrices with rows and columns of zeros added, up to multiples of 16.

    Zeros change neither the other singular values nor their vectors, and the result for one
    matrix does not depend on where in the batch it stands.

    Parameters
    ----------
    matrices
        Shape (..., rows, columns).
    """
    rows, columns = matrices.shape[-2:]
    result: Tensor = torch.nn.functional.pad(matrices, (0, -columns % ALIGNMENT, 0, -rows % ALIGNMENT))
    return result
