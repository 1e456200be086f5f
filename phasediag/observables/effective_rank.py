"""Effective rank of the weights and of the features of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class EffectiveRank(NumberObservable):
    """exp(-sum p ln p) of the singular values over their sum, p: from 1 to the rank.

    O. Roy, M. Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007. Of the
    incoming weights as they are, and of the matrix of what the neurons give for the inputs of the test set.
    """

    name: ClassVar[str] = "effective_rank"
    meaning: ClassVar[str] = "exp of the entropy of the normalized singular values, of weights and features."
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="effective_rank", bounds=(0.0, float("inf")), level=1.5,
               below="symmetric", above="broken", label="effective rank of the incoming weights",
               meaning="Effective rank of the weights; 0 for zeros."),
        Column(name="effective_rank_features", bounds=(0.0, float("inf")), level=1.5,
               below="symmetric", above="broken", label="effective rank of the features",
               meaning="Effective rank of features on the test set; null where these are not known."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """The effective ranks of the weights and of the features, shape (2,)."""
        import torch

        weights = effective_rank(network.raw.incoming)
        known = network.has_features
        features = effective_rank(network.features()) if known else torch.full_like(weights, torch.nan)
        return torch.stack([weights, features])


def effective_rank(matrix: Tensor) -> Tensor:
    """The effective rank of one matrix, a scalar in its dtype; 0 of a matrix of zeros."""
    import torch

    from phasediag.symmetry.order import padded

    return effective_rank_of(torch.linalg.svdvals(padded(matrix)))


def effective_rank_of(values: Tensor) -> Tensor:
    """From singular values, shape (values,): a scalar in their dtype; 0 where all are zero."""
    import torch

    total = values.sum()
    share = values / torch.where(total > 0, total, 1)
    entropy = -torch.special.xlogy(share, share).sum()
    return torch.where(total > 0, entropy.exp(), 0.0)
