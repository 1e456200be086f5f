"""E6 from a sweep: the law of u w that label noise keeps up, in each of its three phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from phasediag import exact
from phasediag.analysis.distributions import distributions
from phasediag.calibration.instrument import Instrument

SIGNAL, RATE, DECAY, CHAINS = 0.5, 0.01, 0.2, 1000
LARGEST = 1.63 / np.sqrt(CHAINS) + 0.02
"""Of Kolmogorov and Smirnov's statistic: its 1 % level, and what the finite learning rate may do."""


@pytest.mark.physics
@pytest.mark.slow
def test_the_distribution_over_seeds_is_the_exact_law(tmp_path: Path) -> None:
    """T s^2 = a/5: peaked off zero; 7a/10: normalizable, peaked at zero; 3a/2: collapsed (a = c - gamma)."""
    excess = SIGNAL - exact.gamma_of(DECAY)
    shares = (0.2, 0.7, 1.5)
    noises = [float(np.sqrt(share * excess / RATE)) for share in shares]
    fixed = {
        "task": "scalar_linear", "test_samples": 1, "batch_size": 1, "model": "mlp", "depth": 2, "width": 1,
        "activation": "linear", "init": "balanced", "dtype": "float64", "signal": SIGNAL, "init_scale": 0.4,
        "learning_rate": RATE, "weight_decay": DECAY, "steps": 3000,
    }  # fmt: skip
    sweep = Instrument(folder=tmp_path).run(
        "e6-law", {"fixed": fixed, "axes": {"label_noise": noises}, "replicates": CHAINS}
    )
    product = sweep.last("sign_flip")[:, 0] ** 2 / 2
    trials = sweep.trials.assign(product=product, collapsed=product < 1e-3)
    made = distributions(trials, "label_noise", "product", bins=24)
    for noise, share in zip(noises[:2], shares, strict=False):
        shape, scale = exact.stationary_law(excess, share * excess)
        law = stats.gamma(shape, scale=scale)
        values = trials.loc[np.isclose(trials["label_noise"], noise), "product"]
        assert stats.kstest(values, law.cdf).statistic < LARGEST
        rows = made.densities[np.isclose(made.densities["label_noise"], noise)]
        width = rows["to"] - rows["from"]
        shares_of_bins = np.diff(law.cdf([*rows["from"], rows["to"].iloc[-1]]))
        above = rows["density_low"] * width - 0.02 <= shares_of_bins
        below = rows["density_high"] * width + 0.02 >= shares_of_bins
        held = above & below
        assert held.mean() >= 0.9
        peak = rows["from"].to_numpy()[int(np.argmax(rows["density"]))]
        assert (peak > 0.05) == (share < 0.5)
    lost = trials.groupby("label_noise")["collapsed"].mean().sort_index().to_numpy()
    assert lost[0] < 0.02
    assert lost[2] > 0.75
