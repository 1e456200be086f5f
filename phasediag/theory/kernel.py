"""The lazy limit under a symmetry: a kernel model with masked features (Theorem 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from phasediag.measuring.entropy import pushforward
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights

WeightProjection = Callable[[Weights], Weights]
"""P: the projection of weights on a symmetric subspace, as `Reduction.symmetrized`."""


class KernelModel(nn.Module):
    """f_0(x) + (P grad f_0(x))^T (theta - theta_0), the first order of a network at theta_0.

    `docs/physics.md` Eqs. 20 to 22; the representation must be orthogonal.

    Parameters
    ----------
    module
        The network.
    start
        theta_0, by parameter name.
    projection
        P.
    """

    def __init__(self, module: nn.Module, start: Weights, projection: WeightProjection) -> None:
        super().__init__()
        self.inner = deepcopy(module)
        self.code, self.start, self.projection = (module,), dict(start), projection

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (samples, outputs) for inputs (samples, inputs)."""
        weights = dict(self.inner.named_parameters())
        moved = self.projection({name: weights[name] - start for name, start in self.start.items()})

        def outputs(at: Weights) -> Weights:
            return {"f": functional_call(self.code[0], at, (x,))}

        value, slope = pushforward(outputs, self.start, moved)
        return value["f"] + slope["f"]


def kernel_network(network: Network, start: Weights, projection: WeightProjection) -> tuple[Network, Weights]:
    """The kernel model as a network that `trial_step` trains, and its initial weights."""
    model = KernelModel(network.module, start, projection)
    weights = {f"inner.{name}": weight for name, weight in start.items()}
    return replace(network, module=model), weights


def masked_features(module: nn.Module, start: Weights, projection: WeightProjection, x: Tensor) -> Tensor:
    """Phi, whose rows are (P grad f_0(x_i))^T, one for every sample and output.

    Parameters
    ----------
    start
        theta_0.
    x
        Shape (samples, inputs).

    Returns
    -------
    Shape (samples * outputs, weights); the weights in the order of `start`.
    """
    slopes: Mapping[str, Tensor] = jacrev(lambda at: functional_call(module, at, (x,)).flatten())(start)
    rows = [
        projection({n: slope[i] for n, slope in slopes.items()})
        for i in range(len(slopes[next(iter(start))]))
    ]
    return torch.stack([torch.cat([row[name].flatten() for name in start]) for row in rows])


def kernel_limit(features: Tensor, residual: Tensor, start: Weights) -> Weights:
    """Where gradient descent on the kernel model ends: theta_0 + (Phi^T Phi)^+ Phi^T (y - f_0).

    `docs/physics.md` Eq. 19 (Theorem 3.2), for the squared error without decay from theta_0.

    Parameters
    ----------
    features
        Phi, shape (samples * outputs, weights).
    residual
        y - f_0, shape (samples, outputs).

    Returns
    -------
    The weights at the limit, by parameter name.
    """
    shift = torch.linalg.pinv(features) @ residual.flatten()
    sizes = [prod(weight.shape) for weight in start.values()]
    parts = shift.split(sizes)
    return {name: w + part.reshape(w.shape) for (name, w), part in zip(start.items(), parts, strict=True)}


def largest_rate(features: Tensor, samples: int) -> float:
    """2 / lambda_max of the loss's Hessian 2 Phi^T Phi / samples: descent converges below it."""
    return samples / float(torch.linalg.matrix_norm(features, ord=2)) ** 2
