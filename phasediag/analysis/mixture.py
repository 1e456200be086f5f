"""Two phases as the two components of a mixture of all values of an order parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

MOST_VALUES: Final = 20_000
"""More values than this are thinned at random before a mixture is fitted."""
NARROWEST: Final = 1e-3
"""Smallest standard deviation of a component, as a share of the range of the values: counts and
saturated degrees repeat one value exactly, which would give a component of no width."""
_STARTS: Final = ((0.1, 0.9), (0.25, 0.75))
"""Quantiles where the components start, besides the ends of the range: of several optima the best counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Two normal components."""

    mean: tuple[float, float]
    """Ascending."""
    std: tuple[float, float]
    weight: tuple[float, float]
    bic_gain: float
    """Bayesian information criterion of one component less that of two: above 10 is very strong evidence
    for two (R. E. Kass and A. E. Raftery, JASA 90, 773, 1995)."""

    @classmethod
    def of(cls, values: FloatArray, seed: int = 0) -> Mixture | None:
        """Fit two components; None where all values are equal or fewer than 4 are finite.

        Parameters
        ----------
        values
            Shape (trials,); those that are not finite are left out.
        """
        from sklearn.mixture import GaussianMixture  # takes a second, and few diagrams are of mixtures

        values = values[np.isfinite(values)]
        if len(values) > MOST_VALUES:
            values = np.random.default_rng(seed).choice(values, MOST_VALUES, replace=False)
        if len(values) < 4 or values.min() == values.max():
            return None
        low, span = float(values.min()), float(np.ptp(values))
        unit = ((values - low) / span)[:, None]
        one = GaussianMixture(1, reg_covar=NARROWEST**2, random_state=seed).fit(unit)
        starts = [np.array([[0.0], [1.0]]), *(np.quantile(unit, ends)[:, None] for ends in _STARTS)]
        fits = [
            GaussianMixture(
                2, reg_covar=NARROWEST**2, means_init=start, random_state=seed, max_iter=500
            ).fit(unit)
            for start in starts
        ]  # fmt: skip
        two = max(fits, key=lambda fit: float(fit.lower_bound_))
        order = np.argsort(two.means_[:, 0])
        mean = low + span * two.means_[order, 0]
        std = span * np.sqrt(two.covariances_[order, 0, 0])
        weight = two.weights_[order]
        return cls(
            mean=(float(mean[0]), float(mean[1])), std=(float(std[0]), float(std[1])),
            weight=(float(weight[0]), float(weight[1])), bic_gain=float(one.bic(unit) - two.bic(unit)),
        )  # fmt: skip

    def upper(self, values: FloatArray) -> FloatArray:
        """The probability that each value belongs to the upper component; NaN for NaN.

        Values outside the two means count as at them, so that the probability never falls with the value.
        """
        from scipy import stats

        inside = np.clip(values, *self.mean)
        logs = [np.log(self.weight[k]) + stats.norm.logpdf(inside, self.mean[k], self.std[k]) for k in (0, 1)]
        return np.asarray(1 / (1 + np.exp(np.clip(logs[0] - logs[1], -700, 700))), dtype=np.float64)

    @property
    def level(self) -> float:
        """The value that is equally likely in both components; midway where none between the means is."""
        from scipy.optimize import brentq

        ends = self.upper(np.array(self.mean)) - 0.5
        if ends[0] >= 0 or ends[1] <= 0:
            return sum(self.mean) / 2
        return float(brentq(lambda v: float(self.upper(np.array([v]))[0]) - 0.5, *self.mean))


def two_phases(values: FloatArray, order: str) -> Mixture:
    """The mixture of an order parameter.

    Raises
    ------
    AnalysisError
        Where the values speak for one component only.
    """
    mixture = Mixture.of(values)
    if mixture is None or mixture.bic_gain <= 0:
        raise AnalysisError(
            f"'{order}' does not fall into two components in these trials; use method='level' with a level, "
            "or method='slope'"
        )
    return mixture
