"""Singular values of the neuron vectors of many networks, in units in which no square overflows.

A layer's neuron vectors are the rows of two matrices, V_in (width, incoming weights and bias) and
V_out (width, outgoing weights); of an attention head, V_in = W_Q^T and V_out = W_K^T. The layer
computes a function of V_out^T V_in where its activation is linear (a head always does).
"""

from __future__ import annotations

import torch
from torch import Tensor

from phasediag.symmetry.order import padded
from phasediag.symmetry.units import power_of_two
from phasediag.symmetry.vectors import Neurons


def triangle(matrices: Tensor) -> Tensor:
    """R of V^T = Q R: as many scalar products as V, in at most as many rows as V has.

    Shape (networks, width, numbers) to (networks, min(numbers, width), width).
    """
    factor: Tensor = torch.linalg.qr(matrices.mT, mode="r").R
    return factor


def neuron_unit(neurons: Neurons) -> Tensor:
    """Units of length, shape (networks, 1, 1): products of numbers over them neither overflow nor vanish."""
    largest = neurons.vectors.double().abs().flatten(1).amax(dim=1)
    return power_of_two(largest)[:, None, None]


def singular_values(matrices: Tensor) -> Tensor:
    """Singular values, descending: (networks, rows, columns) to (networks, min(rows, columns))."""
    values: Tensor = torch.linalg.svdvals(padded(matrices.contiguous()))
    return values[:, : min(matrices.shape[1:])]


def up_to_width(values: Tensor, neurons: Neurons) -> Tensor:
    """As many singular values as there are neurons, those that are missing zero.

    Shape (networks, values) to (networks, width), `values` descending.
    """
    width = neurons.vectors.shape[1]
    result: Tensor = torch.nn.functional.pad(values, (0, max(0, width - values.shape[1])))
    return result[:, :width]
