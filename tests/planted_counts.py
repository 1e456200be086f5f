"""Sweeps whose numbers of neurons are planted: trials of three lengths, and their insertion distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from phasediag.theory.gaps import gap_counts

Planted = Callable[[int, float, int, int, float], int]
"""The number of neurons of a value of `inputs`, a decay, a width, a replicate and a factor of the steps."""


def planted(
    number: Planted, inputs: Sequence[int] = (1, 2, 4, 8), decays: int = 12, replicates: int = 8,
    widths: Sequence[int] = (64, 128, 256), factors: Sequence[float] = (1, 2, 4), gap: float = 1e4,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Trials and their numbers by gaps: so many distances of about 1, and the rest smaller by `gap`."""
    draw = np.random.default_rng(0)
    rows, distances = [], []
    values = np.geomspace(1e-3, 1, decays)
    for each in product(inputs, values, widths, range(replicates), factors):
        count = min(number(*each), each[2])
        own = np.sort(draw.uniform(1, 2, each[2]))[::-1]
        own[count:] /= gap
        distances.append(own)
        rows.append(each)
    names = ["inputs", "weight_decay", "width", "replicate", "factor"]
    trials = pd.DataFrame(rows, columns=names)
    trials["steps"] = np.ceil(30 / (0.2 * trials["weight_decay"]) * trials["factor"]).astype(int)
    trials = trials.drop(columns="factor").assign(
        status="ok", converged=True, threshold_absolute=1e-4,
        trial_id=[f"t{place}" for place in range(len(rows))],
    )  # fmt: skip
    measurements = trials[["trial_id"]].assign(observable="directions", distances=distances)
    return trials, gap_counts(trials, measurements)


def falling(exponent: Callable[[int], float], amplitude: float = 3.0, scatter: float = 0.1) -> Planted:
    """N = amplitude * decay^-exponent, with a factor of each replicate that all its cells share."""
    factors = np.exp(scatter * np.random.default_rng(1).standard_normal(64))

    def number(inputs: int, decay: float, width: int, replicate: int, factor: float) -> int:
        return int(np.rint(amplitude * factors[replicate] * decay ** -exponent(inputs)))

    return number
