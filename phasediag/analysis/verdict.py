"""Which claims about the count of neurons the trials support, which not, and which they cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.fit_words import prediction
from phasediag.analysis.independence import NEGLIGIBLE, ROOMY, Independence
from phasediag.analysis.law_comparison import TOLERATED, UNTESTED, LawComparison, kinds
from phasediag.analysis.laws import law

SupportVerdict = Literal["supported", "not supported", "cannot tell"]
THEOREM_4_COUNTS: Final = ("neuron_count",)
"""The counts of distinct neurons that Theorem 4 bounds."""
AGREEING: Final = "all replicates agree exactly, which tells nothing of the error"
LEAST_DECADES: Final = 1.0
"""A window narrower than this tells no law from another: a steep power and a cut-off look alike."""
FEWEST_VALUES: Final = max(law(name).points for name in ("step", "broken power law"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim and what the trials say of it."""

    claim: str
    verdict: SupportVerdict
    reason: str


def polynomial(x: str, y: str, comparison: LawComparison, decades: float) -> Claim:
    """Whether y is polynomial in x: by what laws foretell of left-out replicates at left-out values of x.

    Supported where a polynomial law leads every other law beyond doubt, and foretells every left-out block
    of x; not supported where one that is not polynomial leads every polynomial law so. A law that could
    not be tested leaves no verdict.

    Parameters
    ----------
    decades
        The width of the window.
    """
    said, evidence = _polynomial(y, comparison, decades)
    reason = f"{evidence}; window of {decades:.1f} decades"
    return Claim(claim=f"{y} is polynomial in {x}", verdict=said, reason=reason)


def _polynomial(y: str, comparison: LawComparison, decades: float) -> tuple[SupportVerdict, str]:
    if comparison.data.agree:
        return "cannot tell", AGREEING
    if comparison.data.values.shape[1] < FEWEST_REPLICATES:
        return "cannot tell", f"{FEWEST_REPLICATES} replicates are needed"
    powers, others = kinds(comparison, True), kinds(comparison, False)
    untested = [name for name in (*powers, *others) if comparison.model(name)["note"] == UNTESTED]
    ahead, behind = (powers, others) if _leads(comparison, powers, others) else (others, powers)
    if untested:
        return "cannot tell", f"the {untested[0]} {UNTESTED}"
    evidence = _evidence(comparison, ahead[0], behind[0])
    flat = next(m["name"] for m in comparison.models if not law(m["name"]).trend)
    if not any(comparison.lead(name, flat).clear for name in (*powers, *others)):
        return "cannot tell", f"{y} hardly changes over the window"
    if decades < LEAST_DECADES:
        return (
            "cannot tell",
            f"{evidence}; a law is distinguished from another over {LEAST_DECADES:g} decade or more",
        )
    winners = [name for name in ahead if all(comparison.lead(name, other).clear for other in behind)]
    if not winners:
        return "cannot tell", f"{evidence}: within errors"
    able = [name for name in winners if comparison.model(name)["foretells"]]
    if not able:
        return (
            "cannot tell",
            f"{evidence}; yet it errs by more than {TOLERATED:.0%} somewhere, so that no law "
            "that is compared describes the counts",
        )
    return ("supported" if ahead is powers else "not supported"), _evidence(comparison, able[0], behind[0])


def _leads(comparison: LawComparison, some: list[str], others: list[str]) -> bool:
    """Whether the best of some laws is ahead of the best of others."""
    places = [str(model["name"]) for model in comparison.models]
    return places.index(some[0]) < places.index(others[0])


def _evidence(comparison: LawComparison, one: str, other: str) -> str:
    """`power law against exponential: log score of a left-out replicate better by 3.1 +- 0.2, ...`."""
    gap = comparison.lead(one, other)
    errors = " against ".join(prediction(comparison.model(name)) for name in (one, other))
    return (
        f"{one} against {other}: log score of a left-out replicate better by {gap.gain:.3g} ± {gap.error:.2g}"
        f"; left-out values of x foretold to {errors}"
    )


def independent(x: str, y: str, dependence: Independence | None) -> Claim:
    """Whether y is independent of the width at the same x, from all cells.

    Supported only where the widest layers count what layers of half their width count, to an exponent that is
    negligible, and have room for 4 times as much at every x; not supported where the count changes at some x.
    """
    name = "width" if dependence is None else dependence.by
    claim = f"{y} is independent of {name} at the same {x}"
    if dependence is None:
        return Claim(claim=claim, verdict="cannot tell", reason=f"the trials have one {name}")
    widths = ", ".join(f"{value:g}" for value in dependence.values)
    reason = (
        f"{y} ~ {name}^{dependence.exponent:.2f} of {name} {widths}, where there is room or else from half "
        "the largest to the largest"
    )
    if np.isnan(dependence.low):
        return Claim(claim=claim, verdict="cannot tell", reason=f"{reason}; 3 replicates are needed")
    reason += f", 95 % interval [{dependence.low:.2f}, {dependence.high:.2f}]"
    changes, roomy = dependence.changes, dependence.roomy
    settled = roomy & ~changes
    said: SupportVerdict = "cannot tell"
    if changes.any() or dependence.low > NEGLIGIBLE or dependence.high < -NEGLIGIBLE:
        said = "not supported"
        reason += _changing(x, name, dependence)
    elif not roomy.all():
        narrow = dependence.cells[~roomy]
        needed = ROOMY * float(narrow["mean_wide"].max())
        reason += (
            f"; at {int((~roomy).sum())} of {len(roomy)} values of {x} (up to {narrow['x'].max():g}) the "
            f"largest {name} is below {ROOMY:g} times the count, which may yet grow: {name} {needed:.0f} is "
            "needed"
        )
    elif dependence.low >= -NEGLIGIBLE and dependence.high <= NEGLIGIBLE:
        said = "supported"
    if said != "supported" and settled.any():
        some = dependence.cells.loc[settled, "x"]
        reason += f"; no change is seen, with room, at {len(some)} values, {some.min():g} to {some.max():g}"
    return Claim(claim=claim, verdict=said, reason=f"{reason} (negligible: below {NEGLIGIBLE})")


def _changing(x: str, name: str, dependence: Independence) -> str:
    """Where the count changes most, and whether only a wider layer can tell."""
    cells = dependence.cells[dependence.changes] if dependence.changes.any() else dependence.cells
    most = cells.iloc[int(np.argmax(cells["exponent"].abs().to_numpy()))]
    text = (
        f"; at {x} = {most['x']:g} it goes from {most['mean_narrow']:.3g} at {name} {most['narrow']:g} to "
        f"{most['mean_wide']:.3g} at {name} {most['wide']:g} (so at {int(dependence.changes.sum())} of "
        f"{len(dependence.cells)} values)"
    )
    if not most["room"]:
        text += f"; with less room than {ROOMY:g} times the count it may be limited: only wider ones tell"
    return text


def bounded(x: str, y: str, low: float, high: float, dimension: int | None) -> Claim | None:
    """Whether the exponent obeys Theorem 4: N <= C gamma^(-3 d / (d + 2)), d the length of a neuron.

    The theorem is an upper bound: a rise that is weaker obeys it, and is no evidence for it. Only a steeper
    one would tell, or how the exponent goes with d.

    Source: Theorem 4 as restored in the notes on the paper (at most gamma^-3).

    Parameters
    ----------
    low, high
        The interval of the exponent.
    dimension
        d; None: unknown, and the bound is -3.

    Returns
    -------
    None where y is none of the counts that the theorem is about, or x not the strength of decay.
    """
    if y not in THEOREM_4_COUNTS or "weight_decay" not in x:
        return None
    bound = -3.0 if dimension is None else -3 * dimension / (dimension + 2)
    claim = f"{y} does not contradict Theorem 4, a rise no faster than {x}^{bound:.2f}" + (
        f" (d = {dimension})" if dimension is not None else " (any d)"
    )
    if np.isnan(low):
        return Claim(claim=claim, verdict="cannot tell", reason="the exponent has no interval")
    said: SupportVerdict = "supported" if low >= bound else "not supported" if high < bound else "cannot tell"
    reason = f"exponent in [{low:.2f}, {high:.2f}]"
    if said == "supported":
        reason += (
            f", {low - bound:.2f} or more above the bound: any weaker rise obeys an upper bound, so this is "
            "no evidence for the theorem; how the exponent goes with d (inputs, outputs) would be"
        )
    return Claim(claim=claim, verdict=said, reason=reason)
