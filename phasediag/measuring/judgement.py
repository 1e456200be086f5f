"""Whether trials have converged, in their phase and in their counts: one judgement, at any threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from phasediag.arrays import FloatArray
from phasediag.measuring.convergence import (
    RELAXATIONS,
    ROUNDING,
    MarginCourse,
    count_more_steps,
    log_margin,
    more_steps,
    steps_to_change,
    steps_to_crossing,
)
from phasediag.measuring.moments import CourseMoments
from phasediag.observables.observable import DistanceObservable
from phasediag.observables.threshold import living_scale

NORMS = "sign_flip"
"""The observable whose distances are the norms of neurons, by which the threshold is scaled."""
DEGREE = "permutation"
"""The observable of `degree_normalized`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """The verdicts on the convergence of some trials; arrays of shape (trials,)."""

    drift: FloatArray
    """degree_normalized at the end less that at 0.9 of the run; NaN of one neuron."""
    more_steps: FloatArray
    """Steps until the phase stands; 0 where it does."""
    count_more_steps: FloatArray
    """Steps until every count stays; 0 where they do."""
    unsettled: FloatArray
    """Which counts may change, as `words` reads it: all where decay had too few relaxations; NaN where there
    is nothing to measure."""

    @classmethod
    def none(cls, trials: int) -> Judgement:
        """The judgement of trials in which there is nothing to measure."""
        unknown = np.full(trials, np.nan)
        return cls(drift=unknown, more_steps=unknown, count_more_steps=unknown, unsettled=unknown)

    def columns(self) -> dict[str, FloatArray]:
        """The columns of `trials` that tell it.

        Each of shape (trials,), float64, NaN where it is not known.
        """
        return {
            "drift": self.drift,
            "converged": _flag(self.more_steps), "more_steps": self.more_steps,
            "count_converged": _flag(self.count_more_steps), "count_more_steps": self.count_more_steps,
            "unsettled": self.unsettled,
        }  # fmt: skip


def _flag(needed: FloatArray) -> FloatArray:
    return np.where(np.isnan(needed), np.nan, needed == 0)


def judged(
    measured: Mapping[str, CourseMoments], rules: Mapping[str, DistanceObservable],
    threshold: tuple[FloatArray, FloatArray], steps: FloatArray, speed: FloatArray, factor: float = 1.0,
) -> Judgement:  # fmt: skip
    """Judge trials whose layers are of one size.

    Parameters
    ----------
    measured
        The distances of each observable of the layer, of `sign_flip` and `permutation` in any case.
    rules
        How they are counted, by the same names.
    threshold
        Absolute and relative part, shape (trials,) each.
    steps
        Length of the run, shape (trials,).
    speed
        Learning rate times weight decay, shape (trials,).
    factor
        As `DistanceObservable.count` takes it.
    """
    absolute, relative = threshold
    norms = measured[NORMS]
    epsilon = {
        moment: np.maximum(absolute, relative * living_scale(getattr(norms, moment)))
        for moment in ("half", "late", "last")
    }
    relaxing = np.divide(RELAXATIONS, speed, out=np.zeros(len(steps)), where=speed > 0)
    drift = _drift(measured[DEGREE], rules[DEGREE], epsilon, absolute)
    missing = np.maximum(0.0, np.ceil((1 - ROUNDING) * relaxing - steps))
    waits, needed = [], {}
    for name, rule in in_force({name: rules[name] for name in measured}).items():
        moments = measured[name]
        limits = {
            moment: rule.limit(getattr(moments, moment), epsilon[moment], absolute, factor)
            for moment in epsilon
        }
        over, sinking = _course(moments, limits), _course(moments, dict.fromkeys(epsilon, absolute))
        if moments.length:
            waits.append(
                _sooner(over, sinking, *(steps_to_crossing(each, steps) for each in (over, sinking)))
            )
        strict = _sooner(over, sinking, *(steps_to_change(each, steps) for each in (over, sinking)))
        counts = rule.count(moments.last, epsilon["last"], absolute, factor).astype(np.float64)
        held = moments.length - counts if rule.complement else counts
        needed[rule.column or name] = np.maximum(missing, count_more_steps(strict, held))
    return Judgement(
        drift=drift, more_steps=more_steps(waits, drift, steps, relaxing),
        count_more_steps=np.max(list(needed.values()), axis=0),
        unsettled=np.sum([2.0**bit * (needed[name] > 0) for bit, name in enumerate(sorted(needed))], axis=0),
    )  # fmt: skip


def in_force(rules: Mapping[str, DistanceObservable]) -> dict[str, DistanceObservable]:
    """The observables whose counts stand in the columns of trials: without those that another supersedes."""
    superseded = {rule.supersedes for rule in rules.values()}
    return {name: rule for name, rule in rules.items() if name not in superseded}


def counts_of(rules: Mapping[str, DistanceObservable]) -> tuple[str, ...]:
    """The counts of some observables in the order of their bits: by column, or else by observable."""
    return tuple(sorted(rule.column or name for name, rule in in_force(rules).items()))


def words(unsettled: FloatArray, counts: Sequence[str]) -> npt.NDArray[np.object_]:
    """The counts that may change, separated by blanks; None where there is nothing to measure.

    Parameters
    ----------
    unsettled
        As `Judgement` has it.
    counts
        All that were judged, in the order of `counts_of`.
    """
    texts = {
        code: " ".join(name for bit, name in enumerate(counts) if int(code) >> bit & 1)
        for code in np.unique(unsettled[~np.isnan(unsettled)]).tolist()
    }
    return np.array([texts.get(code) for code in unsettled.tolist()], dtype=object)


def _drift(
    moments: CourseMoments, rule: DistanceObservable, epsilon: Mapping[str, FloatArray], absolute: FloatArray
) -> FloatArray:
    """Change of the normalized degree in the last tenth of the run."""
    if not moments.length:
        return np.full(len(moments), np.nan)
    late, last = (rule.count(getattr(moments, m), epsilon[m], absolute) for m in ("late", "last"))
    drift: FloatArray = (last - late) / moments.length
    return drift


def _course(moments: CourseMoments, limits: Mapping[str, FloatArray]) -> MarginCourse:
    """The margins over a limit at each moment."""
    return MarginCourse(**{moment: log_margin(getattr(moments, moment), limits[moment]) for moment in limits})


def _sooner(
    over: MarginCourse, sinking: MarginCourse, relative: FloatArray, absolute: FloatArray
) -> FloatArray:
    """Steps until each distance passes its limit, or sinks below the absolute part of it.

    A layer that shrinks as a whole keeps its distances over the relative part.
    """
    may_sink = (over.last > 0) & (sinking.last > 0)
    return np.minimum(relative, np.where(may_sink, absolute, np.inf))
