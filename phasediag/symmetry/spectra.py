"""Distances to the symmetric states of the continuous symmetries, per neuron or per direction.

A layer's neuron vectors are the rows of two matrices, V_in (width, incoming weights and bias) and
V_out (width, outgoing weights); of an attention head, V_in = W_Q^T and V_out = W_K^T. The layer
computes a function of V_out^T V_in where its activation is linear (a head always does). All
distances are in units of the weights, computed in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phasediag.symmetry.order import padded
from phasediag.symmetry.units import power_of_two
from phasediag.symmetry.vectors import Neurons


def rescaling_distances(neurons: Neurons, homogeneity: int | None) -> Tensor:
    """Norm of each neuron vector, the smallest that rescaling reaches, ascending.

    The rescaling (a v_in, a^-k v_out), a > 0, of one neuron. With a homogeneous activation the
    neurons are given in the balanced gauge, where the norms are smallest already. Otherwise
    min over a of ||(a v_in, v_out / a)|| = sqrt(2 ||v_in|| ||v_out||) is taken, a measure of the
    product alone; without outgoing weights, the norm.

    Returns
    -------
    Float64, shape (trials, width).
    """
    unit = _unit(neurons)
    into = torch.cat([neurons.incoming, neurons.bias], dim=2).double() / unit
    norm_in = torch.linalg.vector_norm(into, dim=2)
    norm_out = torch.linalg.vector_norm(neurons.outgoing.double() / unit, dim=2)
    if homogeneity is None and neurons.outgoing.shape[2]:
        distances = (2 * norm_in * norm_out).sqrt()
    else:
        distances = torch.hypot(norm_in, norm_out)
    ascending: Tensor = distances.sort(dim=1).values
    return ascending * unit[:, :, 0]


def rotation_distances(neurons: Neurons) -> Tensor:
    """||(V_in^T n_i, V_out^T n_i)|| along the eigenvectors n_i of V_in V_in^T + V_out V_out^T, descending.

    Singular values of the matrix of neuron vectors, and zeros up to the width. Their squares are
    the eigenvector form of double rotation, Delta_i = ||W_Q n_i||^2 + ||W_K n_i||^2 (Eqs. 10-13);
    by Courant and Fischer no other choice of directions has more of them below a threshold.
    Invariant under rotations of the neurons, (R V_in, R V_out).

    Returns
    -------
    Float64, shape (trials, width).
    """
    unit = _unit(neurons)
    return _filled(_singular_values(neurons.vectors.double() / unit), neurons) * unit[:, :, 0]


def double_rotation_distances(neurons: Neurons) -> Tensor:
    """sqrt(2 sigma_i), sigma_i the singular values of V_out^T V_in (= W_K W_Q^T), descending.

    The gauge-fixed form: among all (A V_in, A^-T V_out) the smallest networks have
    V_in V_in^T = V_out V_out^T, with eigenvalues sigma_i, so that Delta_i = 2 sigma_i there.
    Invariant under every invertible A.

    Returns
    -------
    Float64, shape (trials, width).
    """
    unit = _unit(neurons)
    into = torch.cat([neurons.incoming, neurons.bias], dim=2).double() / unit
    product = _triangle(neurons.outgoing.double() / unit) @ _triangle(into).mT
    return _filled((2 * _singular_values(product)).sqrt(), neurons) * unit[:, :, 0]


def _triangle(matrices: Tensor) -> Tensor:
    """R of V^T = Q R, which has the scalar products of V with at most `width` rows."""
    triangle: Tensor = torch.linalg.qr(matrices.mT, mode="r").R
    return triangle


def _unit(neurons: Neurons) -> Tensor:
    """Of each trial, shape (trials, 1, 1): products of numbers over it neither overflow nor vanish."""
    largest = neurons.vectors.double().abs().flatten(1).amax(dim=1)
    return power_of_two(largest)[:, None, None]


def _singular_values(matrices: Tensor) -> Tensor:
    values: Tensor = torch.linalg.svdvals(padded(matrices.contiguous()))
    return values[:, : min(matrices.shape[1:])]


def _filled(values: Tensor, neurons: Neurons) -> Tensor:
    """Singular values up to the width, the missing ones zero."""
    width = neurons.vectors.shape[1]
    result: Tensor = torch.nn.functional.pad(values, (0, max(0, width - values.shape[1])))
    return result[:, :width]
