"""Neural collapse: how little the features of one class vary beside those of different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.columns import Column
from phasediag.observables._classes import members, training_features
from phasediag.observables.observable import NumberObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class NeuralCollapse(NumberObservable):
    """NC1, and the share of the variance of features that lies within classes.

    NC1 = tr(S_W S_B^+) / C, S_W and S_B the covariances within and between the C classes (V. Papyan, X. Han,
    D. Donoho, Prevalence of neural collapse during the terminal phase of deep learning training, PNAS 2020).
    Every sample counts the same, so that S_W + S_B is the covariance of all, also of unequal classes. Of the
    training set, by the labels that are trained on, label noise and all.
    """

    name: ClassVar[str] = "neural_collapse"
    meaning: ClassVar[str] = "How little the layer's features of the training set vary within classes: NC1."
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="nc1", label="NC1", bounds=(0.0, float("inf")),
               meaning="tr(S_W S_B^+) / classes; null without classes, or where their means are one."),
        Column(name="within_class_share", bounds=(0.0, 1.0), label="variance within classes / variance",
               meaning="tr S_W / tr(S_W + S_B); null without classes, or where features do not vary."),
    )  # fmt: skip

    def measure(self, network: Specimen) -> Tensor:
        """NC1 and the share of the variance within classes, shape (2,)."""
        import torch

        x, targets = network.training_set
        if not network.classes or not network.has_features:
            return torch.full((2,), torch.nan, dtype=x.dtype, device=x.device)
        return collapse(training_features(network), members(targets)).to(x.dtype)


def collapse(features: Tensor, member: Tensor) -> Tensor:
    """NC1 and the share within classes, shape (2,).

    Parameters
    ----------
    features
        Shape (samples, width), float64.
    member
        Which sample is of which class, (samples, classes), 0 or 1; a class may have none.
    """
    import torch

    samples, counts = len(features), member.sum(dim=0)
    centre = features.mean(dim=0)
    means = member.T @ features / counts.clamp(min=1)[:, None]
    within = features - member @ means
    between = (means - centre) * (counts / samples).sqrt()[:, None]
    values, vectors = torch.linalg.eigh(between @ between.T)  # the eigenvalues of S_B, and zeros
    kept = values > 1e-10 * values.max()
    kept = kept & (torch.arange(len(values), device=values.device) > 0)  # weighted, the means add up to zero
    along = (within @ (between.T @ vectors)).square().mean(dim=0)
    ratios = torch.where(kept, along / torch.where(kept, values, 1).square(), 0)
    classes = (counts > 0).sum()
    nc1 = torch.where(kept.any() & (values.max() > 0), ratios.sum() / classes, torch.nan)
    inner, outer = within.square().sum() / samples, between.square().sum()
    return torch.stack([nc1, inner / (inner + outer)])
