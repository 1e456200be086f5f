"""Gram matrix of a layer: by it, layers and networks of any width are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables._gram import PROBES, inner_products
from phasediag.observables.observable import SpectrumObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class Gram(SpectrumObservable):
    """h(x_i)^T h(x_j) of what a layer gives for the first 100 inputs of the test set: the upper triangle.

    Both sides of Eq. 5. Rotations of the layer do not change it, so that layers of any two networks can be
    compared afterwards: `phasediag.analysis.alignment`. Tokens, and places of an image, are part of h. No
    number of it stands in `trials`.
    """

    name: ClassVar[str] = "gram"
    meaning: ClassVar[str] = (
        "Inner products of the layer's features, upper triangle over 100 inputs of the test set."
    )
    word: ClassVar[str] = "inner product"

    def measure(self, network: Specimen) -> Tensor:
        """Inner products, shape (probes (probes + 1) / 2,), row by row; NaN where features are not known."""
        import torch

        probe = network.probe[:PROBES]
        if not network.has_features:
            return torch.full_like(inner_products(probe), torch.nan)
        return inner_products(network.features_of(probe))

    def numbers(self, measured: object) -> tuple[float, ...]:
        """None: a Gram matrix is compared with others."""
        del measured
        return ()
