"""The simulated Ising model against exact sums; its exponents come back within intervals that cover."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from phasediag.calibration import ising
from phasediag.calibration.ising import COUPLINGS, CRITICAL, EXPONENTS, LENGTHS, REPLICATES, chain, moments

pytestmark = pytest.mark.skipif(not ising.possible(), reason="no compiler")


def exact_moments(length: int, coupling: float) -> np.ndarray:
    """<|m|>, <m^2>, <m^4> by the sum over all states."""
    states = np.array(list(product((-1, 1), repeat=length**2)), dtype=np.int8).reshape(-1, length, length)
    bonds = sum((states * np.roll(states, 1, axis)).sum(axis=(1, 2), dtype=int) for axis in (1, 2))
    m = states.mean(axis=(1, 2))
    weight = np.exp(coupling * (bonds - bonds.max()))
    return np.array([(np.abs(m) ** power * weight).sum() / weight.sum() for power in (1, 2, 4)])


@pytest.mark.parametrize("coupling", [0.2, CRITICAL])
def test_a_small_lattice_has_the_moments_of_the_sum_over_its_states(coupling: float) -> None:
    """3 x 3, ten chains of 4000: within 4 standard errors over chains."""
    chains = np.array([moments(chain(3, coupling, (1, k), 4000)) for k in range(10)])
    error = chains.std(axis=0, ddof=1) / np.sqrt(len(chains))
    assert (np.abs(chains.mean(axis=0) - exact_moments(3, coupling)) < 4 * error).all()
    assert (error < 0.01).all()


def test_a_chain_is_its_seed() -> None:
    np.testing.assert_array_equal(chain(8, 0.4, (3,), 50), chain(8, 0.4, (3,), 50))
    assert not np.array_equal(chain(8, 0.4, (3,), 50), chain(8, 0.4, (4,), 50))


CHAINS, PER_REPLICATE, SETS = 1000, 10, 100


@pytest.mark.physics
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_intervals_cover_the_exact_exponents() -> None:
    """Of 100 simulated data sets each 95 % interval covers its exact value in 90 to 99 %.

    A data set is 10 replicates of 10 chains of 200 samples in each cell. The sets are drawn without
    replacement from 1000 independent chains a cell: two of them share a tenth of their chains.
    """
    cells = product(range(len(LENGTHS)), range(len(COUPLINGS)), range(CHAINS))
    chains = [moments(chain(LENGTHS[i], COUPLINGS[j], (77, c, i, j), 200)) for i, j, c in cells]
    pool = np.reshape(chains, (len(LENGTHS), len(COUPLINGS), CHAINS, 3))
    hits: dict[str, list[pd.Series]] = {"magnetization": [], "susceptibility": []}
    for number in range(SETS):
        drawn = np.random.default_rng(number).permutation(CHAINS)[: REPLICATES * PER_REPLICATE]
        means = pool[:, :, drawn].reshape(*pool.shape[:2], REPLICATES, PER_REPLICATE, 3).mean(axis=3)
        for y, made in ising.collapses(ising.as_trials(means), resamples=100).items():
            truth = pd.Series(
                {"y_exponent": EXPONENTS[y], "x_exponent": EXPONENTS["x_exponent"], "critical": CRITICAL}
            )
            hits[y].append((made.parameters["low"] <= truth) & (made.parameters["high"] >= truth))
    shares = pd.DataFrame({y: pd.DataFrame(each).mean() for y, each in hits.items()})
    assert shares.stack().between(0.90, 0.99).all(), shares.to_string()
