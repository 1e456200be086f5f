"""The exact results against fixtures of other derivations, and against minima, roots and integrals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize

from phasediag import exact

SIGNAL = st.floats(0.2, 2.0)


@given(value=SIGNAL, gamma=st.floats(0.0, 2.5))
def test_two_scalar_layers_end_where_their_loss_is_least(value: float, gamma: float) -> None:
    """E1, on a fine grid of balanced weights."""
    square = np.linspace(0, value, 200_001)
    least = square[np.argmin((value - square) ** 2 + 2 * gamma * square)]
    assert exact.linear_modes([value], gamma)[0] == pytest.approx(least, abs=2e-5)


def test_a_narrow_layer_keeps_the_largest_modes() -> None:
    np.testing.assert_allclose(exact.linear_modes([0.2, 1.0, 0.6], 0.1, width=2), [0.9, 0.5, 0.0])


def test_relu_loses_half_of_a_linear_map_of_symmetric_data() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3))
    x = np.concatenate([x, -x])
    b = np.array([0.3, -0.5, 0.2])
    correlation = x.T @ (x @ b) / len(x)
    assert exact.relu_threshold(x, (x @ b)[:, None]) >= np.linalg.norm(correlation) / 2 * 0.999
    plane = x[:, :2]
    y = np.maximum(plane @ b[:2], 0)[:, None]
    angle = np.linspace(0, 2 * np.pi, 20_001)
    seen = np.maximum(plane @ np.stack([np.cos(angle), np.sin(angle)]), 0).T @ y / len(x)
    assert exact.relu_threshold(plane, y) == pytest.approx(np.abs(seen).max(), rel=1e-6)


@pytest.mark.parametrize(
    ("layers", "transition", "metastable"),
    [(3, 0.294723, 0.350882), (4, 0.194746, 0.275412), (6, 0.118825, 0.224565)],
)
def test_chains(layers: int, transition: float, metastable: float) -> None:
    """E3: fixtures at c = 0.8; at the transition the learned state costs what the origin costs."""
    assert exact.chain_transition(0.8, layers) == pytest.approx(transition, abs=1e-6)
    assert exact.chain_metastability(0.8, layers) == pytest.approx(metastable, abs=1e-6)
    _, learned = exact.chain_stationary(0.8, transition, layers)
    assert learned**layers == pytest.approx(exact.chain_jump(0.8, layers), rel=1e-4)
    cost = (0.8 - learned**layers) ** 2 + transition * layers * learned**2
    assert cost == pytest.approx(0.64, rel=1e-5)
    with pytest.raises(ValueError, match="outside"):
        exact.chain_stationary(0.8, 1.001 * metastable, layers)


def test_the_separatrix_of_a_chain_of_three() -> None:
    low, _ = exact.chain_stationary(0.8, 0.2, 3)
    assert low == pytest.approx(0.255311, abs=1e-6)
    assert exact.chain_largest_gamma(0.8, low, 3) == pytest.approx(0.2)
    assert exact.chain_largest_gamma(0.8, 1.0, 3) == pytest.approx(exact.chain_metastability(0.8, 3))
    assert exact.chain_transition(0.7, 2) == pytest.approx(0.7)


def test_the_lasso_of_factors_and_of_a_gate() -> None:
    """E4: the gate keeps the matrix' direction, each factor its sign; numerically minimal."""
    c = np.array([0.8, -0.3, 0.1])
    weights = exact.dcs_weights(c, 0.2)
    for correlation, z in zip(c, weights, strict=True):
        least = optimize.minimize_scalar(
            lambda w, t=correlation: (t - w) ** 2 + 0.4 * abs(w), bounds=(-2, 2), method="bounded"
        ).x
        assert z == pytest.approx(least, abs=1e-5)
    gated = exact.gated_matrix(c, 0.2)
    assert np.linalg.norm(gated) == pytest.approx(np.linalg.norm(c) - 0.2)
    assert not exact.gated_matrix(c, 1.0).any()


@pytest.mark.parametrize(
    ("signal", "rate", "gamma", "batch", "noise"),
    [
        (0.5, 0.05, 0, 1, 3.0096), (0.5, 0.05, 0.1, 1, 2.7229), (0.5, 0.05, 0, 4, 6.0192),
        (0.5, 0.01, 0, 1, 7.016), (0.5, 0.1, 0, 1, 2.062), (1, 0.05, 0.2, 2, 5.2512),
    ],
)  # fmt: skip
def test_gaussian_noise_of_collapse(
    signal: float, rate: float, gamma: float, batch: int, noise: float
) -> None:
    """E5: fixtures; the exponent is the integral; the small-rate limit lies up to 8 % above."""
    threshold = exact.noise_threshold(signal, rate, gamma, batch, law="gaussian")
    assert threshold == pytest.approx(noise, rel=1e-4)
    assert 1 < exact.sde_noise_threshold(signal, rate / batch, gamma) / threshold < 1.09
    mean, spread = 1 - 2 * rate * gamma + 2 * rate * signal, 2 * rate * threshold / np.sqrt(batch)
    density = lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * np.log(abs(mean + spread * z))  # noqa: E731
    zero = -mean / spread
    integral = sum(integrate.quad(density, *ends, limit=200)[0] for ends in ((-40, zero), (zero, 40)))
    assert integral == pytest.approx(
        exact.growth_exponent(signal, rate, gamma, threshold, batch, "gaussian"), abs=1e-7
    )


@given(signal=SIGNAL, share=st.floats(0, 0.8), rate=st.floats(0.005, 0.1))
def test_two_point_noise_of_collapse(signal: float, share: float, rate: float) -> None:
    """E5: at the closed form one product of the two factors is 1."""
    gamma = share * signal
    noise = exact.noise_threshold(signal, rate, gamma)
    assert exact.growth_exponent(signal, rate, gamma, noise, 1, "rademacher") == pytest.approx(0, abs=1e-9)
    assert exact.growth_exponent(signal, rate, gamma, 1.01 * noise, 1, "rademacher") < 0


@given(excess=SIGNAL, share=st.floats(0.05, 0.95))
def test_noise_is_a_soft_threshold(excess: float, share: float) -> None:
    shape, scale = exact.stationary_law(excess, share * excess)
    assert shape * scale == pytest.approx(excess - share * excess)
    if abs(share - 1 / 3) > 1e-12:  # on the border itself rounding decides
        assert (shape > 1) == (share < 1 / 3)


def test_a_neuron_collapses_where_the_chain_does_in_the_limit() -> None:
    """E7 with slope 1 is E6; half the slope needs more noise."""
    assert exact.sde_neuron_noise_threshold(0.5, 0.02, gamma=0.1) == pytest.approx(
        exact.sde_noise_threshold(0.5, 0.02, 0.1)
    )
    assert exact.sde_neuron_noise_threshold(0.5, 0.02, batch=4) == pytest.approx(2 * np.sqrt(25))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("gamma", [0.0, 0.2])
def test_a_neuron_at_finite_rate(gamma: float, batch: int) -> None:
    """E7: on x = +-1 it is E5 with normal noise; its limit of a small rate is that of the SDE."""
    x = np.array([1.0, -1.0])
    for rate, most in ((0.02, 0.1), (1e-4, 1e-3)):
        noise = exact.neuron_noise_threshold(x, 0.8 * x, rate, batch=batch, gamma=gamma)
        assert noise == pytest.approx(exact.noise_threshold(0.8, rate, gamma, batch, "gaussian"), rel=1e-6)
        limit = exact.sde_neuron_noise_threshold(0.8, rate, batch, gamma)
        assert noise < limit < noise * (1 + most)


def test_a_neuron_grows_as_it_does_when_its_steps_are_multiplied() -> None:
    """E7 against 200,000 random factors on data; another slope at zero is another scale of the data."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal(8)
    y, sample = 0.5 * x, draw.integers(8, size=200_000)
    noise = 3 * draw.standard_normal(200_000)
    force = 0.04 * x[sample] * (y[sample] + noise)
    logs = [np.log(np.abs(0.99 + sign * force)) for sign in (1, -1)]
    growth = exact.neuron_growth(x, y, 0.02, 3.0, gamma=0.25)
    largest = max(logs, key=np.mean)
    assert growth == pytest.approx(largest.mean(), abs=5 * largest.std() / np.sqrt(200_000))
    half = exact.neuron_growth(x, y, 0.02, 3.0, gamma=0.25, activation_slope=0.5)
    assert half == pytest.approx(exact.neuron_growth(x / 2, y, 0.02, 3.0, gamma=0.25))


def test_every_noise_at_which_the_origin_changes_is_given() -> None:
    """A system with a sliver: it attracts between the first two and between the last two zeros."""
    zeros = exact.noise_thresholds(0.7, 0.2, 0.05, batch=4)
    np.testing.assert_allclose(zeros, [3.0356, 3.2860, 5.0653, 6.2997], rtol=1e-4)
    assert exact.noise_threshold(0.7, 0.2, 0.05, batch=4) == zeros[0]
    ends = np.concatenate([[zeros[0] / 2], zeros, [2 * zeros[-1]]])
    between = [
        exact.growth_exponent(0.7, 0.2, 0.05, noise, 4, "rademacher") for noise in (ends[1:] + ends[:-1]) / 2
    ]
    assert np.sign(between).tolist() == [1, -1, 1, -1, 1]
    np.testing.assert_allclose(
        [exact.growth_exponent(0.7, 0.2, 0.05, noise, 4, "rademacher") for noise in zeros], 0, atol=1e-9
    )
    (collapse, blows_up) = exact.noise_thresholds(0.5, 0.05, 0.0, 1)
    assert collapse == pytest.approx(exact.noise_threshold(0.5, 0.05, 0.0))
    assert blows_up > collapse


def test_where_no_noise_makes_the_origin_attract_it_is_said() -> None:
    with pytest.raises(ValueError, match=r"no label noise makes the origin attract at signal 3, .* 0.5, "):
        exact.noise_threshold(3.0, 0.5, 0.0, 2, "gaussian")


def test_the_balance_law_is_that_of_a_step() -> None:
    rng = np.random.default_rng(0)
    for u, w, g, gamma in rng.standard_normal((20, 4)):
        a = 1 - 0.02 * gamma
        u_next, w_next = a * u - 0.02 * g * w, a * w - 0.02 * g * u
        factor = exact.balance_factor(0.01, gamma, g)
        assert u_next**2 - w_next**2 == pytest.approx(factor * (u**2 - w**2), rel=1e-12)


def test_permutation_thresholds() -> None:
    """E9: fixtures; and the minimum of the loss of two neurons."""
    assert [exact.permutation_threshold((1, 0.2), h) for h in (2, 3, 8)] == pytest.approx([0.64, 1.12, 1.72])
    s, q, gamma = 1.2, 1.04, 0.3
    best = optimize.minimize(
        lambda w: (w.sum() - s) ** 2 + (w @ w - q) ** 2 + gamma * (w @ w), [1.0, 0.1], tol=1e-14
    ).x
    assert ((best - best.mean()) ** 2).sum() == pytest.approx(
        exact.permutation_variance((1, 0.2), 2, gamma), abs=1e-6
    )


@pytest.mark.parametrize("excess", [0.6, 0.05, 0.0, -0.2])
def test_learning_follows_its_equation(excess: float) -> None:
    """E10: u^2 obeys d(u^2)/dt = 4 u^2 (P - u^2)."""
    time = np.linspace(0, 12, 7)
    flow = integrate.solve_ivp(lambda t, p: 4 * p * (excess - p), (0, 12), [0.01], t_eval=time, rtol=1e-10)
    np.testing.assert_allclose(exact.learning_curve(excess, 0.01, time), flow.y[0], rtol=1e-4, atol=1e-6)
    if excess > 0.01:
        half = exact.half_time(excess, 0.01)
        assert exact.learning_curve(excess, 0.01, half) == pytest.approx(excess / 2)


def test_stability_of_descent_is_that_of_the_curvatures() -> None:
    """E11: the largest rate is 2 over the largest eigenvalue of the Hessian."""
    for signal, gamma in ((0.5, 1.0), (0.8, 0.3), (0.8, 0.6)):
        u = np.sqrt(max(signal - gamma, 0))
        off = 4 * u * u - 2 * signal
        hessian = np.array([[2 * u * u + 2 * gamma, off], [off, 2 * u * u + 2 * gamma]])
        largest_rate = exact.origin_largest_rate if gamma > signal else exact.broken_largest_rate
        assert largest_rate(signal, gamma) == pytest.approx(2 / np.linalg.eigvalsh(hessian).max())


@given(signal=SIGNAL, gamma=st.floats(0.01, 3.0), shift=st.floats(0.01, 0.5))
def test_a_shift_rounds_the_transition(signal: float, gamma: float, shift: float) -> None:
    p = exact.shifted_weight(signal, gamma, shift)
    assert p > 0
    assert p**3 - (signal - gamma) * p - gamma * shift == pytest.approx(0, abs=1e-7)
    roots = np.roots([1, 0, gamma - signal, -gamma * shift])
    real = np.sum(np.abs(roots.imag) < 1e-12)
    assert (exact.shifted_minima(signal, gamma, shift) == 2) == (real == 3)


def test_optimizers_and_noise() -> None:
    """E13, E14: the values stated; the mode of a strong signal stands where it was."""
    assert exact.decoupled_product(0.8, 2) == 0.25
    assert exact.decoupled_product(0.2, 2) == 0.2
    assert exact.noise_edge(2.0, 16, 9, 100) == pytest.approx(1.4)
    matrices = np.random.default_rng(0).standard_normal((20, 200, 300)) / 20
    tops = [np.linalg.norm(matrix, ord=2) for matrix in matrices[:3]]
    assert np.mean(tops) == pytest.approx(exact.noise_edge(1.0, 300, 200, 400), rel=0.02)
    spiked = matrices[:3].copy()
    spiked[:, 0, 0] += 2.5
    tops = [np.linalg.norm(matrix, ord=2) for matrix in spiked]
    assert np.mean(tops) == pytest.approx(exact.noisy_mode(2.5, 1.0, 300, 200, 400), rel=0.02)
    assert exact.noisy_mode(0.1, 1.0, 300, 200, 400) == exact.noise_edge(1.0, 300, 200, 400)


def test_stronger_noise_makes_a_collapsed_chain_grow_again() -> None:
    """E5 at batch 2, closed forms of both zeros; and at batch 1 and 4, where the growth changes its sign."""
    for rate in (0.05, 0.1, 0.2):
        factor = 1 - 2 * rate * 0.05 + 2 * rate * 0.7
        least, most = (exact.noise_threshold(0.7, rate, 0.05, 2), exact.noise_rebound(0.7, rate, 0.05, 2))
        assert 2 * rate * least == pytest.approx(np.sqrt(factor**2 - factor**-2), rel=1e-9)
        assert 2 * rate * most == pytest.approx(np.sqrt(factor**2 + factor**-2), rel=1e-9)
    for batch in (1, 4):
        for law in ("rademacher", "gaussian"):
            most = exact.noise_rebound(0.7, 0.05, 0.05, batch, law)
            below, above = (
                exact.growth_exponent(0.7, 0.05, 0.05, most * by, batch, law) for by in (0.999, 1.001)
            )
            assert below < 0 < above
