"""Laws of the training itself: E8 (balance), E10 (times), E11 (stability)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasediag import exact
from phasediag.arrays import FloatArray
from phasediag.calibration.decay import CHAIN
from phasediag.calibration.instrument import Instrument, Sweep, grouped
from phasediag.calibration.reading import Reading, boundaries, value


def balance(instrument: Instrument, quick: bool) -> list[Reading]:
    """E8: C = u^2 - w^2 after many noisy steps, against the product of the exact factors of each step.

    Each step's force g is read off the step of u alone, u' = (1 - 2 eta gamma) u - 2 eta g w; the law then
    tells the step of w. Replicates in which u comes near zero, where its sign is not measured, are left out.
    Of the neuron the balanced norm is measured: norm^2 = 2 |u w|.
    """
    rate, decays = 0.01, (0.1, 0.4)
    sweep = instrument.run(
        "e8-balance",
        {
            "fixed": {
                **CHAIN, "init": "kaiming_normal", "signal": 0.5, "label_noise": 0.5, "learning_rate": rate,
                "steps": 200,
            },
            "axes": {"weight_decay": list(decays)},
            "replicates": 32,
            "measure": {"observables": ["rank"], "every": 1, "distances": "all"},
        },
    )  # fmt: skip
    u, norm = (_histories(sweep, observable) for observable in ("rank", "sign_flip"))
    readings = []
    for decay, trials in grouped(sweep.trials, "weight_decay"):
        gamma = instrument.gamma_of(decay)
        ratios = [
            ratio for trial in trials["trial_id"]
            if (ratio := _balance_ratio(u[trial].to_numpy(), norm[trial].to_numpy(), rate, gamma)) is not None
        ]  # fmt: skip
        name = f"C after 200 noisy steps / product of the factors, gamma {gamma:g}"
        readings.append(value("E8", name, 1.0, ratios, systematic=1e-6))
    return readings


def _histories(sweep: Sweep, observable: str) -> pd.DataFrame:
    """The first distance at each recorded step (rows) of each trial (columns)."""
    history = sweep.history(observable)
    return history.assign(first=[row[0] for row in history["distances"]]).pivot(
        index="step", columns="trial_id", values="first"
    )


def _balance_ratio(u: FloatArray, norm: FloatArray, rate: float, gamma: float) -> float | None:
    w_square = norm**4 / (4 * u**2)
    if u.min() < 5 * np.abs(np.diff(u)).max() or w_square.min() < 1e-3:
        return None
    c = u**2 - w_square
    force_square = ((1 - 2 * rate * gamma) * u[:-1] - u[1:]) ** 2 / (4 * rate**2 * w_square[:-1])
    return float(c[-1] / (c[0] * exact.balance_factor(rate, gamma, np.sqrt(force_square)).prod()))


def times(instrument: Instrument, quick: bool) -> list[Reading]:
    """E10: the time of learning at several distances from the transition, and the algebraic law at it."""
    signal, rate, starts = 0.8, 4e-3, (0.01, 0.5)
    sweep = instrument.run(
        "e10-times",
        {
            "fixed": {**CHAIN, "signal": signal, "learning_rate": rate, "steps": 2400},
            "axes": {"weight_decay": [0.4, 0.8, 1.2, 1.6], "init_scale": list(starts)},
            "replicates": 2,
            "measure": {"every": 20, "distances": "all"},
        },
    )  # fmt: skip
    square = _histories(sweep, "sign_flip") ** 2 / 2
    time = square.index.to_numpy() * rate
    readings = []
    for (decay, start), trials in grouped(sweep.trials, "weight_decay", "init_scale"):
        excess = signal - instrument.gamma_of(decay)
        curves = square[trials["trial_id"]].to_numpy().T
        if excess > 1e-9 and start == starts[0]:
            reached = [float(np.interp(excess / 2, curve, time)) for curve in curves]
            name = f"time to half of the signal, c - gamma {excess:.3g}"
            readings.append(value("E10", name, exact.half_time(excess, start**2), reached, systematic=0.01))
        elif start == starts[1]:
            expected = float(exact.learning_curve(excess, start**2, time[-1]))
            name = f"u^2 at time {time[-1]:g} from {start**2:g}, c - gamma {excess:.3g}"
            readings.append(value("E10", name, expected, curves[:, -1], systematic=0.01))
    return readings


def stability(instrument: Instrument, quick: bool) -> list[Reading]:
    """E11: the learning rates at which the origin and the learned minimum lose their stability.

    The minimum is approached with u = w, so that of its two curvatures only 4 (c - gamma) is tried.
    """
    signal = 0.5
    origin = instrument.run(
        "e11-origin",
        {
            "fixed": {**CHAIN, "init": "kaiming_normal", "init_scale": 1e-6, "signal": signal, "steps": 100},
            "axes": {
                "learning_rate": {"logspace": [0.2, 2.0], "num": 60 if quick else 120},
                "weight_decay": [2.0, 3.0],
            },
            "replicates": 4,
        },
    )  # fmt: skip
    learned = instrument.run(
        "e11-minimum",
        {
            "fixed": {**CHAIN, "init_scale": 0.7, "signal": 0.8, "steps": 1000},
            "axes": {
                "learning_rate": {"logspace": [0.3, 2.6], "num": 100 if quick else 200},
                "weight_decay": [0.3, 0.6],
            },
            "replicates": 3,
        },
    )  # fmt: skip
    trials = learned.trials
    settled = (np.abs(trials["train_loss"] / trials["gamma"] ** 2 - 1) < 1e-2).astype(float)
    return boundaries(
        "E11", "largest learning rate of the origin, weight decay {}", origin.trials,
        lambda decay: exact.origin_largest_rate(signal, instrument.gamma_of(decay)),
        x="learning_rate", y="weight_decay", order="log_rate", level=0.0,
    ) + boundaries(
        "E11", "largest learning rate of the minimum, weight decay {}", trials.assign(settled=settled),
        lambda decay: exact.broken_largest_rate(0.8, instrument.gamma_of(decay)),
        x="learning_rate", y="weight_decay", order="settled", level=0.5,
    )  # fmt: skip
