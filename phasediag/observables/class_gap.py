"""Gap in the spectrum of features after the directions of the class means."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from phasediag.columns import Column
from phasediag.observables._classes import covariance_eigenvalues, training_features
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen

LEAST: Final = 1e-14
"""An eigenvalue counts as no smaller than this share of the largest: rounding."""


class ClassGap(NumberObservable):
    """Ratio of eigenvalue C - 1 of the covariance of features to eigenvalue C, C the number of classes.

    Means of C classes span C - 1 directions, so that the gap is there where the rest is small. Of the
    training set, as `feature_spectrum`.
    """

    name: ClassVar[str] = "class_gap"
    meaning: ClassVar[str] = "Gap of the spectrum of the features' covariance after classes - 1 eigenvalues."
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="class_gap", label="eigenvalue C − 1 / eigenvalue C", bounds=(1.0, float("inf")),
               level=10.0,
               meaning="Eigenvalue C - 1 over eigenvalue C, at most 1e14; null without classes, or where "
                       "there are fewer eigenvalues than classes."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The ratio of the two eigenvalues, shape (1,)."""
        import torch

        x, classes = network.training_set[0], network.classes
        unknown = torch.full((1,), torch.nan, dtype=x.dtype, device=x.device)
        if classes < 2 or not network.has_features:
            return unknown
        values = covariance_eigenvalues(training_features(network))
        if len(values) < classes:
            return unknown
        least = LEAST * values[:1]
        return (values[classes - 2].maximum(least) / values[classes - 1].maximum(least)).to(x.dtype)
