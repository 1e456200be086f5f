"""Symmetry under control: E4 (introduced) and E12 (removed)."""

from __future__ import annotations

from typing import Any

import numpy as np

from phasediag import exact
from phasediag.calibration.decay import CHAIN, products
from phasediag.calibration.instrument import Instrument, grouped
from phasediag.calibration.reading import Reading, boundaries, value
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Streams

_ALIVE = 0.005
"""Share of the signal above which a product counts as alive; the transition is linear in gamma."""


def introduced(instrument: Instrument, quick: bool) -> list[Reading]:
    """E4: a product of factors is the lasso, a gate on a matrix the group lasso.

    Both have no hidden layer: what is left of the signal is read off the training loss, min(gamma, |c|)^2.
    """
    steps = {"learning_rate": 0.1, "steps": 2000, "dtype": "float64"}
    scan = {"logspace": [0.4, 4.2], "num": 110 if quick else 200}
    factors = instrument.run(
        "e4-factors",
        {
            "fixed": {**CHAIN, "depth": 1, "init_scale": 0.6, "control": "dcs", **steps},
            "axes": {"weight_decay": scan, "signal": [0.5, 0.8]},
            "replicates": 3,
        },
    )  # fmt: skip
    trials = factors.trials
    left = 1 - np.sqrt(trials["train_loss"]) / trials["signal"]
    readings = boundaries(
        "E4", "gamma where a product of factors dies, signal {}", trials.assign(left=left),
        lambda signal: signal, x="gamma", y="signal", order="left", level=_ALIVE,
    )  # fmt: skip
    modes = (0.8, 0.6)
    data: dict[str, Any] = {"inputs": 2, "outputs": 2, "samples": 4, "singular_values": modes}
    gated = instrument.run(
        "e4-gate",
        {
            "fixed": {
                **data, "singular_values": list(modes), "task": "linear_map", "test_samples": 1, "depth": 1,
                "batch_size": 0, "data_seed": 0, "control": "gate", **steps,
            },
            "axes": {"weight_decay": scan, "init_scale": [0.3, 0.6]},
            "replicates": 3,
        },
    )  # fmt: skip
    x, y = (part.numpy() for part in LinearMap(data, Streams(seed=0, data_seed=0)).train_set())
    size = float(np.linalg.norm(y.T @ x / len(x)))
    left = 1 - np.sqrt(gated.trials["train_loss"]) / size
    return readings + boundaries(
        "E4", "gamma where a gated matrix dies, initial scale {}", gated.trials.assign(left=left),
        lambda _: size, x="gamma", y="init_scale", order="left", level=_ALIVE,
    )  # fmt: skip


def removed(instrument: Instrument, quick: bool) -> list[Reading]:
    """E12: under syre the weights pass the transition of E1 smoothly: a control that must show none."""
    signal, shifts = 0.5, (0.05, 0.1)
    sweep = instrument.run(
        "e12-syre",
        {
            "fixed": {
                **CHAIN, "signal": signal, "init_scale": 0.5, "learning_rate": 0.1, "steps": 1500,
                "control": "syre", "syre_distribution": "constant",
            },
            "axes": {"weight_decay": [0.5, 1.0, 2.0], "syre_scale": list(shifts)},
            "replicates": 3,
        },
    )  # fmt: skip
    readings = []
    for (decay, shift), trials in grouped(sweep.trials, "weight_decay", "syre_scale"):
        gamma = instrument.gamma_of(decay)
        name = f"weight at gamma {gamma:g} with shift {shift:g}"
        weights = np.sqrt(products(sweep, trials))
        readings.append(
            value("E12", name, exact.shifted_weight(signal, gamma, shift), weights, systematic=0.005)
        )
    return readings
