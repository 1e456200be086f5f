"""What is known exactly: the boundaries and values that `phasediag calibrate` measures against.

Conventions of `phasediag` throughout: the loss is E|f - y|^2 + gamma |theta|^2, without 1/2 and summed
over outputs, so that gamma = weight_decay / 2 (`gamma_of`). c = E[xy] is the signal of a scalar system,
s_k are the singular values of E[y x^T], eta the learning rate, B the batch size, T = eta / B.

The names E1 to E15 are those of `docs/physics.md`. E5 to E7 stand in `phasediag.exact_noise`, E15 in
`phasediag.exact_relu`; both can be imported from here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from phasediag.arrays import FloatArray
from phasediag.exact_noise import growth_exponent as growth_exponent
from phasediag.exact_noise import neuron_growth as neuron_growth
from phasediag.exact_noise import neuron_noise_threshold as neuron_noise_threshold
from phasediag.exact_noise import noise_rebound as noise_rebound
from phasediag.exact_noise import noise_threshold as noise_threshold
from phasediag.exact_noise import noise_thresholds as noise_thresholds
from phasediag.exact_noise import sde_neuron_noise_threshold as sde_neuron_noise_threshold
from phasediag.exact_noise import sde_noise_threshold as sde_noise_threshold
from phasediag.exact_noise import stationary_law as stationary_law
from phasediag.exact_relu import ReluOptimum as ReluOptimum
from phasediag.exact_relu import relu_optimum as relu_optimum

Numbers = float | Sequence[float] | npt.NDArray[Any]


def gamma_of(weight_decay: float) -> float:
    """What PyTorch's weight_decay is as gamma of the loss + gamma |theta|^2: half of it."""
    return weight_decay / 2


def linear_modes(singular_values: Numbers, gamma: float, width: int | None = None) -> FloatArray:
    """E1: singular values of the product U W of two linear layers at the global minimum.

    (s_k - gamma)_+ for the `width` largest s_k, zero for the others. Valid for white inputs,
    E[x x^T] = I, at any width; from min |U|^2 + |W|^2 = 2 |UW|_* (nuclear norm), a soft threshold.
    Second order: arXiv:2202.04777, arXiv:2205.12510.

    Parameters
    ----------
    singular_values
        Of E[y x^T], shape (modes,).

    Returns
    -------
    Float64, shape (modes,), descending.
    """
    values = np.sort(np.asarray(singular_values, dtype=np.float64))[::-1]
    kept = np.arange(len(values)) < (len(values) if width is None else width)
    modes: FloatArray = np.where(kept, np.maximum(values - gamma, 0.0), 0.0)
    return modes


def linear_threshold(correlation: npt.NDArray[Any]) -> float:
    """E1: gamma above which two linear layers collapse: |E[y x^T]|_op, for inputs of any covariance.

    With tanh or another activation of slope 1 at zero it is where the origin loses its local stability (E2).

    Parameters
    ----------
    correlation
        E[y x^T], shape (outputs, inputs).
    """
    return float(np.linalg.norm(np.atleast_2d(correlation), ord=2))


def relu_threshold(x: npt.NDArray[Any], y: npt.NDArray[Any], starts: int = 64, seed: int = 0) -> float:
    """E2: gamma from which on the origin is the global minimum of one hidden layer of relu.

    max over |v| = 1 of |E[y relu(v.x)]|, for any data and any width: rescaling turns the penalty into
    2 gamma sum |u_j| |w_j|, convex in the measure of neurons, whose derivative at zero is tested. For normal
    x and y = b.x, or y = relu(b.x), it is |b| / 2. The maximum is searched for from many directions.

    Parameters
    ----------
    x, y
        The data, shapes (samples, inputs) and (samples, outputs).
    starts, seed
        Of the search.
    """

    def lost(direction: FloatArray) -> float:
        v = direction / np.linalg.norm(direction)
        return -float(np.linalg.norm(np.maximum(x @ v, 0) @ y) / len(x))

    directions = np.random.default_rng(seed).standard_normal((starts, x.shape[1]))
    first = sorted(directions, key=lost)[: max(4, starts // 8)]
    options = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 4000}
    least = [optimize.minimize(lost, v, method="Nelder-Mead", options=options).fun for v in first]
    return -float(min(least))


def chain_transition(signal: float, layers: int) -> float:
    """E3: gamma at which the global minimum of a chain of M >= 2 scalar layers becomes the origin.

    (c / (M-1)) [c (M-2) / (M-1)]^((M-2)/M), for E[x^2] = 1; continuous for M = 2, where it is c, of first
    order for M >= 3, where the product jumps by `chain_jump`. Orders: arXiv:2202.04777, arXiv:2205.12510.
    """
    m = layers
    return float(signal / (m - 1) * (signal * (m - 2) / (m - 1)) ** ((m - 2) / m))


def chain_jump(signal: float, layers: int) -> float:
    """E3: the product of the weights just below `chain_transition`: c (M-2) / (M-1)."""
    return signal * (layers - 2) / (layers - 1)


def chain_metastability(signal: float, layers: int) -> float:
    """E3: gamma above which a chain of M >= 3 layers has no minimum but the origin.

    [c M / (2(M-1))] [c (M-2) / (2(M-1))]^((M-2)/M): the maximum of w^(M-2) (c - w^M) over w.
    """
    m = layers
    return float(signal * m / (2 * (m - 1)) * (signal * (m - 2) / (2 * (m - 1))) ** ((m - 2) / m))


def chain_stationary(signal: float, gamma: float, layers: int) -> tuple[float, float]:
    """E3: the balanced weights w of a chain of M >= 3 layers at which the loss is stationary.

    The roots of gamma = w^(M-2) (c - w^M). A chain that starts balanced learns iff it starts above the
    smaller one (the separatrix); it then ends at the larger one.

    Raises
    ------
    ValueError
        Where gamma is not between 0 and `chain_metastability`: then there are none.
    """
    if not 0 < gamma < chain_metastability(signal, layers):
        raise ValueError(f"gamma {gamma:g} is outside (0, {chain_metastability(signal, layers):g})")

    def excess(w: float) -> float:
        return float(w ** (layers - 2) * (signal - w**layers) - gamma)

    top = (signal * (layers - 2) / (2 * (layers - 1))) ** (1 / layers)
    ends = ((0, top), (top, signal ** (1 / layers)))
    low, high = (optimize.brentq(excess, *pair, xtol=1e-15) for pair in ends)
    return float(low), float(high)


def chain_largest_gamma(signal: float, start: float, layers: int) -> float:
    """E3: gamma up to which a chain of M >= 3 layers that starts balanced at w = `start` learns.

    start^(M-2) (c - start^M) below the separatrix' end, w^M = c (M-2) / (2(M-1)); above it
    `chain_metastability`.
    """
    top = (signal * (layers - 2) / (2 * (layers - 1))) ** (1 / layers)
    low = min(start, top)
    return float(low ** (layers - 2) * (signal - low**layers))


def shifted_chain_ends(signal: float, layers: int, shift: float) -> tuple[float, float]:
    """E3 with decay towards `shift` > 0 (syre) in place of the origin: between which gamma it has two minima.

    The extrema of gamma(u) = u^(M-1) (c - u^M) / (u - shift), at which a balanced chain u of M >= 3 layers is
    stationary: below the smaller one the dead state is gone, above the larger one the learned state.

    Raises
    ------
    ValueError
        Where the shift is so large that there is one minimum at every gamma.
    """
    m, c = layers, signal
    slope = np.zeros(m + 2)
    slope[[0, 1, -2, -1]] = [2 - 2 * m, (2 * m - 1) * shift, (m - 2) * c, -(m - 1) * c * shift]
    roots = np.roots(slope)
    real = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    u = real[(real > shift) & (real < c ** (1 / m))]
    if len(u) != 2:
        raise ValueError(f"with a shift of {shift:g} there is one minimum at every gamma")
    low, high = u ** (m - 1) * (c - u**m) / (u - shift)
    return float(low), float(high)


def dcs_weights(correlation: npt.NDArray[Any], gamma: float) -> FloatArray:
    """E4: u * v of f(x) = (u * v).x with weight decay on u and v: the lasso.

    Coordinate i is sign(E[x_i y]) (|E[x_i y]| - gamma)_+, for E[x x^T] = I (arXiv:2210.01212).

    Parameters
    ----------
    correlation
        E[x y], shape (inputs,).
    """
    weights: FloatArray = np.sign(correlation) * np.maximum(np.abs(correlation) - gamma, 0)
    return weights


def gated_matrix(correlation: npt.NDArray[Any], gamma: float) -> FloatArray:
    """E4: g W of f(x) = g W x, g a number, with weight decay on g and W: the group lasso.

    C (1 - gamma / |C|_F)_+ with C = E[y x^T], for E[x x^T] = I; gone from gamma = |C|_F on.
    """
    matrix: FloatArray = correlation * max(0.0, 1 - gamma / float(np.linalg.norm(correlation)))
    return matrix


def balance_factor(rate: float, gamma: float, force: Numbers) -> FloatArray:
    """E8: by what one step of gradient descent multiplies C = u^2 - w^2 of f = u w x, exactly.

    (1 - 2 eta gamma)^2 - 4 eta^2 g^2, g the mean of residual times input over the batch.
    """
    factor: FloatArray = (1 - 2 * rate * gamma) ** 2 - 4 * rate**2 * np.square(np.asarray(force, dtype=float))
    return factor


def permutation_threshold(teacher: Numbers, width: int) -> float:
    """E9: gamma from which on all neurons of the `hermite` model are equal: 2 (Q - S^2 / h).

    S and Q are the sums of the teacher's weights and of their squares, h the width.
    """
    a = np.asarray(teacher, dtype=np.float64)
    return float(2 * ((a**2).sum() - a.sum() ** 2 / width))


def permutation_variance(teacher: Numbers, width: int, gamma: float) -> float:
    """E9: sum over neurons of (w_i - mean)^2 at the minimum: (Q - S^2 / h - gamma / 2)_+.

    S and Q are the sums of the teacher's weights and of their squares, h the width.
    """
    return max(0.0, (permutation_threshold(teacher, width) - gamma) / 2)


def learning_curve(excess: float, start: float, time: Numbers) -> FloatArray:
    """E10: u^2(t) of a balanced pair under gradient flow, t = steps * learning_rate.

    P / (1 + (P / p0 - 1) exp(-4 P t)) with P = s - gamma and p0 = u(0)^2; p0 / (1 + 4 p0 t) at P = 0, where
    relaxation is algebraic (critical slowing down).
    """
    t = np.asarray(time, dtype=np.float64)
    square: FloatArray = (
        start / (1 + 4 * start * t)
        if excess == 0
        else excess / (1 + (excess / start - 1) * np.exp(-4 * excess * t))
    )
    return square


def half_time(excess: float, start: float) -> float:
    """E10: time at which u^2 has reached half of P = s - gamma > 0: ln(P / p0 - 1) / (4 P)."""
    return float(np.log(excess / start - 1) / (4 * excess))


def origin_largest_rate(signal: float, gamma: float) -> float:
    """E11: learning rate below which the origin of f = u w x is stable, for gamma > c: 1 / (c + gamma)."""
    return 1 / (signal + gamma)


def broken_largest_rate(signal: float, gamma: float) -> float:
    """E11: learning rate below which uw = c - gamma > 0 is stable: 1 / (2 max(c - gamma, gamma))."""
    return 1 / (2 * max(signal - gamma, gamma))


def shifted_weight(signal: float, gamma: float, shift: float) -> float:
    """E12: u = w of f = u w x with decay towards `shift` (syre).

    The largest root of p^3 - (c - gamma) p - gamma shift = 0. There is no sharp transition: at gamma = c,
    p = (gamma shift)^(1/3) (arXiv:2408.15495).
    """
    roots = np.roots([1.0, 0.0, -(signal - gamma), -gamma * shift])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def shifted_minima(signal: float, gamma: float, shift: float) -> int:
    """E12: how many minima: 2 iff gamma |shift| < 2 / (3 sqrt 3) (c - gamma)^(3/2), else 1."""
    edge = 2 / (3 * np.sqrt(3)) * max(signal - gamma, 0.0) ** 1.5
    return 2 if gamma * abs(shift) < edge else 1


def decoupled_product(signal: float, weight_decay: float) -> float:
    """E13: uw under adamw: min(c, 1 / weight_decay^2), never zero; it bounds |theta_i| by 1 / weight_decay.

    Adam with coupled decay keeps E1 instead, with weight_decay = 2c at the transition.
    """
    return min(signal, weight_decay**-2)


def noise_edge(noise: float, inputs: int, outputs: int, samples: int) -> float:
    """E14: the largest singular value of E_train[y x^T] that label noise alone makes.

    sigma (sqrt d_x + sqrt d_y) / sqrt N for N whitened inputs, asymptotically in the sizes; gamma above it
    removes all modes of noise.
    """
    return float(noise * (np.sqrt(inputs) + np.sqrt(outputs)) / np.sqrt(samples))


def noisy_mode(value: float, noise: float, inputs: int, outputs: int, samples: int) -> float:
    """E14: where a mode of singular value s appears among the noise.

    sqrt((s^2 + v d_x)(s^2 + v d_y)) / s with v = sigma^2 / N, if s^4 > v^2 d_x d_y, else at `noise_edge`.
    """
    v = noise**2 / samples
    if value**4 <= v**2 * inputs * outputs:
        return noise_edge(noise, inputs, outputs, samples)
    return float(np.sqrt((value**2 + v * inputs) * (value**2 + v * outputs)) / value)
