"""The entropic loss of SGD: gradient noise as a term of the loss (`docs/physics.md` Eq. 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vjp, vmap

from phasediag.arrays import FloatArray
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.data import Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Rates, Weights
from phasediag.training.parts import Networks

GRADIENT_NUMBERS: Final = 2**22
"""Numbers of per-sample gradients held at once."""
COLUMNS: Final = (
    "gradient_noise", "entropic_term", "gradient_square", "decay_term", "entropic_permutation",
    "entropic_sign_flip",
)  # fmt: skip


def entropic_columns(tile: Networks, layer: str) -> dict[str, FloatArray]:
    """The terms of the effective loss that SGD descends on average, at the present weights.

    F = L + gamma |theta|^2 + (eta / 4) |grad L|^2 + (T / 4) Tr Sigma + O(eta^2), T = eta / B
    [2505.12387, `docs/physics.md` Eq. 7]: L the data loss without penalty, Sigma the covariance of the
    gradients of single samples, both with respect to what is trained (under a control its numbers,
    else the weights). Batches are drawn with replacement, so that no factor of finite size enters.

    Parameters
    ----------
    layer
        The hidden layer whose symmetries the force is compared with.

    Returns
    -------
    Columns of `trials`, float64, shape (trials,):

    - `gradient_noise`: Tr Sigma = E|g_i|^2 - |E g_i|^2. E is the mean over the training set with its
      label noise; where data are fresh, over the sample that `train_loss` is taken on, with the
      factor n / (n - 1) that makes it unbiased.
    - `entropic_term`: (T / 4) Tr Sigma with T = lr_over_batch; 0 where every step sees the same
      batch; NaN for full batches with fresh label noise, which are noise of the labels alone, and where
      a step is not one learning rate times the gradient (schedule, layer_rates, gradient_clip, momentum: a
      velocity remembers gradients, and this term of the expansion is not that of plain SGD).
    - `gradient_square`: |grad L|^2, of the same sample.
    - `decay_term`: gamma |theta|^2, gamma = weight_decay / 2, theta what is trained.
    - `entropic_permutation`, `entropic_sign_flip`: alignment of the entropic force with the way to
      symmetry, cos(- J grad Tr Sigma, P theta - theta), from -1 (away from the symmetric state) to 1
      (towards it). P projects the weights of the layer's neurons (in, bias, out) on the symmetric
      subspace: their mean over the neurons, or zero; all other weights are left out. J is the
      Jacobian of the weights by what is trained, the identity without control. NaN where the layer
      does not exist, either vector vanishes, or the loss is a population's.
    """
    network, device = tile.network, tile.device
    data = tile.batches.training_set()
    group = {g.name: g for g in network.groups}.get(layer)
    size = sum(int(np.prod(shape)) for shape in network.control.shapes.values())
    samples = data.x.shape[1]
    piece = min(samples, max(1, GRADIENT_NUMBERS // (4 * size)))
    chunk = max(2, GRADIENT_NUMBERS // (piece * size))
    parts: list[dict[str, Tensor]] = []
    trials = torch.arange(len(tile.trials), device=device)
    for rows in trials.tensor_split(max(1, len(trials) // chunk)):
        world = tile.world[rows]
        trained = {name: w[rows] for name, w in tile.trained.items()}
        rates = {name: rate[rows] for name, rate in tile.constants.items()}
        some = Samples(x=data.x[world], y=data.y[world], noise=data.noise[world])
        parts.append(_terms(network, group, trained, rates, some, piece))
    terms = {n: torch.cat([part[n] for part in parts]).double().cpu().numpy() for n in parts[0]}
    return {name: terms[name] for name in COLUMNS} | _noise_of_batches(tile, terms["gradient_noise"])


def _noise_of_batches(tile: Networks, variance: FloatArray) -> dict[str, FloatArray]:
    """`gradient_noise` and `entropic_term` as the batches of the trial are drawn."""
    batches = tile.batches
    if batches.full and batches.worlds[0].population:
        variance = np.full_like(variance, np.nan)
        return {"gradient_noise": variance, "entropic_term": np.zeros_like(variance)}
    if batches.fresh:
        samples = int(tile.trials.values("test_samples")[0])
        variance = variance * (samples / (samples - 1) if samples > 1 else np.nan)
    temperature = tile.trials.values("lr_over_batch").astype(np.float64)
    share = temperature / 4 * variance
    descent = tile.network.descent
    if descent.scheduled or descent.layers or descent.clipping or batches.worlds[0].augments:
        share = np.full_like(share, np.nan)
    elif batches.full:
        share = np.full_like(share, np.nan if batches.fresh_noise else 0.0)
    if "momentum" in tile.trials.columns:
        share = np.where(tile.trials.values("momentum").astype(np.float64) > 0, np.nan, share)
    return {"gradient_noise": variance, "entropic_term": share}


def _terms(
    network: Network, group: NeuronGroup | None, trained: Weights, rates: Rates, data: Samples, piece: int
) -> dict[str, Tensor]:
    """The terms of some trials from sums over samples, `piece` samples at a time."""
    count = data.x.shape[1]
    square: Tensor | None = None
    mean: Weights = {}
    force: Weights = {}
    for x, y, e in _pieces(data, piece):
        sums = vmap(_sums, in_dims=(None, 0, 0, 0, 0, 0))(network, trained, rates, x, y, e)
        square = sums[0] if square is None else square + sums[0]
        mean, force = _plus(mean, sums[1]), _plus(force, sums[2])
    mean = {name: total / count for name, total in mean.items()}
    drift: Weights = {}
    curved = vmap(_curved, in_dims=(None, 0, 0, 0, 0, 0, 0))
    for x, y, e in _pieces(data, piece):
        drift = _plus(drift, curved(network, trained, rates, x, y, e, mean))
    gradient = {name: 2 * (force[name] - drift[name]) / count for name in force}
    length = vmap(_dot)(mean, mean)
    assert square is not None
    terms = {
        "gradient_noise": (square / count - length).clamp(min=0),
        "gradient_square": length,
        "decay_term": vmap(network.control.penalty)(trained, rates),
    }
    for name in ("permutation", "sign_flip"):
        terms[f"entropic_{name}"] = torch.full_like(length, torch.nan)
        if group is not None:
            aligned = vmap(_alignment, in_dims=(None, None, None, 0, 0, 0))
            terms[f"entropic_{name}"] = aligned(network, group, name, trained, rates, gradient)
    return {"entropic_term": torch.zeros_like(length), **terms}


def _pieces(data: Samples, piece: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs, targets and noise of `piece` samples at a time, for all trials."""
    for start in range(0, data.x.shape[1], piece):
        end = start + piece
        yield data.x[:, start:end], data.y[:, start:end], data.noise[:, start:end]


def _sample_loss(network: Network, rates: Rates, x: Tensor, y: Tensor, e: Tensor) -> Any:
    """The data loss of one sample as a function of what is trained."""

    def loss(trained: Weights) -> Tensor:
        prediction = network.predict(network.weights(trained, rates), x[None])
        return network.loss(prediction, network.task.noisy(y, e, rates["label_noise"])[None])

    return loss


def _sums(
    network: Network, trained: Weights, rates: Rates, x: Tensor, y: Tensor, e: Tensor
) -> tuple[Tensor, Weights, Weights]:
    """Sums over samples, of one network: of |g_i|^2, of g_i, and of H_i g_i."""

    def one(x: Tensor, y: Tensor, e: Tensor) -> tuple[Tensor, Weights, Weights]:
        loss = _sample_loss(network, rates, x, y, e)
        gradient = grad(loss)(trained)
        return _dot(gradient, gradient), gradient, _hessian_times(loss, trained, gradient)

    square, gradients, forces = vmap(one)(x, y, e)
    return (
        square.sum(), {n: g.sum(0) for n, g in gradients.items()}, {n: f.sum(0) for n, f in forces.items()}
    )  # fmt: skip


def _curved(
    network: Network, trained: Weights, rates: Rates, x: Tensor, y: Tensor, e: Tensor, direction: Weights
) -> Weights:
    """The sum over samples, of one network, of H_i times one direction."""

    def one(x: Tensor, y: Tensor, e: Tensor) -> Weights:
        return _hessian_times(_sample_loss(network, rates, x, y, e), trained, direction)

    return {name: part.sum(0) for name, part in vmap(one)(x, y, e).items()}


def _hessian_times(loss: Any, trained: Weights, direction: Weights) -> Weights:
    product: Weights = grad(lambda weights: _dot(grad(loss)(weights), direction))(trained)
    return product


def _alignment(
    network: Network, group: NeuronGroup, symmetry: str, trained: Weights, rates: Rates, gradient: Weights
) -> Tensor:
    """Cosine of the entropic force on the weights with their way to the symmetric subspace."""
    force = {name: -part for name, part in gradient.items()}
    weights, pushed = pushforward(lambda numbers: network.control.effective(numbers, rates), trained, force)
    axes = dict.fromkeys((*group.incoming, *group.bias), 0) | dict.fromkeys(group.outgoing, 1)
    axes = {name: axis for name, axis in axes.items() if name in weights}
    way = {
        name: (weights[name].mean(dim=axis, keepdim=True) if symmetry == "permutation" else 0) - weights[name]
        for name, axis in axes.items()
    }
    lengths = [_dot(part, part).sqrt() for part in ({name: pushed[name] for name in way}, way)]
    return _dot({name: pushed[name] for name in way}, way) / (lengths[0] * lengths[1])


def pushforward(
    effective: Callable[[Weights], Weights], trained: Weights, force: Weights
) -> tuple[Weights, Weights]:
    """The weights, and the Jacobian of the weights times a vector, by two reverse sweeps."""
    made = vjp(effective, trained)
    weights, pull = made[0], made[1]
    transposed = vjp(lambda along: pull(along)[0], {n: torch.zeros_like(w) for n, w in weights.items()})
    return weights, transposed[1](force)[0]


def _dot(one: Weights, other: Weights) -> Tensor:
    return torch.stack([(one[name] * other[name]).sum() for name in one]).sum()


def _plus(one: Weights, other: Weights) -> Weights:
    return {name: one[name] + part for name, part in other.items()} if one else other
