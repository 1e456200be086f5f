"""What is measured of an attention head and of a block of hidden neurons.

A head's logits are x W_Q^T W_K x': its query and key matrices are the two factors of a linear layer, and
are measured as one (`phasediag.symmetry.neurons`); so are its values and its outputs. Biases of queries and
keys are left out, and rotary positions, which leave only those changes of basis that commute with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from phasediag.arrays import FloatArray
from phasediag.checkpoints.layouts import Attention, NeuronBlock
from phasediag.checkpoints.named_tensors import StoredTensors
from phasediag.observables.effective_rank import effective_rank_of
from phasediag.observables.known import distance_observables
from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.vectors import Neurons, raw_neurons

PartName = Literal["attention", "value", "mlp"]
OF_HEADS: Final = ("double_rotation", "rotation")
OF_NEURONS: Final = ("permutation", "sign_flip", "classes")
_FACTORS: Final = NeuronGroup(
    name="head", incoming=("left",), outgoing=("right",), outgoing_axis=0, parity="odd", homogeneity=1
)
_NEURONS: Final = NeuronGroup(name="mlp", incoming=("incoming",), bias=("bias",), outgoing=("outgoing",))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One head, or one block, of a checkpoint."""

    kind: PartName
    depth: int
    """The number of its layer, from 1 on."""
    head: int
    """From 1 on; 0 of a block."""
    width: int
    """Numbers of a head, or neurons."""
    norms: FloatArray
    """Norms of the neurons in the gauge, shape (width,)."""
    distances: Mapping[str, FloatArray]
    """By observable."""
    rank: int
    """Singular values above 0.01 of the largest: of the product of both factors, or of incoming weights."""
    stable_rank: float
    """Sum of their squares over the largest square."""
    effective_rank: float


def measured_heads(
    weights: StoredTensors, layer: Attention, queries: int, keys: int, kind: Literal["attention", "value"]
) -> Iterator[Measured]:
    """The heads of one layer: of its queries and keys, or of its values and outputs.

    Parameters
    ----------
    queries, keys
        Numbers of heads; where keys are fewer, so many heads in a row share each.
    kind
        Which two factors.
    """
    if kind == "attention":
        left, right = layer.query.read(weights), layer.key.read(weights)
    else:
        if layer.value is None or layer.output is None:
            return
        left, right = layer.value.read(weights), layer.output.read(weights).T
        left = left.reshape(keys, -1, left.shape[1]).repeat_interleave(queries // keys, dim=0).flatten(0, 1)
        keys = queries
    lefts, rights = left.chunk(queries, dim=0), right.chunk(keys, dim=0)
    for head in range(queries):
        factors = {"left": lefts[head].double(), "right": rights[head * keys // queries].double()}
        geometry = Geometry.of_one(factors, _FACTORS)
        rank, stable, effective = _ranks(_product(factors["left"], factors["right"]))
        yield Measured(
            kind=kind, depth=layer.depth, head=head + 1, width=len(factors["left"]),
            norms=_numbers(geometry.norms), distances=_distances(geometry, OF_HEADS), rank=rank,
            stable_rank=stable, effective_rank=effective,
        )  # fmt: skip


def measured_block(weights: StoredTensors, block: NeuronBlock) -> Measured:
    """The hidden neurons of one block: what comes in, gates and biases included, and what goes out.

    Nothing is held twice: the weights are read for the spectrum, and again for the neuron vectors.
    """
    # The squares are eigenvalues of the smaller Gram matrix.
    values = torch.linalg.eigvalsh(_square(_incoming(weights, block)).double()).clamp(min=0).sqrt()
    rank, stable, effective = _ranks(values)
    neurons = partial(_neurons, weights, block)
    geometry = Geometry(neurons, neurons, homogeneity=None)
    distances, norms = _distances(geometry, OF_NEURONS), _numbers(geometry.norms)
    return Measured(
        kind="mlp", depth=block.depth, head=0, width=len(norms), norms=norms, distances=distances,
        rank=rank, stable_rank=stable, effective_rank=effective,
    )  # fmt: skip


def _incoming(weights: StoredTensors, block: NeuronBlock) -> Tensor:
    """Incoming weights and gates of each neuron, shape (neurons, numbers)."""
    return torch.cat([matrix.read(weights) for matrix in block.incoming], dim=1)


def _neurons(weights: StoredTensors, block: NeuronBlock) -> Neurons:
    """The neurons of a block, as a tile of one."""
    incoming = _incoming(weights, block)
    bias = weights.read(block.bias)[:, None] if block.bias else incoming[:, :0]
    parameters = {"incoming": incoming, "bias": bias, "outgoing": block.outgoing.read(weights)}
    return raw_neurons({name: parameter[None] for name, parameter in parameters.items()}, _NEURONS)


def _distances(geometry: Geometry, names: tuple[str, ...]) -> dict[str, FloatArray]:
    observables = distance_observables()
    distances = {name: observables[name].of_layer(geometry) for name in names}
    return {name: _numbers(values) for name, values in distances.items() if values is not None}


def _numbers(values: Tensor) -> FloatArray:
    return np.asarray(values[0].double().cpu().numpy())


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Singular values of left^T right, from the factors' triangular parts alone."""
    triangles = (torch.linalg.qr(factor.T, mode="r").R for factor in (left, right))
    one, other = triangles
    values: Tensor = torch.linalg.svdvals(one @ other.T)
    return values


def _square(matrix: Tensor) -> Tensor:
    """The smaller Gram matrix of a matrix."""
    narrow = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return narrow @ narrow.T


def _ranks(values: Tensor) -> tuple[int, float, float]:
    """Rank, stable rank and effective rank from singular values, shape (values,)."""
    largest = values.max()
    if not float(largest):
        return 0, 0.0, 0.0
    stable = (values / largest).square().sum()
    return int((values > 0.01 * largest).sum()), float(stable), float(effective_rank_of(values))
