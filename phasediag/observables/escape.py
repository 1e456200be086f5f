"""Escape: how the training loss curves away from the symmetric states of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables._curvature import hessian_product, join, split
from phasediag.observables._lanczos import extreme_eigenvalues, start_vector
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen
    from phasediag.symmetry.groups.neuron_symmetry import NeuronSymmetry


class Escape(NumberObservable):
    """The smallest eigenvalue of the Hessian in the directions that break a symmetry, at its symmetric state.

    At theta = P_G theta, the network's projection on the state that the symmetry leaves as it is, the
    Hessian of the training loss is taken in the directions (1 - P_G). With the penalty gamma |theta|^2 that
    state is stable against breaking where gamma > gamma_c = -lambda_min / 2 (`docs/physics.md`), and
    gamma = weight_decay / 2, so that the weight decay of the threshold is -lambda_min.
    """

    name: ClassVar[str] = "escape"
    meaning: ClassVar[str] = "Smallest eigenvalue of the Hessian in the directions that break a symmetry."
    curved: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="escape_permutation", label="escape from equal neurons λ_min", level=0.0, centred=True,
               below="unstable", above="stable",
               meaning="Where all neurons of the layer are their mean; null for one neuron, or not to 1 %."),
        Column(name="escape_sign_flip", label="escape from dead neurons λ_min", level=0.0, centred=True,
               below="unstable", above="stable",
               meaning="Where the layer is zero; null where it has no sign flip, or not to 1 %."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The smallest eigenvalues for permutation and sign flip, shape (2,)."""
        import torch

        from phasediag.symmetry.groups.permutation import Permutation
        from phasediag.symmetry.groups.sign_flip import SignFlip

        group = network.group
        unknown = torch.full_like(network.raw.incoming[0, 0], torch.nan)
        several = len(network.raw.incoming) > 1
        flips = group.parity is not None and bool(group.outgoing)
        exchanged = _smallest(network, Permutation(group)) if several else unknown
        return torch.stack([exchanged, _smallest(network, SignFlip(group)) if flips else unknown])


def _smallest(network: Specimen, symmetry: NeuronSymmetry) -> Tensor:
    """lambda_min of (1 - P) H (1 - P) on the image of 1 - P, at P theta."""
    names = network.group.parameters
    own = {name: network.weights[name] for name in names}
    at = symmetry.projected(own)

    def breaking(vector: Tensor) -> Tensor:
        return vector - join(symmetry.projected(split(vector, own, names)), names)

    product = hessian_product(network, at, names)
    start = breaking(start_vector(join(own, names)))
    smallest, _ = extreme_eigenvalues(lambda vector: breaking(product(vector)), start)
    return smallest
