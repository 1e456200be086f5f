"""When symmetries break: the first passage of every generator, with what was not seen, and how it scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, conditional, interval
from phasediag.analysis.frame import need_columns
from phasediag.analysis.labels import named, prose
from phasediag.analysis.passages import first_passages
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

FEWEST_VALUES: Final = 3
"""An exponent of fewer values of x is none."""
RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BreakingTimes(Result):
    """First-passage times of the generators of one symmetry: the k-th to break is number k."""

    figure: ClassVar[str] = "breaking_times"

    observable: str
    layer: str
    unit: str
    """The unit of times: `learning time` (steps times learning rate), or `steps` where the rate changes."""
    x: str | None
    critical: float | None
    """The value of x at which times diverge; None: they are not scaled."""
    starts: str | None
    cells: tuple[str, ...]
    """The axes of the sweep, by which trials differ but for their replicates."""
    times: pd.DataFrame
    """One row a trial and `generator` (1, 2, ...): the axes, `replicate`, `time` of its first passage,
    `early` and `late` (the recorded steps between which it fell, as times), `broken` (False: not until
    `time`, the end of the trial)."""
    distribution: pd.DataFrame
    """One row a cell and `generator`: `trials`, `broken` of them, and quartiles of the distribution with what
    was not seen taken into account [Kaplan and Meier 1958]: `quarter`, `median`, with its 95 % interval `low`
    and `high`, `three_quarters`; infinite where fewer broke."""
    scaling: pd.DataFrame
    """One row a `quantity` and `generator`: `time` (proportional to |x - critical| to the power of minus
    `exponent`) or `rate` (one over the time that an e-fold of the start costs, to the power of `exponent`),
    with `low`, `high`, the `values` of x that it rests on, and those `left_out` because some trial did not
    break there. Empty without a critical value."""
    growth: pd.DataFrame
    """One row a cell (starts left out) and `generator`: `delay`, by how much later it breaks for each e-fold
    by which the start is smaller, with `low` and `high`. Empty without starts."""
    at_once: int = 0
    """Generators that were broken before the first step: they have no time."""
    pinned: str = ""
    """What the intervals do not speak of."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Distributions, exponents, delays, and every time."""
        some = {name: table for name in ("scaling", "growth") if len(table := getattr(self, name))}
        return {"distribution": self.distribution, **some, "times": self.times}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many generators broke, and how the times scale."""
        broken, count = int(self.times["broken"].sum()), len(self.times)
        findings = [f"{broken} of {count} generators of {self.observable} on {self.layer} broke."]
        findings += [self._scaled(row) for _, row in self.scaling.iterrows()]
        if len(self.growth):
            low, high = self.growth["delay"].min(), self.growth["delay"].max()
            findings.append(
                f"Each e-fold of a smaller {prose(self.starts or '')} delays it by {low:.4g} to {high:.4g} "
                f"({self.unit})."
            )
        return tuple(findings)

    def _scaled(self, row: pd.Series[Any]) -> str:
        way = "falls" if row["quantity"] == "time" else "grows"
        what = "The time" if row["quantity"] == "time" else "The rate of growth"
        ends = f" [{row['low']:.3f}, {row['high']:.3f}]" if np.isfinite(row["low"]) else ""
        return (
            f"{what} of generator {row['generator']} {way} as |{prose(self.x or '')} - {self.critical:g}| to "
            f"the power of {row['exponent']:.3f}{ends} over {row['values']} values."
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before the times are trusted."""
        warnings = [self.pinned] if self.pinned else []
        if self.at_once:
            warnings.append(
                f"{self.at_once} generators were broken before the first step and have no time: start "
                "smaller, or raise the threshold"
            )
        coarse = self.times["broken"] & (self.times["late"] > 2 * self.times["early"])
        if coarse.any():
            warnings.append(
                f"{int(coarse.sum())} times are known to a factor of 2 only: set a smaller "
                "`measure: {every: ...}`"
            )
        if self.critical is not None and self.scaling.empty:
            warnings.append(
                f"no exponent: it takes {FEWEST_VALUES} values of {prose(self.x or '')} besides "
                f"{self.critical:g} at which every trial broke"
            )
        left = int(self.scaling["left_out"].max()) if len(self.scaling) else 0
        if left:
            warnings.append(
                f"{left} values of {self.x} are left out of exponents: not every trial broke there"
            )
        return tuple(warnings)

    def as_dict(self) -> dict[str, Any]:
        """Distributions, exponents and delays in plain types."""
        tables = {name: plain(table) for name, table in self.tables.items() if name != "times"}
        return {"observable": self.observable, "layer": self.layer, "unit": self.unit, "x": self.x,
                "critical": self.critical, **tables, "warnings": list(self.warnings)}  # fmt: skip

    def cell_name(self, cell: pd.Series[Any]) -> str:
        """What a figure calls a cell."""
        return ", ".join(named(name, cell[name]) for name in self.cells)


def breaking_times(
    measurements: pd.DataFrame,
    trials: pd.DataFrame,
    x: str | None = None,
    critical: float | None = None,
    starts: str | None = None,
    layer: str | None = None,
    seed: int = 0,
) -> BreakingTimes:
    """The times at which generators break, their distribution over replicates, and how they scale.

    The k-th generator breaks where the k-th largest distance first crosses the threshold: between two
    recorded steps, by interpolation of its logarithm where the distances were stored (`distances: all`),
    else in the middle. A trial that ends before tells that its time is longer, and no more.

    Near a transition the time is log(size / start) / rate, with a rate that vanishes as |x - critical|^z: the
    exponent of the time itself has a correction of one over that logarithm. Where starts are compared, the
    rate is given by the delay of a smaller start, and its exponent has none.

    Parameters
    ----------
    measurements
        Of `load_measurements`, of one observable, all steps.
    trials
        Of `load_trials`, the same trials.
    x, critical
        The parameter that times are scaled with, and where they diverge.
    starts
        The parameter whose logarithm delays the breaking, such as `init_scale`.
    layer
        Whose; None: the only one.
    seed
        Of the resampling of replicates.

    Raises
    ------
    AnalysisError
        Where there are several observables or layers, no generator that could break, ramps, or no such x.
    """
    need_columns(measurements, ("trial_id", "step", "layer", "observable", "degree", "max_degree", "epsilon"))
    if "stage" in trials and trials["stage"].notna().any():
        raise AnalysisError(
            "trials with ramps change their parameters on the way: a time of theirs is of none"
        )
    rows = _of_one(measurements, layer)
    named_axes = [name for name in (x, starts) if name is not None]
    need_columns(trials, ["trial_id", "replicate", "learning_rate", *named_axes])
    cells = tuple(dict.fromkeys([*named_axes, *axes_of(trials)]))
    known = trials[trials["status"] == "ok"].set_index("trial_id")
    rows = rows[rows["trial_id"].isin(known.index)]
    passages, at_once = first_passages(rows)
    plain_rate = {"schedule": "constant", "warmup_steps": 0}
    unit = "steps"
    times = passages.join(known[[*dict.fromkeys([*cells, "replicate", "learning_rate"])]], on="trial_id")
    if all(name not in known or (known[name] == value).all() for name, value in plain_rate.items()):
        unit = "learning time"
        for name in ("time", "early", "late"):
            times[name] = times[name] * times["learning_rate"]
    times = times[["trial_id", *cells, "replicate", "generator", "time", "early", "late", "broken"]]
    growth = _growth(times, cells, starts, seed)
    return BreakingTimes(
        observable=str(rows["observable"].iloc[0]), layer=str(rows["layer"].iloc[0]), unit=unit, x=x,
        critical=critical, starts=starts, cells=cells, times=times,
        distribution=_distribution(times, cells), scaling=_scaling(times, growth, x, critical, starts, seed),
        growth=_delays(growth, seed),
        at_once=at_once, pinned=conditional(trials),
    )  # fmt: skip


def _of_one(measurements: pd.DataFrame, layer: str | None) -> pd.DataFrame:
    """The rows of one observable on one layer."""
    rows = measurements if layer is None else measurements[measurements["layer"] == layer]
    for name in ("observable", "layer"):
        values = sorted(rows[name].unique())
        if len(values) != 1:
            several = ", ".join(values) or "none"
            raise AnalysisError(f"times are of one {name}, and these measurements have {several}; keep one")
    return rows


def _distribution(times: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """Quartiles of each cell and generator, by the estimate of Kaplan and Meier."""
    from statsmodels.duration.survfunc import SurvfuncRight

    table = []
    for key, group in times.groupby([*cells, "generator"], dropna=False):
        place = dict(zip((*cells, "generator"), key, strict=True))
        survival = SurvfuncRight(group["time"].to_numpy(), group["broken"].to_numpy().astype(np.int64))
        quarter, median, three = (
            float(value) if np.isfinite(value := survival.quantile(p)) else np.inf for p in (0.25, 0.5, 0.75)
        )
        low, high = (float(end) for end in _median_interval(survival, len(group)))
        table.append(
            {
                **place, "trials": len(group), "broken": int(group["broken"].sum()), "quarter": quarter,
                "median": median, "low": low, "high": high, "three_quarters": three,
            }
        )  # fmt: skip
    return pd.DataFrame(table)


def _median_interval(survival: Any, trials: int) -> tuple[float, float]:
    """The 95 % interval of the median; NaN of too few trials."""
    if trials < FEWEST_REPLICATES:
        return np.nan, np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = survival.quantile_ci(0.5, alpha=0.05, method="cloglog")
    return float(low), float(high)


def _growth(times: pd.DataFrame, cells: Sequence[str], starts: str | None, seed: int) -> pd.DataFrame:
    """The delay for each e-fold of a smaller start, of each cell, generator and replicate."""
    if starts is None:
        return pd.DataFrame()
    if not (times[starts] > 0).all():
        raise AnalysisError(f"'{starts}' must be positive, for its logarithm delays the breaking")
    table = []
    others = [name for name in cells if name != starts]
    for key, group in times.groupby([*others, "generator", "replicate"], dropna=False):
        if group["broken"].all() and group[starts].nunique() > 1:
            slope = np.polyfit(-np.log(group[starts]), group["time"], 1)[0]
            table.append({**dict(zip((*others, "generator", "replicate"), key, strict=True)), "delay": slope})
    return pd.DataFrame(table, columns=[*others, "generator", "replicate", "delay"])


def _delays(growth: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The mean delay of each cell and generator, over replicates, with its interval."""
    if growth.empty:
        return growth
    keys = [name for name in growth.columns if name not in ("replicate", "delay")]
    return pd.DataFrame(
        [
            {**dict(zip(keys, key, strict=True)), **_mean_of(group["delay"].to_numpy(), "delay", seed)}
            for key, group in growth.groupby(keys, dropna=False)
        ]
    )


def _scaling(
    times: pd.DataFrame, growth: pd.DataFrame, x: str | None, critical: float | None, starts: str | None,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """The exponents of times, and of rates of growth, with |x - critical|."""
    columns = ["quantity", "generator", "exponent", "low", "high", "values", "left_out"]
    if x is None or critical is None:
        return pd.DataFrame(columns=columns)
    table = []
    for generator in np.unique(times["generator"].to_numpy(dtype=np.int64)):
        group = times[times["generator"] == generator]
        complete = group.groupby(x)["broken"].transform("all") & (group[x] != critical)
        kept = group[complete]
        if starts is not None:
            kept = kept[kept[starts] == kept[starts].min()]
        quantities = {"time": (kept, "time", -1.0)}
        if len(growth):
            own = growth[(growth["generator"] == generator) & (growth[x] != critical)]
            quantities["rate"] = (own, "delay", -1.0)
        for quantity, (rows, name, sign) in quantities.items():
            if rows[x].nunique() < FEWEST_VALUES:
                continue
            slopes = [
                sign * np.polyfit(np.log(np.abs(one[x] - critical)), np.log(one[name]), 1)[0]
                for _, one in rows.groupby("replicate") if one[x].nunique() >= FEWEST_VALUES
            ]  # fmt: skip
            mean = _mean_of(np.array(slopes), "exponent", seed)
            table.append(
                {
                    "quantity": quantity, "generator": int(generator), **mean,
                    "values": int(rows[x].nunique()),
                    "left_out": int(group.loc[group[x] != critical, x].nunique() - rows[x].nunique()),
                }
            )  # fmt: skip
    return pd.DataFrame(table, columns=columns)


def _mean_of(values: FloatArray, name: str, seed: int) -> dict[str, float]:
    """The mean over replicates, with its interval."""
    draws = Resamples.of(len(values), RESAMPLES, seed)
    mean = float(values.mean())
    low, high = interval((values @ draws.weights.T / len(values))[None], draws, mean)
    return {name: mean, "low": float(low[0]), "high": float(high[0])}
