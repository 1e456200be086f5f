"""E5 to E7: what noise does exactly, in the conventions of `phasediag.exact`.

Near the origin the updates of f = u w x, and of a neuron w2 phi(w1 x), commute in u +- w, so that the growth
of its norm is the mean of a logarithm over batches and label noise, at any learning rate and batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from phasediag.arrays import FloatArray

SCANNED: Final = {"rademacher": 2000, "gaussian": 60}
"""Values of the noise between which the sign of the growth changes at most once."""
NARROW: Final = 500.0
"""mean^2 / (2 deviation^2) above which the mean of the logarithm is a series in deviation / mean."""
BATCHES: Final = 256
"""Batches of more than one sample over which a neuron's growth is averaged."""
NARROWEST: Final = 0.01
"""Relative width of a window of noise below which no sweep resolves it."""


def growth_exponent(signal: float, rate: float, gamma: float, noise: float, batch: int, law: str) -> float:
    """E5: growth of log |(u, w)| a step near the origin of f = u w x, x = +-1, y = c x + noise * e.

    max over signs of E log |1 - 2 eta gamma +- 2 eta (xy)_B|: the updates commute in u +- w, so it is exact,
    and the origin attracts iff it is negative (arXiv:2303.13093 has the criterion in general).

    Parameters
    ----------
    law
        Of e: `rademacher` (e = +-1; any batch), or `gaussian` (closed form by a Poisson sum over digamma).
    """
    means = [1 - 2 * rate * gamma + 2 * rate * sign * signal for sign in (1, -1)]
    if law == "gaussian":
        return max(_mean_log_normal(mean, 2 * rate * noise / np.sqrt(batch)) for mean in means)
    weight, steps = _flips(batch)
    with np.errstate(divide="ignore"):
        return float(max(weight @ np.log(np.abs(mean + 2 * rate * noise * steps)) for mean in means))


def _flips(batch: int) -> tuple[FloatArray, FloatArray]:
    """The values of the mean of e = +-1 over a batch, and their probabilities first."""
    ups = np.arange(batch + 1)
    weight = special.comb(batch, ups) / 2.0**batch
    return weight, (2 * ups - batch) / batch


def _mean_log_normal(mean: float, deviation: float) -> float:
    """E log |N(mean, deviation^2)|."""
    half = np.inf if deviation == 0 else mean**2 / (2 * deviation**2)
    if half > NARROW:
        small = 1 / (2 * half)
        return float(np.log(abs(mean)) - small / 2 - 3 * small**2 / 4 - 5 * small**3 / 2)
    spread = 12 * np.sqrt(half) + 40
    j = np.arange(max(0, int(half - spread)), int(half + spread))
    weight = np.exp(special.xlogy(j, half) - half - special.gammaln(j + 1))
    return float(0.5 * (np.log(2 * deviation**2) + weight @ special.digamma(j + 0.5)))


def noise_thresholds(
    signal: float, rate: float, gamma: float, batch: int = 1, law: str = "rademacher"
) -> FloatArray:
    """E5: every label noise sigma > 0 at which `growth_exponent` changes its sign, ascending.

    From the first on the origin attracts, from the second on it repels, and so on (where c > gamma, so that
    it repels without noise). At large rates and small batches there are several: noise of some strengths
    brings one of the few values that a factor takes near zero. The last is where the noise itself blows up.
    """

    def growth(noise: float) -> float:
        return max(growth_exponent(signal, rate, gamma, noise, batch, law), -1e3)

    def growths(noises: FloatArray) -> FloatArray:
        if law == "gaussian":
            return np.array([growth(float(noise)) for noise in noises])
        weight, steps = _flips(batch)
        factors = [mean + 2 * rate * noises[:, None] * steps for mean in means]
        with np.errstate(divide="ignore"):
            each = [np.maximum(np.log(np.abs(factor)), -1e300) @ weight for factor in factors]
        return np.maximum(*each)

    means = [1 - 2 * rate * gamma + 2 * rate * sign * signal for sign in (1, -1)]
    largest = (2 + 2 * abs(1 - 2 * rate * gamma) + 2 * rate * signal) * np.sqrt(batch) / rate * 4
    scanned = np.geomspace(largest / 1e4, largest, SCANNED[law])
    if law == "rademacher":  # at these a factor is zero, and the mean of its logarithm may be minus infinite
        steps = [step for step in _flips(batch)[1] if step]
        poles = np.abs([mean / (2 * rate * step) for mean in means for step in steps])
        scanned = np.unique(np.concatenate([scanned, poles[poles < largest]]))
    return _zeros(growth, scanned, growths(scanned))


def noise_threshold(
    signal: float, rate: float, gamma: float, batch: int = 1, law: str = "rademacher"
) -> float:
    """E5: the smallest label noise sigma from which on the origin attracts, for c > gamma.

    The first of `noise_thresholds`, which has those too beyond which it repels again, but for windows of
    noise narrower than a hundredth of it, which no sweep resolves. For `rademacher` and B = 1 the closed
    form (1 - 2 eta gamma + 2 eta c)^2 - 4 eta^2 sigma^2 = 1.

    Raises
    ------
    ValueError
        Where the origin attracts at no noise.
    """
    if law == "rademacher" and batch == 1:
        return float(np.sqrt((1 - 2 * rate * gamma + 2 * rate * signal) ** 2 - 1) / (2 * rate))
    zeros = _resolved(noise_thresholds(signal, rate, gamma, batch, law))
    if not len(zeros):
        raise ValueError(
            f"no label noise makes the origin attract at signal {signal:g}, learning rate {rate:g}, gamma "
            f"{gamma:g} and batch size {batch}"
        )
    return float(zeros[0])


def noise_rebound(signal: float, rate: float, gamma: float, batch: int = 1, law: str = "rademacher") -> float:
    """E5: the label noise, beyond `noise_threshold`, at which `growth_exponent` turns positive again.

    The second of `noise_thresholds`, windows as in `noise_threshold`. Noise so strong that a step throws the
    weights beyond where they were makes the origin repel. For `rademacher` and B = 2 it is
    (2 eta sigma)^2 = m^2 + m^-2 with m = 1 - 2 eta gamma + 2 eta c.

    Raises
    ------
    ValueError
        Where the origin attracts at no noise.
    """
    zeros = _resolved(noise_thresholds(signal, rate, gamma, batch, law))
    if len(zeros) < 2:
        raise ValueError(
            f"no label noise makes the origin attract, and then repel, at signal {signal:g}, learning rate "
            f"{rate:g}, gamma {gamma:g} and batch size {batch}"
        )
    return float(zeros[1])


def _resolved(zeros: FloatArray) -> FloatArray:
    """The zeros without those that bound a window in which the origin attracts and that is too narrow."""
    pairs = zeros[: len(zeros) // 2 * 2].reshape(-1, 2)
    wide = pairs[pairs[:, 1] > (1 + NARROWEST) * pairs[:, 0]]
    return np.concatenate([wide.ravel(), zeros[len(pairs) * 2 :]])


def sde_noise_threshold(signal: float, temperature: float, gamma: float) -> float:
    """E5, E6 in the limit of a small learning rate: gamma + T sigma^2 = c, for x = +-1."""
    return float(np.sqrt((signal - gamma) / temperature))


def stationary_law(excess: float, diffusion: float) -> tuple[float, float]:
    """E6: shape and scale of the Gamma law of z = u^2 = uw under label noise, for x = +-1 and small eta.

    Shape a / (2 T sigma^2) - 1/2, scale 2 T sigma^2, with a = c - gamma and `diffusion` T sigma^2; the mean
    is the soft threshold (a - T sigma^2)_+. The density is peaked off zero below T sigma^2 = a/2, at zero
    up to a, and collapsed beyond. After arXiv:2306.04251.
    """
    return excess / (2 * diffusion) - 0.5, 2 * diffusion


def neuron_growth(
    x: npt.NDArray[Any], y: npt.NDArray[Any], rate: float, noise: float, *, batch: int = 1,
    gamma: float = 0.0, activation_slope: float = 1.0, seed: int = 0,
) -> float:  # fmt: skip
    """E7: growth of log |(w1, w2)| a step near the origin of a neuron w2 phi(w1 x) on fixed data.

    max over signs of E log |1 - 2 eta gamma +- 2 eta phi'(0) (xy)_B|, y with fresh normal label noise. The
    mean over the noise is exact; over the data it is too for B = 1, and over 256 drawn batches for more.

    Parameters
    ----------
    x, y
        The data, without noise, shape (samples,).
    noise
        Standard deviation of the label noise.
    seed
        Of the drawn batches.
    """
    x, y = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (x, y))
    if batch == 1:
        chosen = np.arange(len(x))[:, None]
    else:
        chosen = np.random.default_rng(seed).integers(len(x), size=(BATCHES, batch))
    force = 2 * rate * activation_slope * np.mean(x[chosen] * y[chosen], axis=1)
    deviation = 2 * rate * activation_slope * noise * np.linalg.norm(x[chosen], axis=1) / batch
    kept = 1 - 2 * rate * gamma
    growths = (
        np.mean([_mean_log_normal(kept + sign * f, s) for f, s in zip(force, deviation, strict=True)])
        for sign in (1, -1)
    )
    return float(max(growths))


def neuron_noise_threshold(
    x: npt.NDArray[Any], y: npt.NDArray[Any], rate: float, *, batch: int = 1, gamma: float = 0.0,
    activation_slope: float = 1.0, seed: int = 0,
) -> float:  # fmt: skip
    """E7: label noise from which on a neuron w2 phi(w1 x) collapses, at any learning rate.

    The first zero of `neuron_growth`; `sde_neuron_noise_threshold` is its limit of a small rate, 1 to 5 %
    above it at rates of 0.01 to 0.02.

    Raises
    ------
    ValueError
        Where the neuron collapses at no noise.
    """

    def growth(noise: float) -> float:
        return neuron_growth(
            x, y, rate, noise, batch=batch, gamma=gamma, activation_slope=activation_slope, seed=seed
        )

    square = float(np.mean(np.square(x)))
    slope = float(np.mean(np.asarray(x).reshape(-1) * np.asarray(y).reshape(-1))) / square
    guess = sde_neuron_noise_threshold(slope, rate, batch, gamma / square, activation_slope)
    scanned = np.geomspace(guess / 4, 4 * guess, 24)
    zeros = _zeros(growth, scanned, np.array([growth(float(each)) for each in scanned]))
    if not len(zeros):
        raise ValueError(f"no label noise up to {4 * guess:g} makes this neuron collapse")
    return float(zeros[0])


def sde_neuron_noise_threshold(
    slope: float, rate: float, batch: int = 1, gamma: float = 0.0, activation_slope: float = 1.0
) -> float:
    """E7 in the limit of a small learning rate: label noise at which a neuron w2 phi(w1 x) collapses.

    (eta / B) sigma^2 phi'(0) = slope - gamma / phi'(0), for the loss without 1/2 and E[x^2] = 1; with the 1/2
    and B = 1 this is eta sigma^2 phi'(0) / 2 = sum xy / sum x^2 of arXiv:2306.04251, theorem 5.1.

    Parameters
    ----------
    slope
        sum xy / sum x^2 of the data; gamma is counted in units of E[x^2] = 1.
    """
    return float(np.sqrt((slope - gamma / activation_slope) * batch / (rate * activation_slope)))


def _zeros(function: Callable[[float], float], scanned: FloatArray, values: FloatArray) -> FloatArray:
    """Where a function changes its sign between scanned places, at which it has these values; ascending."""
    changes = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    zeros = [optimize.brentq(function, scanned[n], scanned[n + 1], xtol=1e-12) for n in changes]
    return np.array(zeros, dtype=np.float64)
