"""Transitions that weight decay makes: E1, E2, E3, E13, E14."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag import exact
from phasediag.arrays import FloatArray
from phasediag.calibration.instrument import Instrument, Sweep, grouped
from phasediag.calibration.reading import Reading, boundaries, value
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Streams

CHAIN: Final[dict[str, Any]] = {
    "task": "scalar_linear", "test_samples": 1, "batch_size": 1, "model": "mlp", "depth": 2, "width": 1,
    "activation": "linear", "init": "balanced", "dtype": "float64",
}  # fmt: skip
"""f = u w x, x = +-1, y = signal x: without label noise every batch is the population."""
SETTLED: Final = 2e-3
"""Relative; what single precision and the end of relaxation leave open in a value."""


def _always(value: float, _: float) -> float:
    """An exact value that does not depend on the other axis."""
    return value


def products(sweep: Sweep, trials: pd.DataFrame) -> FloatArray:
    """|u w| of chains at the end: half the square of the neuron's norm, which is measured with |u| = |w|.

    Shape (trials,).
    """
    square: FloatArray = sweep.last("sign_flip", trials)[:, 0] ** 2 / 2
    return square


def linear_layers(instrument: Instrument, quick: bool) -> list[Reading]:
    """E1: modes are lost at gamma = s_k, at any width; the others are s_k - gamma."""
    modes = (1.0, 0.5)
    sweep = instrument.run(
        "e1-linear-layers",
        {
            "fixed": {
                "task": "linear_map", "inputs": 4, "outputs": 4, "samples": 4, "test_samples": 1,
                "singular_values": list(modes), "depth": 2, "activation": "linear", "init_scale": 0.2,
                "learning_rate": 0.2, "batch_size": 0, "steps": 2000,
            },
            "axes": {
                "weight_decay": {"logspace": [0.42, 4.4], "num": 90 if quick else 140},
                "width": [2, 4] if quick else [4, 32],
            },
            "replicates": 3,
            "measure": {"observables": ["rank"]},
        },
    )  # fmt: skip
    readings = []
    for rank, mode in enumerate(modes):
        readings += boundaries(
            "E1", f"gamma where mode {rank + 1} is lost, width {{}}", sweep.trials, partial(_always, mode),
            x="gamma", y="width", order="rank", level=rank + 0.5,
        )  # fmt: skip
    return readings + _mode_strengths(sweep, modes)


def _mode_strengths(sweep: Sweep, modes: tuple[float, ...]) -> list[Reading]:
    """The product's singular values are the squares of the balanced layer's; far below both thresholds."""
    trials = sweep.trials
    decays = trials["weight_decay"].unique()
    nearest = decays[np.argmin(np.abs(decays - modes[-1]))]
    chosen = trials[(trials["weight_decay"] == nearest) & (trials["width"] == trials["width"].max())]
    strengths = sweep.last("rank", chosen) ** 2
    gamma = float(chosen["gamma"].iloc[0])
    return [
        value(
            "E1",
            f"singular value {k + 1} at gamma {gamma:.3g}",
            expected,
            strengths[:, k],
            systematic=SETTLED,
        )
        for k, expected in enumerate(exact.linear_modes(modes, gamma))
    ]


def homogeneous_layers(instrument: Instrument, quick: bool) -> list[Reading]:
    """E2: relu collapses at max |E[y relu(v.x)]| of its data, tanh at |E[y x^T]|, at any width."""
    data: dict[str, Any] = {"inputs": 2, "outputs": 1, "samples": 12, "singular_values": (1.0,)}
    sweep = instrument.run(
        "e2-homogeneous-layers",
        {
            "fixed": {
                **data, "singular_values": [1.0], "task": "linear_map", "test_samples": 1, "depth": 2,
                "learning_rate": 0.3, "batch_size": 0, "steps": 1800 if quick else 3000, "data_seed": 0,
            },
            "axes": {
                "weight_decay": {"logspace": [0.4, 4.2], "num": 110 if quick else 160},
                "activation": ["relu", "tanh"],
                "width": [8] if quick else [8, 32],
                "init_scale": [0.2, 0.4],
            },
            "replicates": 3,
        },
    )  # fmt: skip
    x, y = (part.numpy() for part in LinearMap(data, Streams(seed=0, data_seed=0)).train_set())
    thresholds = {"relu": exact.relu_threshold(x, y), "tanh": exact.linear_threshold(y.T @ x / len(x))}
    readings = []
    alive = sweep.trials.assign(alive=(sweep.trials["alive_count"] > 0).astype(float))
    for (activation, width), trials in grouped(alive, "activation", "width"):
        readings += boundaries(
            "E2", f"gamma where {activation} of width {width} collapses, initial scale {{}}", trials,
            partial(_always, thresholds[activation]),
            x="gamma", y="init_scale", order="alive", level=0.5,
        )  # fmt: skip
    return readings


def chains(instrument: Instrument, quick: bool) -> list[Reading]:
    """E3: a transition of first order, located from both sides.

    Chains that start large stay learned up to the end of metastability; those that start below w^3 = c/4
    learn only up to the gamma at which their start is the separatrix: the hysteresis. The transition lies
    where loss and penalty of the learned state pass those of the origin.
    """
    signal, layers = 0.8, 3
    sweep = instrument.run(
        "e3-chains",
        {
            "fixed": {**CHAIN, "depth": layers, "signal": signal, "learning_rate": 0.1, "steps": 1500},
            "axes": {
                "weight_decay": {"logspace": [0.11, 1.5], "num": 130 if quick else 260},
                "init_scale": [0.15, 0.3, 0.36, 0.9, 1.0],
            },
            "replicates": 3,
        },
    )  # fmt: skip
    trials = sweep.trials
    penalized = trials["train_loss"] + trials["gamma"] * layers * products(sweep, trials)
    learned = trials.assign(above_origin=(penalized - signal**2).where(trials["alive_count"] > 0))
    hysteresis = boundaries(
        "E3", "gamma up to which a chain of 3 started at {} learns", trials,
        lambda start: exact.chain_largest_gamma(signal, start, layers),
        x="gamma", y="init_scale", order="alive_count", level=0.5,
    )  # fmt: skip
    transition = boundaries(
        "E3", "gamma of the transition, from a chain of 3 started at {}",
        learned[learned["init_scale"] > 0.5],
        lambda _: exact.chain_transition(signal, layers),
        x="gamma", y="init_scale", order="above_origin", level=0.0,
    )  # fmt: skip
    return hysteresis + transition


def optimizers(instrument: Instrument, quick: bool) -> list[Reading]:
    """E13: adam with coupled decay collapses where gradient descent does; adamw never does."""
    signals = (0.5, 0.8)
    fixed = {**CHAIN, "init_scale": 0.3, "learning_rate": 0.01}
    adam = instrument.run(
        "e13-adam",
        {
            "fixed": {**fixed, "optimizer": "adam", "steps": 1500 if quick else 4000},
            "axes": {"weight_decay": {"logspace": [0.4, 4.2], "num": 110}, "signal": list(signals)},
            "replicates": 3,
        },
    )  # fmt: skip
    adamw = instrument.run(
        "e13-adamw",
        {
            "fixed": {**fixed, "optimizer": "adamw", "steps": 4000},
            "axes": {"weight_decay": [2.0, 3.0, 4.0], "signal": list(signals)},
            "replicates": 3,
        },
    )  # fmt: skip
    readings = boundaries(
        "E13", "gamma where adam collapses, signal {}", adam.trials, lambda signal: signal,
        x="gamma", y="signal", order="alive_count", level=0.5,
    )  # fmt: skip
    for (decay, signal), trials in grouped(adamw.trials, "weight_decay", "signal"):
        expected = exact.decoupled_product(signal, decay)
        name = f"uw under adamw, weight decay {decay:g}, signal {signal:g}"
        readings.append(value("E13", name, expected, products(adamw, trials), systematic=0.01))
    return readings


def noise_modes(instrument: Instrument, quick: bool) -> list[Reading]:
    """E14: decay above the edge removes every mode that quenched label noise has made."""
    inputs, outputs, samples = (24, 16, 24) if quick else (48, 32, 48)
    sweep = instrument.run(
        "e14-noise-modes",
        {
            "fixed": {
                "task": "linear_map", "inputs": inputs, "outputs": outputs, "samples": samples,
                "test_samples": 1, "singular_values": [0.0], "depth": 2, "width": 2, "activation": "linear",
                "init_scale": 0.2, "learning_rate": 0.1, "batch_size": 0, "steps": 600 if quick else 1000,
            },
            "axes": {
                "weight_decay": {"logspace": [0.7, 9.0], "num": 40 if quick else 80},
                "label_noise": [0.8, 1.1],
            },
            "replicates": 4 if quick else 6,
            "measure": {"observables": ["rank"]},
        },
    )  # fmt: skip
    return boundaries(
        "E14", "gamma where the last mode of noise is lost, noise {}", sweep.trials,
        lambda noise: exact.noise_edge(noise, inputs, outputs, samples),
        x="gamma", y="label_noise", order="rank", level=0.5, tolerance=0.08,
    )  # fmt: skip
