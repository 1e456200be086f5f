"""Sharpness: the largest eigenvalue of the Hessian of the training loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables._curvature import hessian_product, join
from phasediag.observables._lanczos import extreme_eigenvalues, start_vector
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class Sharpness(NumberObservable):
    """The largest eigenvalue of the Hessian of the training loss by all weights that are trained.

    Gradient descent is stable below a learning rate of 2 / sharpness. The loss is the one of `train_loss`,
    without penalty. By Lanczos' recursion with Hessian-vector products.
    """

    name: ClassVar[str] = "sharpness"
    meaning: ClassVar[str] = "The largest eigenvalue of the Hessian of the training loss, of all weights."
    curved: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="sharpness", label="sharpness λ",
               meaning="Largest eigenvalue of the Hessian of the training loss; null where not to 1 %."),
    )  # fmt: skip
    starting: ClassVar[tuple[Column, ...]] = (
        Column(name="sharpness_at_start", label="sharpness λ₀ at the start", null_when_diverged=False,
               meaning="Sharpness at step 0: learning_rate * sharpness_at_start / 2 is in units of 2/λ₀."),
    )  # fmt: skip
    highest: ClassVar[tuple[Column, ...]] = (
        Column(name="sharpness_highest", label="highest sharpness", null_when_diverged=False,
               meaning="The largest sharpness of all that were measured after step 0."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The largest eigenvalue, shape (1,); NaN where it is not known to 1 %."""
        product = hessian_product(network, network.weights, network.trained)
        start = start_vector(join(network.weights, network.trained))
        _, largest = extreme_eigenvalues(product, start)
        return largest[None]
