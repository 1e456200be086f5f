"""Features of the training set by class; of one network, under vmap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


def training_features(network: Specimen) -> Tensor:
    """What a layer gives for each training sample, a mean over its places: (samples, width), float64.

    Tokens, and places of an image, are the places; of a fully connected layer there is one.
    """
    return network.features_of(network.training_set[0]).mean(dim=1).double()


def covariance_eigenvalues(features: Tensor) -> Tensor:
    """Eigenvalues of the covariance of samples (samples, width): min(samples, width) of them, descending."""
    import torch

    deviations = features - features.mean(dim=0)
    wide = features.shape[1] > features.shape[0]
    product = deviations @ deviations.T if wide else deviations.T @ deviations
    ascending: Tensor = torch.linalg.eigvalsh(product / len(features))
    return ascending.flip(-1).clamp(min=0)


def members(targets: Tensor) -> Tensor:
    """Which sample is of which class, by the largest entry of its target: (samples, classes), 0 or 1."""
    import torch

    classes = torch.arange(targets.shape[-1], device=targets.device)
    return (targets.argmax(dim=-1)[:, None] == classes).double()
