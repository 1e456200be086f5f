"""Products with the Hessian of the training loss; of one network, under vmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


def hessian_product(
    network: Specimen, at: Mapping[str, Tensor], names: tuple[str, ...]
) -> Callable[[Tensor], Tensor]:
    """The Hessian of the training loss by some parameters, times a vector.

    Parameters
    ----------
    at
        Where it is taken, by name; parameters that are left out are the network's own.
    names
        The parameters by which it is differentiated, flattened and joined in this order.
    """
    from torch.func import grad, vjp

    def loss(joined: Tensor) -> Tensor:
        return network.loss({**at, **split(joined, at, names)})

    pullback = vjp(grad(loss), join(at, names))[1]

    def product(vector: Tensor) -> Tensor:
        image: Tensor = pullback(vector)[0]
        return image

    return product


def join(weights: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor:
    """The named parameters, flattened and joined in this order, shape (numbers,)."""
    import torch

    return torch.cat([weights[name].flatten() for name in names])


def split(joined: Tensor, like: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
    """The parameters of a vector, in the shapes of those of `like`."""
    import torch

    parts = torch.split(joined, [like[name].numel() for name in names])
    return {name: part.reshape(like[name].shape) for name, part in zip(names, parts, strict=True)}
