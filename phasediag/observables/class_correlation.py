"""Correlation matrix of the features of ten images a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from phasediag.arrays import FloatArray
from phasediag.columns import Column
from phasediag.observables._classes import training_features
from phasediag.observables._gram import triangle
from phasediag.observables.observable import SpectrumObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen

IMAGES: Final = 10
"""Samples of each class: the first of the training set."""


class ClassCorrelation(SpectrumObservable):
    """Cosines between the features of ten training samples a class, upper triangle, class after class.

    The mean of the features over the training set is taken off before. Collapsed, samples of one class have
    1 and those of different ones -1 / (classes - 1): flat blocks.
    """

    name: ClassVar[str] = "class_correlation"
    meaning: ClassVar[str] = (
        "Correlation of the features of 10 training samples a class, upper triangle, class after class."
    )
    word: ClassVar[str] = "correlation"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="correlation_within", bounds=(-1.0, 1.0), label="correlation within classes",
               meaning="Mean correlation of two samples of one class; null without classes."),
        Column(name="correlation_between", bounds=(-1.0, 1.0), label="correlation between classes",
               meaning="Mean correlation of two samples of different classes; null without classes."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """Cosines, shape (n (n + 1) / 2,), n ten times the classes; NaN for samples that a class lacks.

        All are NaN where the targets are no classes, or the features are not known.
        """
        import torch

        x, targets = network.training_set
        count, classes = IMAGES * targets.shape[-1], torch.arange(targets.shape[-1], device=x.device)
        if not network.classes or not network.has_features or len(x) < IMAGES:
            return torch.full((count * (count + 1) // 2,), torch.nan, dtype=x.dtype, device=x.device)
        features = training_features(network)
        early = torch.arange(len(x), 0, -1, device=x.device)
        rank = torch.where(targets.argmax(dim=-1) == classes[:, None], early, 0)
        place, chosen = rank.topk(IMAGES, dim=1)
        deviations = (features - features.mean(dim=0))[chosen.flatten()]
        norms = deviations.square().sum(dim=1, keepdim=True).sqrt()
        known = (place.flatten()[:, None] > 0) & (norms > 0)
        unit = torch.where(known, deviations / torch.where(known, norms, 1), torch.nan)
        return triangle(unit @ unit.T).to(x.dtype)

    def numbers(self, measured: FloatArray) -> tuple[float, ...]:
        """Means within and between classes, of the pairs that are known."""
        count = int((np.sqrt(8 * len(measured) + 1) - 1) / 2)
        rows, columns = np.triu_indices(count)
        alike = rows // IMAGES == columns // IMAGES
        known = np.isfinite(measured)
        kinds = (alike & (rows < columns) & known, ~alike & known)
        return tuple(float(measured[kind].mean()) if kind.any() else float("nan") for kind in kinds)
