"""Neurons of layers of homogeneity 1, merged where they lie on one ray.

With f(a x) = a f(x) two neurons on one ray, (w, u) and (a w, a u), compute what the single neuron of squared
norm |v_1|^2 + |v_2|^2 on that ray computes, at the same cost of weight decay: how a neuron is split is free.
What loss and decay know of such a layer is a measure of rays: a direction and a mass, the squared norm, each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phasediag.native import distance_loops as native


def merged_rays(vectors: Tensor, turned: int) -> Tensor:
    """Distances at which the neurons of each network merge along their rays.

    Again and again the nearest two clusters become one. Their distance is what separates them from lying on
    one ray: of equal masses that of the vectors, of unequal ones sqrt(2) times the second singular value of
    the two vectors; and where the smaller is nearer to being dead, its norm. They merge by adding directions
    times masses, or in the second case the smaller is left out. So there are as many clusters, apart from
    each other and alive at eps, as there are distances of at least eps, at any eps; copies on one ray are at
    distance 0.

    Parameters
    ----------
    vectors
        In the balanced gauge, finite, of numbers whose squares neither overflow nor vanish, shape
        (networks, width, numbers).
    turned
        How many leading numbers of a neuron may change their sign together: the gauge of odd and even
        activations.

    Returns
    -------
    Descending, float64, shape (networks, width). The first is the norm of the last cluster.
    """
    vectors = vectors.double()
    rising = native.merged_rays(vectors, turned) if native.available(vectors) else _merged(vectors, turned)
    return rising.flip(1)


def scale_of(norms: Tensor) -> Tensor:
    """Root of sum |v|^4 / sum |v|^2, the scale of what is alive: see `phasediag.observables.threshold`.

    Parameters
    ----------
    norms
        Float64, shape (networks, length): norms of neurons, or distances at which rays merge, of which
        those of copies and of dead neurons are 0 and do not matter.

    Returns
    -------
    Shape (networks, 1); 1 where all are zero.
    """
    squares = norms.square()
    total = squares.sum(dim=1, keepdim=True)
    known = total > 0
    return torch.where(
        known, squares.square().sum(dim=1, keepdim=True) / torch.where(known, total, 1), 1
    ).sqrt()


def _merged(vectors: Tensor, turned: int) -> Tensor:
    """The loops of `phasediag/native/merging.h`, all networks at once; ascending."""
    count, width, _ = vectors.shape
    masses = vectors.square().sum(dim=2)
    units = _over(vectors, masses.sqrt())
    network = torch.arange(count, device=vectors.device)
    alive = torch.ones_like(masses, dtype=torch.bool)
    each = torch.arange(width, device=vectors.device)
    pairs = torch.stack([_apart(units, masses, each[n].expand(count), turned) for n in each], dim=1)
    pairs = pairs.masked_fill(torch.eye(width, dtype=torch.bool, device=vectors.device), torch.inf)
    height = torch.zeros_like(masses[:, 0])
    rising = []
    for _ in range(width - 1):
        least, place = pairs.flatten(1).min(dim=1)
        one, other = place // width, place % width
        height = torch.maximum(height, least)
        rising.append(height)
        smaller = torch.where(masses[network, one] < masses[network, other], one, other)
        square, lesser, sign = (part[network, other] for part in _squares(units, masses, one, turned))
        dies = (square >= lesser) & (lesser > 0)
        gone = torch.where(dies, smaller, other)
        stays = torch.where(gone == one, other, one)
        second = _turned(units[network, other], sign, turned) * masses[network, other, None]
        total = units[network, one] * masses[network, one, None] + second
        mass = torch.linalg.vector_norm(total, dim=1)
        units[network, stays] = torch.where(dies[:, None], units[network, stays], _over(total, mass))
        masses[network, stays] = torch.where(dies, masses[network, stays], mass)
        alive[network, gone] = False
        row = _apart(units, masses, stays, turned)
        row[network, stays] = torch.inf
        pairs[network, stays], pairs[network, :, stays] = row, row
        pairs = pairs.masked_fill(~alive[:, :, None] | ~alive[:, None, :], torch.inf)
    last = masses.masked_fill(~alive, 0).amax(dim=1).sqrt()
    return torch.stack([*rising, torch.maximum(height, last)], dim=1)


def _over(vectors: Tensor, norms: Tensor) -> Tensor:
    return torch.where(norms[..., None] > 0, vectors / torch.where(norms > 0, norms, 1)[..., None], 0)


def _turned(vectors: Tensor, sign: Tensor, turned: int) -> Tensor:
    return torch.cat([vectors[..., :turned] * sign[..., None], vectors[..., turned:]], dim=-1)


def _squares(units: Tensor, masses: Tensor, one: Tensor, turned: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cluster `one` against every other: squared distance from one ray, smaller mass, sign of the flip."""
    network = torch.arange(len(units), device=units.device)
    own, mass = units[network, one][:, None], masses[network, one][:, None]
    same = (own - units)[..., :turned].square().sum(dim=2)
    flipped = (own + units)[..., :turned].square().sum(dim=2)
    rest = (own - units)[..., turned:].square().sum(dim=2)
    chord = torch.minimum(same, flipped) + rest
    sine = torch.where(chord < 2, chord * (1 - chord / 4), 1)
    total, product = mass + masses, mass * masses * sine
    root = (total.square() - 4 * product).clamp(min=0).sqrt()
    lesser = torch.minimum(mass, masses)
    square = torch.where(lesser > 0, 4 * product / torch.where(lesser > 0, total + root, 1), 0)
    return square, lesser, torch.where(flipped < same, -1.0, 1.0).to(units)


def _apart(units: Tensor, masses: Tensor, one: Tensor, turned: int) -> Tensor:
    square, lesser, _ = _squares(units, masses, one, turned)
    return torch.minimum(square, lesser).sqrt()
