"""Distances of neurons under the flips of the gauge, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from phasediag.native import distance_loops as native
from phasediag.symmetry.neurons import Parity
from phasediag.symmetry.order import Part

ROUNDING: Final = 64
"""Distances this many machine epsilons apart, relatively, count as a tie of the farthest."""


def parts_of(vectors: Tensor, parity: Parity | None, leading: int) -> list[Part]:
    """What flips together.

    Odd activations flip the whole neuron, even ones its input (with the bias) alone.

    Parameters
    ----------
    vectors
        Of the neurons, in whatever unit, shape (trials, width, numbers).
    leading
        How many numbers of a vector are of the input.
    """
    if parity != "even":
        return [Part(vectors=vectors, flips=parity == "odd")]
    into, out = vectors[:, :, :leading], vectors[:, :, leading:]
    return [Part(vectors=into, flips=True), Part(vectors=out, flips=False)]


def pair_distances(parts: Sequence[Part]) -> Tensor:
    """Distances of all pairs of neurons, minimised over the flips.

    Exact: no inner products, whose cancellation would hide small distances.

    Returns
    -------
    Shape (trials, width, width).
    """
    distances = [_part_distances(part) for part in parts]
    if len(distances) == 1:
        return distances[0]
    return torch.stack([distance.square() for distance in distances]).sum(dim=0).sqrt()


def _part_distances(part: Part) -> Tensor:
    if native.available(part.vectors):
        return native.pairs(part.vectors, flips=part.flips)
    direct = _cdist(part.vectors, part.vectors)
    return torch.minimum(direct, _cdist(part.vectors, -part.vectors)) if part.flips else direct


def _cdist(left: Tensor, right: Tensor) -> Tensor:
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def farthest_first(pairs: Tensor, norms: Tensor, order: Tensor) -> Tensor:
    """Insertion distances of the farthest-first traversal that starts at the origin.

    The origin is the first centre; then, again and again, the neuron farthest from all centres
    becomes one. The first distance is therefore the largest norm. The centres inserted at a
    distance of at least eps are pairwise, and from the origin, at least eps apart, and every
    neuron lies within eps of a centre.

    Parameters
    ----------
    pairs
        Shape (trials, width, width).
    norms
        Distances from the origin, shape (trials, width).
    order
        Positions of the neurons, int64, shape (trials, width): of equally far ones the first is taken.

    Returns
    -------
    Descending, shape (trials, width).
    """
    tied = 1 - ROUNDING * torch.finfo(norms.dtype).eps
    if native.available(pairs):
        return native.insertions(pairs, norms, order, tied)
    trial = torch.arange(len(norms), device=norms.device)
    nearest, insertions = norms, []
    for _ in range(norms.shape[1]):
        farthest = nearest.amax(dim=1, keepdim=True)
        first = (nearest.gather(1, order) >= farthest * tied).int().argmax(dim=1)
        insertions.append(farthest)
        nearest = torch.minimum(nearest, pairs[trial, order[trial, first]])
    return torch.cat(insertions, dim=1)


def spanning_tree(pairs: Tensor) -> Tensor:
    """Lengths of the edges of the minimum spanning tree of the neurons, ascending.

    Of all trees that connect the neurons it has the most edges shorter than eps, at every eps at once.
    Each of its lengths changes by no more than the distances of the pairs do.

    Parameters
    ----------
    pairs
        Finite, shape (trials, width, width).

    Returns
    -------
    Shape (trials, width - 1).
    """
    lengths = native.spanning_tree(pairs) if native.available(pairs) else tree_edges(pairs)[1]
    ascending: Tensor = lengths.sort(dim=1).values
    return ascending


def tree_edges(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The edges of the minimum spanning tree of the neurons, by Prim's algorithm.

    Returns
    -------
    Positions of both neurons of each edge, int64, shape (trials, width - 1, 2), and the lengths in the same
    order, shape (trials, width - 1).
    """
    trials, width, _ = pairs.shape
    trial = torch.arange(trials, device=pairs.device)
    held = torch.zeros(trials, width, dtype=torch.bool, device=pairs.device)
    nearest, parent = torch.full_like(pairs[:, 0], torch.inf), torch.zeros_like(held, dtype=torch.int64)
    added, ends, lengths = torch.zeros_like(trial), [], []
    for _ in range(width - 1):
        held[trial, added] = True
        closer = pairs[trial, added] < nearest
        parent = torch.where(closer, added[:, None], parent)
        nearest = torch.where(closer, pairs[trial, added], nearest).masked_fill(held, torch.inf)
        length, added = nearest.min(dim=1)
        ends.append(torch.stack([parent[trial, added], added], dim=1))
        lengths.append(length)
    if not lengths:
        return held.new_zeros(trials, 0, 2, dtype=torch.int64), pairs.new_zeros(trials, 0)
    return torch.stack(ends, dim=1), torch.stack(lengths, dim=1)
