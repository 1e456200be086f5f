"""Where a boundary goes when training gets longer and longer.

What is slow near a boundary keeps it from where it will be. If the rate at which the order parameter
relaxes grows as a power k of the distance to the boundary, t steps tell the phases apart where distance**k
times t is large enough, so that the boundary of t steps is at b + c * t**-p with p = 1 / k. E10 has k = 1
(and a logarithm, by which p looks larger than 1 where the threshold is small); the end of a metastable state
(E3) has k = 1/2; the first passage under multiplicative noise (E5), which smears by sqrt(t), has k = 2. So p
is looked for between 1/2 and 2, and the interval is over all p that the boundaries allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import special

from phasediag.analysis.branches import Direction
from phasediag.analysis.declared_columns import level_in
from phasediag.analysis.labels import prose
from phasediag.analysis.lengths import ORIGINAL, points_of, superseded
from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.analysis.result import Result, plain
from phasediag.analysis.versions import newest
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError
from phasediag.storage.launches import LAUNCHES, LENGTHS, Launches

EXPONENTS: Final[FloatArray] = np.linspace(0.5, 2.0, 61)
"""The p that are looked at."""
RECIPROCAL: Final = int(np.argmin(np.abs(EXPONENTS - 1)))
"""The place of p = 1 among them, which is taken wherever the boundaries allow it."""
FEWEST_LENGTHS: Final = 3
"""With fewer a line can be drawn through anything."""
_FREE: Final = 2
"""Numbers that are free where p is at an end of its range: so many deviations are none."""
SURE: Final = 0.95
TIMES: Final = "times the first steps"
"""How long training was where neither steps nor learning time are alike in all trials."""
SO_LONG: Final = "trained_so_long"
"""The column of `lengths_of` that says whether a trial is of the length itself, and not of a shorter one."""
_ALIKE: Final = 1e-9
EXTRAPOLATED: Final = "extrapolated"
CANNOT_TELL: Final = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """The limit b of boundaries at b + c * t**-p after several lengths t of training, as fitted."""

    limit: float
    """At the p that is taken: 1 where that is allowed, else the best."""
    low: float
    high: float
    """The profile-likelihood interval, 95 %, over all p between 1/2 and 2."""
    exponent: float
    exponent_low: float
    exponent_high: float
    """Smallest and largest p that are allowed."""
    amplitude: float
    """c, in units of the boundary, at the longest length."""
    misfit: float
    """Sum of squared deviations over squared errors at the best p."""
    tolerated: float
    """What that is below in at least 95 of 100 cases where the model holds."""

    @property
    def fits(self) -> bool:
        """Whether the boundaries are compatible with the model."""
        return self.misfit <= self.tolerated


def extrapolated(times: FloatArray, positions: FloatArray, errors: FloatArray) -> Extrapolation:
    """Fit b + c * t**-p to boundaries, for every p that is looked at.

    Longer trials pass through the shorter ones, so that the errors of their boundaries have something in
    common; how much is not asked: the error of the limit is the larger of what it is where they are
    independent and where they are all the same.

    Parameters
    ----------
    times, positions, errors
        Lengths, where the boundary was, and its standard errors, shape (lengths,) each; at least 3.
    """
    basis = (times / times.max()) ** -EXPONENTS[:, None]
    weights = errors**-2.0
    total = weights.sum()
    centre, mean = basis @ weights / total, float(positions @ weights / total)
    away = basis - centre[:, None]
    spread = away**2 @ weights
    slope = (away * (positions - mean)) @ weights / spread
    limit = mean - slope * centre
    misfit = (positions - limit[:, None] - slope[:, None] * basis) ** 2 @ weights
    shares = weights * (1 / total - centre[:, None] * away / spread[:, None])
    error = np.maximum(np.sqrt(shares**2 @ errors**2), np.abs(shares @ errors))
    best = int(misfit.argmin())
    room = misfit[best] + float(special.chdtri(1, 1 - SURE)) - misfit
    allowed = room >= 0
    reach = error * np.sqrt(np.maximum(room, 0))
    taken = RECIPROCAL if allowed[RECIPROCAL] else best
    return Extrapolation(
        limit=float(limit[taken]), low=float((limit - reach)[allowed].min()),
        high=float((limit + reach)[allowed].max()), exponent=float(EXPONENTS[taken]),
        exponent_low=float(EXPONENTS[allowed].min()), exponent_high=float(EXPONENTS[allowed].max()),
        amplitude=float(slope[taken]), misfit=float(misfit[best]),
        tolerated=float(special.chdtri(len(times) - _FREE, 1 - SURE)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BoundaryLimit(Result):
    """The boundary at each length of training, and where it goes."""

    figure: ClassVar[str] = "limit"

    x: str
    keys: tuple[str, ...]
    """The columns that tell the rows of the boundary apart: the facets, and y."""
    order: str
    level: float
    time: str
    """What the lengths are: `steps`, `learning_time`, or `times the first steps`."""
    boundaries: pd.DataFrame
    """One row a length and row of the diagram: `keys`, `length`, `position`, `low`, `high`, and `trained`:
    whether the cells on both sides were trained for so long, without which it does not enter."""
    limits: pd.DataFrame
    """One row a row of the diagram: `keys`, `limit` with its 95 % interval `low`, `high`, `exponent` with
    `exponent_low`, `exponent_high`, `amplitude` (of the term in the length, at the longest that entered),
    `last` (the boundary there), `longest` (that length), `lengths` (how many entered), `misfit`, `tolerated`,
    `verdict` (`extrapolated` or `cannot tell`) and `reason`."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The limits, and the boundaries behind them."""
        return {"limits": self.limits, "boundaries": self.boundaries}

    @property
    def lengths(self) -> FloatArray:
        """The lengths of training that were compared, ascending, shape (lengths,), in units of `time`."""
        return np.unique(self.boundaries["length"].to_numpy(dtype=np.float64))

    @property
    def findings(self) -> tuple[str, ...]:
        """Where the boundary goes, by which law, and where that cannot be told."""
        lengths, sure = self.lengths, self.limits[self.limits["verdict"] == EXTRAPOLATED]
        span = f"{len(lengths)} lengths of training ({self.time} {lengths[0]:g} to {lengths[-1]:g})"
        if sure.empty:
            return (f"Where the boundary {self.order} = {self.level:g} goes {CANNOT_TELL}: see the reasons.",)
        least, most = sure["limit"].min(), sure["limit"].max()
        at = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
        interval = f"[{sure['low'].iloc[0]:.4g}, {sure['high'].iloc[0]:.4g}]"
        half = ((sure["high"] - sure["low"]) / 2).median()
        width = f"95 % interval {interval}" if len(sure) == 1 else f"95 % interval typically ±{half:.2g}"
        inverse = int(((sure["exponent_low"] <= 1) & (sure["exponent_high"] >= 1)).sum())
        inside = int(((sure["low"] <= sure["last"]) & (sure["last"] <= sure["high"])).sum())
        return (
            f"Over {span} the boundary {prose(self.order)} = {self.level:g} goes to {prose(self.x)} = "
            f"{at} when training gets longer without end ({width}), in {len(sure)} of "
            f"{len(self.limits)} rows.",
            f"It does so as b + c t^-p: p = 1 is allowed in {inverse} of them. In {inside} of them the "
            "boundary at the longest length lies in the interval of the limit already.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """In which rows it cannot be told, and why."""
        left = self.limits[self.limits["verdict"] == CANNOT_TELL]
        return tuple(
            f"{CANNOT_TELL} in {len(rows)} of {len(self.limits)} rows: {reason}"
            for reason, rows in left.groupby("reason", sort=False)
        )

    def as_dict(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "x": self.x, "order": self.order, "level": self.level, "time": self.time,
            "limits": plain(self.limits), "boundaries": plain(self.boundaries),
            "warnings": list(self.warnings),
        }  # fmt: skip


def boundary_limit(
    trials: pd.DataFrame, x: str, y: str | None = None, order: str = "degree_normalized",
    level: float | None = None, facet: str | Sequence[str] | None = None, *,
    direction: Direction | None = None, resamples: int = 1000, seed: int = 0,
) -> BoundaryLimit:  # fmt: skip
    """Find the boundary at every length of training, and extrapolate it to infinitely many steps.

    A length holds of each point the trials of that length, or where it was not trained for so long, since it
    was called settled before, the longest that there are. A boundary counts at a length only where the points
    on both sides of it were trained for so long: one that was called settled too early would hold it back. Of
    several crossings of a row that of branch 1 is taken. Whether trials have converged plays no part: that
    they have not is what is extrapolated from.

    Parameters
    ----------
    trials
        Trials of at least 3 lengths, as `load_trials` returns them: of an axis `steps`, or trained again by
        `phasediag launch --extend` or `--until-converged`.
    x, y, order, level, facet, direction, resamples, seed
        As `phase_diagram` takes them; level None: the own one of `order`.

    Raises
    ------
    AnalysisError
        Where there are fewer lengths, or as `phase_diagram` does.
    """
    facets = (facet,) if isinstance(facet, str) else tuple(facet or ())
    at = level_in(trials, order, level)
    time, parts = lengths_of(newest(trials, (x, y, order, *facets, "steps")))
    if len(parts) < FEWEST_LENGTHS:
        raise AnalysisError(
            f"the trials have {len(parts)} length{'s' if len(parts) != 1 else ''} of training, and to tell "
            f"where the boundary goes takes {FEWEST_LENGTHS}; `phasediag launch SWEEP --until-converged`, or "
            "--extend 2 and --extend 4, train them for longer"
        )
    tables = []
    for length, part in parts.items():
        diagram = phase_diagram(
            part, x, y, order, at, facets, resamples=resamples, seed=seed, direction=direction
        )
        lengthened = phase_diagram(part, x, y, SO_LONG, 0.5, facets, resamples=1)
        tables.append(_of_length(length, diagram, lengthened.cells))
    keys, boundaries = diagram.keys, pd.concat(tables).reset_index(drop=True)
    groups = boundaries.groupby(list(keys), sort=False, dropna=False) if keys else [((), boundaries)]
    limits = pd.DataFrame(
        [{**dict(zip(keys, values, strict=True)), **_limit(rows)} for values, rows in groups]
    )
    return BoundaryLimit(
        x=x, keys=keys, order=order, level=at, time=time, boundaries=boundaries, limits=limits
    )


def lengths_of(trials: pd.DataFrame) -> tuple[str, dict[float, pd.DataFrame]]:
    """The trials as they were at each length of training, ascending, and what the lengths are.

    The column `trained_so_long` is 1 of trials of the length itself, 0 of shorter ones. Longer trials of
    points in which some are missing are left out; a point that was not trained for a length stands there
    with its longest trials that are shorter.

    Parameters
    ----------
    trials
        All trials, of every length.
    """
    factors = Launches.of_plain(trials.attrs[LAUNCHES]).factors if LAUNCHES in trials.attrs else ()
    if factors:
        trials = trials[~superseded(trials, factors)[1]]
    point = points_of(trials)
    time, length = _length(trials, point, factors)
    parts = {}
    for each in np.unique(length[np.isfinite(length)]):
        longest = np.full(int(point.max()) + 1, -np.inf)
        within = length <= each
        np.maximum.at(longest, point[within], length[within])
        part = trials[within & (length == longest[point])]
        own = length[within & (length == longest[point])] == each
        part = part.drop(columns=[name for name in LENGTHS if name in part])
        part = part.assign(**{SO_LONG: own.astype(np.float64)})
        if "converged" in part:
            part = part.assign(converged=True)
        parts[float(each)] = part
    return time, parts


def _length(trials: pd.DataFrame, point: Any, factors: Sequence[float]) -> tuple[str, FloatArray]:
    """How long each trial was trained, in a unit in which that compares over points, and the unit."""
    for name in (name for name in LENGTHS if name in trials):
        held = trials[name].to_numpy(dtype=np.float64, na_value=np.nan)
        first = pd.Series(held).groupby(point).transform("min").to_numpy(dtype=np.float64)
        if np.isfinite(first).all() and np.allclose(first, first[0], rtol=_ALIKE, atol=0):
            return name, held
    steps = trials["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    if not factors:
        return "steps", steps
    known = np.array([ORIGINAL, *factors])
    ratio = steps / pd.Series(steps).groupby(point).transform("min").to_numpy(dtype=np.float64)
    return TIMES, known[np.abs(np.log(known) - np.log(ratio)[:, None]).argmin(axis=1)]


def _of_length(length: float, diagram: PhaseDiagram, cells: pd.DataFrame) -> pd.DataFrame:
    """The boundary of each row, and whether the cells on both sides of it were trained for so long.

    Parameters
    ----------
    cells
        Those of the diagram of `SO_LONG`.
    """
    keys = list(diagram.keys)
    main = diagram.main[[*keys, "position", "low", "high"]].reset_index(drop=True)
    trained = []
    for row in main.to_dict("records"):
        same = [(cells[name] == row[name]).to_numpy() for name in keys]
        own = cells[np.all([np.full(len(cells), True), *same], axis=0)].sort_values(diagram.x)
        below, above = own[own[diagram.x] <= row["position"]], own[own[diagram.x] >= row["position"]]
        beside = [*below["mean"].tail(1), *above["mean"].head(1)]
        trained.append(bool(beside) and min(beside) == 1)
    columns = [*keys, "length", "position", "low", "high", "trained"]
    return main.assign(length=length, trained=trained)[columns]


def _limit(rows: pd.DataFrame) -> dict[str, Any]:
    """What is known of the limit of one row, from its boundaries in the order of their lengths."""
    crossed = rows[rows["position"].notna()]
    there = crossed[crossed["trained"]]
    bounded = there[np.isfinite(there["high"] - there["low"])]
    known: dict[str, Any] = dict.fromkeys(
        ("limit", "low", "high", "exponent", "exponent_low", "exponent_high", "amplitude"), np.nan
    )
    last = bounded[["position", "length"]].to_numpy(np.float64)[-1] if len(bounded) else (np.nan, np.nan)
    known |= {"last": float(last[0]), "longest": float(last[1]), "lengths": len(bounded)}
    known |= {"misfit": np.nan, "tolerated": np.nan}
    if len(bounded) < FEWEST_LENGTHS:
        return {**known, "verdict": CANNOT_TELL, "reason": _too_few(len(crossed), len(there), len(bounded))}
    times, at, low, high = (bounded[n].to_numpy(np.float64) for n in ("length", "position", "low", "high"))
    fit = extrapolated(times, at, (high - low) / (2 * float(special.ndtri((1 + SURE) / 2))))
    known |= {"misfit": fit.misfit, "tolerated": fit.tolerated}
    if not fit.fits:
        reason = (
            "the boundary does not go as b + c t^-p with p between 1/2 and 2; train for longer, or leave "
            "short lengths out (--where 'steps >= ...')"
        )
        return {**known, "verdict": CANNOT_TELL, "reason": reason}
    names = ("limit", "low", "high", "exponent", "exponent_low", "exponent_high", "amplitude")
    return {**known, **{n: getattr(fit, n) for n in names}, "verdict": EXTRAPOLATED, "reason": ""}


def _too_few(crossed: int, there: int, bounded: int) -> str:
    needed = f"and {FEWEST_LENGTHS} are needed"
    if crossed < FEWEST_LENGTHS:
        return f"the boundary is inside the range of x at {crossed} lengths, {needed}"
    if there < FEWEST_LENGTHS:
        return (
            f"the points on both sides of the boundary were trained for so long at {there} of the lengths, "
            f"{needed}: some were called settled; `phasediag launch SWEEP --extend` trains all of them"
        )
    return f"the boundary has a bounded interval at {bounded} lengths, {needed}; 2 replicates give none"


def courses(limit: BoundaryLimit) -> Iterator[tuple[dict[str, Any], pd.DataFrame, pd.Series[Any]]]:
    """Each row of the diagram: its keys, its boundaries by length, and its limit."""
    for _, row in limit.limits.iterrows():
        keys = {name: row[name] for name in limit.keys}
        same = [(limit.boundaries[name] == value).to_numpy() for name, value in keys.items()]
        own = np.all([np.full(len(limit.boundaries), True), *same], axis=0)
        yield keys, limit.boundaries[own].sort_values("length"), row
