"""Spectrum of the covariance of a layer's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.arrays import FloatArray
from phasediag.columns import Column
from phasediag.observables._classes import covariance_eigenvalues, training_features
from phasediag.observables.observable import SpectrumObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class FeatureSpectrum(SpectrumObservable):
    """Eigenvalues of the covariance of a layer's features on the training set, descending."""

    name: ClassVar[str] = "feature_spectrum"
    meaning: ClassVar[str] = "Eigenvalues of the covariance of the features on the training set, descending."
    word: ClassVar[str] = "eigenvalue"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="feature_dimension", bounds=(0.0, float("inf")), level=1.5,
               label="participation ratio of the features",
               meaning="(sum of the eigenvalues)^2 / sum of their squares; null where features do not vary."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """Eigenvalues, shape (min(samples, width),); NaN where the layer's features are not known."""
        import torch

        x = network.training_set[0]
        if not network.has_features:
            length = min(len(x), len(network.raw.incoming))
            return torch.full((length,), torch.nan, dtype=x.dtype, device=x.device)
        return covariance_eigenvalues(training_features(network)).to(x.dtype)

    def numbers(self, measured: FloatArray) -> tuple[float, ...]:
        """The participation ratio."""
        largest = measured.max(initial=0.0)
        if not largest > 0:
            return (float("nan"),)
        share = measured / largest
        return (float(share.sum() ** 2 / (share**2).sum()),)
