"""Moderated variances: what is alike is pooled, what differs keeps its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from phasediag.analysis.moderation import _inverse_trigamma, moderated

CELLS, FREEDOM = 2000, 9


def sampled(rng: np.random.Generator, true: np.ndarray) -> np.ndarray:
    return true * rng.chisquare(FREEDOM, true.shape) / FREEDOM


def test_variances_that_differ_by_chance_only_become_nearly_one() -> None:
    rng = np.random.default_rng(0)
    raw = sampled(rng, np.full((3, CELLS), 4.0))
    variances = moderated(raw, np.full_like(raw, FREEDOM))
    assert np.abs(variances / 4 - 1).max() < 0.15
    assert np.abs(raw / 4 - 1).max() > 1


@pytest.mark.parametrize("prior", [4.0, 12.0])
def test_the_posterior_is_that_of_the_planted_prior(prior: float) -> None:
    """True variances s0^2 d0 / chi^2(d0): posterior (d0 s0^2 + d s^2) / (d0 + d)."""
    rng = np.random.default_rng(1)
    true = 2.0 * prior / rng.chisquare(prior, (4, CELLS))
    raw = sampled(rng, true)
    exact = (prior * 2.0 + FREEDOM * raw) / (prior + FREEDOM)
    np.testing.assert_allclose(moderated(raw, np.full_like(raw, FREEDOM)), exact, rtol=0.15)


def test_variances_of_different_orders_of_magnitude_keep_their_own() -> None:
    rng = np.random.default_rng(2)
    raw = sampled(rng, 10.0 ** rng.uniform(-6, 6, (1, CELLS)))
    variances = moderated(raw, np.full_like(raw, FREEDOM))
    assert np.median(np.abs(np.log(variances / raw))) < 0.1


def test_a_cell_of_one_value_takes_the_common_variance() -> None:
    rng = np.random.default_rng(3)
    raw = sampled(rng, np.full((1, 200), 4.0))
    freedom = np.full_like(raw, FREEDOM)
    raw[0, 7], freedom[0, 7] = np.nan, 0
    assert moderated(raw, freedom)[0, 7] == pytest.approx(4, rel=0.1)


def test_variances_along_a_trend_become_nearly_those_of_the_trend() -> None:
    """Over four decades each would keep its own without it; with so few cells a trend costs little."""
    rng = np.random.default_rng(5)
    place = np.linspace(-1, 1, 45)
    true = np.tile(10.0 ** (2 * place - place**2), (200, 1))
    raw = sampled(rng, true)
    freedom = np.full_like(raw, FREEDOM)
    along = moderated(raw, freedom, np.vander(place, 4))
    error, before = (np.log(each / true).std() for each in (along, moderated(raw, freedom)))
    assert error < 0.2
    assert before > 0.4


def test_the_unit_does_not_matter() -> None:
    raw = sampled(np.random.default_rng(4), np.geomspace(1, 5, 30)[None])
    freedom = np.full_like(raw, FREEDOM)
    np.testing.assert_allclose(moderated(1e-6 * raw, freedom), 1e-6 * moderated(raw, freedom), rtol=1e-9)


@pytest.mark.parametrize("raw", [[[1.0, 2.0]], [[0.0, 0.0, 0.0, 3.0]]])
def test_too_few_are_left_as_they_are(raw: list[list[float]]) -> None:
    given = np.array(raw)
    np.testing.assert_array_equal(moderated(given, np.full_like(given, FREEDOM)), given)


def test_the_inverse_of_trigamma() -> None:
    values = np.geomspace(1e-8, 1e6, 60)
    np.testing.assert_allclose(special.polygamma(1, _inverse_trigamma(values)), values, rtol=1e-7)
