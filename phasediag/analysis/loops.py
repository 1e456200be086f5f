"""Loops of ramps: whether networks are in another state on their way up than on their way down, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd

from phasediag.analysis.axes import unnamed_axes
from phasediag.analysis.bootstrap import FEWEST_REPLICATES, Resamples, conditional, interval, replicate_codes
from phasediag.analysis.cells import order_values
from phasediag.analysis.declared_columns import about
from phasediag.analysis.frame import Groups, converged, need_columns, with_formulas
from phasediag.analysis.labels import named, prose
from phasediag.analysis.result import Result, plain
from phasediag.analysis.walk import Leg, legs_of
from phasediag.arrays import BoolArray
from phasediag.columns import Column
from phasediag.errors import AnalysisError

LoopVerdict = Literal["hysteresis", "no loop within the resolution", "no transition", "cannot tell"]
RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Hysteresis(Result):
    """The loops of ramps, one for each value of the facets."""

    figure: ClassVar[str] = "loops"

    x: str
    """The parameter that the ramps change."""
    order: str
    level: float
    facets: tuple[str, ...]
    curves: pd.DataFrame
    """One row a facet, `way` and value of x: `mean` of the order parameter over `replicates`, its interval
    `low` and `high`, and `converged`, the share of stages that have."""
    ends: pd.DataFrame
    """One row a facet and `way`: where the way leaves the state in which it began. `position` (mean
    over replicates, NaN where none does), its interval `low` and `high`, at least as wide as `before` to
    `after`: the last converged stage in the old state and the first one in the new. An end that lies beyond
    the ramp is open: infinite. `crossed` of `replicates` do leave it; `lost` are those besides that diverged
    before: of these nobody knows."""
    loops: pd.DataFrame
    """One row a facet: `verdict`, `reason`, `resolution` (a loop that is narrower may be the time that kicks
    take to grow), `span` (the end of the way up less that of the way down) and `area` (the integral over x
    of the order parameter on the way up less that on the way down), with intervals."""
    about: Column
    """What is known of the order parameter."""
    kicked: bool = True
    """Whether the stages began with kicks."""
    pinned: str = ""
    """What the intervals do not speak of."""

    @property
    def verdict(self) -> LoopVerdict:
        """The verdict of all facets, where they agree."""
        known = set(self.loops["verdict"])
        return known.pop() if len(known) == 1 else "cannot tell"

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The loops, their ends, and the curves."""
        return {"loops": self.loops, "ends": self.ends, "curves": self.curves}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Curves over facets, ways and x; their ends over facets and ways."""
        return {
            "curves": (*self.facets, "way", self.x), "ends": (*self.facets, "way"), "loops": self.facets,
        }  # fmt: skip

    def quantities(self, table: str) -> Mapping[str, Column]:
        """Means are of the order parameter, positions of x."""
        if table == "curves":
            return dict.fromkeys(("mean", "low", "high"), self.about)
        return dict.fromkeys(("position", "low", "high", "before", "after"), Column(name=self.x, meaning=""))

    @property
    def findings(self) -> tuple[str, ...]:
        """The verdict of each loop, where its ends lie, and its area."""
        return tuple(self._of_loop(loop) for _, loop in self.loops.iterrows())

    def _of_loop(self, loop: pd.Series[Any]) -> str:
        facet = ", ".join(named(name, loop[name]) for name in self.facets)
        start = f"{facet}: " if facet else ""
        ends = self.ends
        for name in self.facets:
            ends = ends[ends[name] == loop[name]]
        ways = "; ".join(self._of_end(end) for _, end in ends.iterrows())
        low, high = loop["area_low"], loop["area_high"]
        area = f"; the area between them is {loop['area']:.3g}" if np.isfinite(loop["area"]) else ""
        area += f" [{low:.3g}, {high:.3g}]" if np.isfinite(low) else ""
        return f"{start}{loop['verdict']} ({loop['reason']}); {ways}{area}."

    def _of_end(self, end: pd.Series[Any]) -> str:
        way = f"on the way {end['way']}"
        if not end["replicates"]:
            return f"{way} all diverge before {prose(self.order)} crosses {self.level:g}"
        if not end["crossed"]:
            return f"{way} {prose(self.order)} never crosses {self.level:g}"
        some = f" in {end['crossed']} of {end['replicates']}" if end["crossed"] < end["replicates"] else ""
        place = f"{end['position']:.4g} [{end['low']:.4g}, {end['high']:.4g}]"
        return f"{way} it crosses {self.level:g} at {prose(self.x)} {place}{some}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known before a loop is trusted."""
        warnings = [self.pinned] if self.pinned else []
        if self.ends["replicates"].min() < FEWEST_REPLICATES:
            warnings.append(
                f"fewer than {FEWEST_REPLICATES} replicates: the intervals are those of the stages alone"
            )
        lost = int(self.ends["lost"].sum())
        if lost:
            warnings.append(
                f"{lost} of {lost + int(self.ends['replicates'].sum())} ways end in divergence before they "
                "cross the level: they are left out of its end"
            )
        early = int((self.curves["converged"] < 1).sum())
        if early:
            warnings.append(
                f"{early} of {len(self.curves)} points of the curves rest on stages that have not converged: "
                "ends lie between converged stages; longer stages bring those closer"
            )
        if not self.kicked:
            warnings.append(
                "the ramps have no kicks: a network that sits exactly on an unstable state stays there, and "
                "the way back is delayed as if there were a loop"
            )
        return tuple(warnings)

    def as_dict(self) -> dict[str, Any]:
        """The verdict, the loops and their ends, in plain types."""
        return {
            "x": self.x, "order": self.order, "level": self.level, "verdict": self.verdict,
            "loops": plain(self.loops), "ends": plain(self.ends), "warnings": list(self.warnings),
        }  # fmt: skip


def hysteresis(
    stages: pd.DataFrame, order: str = "degree_normalized", level: float | None = None, seed: int = 0
) -> Hysteresis:
    """Where ramps that go there and back change their state, and whether that is one place or two.

    Each trial is followed on both legs of its walk; a leg ends its state where the order parameter first
    crosses the level. There is a loop where the end of the way up lies above the end of the way down by more
    than both intervals. They hold the spread of replicates and what the stages resolve: the true end lies
    between the last converged stage before the crossing and the first converged one behind it, so that a slow
    passage through a continuous transition, which delays both ends, is no loop; nor is what lies within the
    `resolution`, in which kicks take longer than a stage to grow. What the ramp shows is
    metastability against kicks of its size (`ramp_kick`) and over the length of a stage.

    Parameters
    ----------
    stages
        Of `load_trials`: the stages of ramps over one parameter, there and back.
    order
        A column, or an expression of columns, that tells two states apart.
    level
        Its value between them; None: its own.
    seed
        Of the resampling of replicates.

    Raises
    ------
    AnalysisError
        Where there are no ramps, or they go one way, or over several parameters.
    """
    stages, x = ramp_stages(stages)
    stages = with_formulas(stages, [order])
    column = about(stages, order)
    at = column.level if level is None else level
    facets = unnamed_axes(stages, (x, "way"), order)
    values = order_values(stages, order)
    stages = stages.assign(
        _value=values, _settled=_settled(stages),
        _replicate=replicate_codes(stages, Groups.of(stages, (*facets, "stage")).cell),
    )  # fmt: skip
    curves, ends, loops = [], [], []
    for key, rows in stages.groupby(list(facets), dropna=False) if facets else [((), stages)]:
        place = dict(zip(facets, key, strict=True))
        legs = legs_of(rows, x)
        draws = Resamples.of(len(legs["up"]), RESAMPLES, seed)
        edges = {way: _end(way, legs[way], at, draws) for way in ("up", "down")}
        curves += [{**place, "way": b, **point} for b in legs for point in _curve(x, legs[b], draws)]
        ends += [{**place, "way": way, **end} for way, end in edges.items()]
        loops.append({**place, **_loop(edges, legs, at, draws, _growth_of_kicks(rows, x))})
    return Hysteresis(
        x=x, order=order, level=at, facets=facets, curves=pd.DataFrame(curves), ends=pd.DataFrame(ends),
        loops=pd.DataFrame(loops), about=column, kicked=bool((stages["ramp_kick"] > 0).all()),
        pinned=conditional(stages),
    )  # fmt: skip


def _settled(stages: pd.DataFrame) -> BoolArray:
    """Which stages have converged, their counts too where these have a flag of their own, shape (stages,)."""
    settled = converged(stages, when_unknown=True)
    if "count_converged" not in stages:
        return settled
    flag = stages["count_converged"].astype("boolean").to_numpy(dtype=bool, na_value=True)
    return np.asarray(settled & flag)


def ramp_stages(trials: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The stages among some rows, and the parameter that their ramps change.

    Raises
    ------
    AnalysisError
        Where there are none, or they go one way, or over several parameters.
    """
    if "stage" not in trials or not trials["stage"].notna().any():
        raise AnalysisError(
            "these trials have no ramps; write `ramp: {parameter: weight_decay, from: a, to: b, stages: n, "
            "there_and_back: true}` in a grid"
        )
    need_columns(trials, ("ramp", "way", "status"))
    stages = trials[trials["stage"].notna() & (trials["status"] != "failed")]
    names = sorted(stages["ramp"].unique())
    if len(names) > 1:
        raise AnalysisError(
            f"the ramps go over {' and '.join(names)}; keep one, such as --where ramp={names[0]}"
        )
    if stages.groupby("trial_id")["way"].nunique().min() < 2:
        raise AnalysisError(
            "some ramps go one way; a loop needs both: set `there_and_back: true` in the grid"
        )
    return stages, str(names[0])


def _curve(x: str, legs: list[Leg], draws: Resamples) -> list[dict[str, Any]]:
    """The mean of the order parameter at each value of a way, over replicates."""
    order = np.argsort(legs[0].x)
    values = np.stack([leg.value[order] for leg in legs], axis=1)
    settled = np.stack([leg.settled[order] for leg in legs], axis=1)
    known = np.isfinite(values)
    total = np.where(known, values, 0) @ draws.weights.T
    with np.errstate(invalid="ignore"):
        drawn = total / (known @ draws.weights.T)
        mean = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    low, high = interval(drawn, draws, mean)
    return [
        {x: at, "mean": m, "low": a, "high": b, "replicates": int(n), "converged": float(s)}
        for at, m, a, b, n, s in zip(
            legs[0].x[order], mean, low, high, known.sum(axis=1), settled.mean(axis=1), strict=True
        )
    ]


def _end(way: str, legs: list[Leg], level: float, draws: Resamples) -> dict[str, Any]:
    """Where the legs of a way leave the state in which they began."""
    beyond = np.inf if way == "up" else -np.inf
    places = [leg.crossing(level) for leg in legs]
    positions = np.array([beyond if place is None else place.position for place in places])
    sure = np.array([p is not None or leg.known == len(leg.x) for p, leg in zip(places, legs, strict=True)])
    crossed = np.isfinite(positions)
    count = {"crossed": int(crossed.sum()), "replicates": int(sure.sum()), "lost": int((~sure).sum())}
    if not sure.any():
        return {**dict.fromkeys(("position", "low", "high", "before", "after"), np.nan), **count}
    if not crossed.any():
        far = float(np.mean([leg.x[-1] for leg in legs]))
        low, high = (far, np.inf) if way == "up" else (-np.inf, far)
        return {"position": np.nan, "low": low, "high": high, "before": far, "after": np.nan, **count}
    position = float(positions[crossed].mean())
    before, after = (
        float(np.mean([getattr(place, name) for place in places if place is not None]))
        for name in ("before", "after")
    )
    if crossed[sure].all():
        weights = draws.weights[:, sure]
        with np.errstate(invalid="ignore"):
            drawn = weights @ positions[sure] / weights.sum(axis=1)
        ends = interval(drawn[None], draws, position, replicates=int(sure.sum()))
        inner, outer = (float(end[0]) for end in ends)
    else:
        inner, outer = (position, beyond) if way == "up" else (beyond, position)
    return {
        "position": position, "low": float(np.fmin(inner, min(before, after))),
        "high": float(np.fmax(outer, max(before, after))), "before": before, "after": after, **count,
    }  # fmt: skip


def _loop(
    ends: Mapping[str, Mapping[str, Any]], legs: Mapping[str, list[Leg]], level: float, draws: Resamples,
    resolution: float,
) -> dict[str, Any]:  # fmt: skip
    """Verdict, span and area of a loop."""
    areas = np.array([up.area() - down.area() for up, down in zip(legs["up"], legs["down"], strict=True)])
    up, down = (
        np.array([np.nan if (place := leg.crossing(level)) is None else place.position for leg in legs[way]])
        for way in ("up", "down")
    )
    verdict, reason = _verdict(ends["up"], ends["down"], resolution)
    row: dict[str, Any] = {"verdict": verdict, "reason": reason, "resolution": resolution}
    for name, values in (("span", up - down), ("area", areas)):
        mean = float(values.mean())
        drawn = values @ draws.weights.T / len(values)
        low, high = interval(drawn[None], draws, mean)
        row |= {name: mean, f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}
    return row


def _growth_of_kicks(rows: pd.DataFrame, x: str) -> float:
    """By how much two ends may differ because kicks need time to grow, in units of x.

    Weight decay shifts the growth rate of every mode by learning_rate for each unit, so that a kick grows to
    one within a stage only from log(1 / kick) / (learning_rate * steps) beyond a continuous transition. Of
    other parameters, and of optimizers that rescale the gradient, this is not known: 0.
    """
    names = ("ramp_kick", "learning_rate", "steps", "optimizer", "momentum")
    if x != "weight_decay" or not set(names) <= set(rows.columns) or set(rows["optimizer"]) != {"sgd"}:
        return 0.0
    kick, rate, steps, _, momentum = (rows[name] for name in names)
    efolds = -np.log(kick.where(kick > 0).min())
    return float(max(0.0, efolds) / (rate * steps / (1 - momentum)).min()) if np.isfinite(efolds) else 0.0


def _verdict(up: Mapping[str, Any], down: Mapping[str, Any], resolution: float) -> tuple[LoopVerdict, str]:
    for way, end in (("up", up), ("down", down)):
        if not end["replicates"]:
            return "cannot tell", f"on the way {way} all trials diverge before they cross the level"
    if not up["crossed"] and not down["crossed"]:
        return "no transition", "neither way crosses the level within the ramp"
    if up["low"] - down["high"] > resolution:
        if not down["crossed"] or not up["crossed"]:
            way = "down" if not down["crossed"] else "up"
            return "hysteresis", f"the way {way} never comes back within the ramp: the loop is open"
        return "hysteresis", "the way up changes above the way down by more than both intervals"
    if up["high"] < down["low"]:
        return "cannot tell", "the way up changes below the way down: the order parameter is not monotonic"
    resolved = max(resolution, max(up["high"], down["high"]) - min(up["low"], down["low"]))
    return "no loop within the resolution", f"both ways change within {resolved:.3g}, which stages resolve"
