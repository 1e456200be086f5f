"""How a count scales with a parameter: a power law with its interval, beside its alternatives.

All laws are fitted by the quasi-likelihood of counts and are compared by its information criterion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.bootstrap import Resamples, interval, replicate_codes
from phasediag.analysis.fit_words import described_models
from phasediag.analysis.frame import numbers, with_formulas
from phasediag.analysis.independence import Independence, fit_independence
from phasediag.analysis.laws import LAWS, law, log_linear, pearson, prediction_error, quasi_likelihood
from phasediag.analysis.measured import valueless
from phasediag.analysis.selection import ROOM, advice, select, told
from phasediag.analysis.verdict import Claim, bounded, independent, polynomial
from phasediag.analysis.versions import newest
from phasediag.errors import AnalysisError

if TYPE_CHECKING:
    from phasediag.analysis.plot import Axes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FEWEST_POINTS: Final = 3
"""Distinct values of x that a fit needs."""
PLATEAU: Final = 0.05
"""Neighbouring means that differ from the first or last by less than this share form a plateau."""

_LEAST_DISPERSION: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalingFit:
    """A power law, its interval and its alternatives."""

    x: str
    y: str
    exponent: float
    """Of the power law y ~ x^exponent."""
    low: float
    high: float
    """The 95 % interval of the exponent; NaN with fewer than 3 replicates."""
    window: tuple[float, float]
    """The smallest and largest x that entered."""
    n: int
    """Trials that entered."""
    replicates: int
    left_out: Mapping[str, int]
    """Trials that did not enter, by reason."""
    models: tuple[Mapping[str, Any], ...]
    """`name, formula, parameters, aic, delta_aic, r2, prediction` of each law, best first; `prediction` is
    the quasi-deviance a value of x, over the dispersion, of what a fit to two thirds of the window says
    of the rest: about 1 for the true law."""
    points: pd.DataFrame
    """One row a value of x: x under its own name, `mean`, `std`, `trials`, `inside` the window, and the
    power law `fit` with its 95 % band `low`, `high` (NaN outside)."""
    independence: Independence | None
    """How y goes with the width where x is the same; None with one width."""
    claims: tuple[Claim, ...]
    """What the trials say of the conjecture and of Theorem 4."""
    room: float = ROOM
    """The share of the width above which the mean count of a cell left it out."""

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types: `exponent, low, high, window, n, models`, and what was fitted.

        Numbers that are not finite become None.
        """
        names = ("x", "y", "exponent", "low", "high", "window", "n", "replicates", "left_out", "models")
        found = {name: _plain(getattr(self, name)) for name in names}
        found["independence"] = None if self.independence is None else _plain(asdict(self.independence))
        return {**found, "claims": [_plain(asdict(claim)) for claim in self.claims]}

    def summary(self) -> str:
        """The result in words."""
        lines = [
            f"{self.y} ~ {self.x}^{self.exponent:.3f}   95 % interval {self._interval()}",
            f"window {self.window[0]:g} <= {self.x} <= {self.window[1]:g}, {self.n} trials, "
            f"{self.replicates} replicates",
        ]
        if self.left_out:
            lines.append(f"left out: {told(self.left_out)}")
            lines += [f"  {line}" for line in advice(self.left_out)]
        lines += described_models(self.models)
        lines += [f"{claim.verdict}: {claim.claim} ({claim.reason})" for claim in self.claims]
        return "\n".join(lines)

    def _interval(self) -> str:
        if np.isnan(self.low):
            return f"unknown with {self.replicates} replicates (3 are needed)"
        return f"[{self.low:.3f}, {self.high:.3f}]"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw means, power law and alternatives."""
        from phasediag.analysis.plot import draw_scaling

        return draw_scaling(self, ax)

    def _repr_png_(self) -> bytes:
        """What a notebook shows of a fit."""
        from phasediag.analysis.plot import png

        return png(self.plot())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def fit_scaling(
    trials: pd.DataFrame,
    x: str = "weight_decay",
    y: str = "neuron_count",
    window: tuple[float, float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    by: str = "width",
    room: float = ROOM,
) -> ScalingFit:
    """Fit y ~ x^exponent, and say how well other laws do.

    Only trials that are ok and converged, with positive x, enter, from cells of x and width most of
    which has converged and whose count the width does not limit. Other axes are pooled: filter the trials
    to fit one of their values. Where several widths remain, the dependence on the width is fitted
    with a mean of its own for each x, so that no law is assumed.

    The interval is a percentile bootstrap over replicates, resampled jointly over all x, corrected for
    few replicates. `aic` is the quasi-likelihood's (QAIC): divided by
    the smallest dispersion that a law reaches, so that it is comparable between the laws.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.
    x
        A numeric parameter, or an expression such as `weight_decay / 2 + lr_over_batch * label_noise ** 2`.
    y
        A count, or another column or expression that is never negative.
    window
        The smallest and largest x to enter. By default a plateau at either end is left out: two or more
        neighbouring means at the end that lie within 5 % of the last one.
    resamples, seed
        Of the bootstrap.
    by
        The column of the widths, whose influence is tested; ignored where the trials lack it.
    room
        Cells whose mean count exceeds this share of their width are left out: a layer cannot hold more
        neurons than it has. Ignored where some count does exceed its width; 1 keeps all.

    Raises
    ------
    AnalysisError
        For unknown or unusable columns, or where fewer than 3 values of x remain.
    """
    trials = with_formulas(newest(trials, (x, y), pooled=True), (x, y))
    if x == y:
        raise AnalysisError(f"x and y are both '{x}'; a scaling needs two columns")
    at, counts = numbers(trials, x), numbers(trials, y)
    without = valueless(trials, y, counts)
    if without:
        raise AnalysisError(f"{without}; there is nothing to fit")
    sizes = numbers(trials, by) if by in trials and by != x else None
    usable, left_out = select(trials, at, counts, sizes, room)
    points = _points(x, at[usable], counts[usable])
    window = _window(points, x, y, left_out) if window is None else window
    inside = usable & (at >= window[0]) & (at <= window[1])
    points["inside"] = points[x].between(*window)
    left_out |= {"outside the window": int((usable & ~inside).sum())}
    kept = points[points["inside"]]
    _check_points(kept, x, y, window, left_out)
    rows = np.flatnonzero(inside)
    values, means = kept[x].to_numpy(dtype=np.float64), kept["mean"].to_numpy(dtype=np.float64)
    place = np.searchsorted(values, at[rows])
    models = _compared(values, means, kept["trials"].to_numpy(dtype=np.float64), counts[rows], place)
    power = next(m for m in models if m["name"] == "power law")["parameters"]
    replicate = np.unique(replicate_codes(trials.iloc[rows], place), return_inverse=True)[1]
    replicates = int(replicate.max()) + 1
    total, number = _sums(place, replicate, counts[rows])
    draws = Resamples.of(replicates, resamples, seed)
    u = np.log(values) - np.log(values).mean()
    coefficients = log_linear(u, draws.weights @ total.T, draws.weights @ number.T)[:, draws.draw]
    low, high = interval(coefficients[1], replicates)
    curves = np.exp(coefficients[0] + coefficients[1] * u[:, None])
    band = dict(zip(("low", "high"), interval(curves, replicates), strict=True))
    fitted = law("power law").curve(values, np.array(list(power.values())))
    points = points.join(pd.DataFrame({"fit": fitted, **band}, index=kept.index))
    independence = None
    if sizes is not None:
        independence = fit_independence(by, sizes[rows], at[rows], counts[rows], replicate)
    claims = (
        polynomial(x, y, models, float(np.log10(values[-1] / values[0]))), independent(x, y, independence),
        bounded(x, y, float(low), float(high), _dimension(trials)),
    )  # fmt: skip
    return ScalingFit(
        x=x, y=y, exponent=power["exponent"], low=float(low), high=float(high),
        window=(float(values[0]), float(values[-1])), n=len(rows), replicates=replicates,
        left_out={reason: number for reason, number in left_out.items() if number},
        models=models, points=points, independence=independence, claims=claims, room=room,
    )  # fmt: skip


def _dimension(trials: pd.DataFrame) -> int | None:
    """The length of a neuron's vector in a network of two layers; None where it is not the same for all."""
    names = ("inputs", "outputs", "bias", "depth")
    if any(name not in trials or trials[name].nunique(dropna=False) != 1 for name in names):
        return None
    first = trials[list(names)].iloc[0]
    if first.isna().any() or first["depth"] != 2:
        return None
    return int(first["inputs"]) + int(first["outputs"]) + int(bool(first["bias"]))


def _points(x: str, at: FloatArray, counts: FloatArray) -> pd.DataFrame:
    grouped = pd.DataFrame({x: at, "count": counts}).groupby(x)["count"]
    return grouped.agg(mean="mean", std="std", trials="size").reset_index()


def _window(points: pd.DataFrame, x: str, y: str, left_out: Mapping[str, int]) -> tuple[float, float]:
    """From the first to the last x that lies on no plateau at an end."""
    means, values = points["mean"].to_numpy(), points[x].to_numpy()
    if len(points) < FEWEST_POINTS:
        return (0.0, np.inf)
    first, last = _plateau(means), len(means) - _plateau(means[::-1])
    if last - first < FEWEST_POINTS:
        raise AnalysisError(
            f"only {max(last - first, 0)} values of {x} lie between the plateaus of {y}, a fit needs "
            f"{FEWEST_POINTS} (trials left out: {told(left_out)}); give --window LOW HIGH (window=), or add "
            f"values where it changes{_advised(left_out)}"
        )
    return float(values[first]), float(values[last - 1])


def _plateau(means: FloatArray) -> int:
    """How many of the first means form a plateau; one alone is none."""
    flat = np.abs(means - means[0]) <= PLATEAU * np.maximum(means[0], means)
    length = len(means) if flat.all() else int(np.argmin(flat))
    return length if length > 1 else 0


def _check_points(
    kept: pd.DataFrame, x: str, y: str, window: tuple[float, float], left_out: Mapping[str, int]
) -> None:
    if len(kept) < FEWEST_POINTS:
        raise AnalysisError(
            f"{len(kept)} distinct values of {x} remain in the window {window[0]:g} to {window[1]:g}, a fit "
            f"needs {FEWEST_POINTS} (trials left out: {told(left_out)}); widen --window (window=), train "
            f"longer, or add values{_advised(left_out)}"
        )
    alive = np.flatnonzero(kept["mean"].to_numpy() > 0)
    if not len(alive):
        raise AnalysisError(f"'{y}' is 0 in all trials of the window; give a window where it is not")
    if len(alive) == 1 and alive[0] in (0, len(kept) - 1):
        raise AnalysisError(
            f"'{y}' is 0 everywhere in the window but at {x} = {kept[x].iloc[alive[0]]:g}, its end: a power "
            f"law that does so has no finite exponent; give a window in which more values of {x} have "
            "counts, or add values there"
        )


def _advised(left_out: Mapping[str, int]) -> str:
    return "".join(f"\n  {line}" for line in advice(left_out))


def _sums(
    place: npt.NDArray[Any], replicate: npt.NDArray[Any], counts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the counts of each point and replicate, shape (points, replicates) each."""
    shape = (int(place.max()) + 1, int(replicate.max()) + 1)
    index = np.ravel_multi_index((place, replicate), shape)
    total = np.bincount(index, counts, minlength=shape[0] * shape[1]).reshape(shape)
    number = np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
    return total.astype(np.float64), number.astype(np.float64)


def _compared(
    x: FloatArray, means: FloatArray, weights: FloatArray, counts: FloatArray, place: IntArray
) -> tuple[Mapping[str, Any], ...]:
    """Fit every law to the counts, `place` telling the x of each; best first."""
    growing = law("power law").fit(x, means, weights)[1] > 0
    wrong = "saturating" if growing else "saturating growth"
    laws = [one for one in LAWS if one.name != wrong and len(x) >= one.points]
    fitted = [np.asarray(one.fit(x, means, weights)) for one in laws]
    curves = [one.curve(x, parameters) for one, parameters in zip(laws, fitted, strict=True)]
    likelihoods = [_likelihood(curve, means, weights) for curve in curves]
    scatter = [
        pearson(curve[place], counts).sum() if np.isfinite(likelihood) else np.inf
        for curve, likelihood in zip(curves, likelihoods, strict=True)
    ]
    free = np.array([max(len(counts) - len(parameters), 1) for parameters in fitted])
    dispersion = max(float(np.min(scatter / free)), _LEAST_DISPERSION)
    spread = _residual(means, weights, np.full_like(means, weights @ means / weights.sum()))
    models: list[dict[str, Any]] = [
        {
            "name": one.name,
            "formula": one.formula,
            "parameters": dict(zip(one.parameters, parameters.tolist(), strict=True)),
            "aic": 2 * one.price - 2 * likelihood / dispersion,
            "r2": 1 - _residual(means, weights, curve) / spread if spread > 0 else float("nan"),
            "prediction": prediction_error(one, x, means, weights) / dispersion,
        }
        for one, parameters, curve, likelihood in zip(laws, fitted, curves, likelihoods, strict=True)
    ]
    best = min(model["aic"] for model in models)
    return tuple(sorted(({**m, "delta_aic": m["aic"] - best} for m in models), key=lambda m: float(m["aic"])))


def _likelihood(curve: FloatArray, means: FloatArray, weights: FloatArray) -> float:
    """The quasi-likelihood of a law; -inf where it cannot be: no number, or no count where there is one."""
    return quasi_likelihood(curve, means, weights) if np.isfinite(curve).all() else -np.inf


def _residual(means: FloatArray, weights: FloatArray, curve: FloatArray) -> float:
    return float(weights @ (means - curve) ** 2)
