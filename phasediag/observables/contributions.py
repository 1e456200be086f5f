"""Contributions of neurons: how many different functions a layer adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from phasediag.columns import Column
from phasediag.observables.observable import SpectrumObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen

ROUNDING: Final = 64
"""Times the precision of the network's numbers, of the largest contribution: nothing below can be told."""


class Contributions(SpectrumObservable):
    """Insertion distances of what neurons contribute on the test set, descending, in units of the output.

    A neuron contributes h_j(x) u_j, its feature times its outgoing weights. The first distance is the size of
    the largest contribution, the root of its mean square over samples. Then, again and again, comes the
    neuron farthest from all before it. From another it is as far as its contribution reaches out of the
    other's ray: its size times the sine of their angle, or its size where the angle is obtuse.

    Neurons that do the same up to a factor count once, however the factor is shared: those of one ray of a
    layer of homogeneity 1, and nearly linear neurons of one direction of any activation, whose split costs
    decay nothing (`docs/neuron-count.md`); `classes`, which compares weights, tells them apart.
    `phasediag.theory.gaps.gap_counts` counts them without a threshold. Null where the features are not known;
    distances that the precision cannot tell are given as the smallest that it can.
    """

    name: ClassVar[str] = "contributions"
    meaning: ClassVar[str] = (
        "Insertion distances of what neurons contribute on the test set, up to a factor, descending."
    )
    word: ClassVar[str] = "contribution"
    columns: ClassVar[tuple[Column, ...]] = ()

    def measure(self, network: Specimen) -> Tensor:
        """Distances, descending, shape (width,)."""
        import torch

        raw = network.raw.outgoing
        if not network.has_features:
            return torch.full_like(raw[:, :1].sum(dim=1), torch.nan)  # there may be no outgoing weights
        distances = _inserted(network.features().T.double(), raw.double())
        least = distances[0] * ROUNDING * torch.finfo(raw.dtype).eps
        return torch.maximum(distances, least).to(raw.dtype)

    def numbers(self, measured: object) -> tuple[float, ...]:
        """None: how many differ is told by the gap in the list."""
        del measured
        return ()


def _inserted(features: Tensor, outgoing: Tensor) -> Tensor:
    """Farthest first, descending: (width,), of features (width, samples) and weights (width, numbers)."""
    import torch

    rays, sizes = [], torch.ones_like(features[:, 0])
    for vectors in (features / features.shape[1] ** 0.5, outgoing):
        norms = torch.linalg.vector_norm(vectors, dim=1)
        rays.append(vectors / torch.where(norms > 0, norms, 1)[:, None])
        sizes = sizes * norms
    nearest, distances = sizes, []
    for _ in range(len(sizes)):
        farthest = nearest.argmax().reshape(1)
        distances.append(nearest.index_select(0, farthest))
        nearest = torch.minimum(nearest, sizes * _sines(rays, farthest))
    return torch.cat(distances)


def _sines(rays: list[Tensor], place: Tensor) -> Tensor:
    """Sines of the angles of outer products of unit vectors to one of them, shape (width,); 1 of obtuse ones.

    By what is left of each vector, since a cosine hides small angles.
    """
    import torch

    sines, cosines = [], []
    for units in rays:
        ray = units.index_select(0, place)
        cosine = units @ ray.T
        sines.append(torch.linalg.vector_norm(units - cosine * ray, dim=1))
        cosines.append(cosine[:, 0])
    apart = torch.hypot(sines[0], sines[1] * cosines[0])
    return torch.where(cosines[0] * cosines[1] > 0, apart, 1)
