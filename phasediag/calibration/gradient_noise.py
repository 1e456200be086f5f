"""Collapse by gradient noise: E5, E6, E7."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from phasediag import exact
from phasediag.arrays import FloatArray
from phasediag.calibration.decay import CHAIN
from phasediag.calibration.instrument import Instrument, grouped
from phasediag.calibration.reading import Reading, boundaries, value
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Streams

ONE_WORLD: Final = Streams(seed=0, data_seed=0)
"""The random streams of trials with `data_seed: 0`."""


def collapse(instrument: Instrument, quick: bool) -> list[Reading]:
    """E5: label noise collapses a chain where the exact exponent of its growth changes sign."""
    signal, laws = 0.5, ("rademacher",) if quick else ("rademacher", "gaussian")
    rates = (0.05,) if quick else (0.05, 0.1)
    sweep = instrument.run(
        "e5-collapse",
        {
            "fixed": {**CHAIN, "signal": signal, "init_scale": 1e-12, "steps": 1000},
            "axes": {
                "label_noise": {"logspace": [0.9, 7.0], "num": 16},
                "weight_decay": [0.0, 0.2],
                "learning_rate": list(rates),
                "noise_distribution": list(laws),
            },
            "replicates": 160 if quick else 300,
        },
    )  # fmt: skip
    readings = []
    for (law, rate), trials in grouped(sweep.trials, "noise_distribution", "learning_rate"):
        readings += boundaries(
            "E5", f"{law} noise of collapse, rate {rate:g}, weight decay {{}}", trials,
            partial(_threshold, instrument, signal, rate, law),
            x="label_noise", y="weight_decay", order="log_rate", level=0.0, tolerance=0.03,
        )  # fmt: skip
    return readings


def _threshold(instrument: Instrument, signal: float, rate: float, law: str, decay: float) -> float:
    return exact.noise_threshold(signal, rate, instrument.gamma_of(decay), law=law)


def stationary_law(instrument: Instrument, quick: bool) -> list[Reading]:
    """E6: noise is a soft threshold, E[uw] = c - gamma - T sigma^2; and the shape of the law of uw."""
    signal, rate, decay = 0.5, 0.01, 0.2
    excess = signal - instrument.gamma_of(decay)
    shares = (0.2, 0.3)
    noises = [float(np.sqrt(share * (signal - decay / 2) / rate)) for share in shares]
    sweep = instrument.run(
        "e6-stationary",
        {
            "fixed": {
                **CHAIN, "signal": signal, "init_scale": 0.55, "learning_rate": rate, "weight_decay": decay,
                "steps": 4000 if quick else 6000,
            },
            "axes": {"label_noise": noises},
            "replicates": 400 if quick else 800,
            "measure": {"every": 100, "distances": "all"},
        },
    )  # fmt: skip
    history = sweep.history("sign_flip")
    history = history[history["step"] >= 1000].assign(
        product=lambda rows: [row[0] ** 2 / 2 for row in rows["distances"]]
    )
    products = history.pivot(index="trial_id", columns="step", values="product")
    readings = []
    for noise, trials in grouped(sweep.trials, "label_noise"):
        diffusion = rate * noise**2
        shape, scale = exact.stationary_law(excess, diffusion)
        squares = products.loc[trials["trial_id"]].to_numpy()
        name = f"mean of uw, T sigma^2 {diffusion:.3g}"
        readings.append(
            value("E6", name, shape * scale, squares.mean(axis=1), tolerance=0.05, systematic=0.01)
        )
        name = f"shape of the Gamma law of uw, T sigma^2 {diffusion:.3g}"
        readings.append(value("E6", name, shape, _shapes(squares), tolerance=0.1, systematic=0.02))
    return readings + _vanishing(instrument, signal, quick)


def _shapes(products: FloatArray) -> FloatArray:
    """mean^2 / variance in ten groups of replicates: products has shape (replicates, steps)."""
    groups = np.array_split(products, 10)
    return np.array([group.mean() ** 2 / group.var() for group in groups])


def _vanishing(instrument: Instrument, signal: float, quick: bool) -> list[Reading]:
    """Where E[uw] vanishes the norm stops growing: gamma + T sigma^2 = c."""
    rate = 0.02
    sweep = instrument.run(
        "e6-vanishing",
        {
            "fixed": {**CHAIN, "signal": signal, "init_scale": 1e-12, "learning_rate": rate, "steps": 1200},
            "axes": {"label_noise": {"logspace": [1.9, 16.0], "num": 16}, "weight_decay": [0.1, 0.3]},
            "replicates": 200 if quick else 400,
        },
    )  # fmt: skip
    return boundaries(
        "E6", "noise at which E[uw] vanishes, weight decay {}", sweep.trials,
        lambda decay: exact.sde_noise_threshold(signal, rate, instrument.gamma_of(decay)),
        x="label_noise", y="weight_decay", order="log_rate", level=0.0, tolerance=0.05,
    )  # fmt: skip


def neuron(instrument: Instrument, quick: bool) -> list[Reading]:
    """E7: label noise that is drawn anew at every step collapses a tanh neuron on fixed data."""
    slope, rate = 0.5, 0.02
    data: dict[str, Any] = {"inputs": 1, "outputs": 1, "samples": 32, "singular_values": (slope,)}
    sweep = instrument.run(
        "e7-neuron",
        {
            "fixed": {
                **CHAIN, **data, "task": "linear_map", "singular_values": [slope], "noise": "fresh",
                "activation": "tanh", "init_scale": 1e-12, "learning_rate": rate, "steps": 1200,
                "data_seed": 0,
            },
            "axes": {"label_noise": {"logspace": [1.8, 14.0], "num": 16}, "weight_decay": [0.0, 0.2]},
            "replicates": 480 if quick else 640,
        },
    )  # fmt: skip
    x, y = (part.numpy() for part in LinearMap({**data, "test_samples": 1}, ONE_WORLD).train_set())
    return boundaries(
        "E7", "noise of collapse of a tanh neuron, weight decay {}", sweep.trials,
        lambda decay: exact.neuron_noise_threshold(x, y, rate, gamma=instrument.gamma_of(decay)),
        x="label_noise", y="weight_decay", order="log_rate", level=0.0,
    )  # fmt: skip
