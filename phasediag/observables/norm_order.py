"""Permutation symmetry as A.1 counts it: by the order of the neurons' norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables.observable import DistanceObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.geometry import Geometry


class NormOrder(DistanceObservable):
    """Distances of neighbours in the order of norm (A.1), ties broken, width - 1.

    What `permutation` was in sweeps recorded before `definitions` 2. It interleaves classes whose norms
    differ by less than their spread, and what counts as a tie depends on the dtype.
    """

    name: ClassVar[str] = "norm_order"
    meaning: ClassVar[str] = "Distances of neighbours in the order of norm (A.1), ties broken, width - 1."
    word: ClassVar[str] = "distance of neighbours"
    neurons_besides: ClassVar[int] = 1
    uses_data: ClassVar[bool] = False

    def of_layer(self, layer: Geometry) -> Tensor:
        """||v_i - v_j|| of neighbours, minimised over flips, shape (networks, width - 1)."""
        from phasediag.symmetry.order import neighbours

        return neighbours(layer.order, layer.unit_pairs) * layer.unit
