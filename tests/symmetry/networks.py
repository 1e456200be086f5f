"""Networks to measure: random and planted, and the group elements that act on them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from phasediag.measuring.layer_distances import Request
from phasediag.symmetry.neurons import NeuronGroup, Parity

ALL = ("permutation", "norm_order", "sign_flip", "classes", "directions", "rank")
IN_GAUGE = ("permutation", "sign_flip", "classes")


def requests(layers: int, observables: tuple[str, ...] = ALL) -> list[Request]:
    return [Request(observable=o, layer=f"hidden.{i + 1}") for i in range(layers) for o in observables]


def layers_of(
    hidden: int, *, bias: bool = True, parity: Parity | None = None, homogeneity: int | None = None
) -> list[NeuronGroup]:
    return [
        NeuronGroup(
            name=f"hidden.{i + 1}",
            incoming=(f"layers.{i}.weight",),
            bias=(f"layers.{i}.bias",) if bias else (),
            outgoing=(f"layers.{i + 1}.weight",),
            parity=parity,
            homogeneity=homogeneity,
        )
        for i in range(hidden)
    ]


def mlp(
    trials: int, sizes: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64, *, bias: bool = True
) -> dict[str, Tensor]:
    """Gaussian weights; `sizes` from inputs to outputs."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        parameters[f"layers.{i}.weight"] = torch.randn(
            trials, fan_out, fan_in, generator=generator, dtype=dtype
        )
        if bias:
            parameters[f"layers.{i}.bias"] = torch.randn(trials, fan_out, generator=generator, dtype=dtype)
    return parameters


def planted(vectors: Tensor, inputs: int) -> dict[str, Tensor]:
    """One hidden layer with given neuron vectors (trials, width, inputs + 1 + outputs)."""
    return {
        "layers.0.weight": vectors[:, :, :inputs].clone(),
        "layers.0.bias": vectors[:, :, inputs].clone(),
        "layers.1.weight": vectors[:, :, inputs + 1 :].mT.contiguous(),
    }


def forward(parameters: dict[str, Tensor], x: Tensor, activation: object, *, bias: bool = True) -> Tensor:
    """The function of each trial, one trial at a time; shape (trials, samples, outputs)."""
    depth = sum(name.endswith("weight") for name in parameters)
    outputs = []
    for t in range(len(parameters["layers.0.weight"])):
        y = x
        for i in range(depth):
            y = y @ parameters[f"layers.{i}.weight"][t].T
            if f"layers.{i}.bias" in parameters:
                y = y + parameters[f"layers.{i}.bias"][t]
            if i < depth - 1:
                y = activation(y)
        outputs.append(y)
    return torch.stack(outputs)


def permuted(parameters: dict[str, Tensor], hidden: int, seed: int) -> dict[str, Tensor]:
    """Relabel the neurons of every hidden layer."""
    generator = torch.Generator().manual_seed(seed)
    result = dict(parameters)
    for i in range(hidden):
        order = torch.randperm(result[f"layers.{i}.weight"].shape[1], generator=generator)
        result[f"layers.{i}.weight"] = result[f"layers.{i}.weight"][:, order]
        if f"layers.{i}.bias" in result:
            result[f"layers.{i}.bias"] = result[f"layers.{i}.bias"][:, order]
        result[f"layers.{i + 1}.weight"] = result[f"layers.{i + 1}.weight"][:, :, order]
    return result


def rescaled(
    parameters: dict[str, Tensor], hidden: int, into: list[Tensor], out: list[Tensor]
) -> dict[str, Tensor]:
    """Multiply input and bias of each neuron by `into`, its output by `out`, (trials, width) a layer."""
    result = dict(parameters)
    for i in range(hidden):
        result[f"layers.{i}.weight"] = result[f"layers.{i}.weight"] * into[i][:, :, None]
        if f"layers.{i}.bias" in result:
            result[f"layers.{i}.bias"] = result[f"layers.{i}.bias"] * into[i]
        result[f"layers.{i + 1}.weight"] = result[f"layers.{i + 1}.weight"] * out[i][:, None, :]
    return result


def signs(parameters: dict[str, Tensor], hidden: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [parameters[f"layers.{i}.weight"].shape[:2] for i in range(hidden)]
    return [torch.randint(0, 2, shape, generator=generator).to(torch.float64) * 2 - 1 for shape in shapes]


def factors(parameters: dict[str, Tensor], hidden: int, seed: int) -> list[Tensor]:
    """Positive factors over four decades."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [parameters[f"layers.{i}.weight"].shape[:2] for i in range(hidden)]
    return [10 ** (4 * torch.rand(shape, generator=generator, dtype=torch.float64) - 2) for shape in shapes]
