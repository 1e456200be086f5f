"""What a reader must know before trusting a diagram, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import pandas as pd

from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.frame import converged, has_status
from phasediag.analysis.measured import unmeasured

FEW_REPLICATES: Final = 5
"""Below this an interval is stated, but is wide."""


class Gravity(IntEnum):
    """What a warning takes from what is shown: the larger, the graver."""

    NOTE = 0
    """What the numbers mean, or of what they are conditional."""
    UNSURE = 1
    """Intervals are missing, or a result hangs on a choice."""
    INCOMPLETE = 2
    """Trials that were planned are not in what is shown."""
    ARTEFACT = 3
    """What is drawn may be no property of the networks."""
    NOTHING = 4
    """There is nothing to be seen."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning, in whole sentences."""

    text: str
    gravity: Gravity = Gravity.NOTE


def warned(texts: Iterable[str], gravity: Gravity = Gravity.NOTE) -> tuple[Warned, ...]:
    """Warnings of one gravity."""
    return tuple(Warned(text, gravity) for text in texts)


@dataclass(frozen=True, slots=True)
class Warnings:
    """The warnings of a page."""

    parts: Mapping[str, tuple[Warned, ...]]
    """By what they are about; empty for all of the page. None is empty, the gravest of each is its first."""

    @classmethod
    def of(cls, parts: Mapping[str, Sequence[Warned]]) -> Warnings:
        """Warnings in any order; what two parts say alike is told of the first."""
        said: set[str] = set()
        once: dict[str, tuple[Warned, ...]] = {}
        for about, some in parts.items():
            new = tuple(sorted((each for each in some if each.text not in said), key=_lightness))
            said.update(each.text for each in new)
            if new:
                once[about] = new
        return cls(once)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(some) for some in self.parts.values())

    @property
    def gravest(self) -> tuple[str, Warned]:
        """What the gravest is about, and it; of equals the first. There must be one."""
        firsts = ((about, some[0]) for about, some in self.parts.items())
        return min(firsts, key=lambda first: _lightness(first[1]))


def _lightness(warning: Warned) -> int:
    return -warning.gravity


def about_trials(trials: pd.DataFrame, planned: int) -> list[Warned]:
    """Warnings about what is there: completeness, failures, convergence, replicates, optimizer, versions."""
    nothing = unmeasured(trials)
    first = f"{nothing[:1].upper()}{nothing[1:]}. There is no diagram and no count."
    return [
        *warned([first] if nothing else [], Gravity.NOTHING),
        *_completeness(trials, planned), *_convergence(trials), *_replicates(trials),
        *warned([*_adamw(trials), *_versions(trials)]),
    ]  # fmt: skip


def _completeness(trials: pd.DataFrame, planned: int) -> Iterator[Warned]:
    if planned > len(trials):
        yield Warned(
            f"{planned - len(trials):,} of {planned:,} planned trials are missing; the figures show the "
            "others. Launch the same grid again to train them.",
            Gravity.INCOMPLETE,
        )
    for state, remedy, gravity in (
        ("failed", "They are shown as missing; the table of errors tells why, --retry-failed trains them "
                   "again.", Gravity.INCOMPLETE),
        ("diverged", "Their loss is not finite; they are a phase of their own and enter no mean.",
         Gravity.NOTE),
    ):  # fmt: skip
        count = int(has_status(trials, state).sum())
        if count:
            yield Warned(f"{count:,} of {len(trials):,} trials {state}. {remedy}", gravity)


def _convergence(trials: pd.DataFrame) -> Iterator[Warned]:
    ok = has_status(trials, "ok")
    if "converged" not in trials or not ok.any():
        return
    unknown = ok & trials["converged"].isna().to_numpy()
    late = ok & ~converged(trials, when_unknown=True)
    if late.any():
        yield Warned(
            f"{late.sum():,} of {ok.sum():,} trials ({late.sum() / ok.sum():.1%}) have not converged: their "
            "degree still moved at the end, or decay had too few relaxations. Train them longer.",
            Gravity.UNSURE,
        )
    if unknown.any():
        yield Warned(f"Whether {unknown.sum():,} trials have converged is not known.", Gravity.UNSURE)
    if "count_converged" in trials and (ok & trials["count_converged"].notna().to_numpy()).any():
        moving = ok & ~trials["count_converged"].astype("boolean").to_numpy(dtype=bool, na_value=True)
        if (moving & ~late).any():
            yield Warned(
                f"{(moving & ~late).sum():,} more have converged in their phase while some count may still "
                "change (count_converged): they enter diagrams, but no fit of that count."
            )


def _replicates(trials: pd.DataFrame) -> Iterator[Warned]:
    if "replicate" not in trials:
        return
    count = trials["replicate"].nunique()
    if count < FEWEST_REPLICATES:
        yield Warned(
            f"{count} replicate{'s' if count > 1 else ''}: too few for an interval "
            f"({FEWEST_REPLICATES} are needed), so no error bar is stated. Add replicates.",
            Gravity.UNSURE,
        )
    elif count < FEW_REPLICATES:
        yield Warned(
            f"Only {count} replicates: the intervals are Student's, which cover as stated but are wide: "
            "10 replicates make them about a third as wide as 3 do. Raise their number in the grid."
        )


def _adamw(trials: pd.DataFrame) -> Iterator[str]:
    if "optimizer" in trials and (trials["optimizer"] == "adamw").any():
        yield (
            "AdamW decouples weight decay from the loss: it bounds every weight by 1/weight_decay and never "
            "collapses a layer, so its boundary must not be compared with a threshold γ_c of the loss "
            "ℓ + γ‖θ‖², nor with the data's collapse threshold."
        )


def _versions(trials: pd.DataFrame) -> Iterator[str]:
    for name, what in (("phasediag_version", "versions of phasediag"), ("torch_version", "versions of torch"),
                       ("git_commit", "git commits")):  # fmt: skip
        if name in trials and trials[name].nunique() > 1:
            yield f"The trials come from {trials[name].nunique()} {what}; see how it was run."
    if "git_commit" in trials:
        dirty = int(trials["git_commit"].fillna("").str.endswith("-dirty").sum())
        if dirty:
            yield f"{dirty:,} trials were trained from a working tree with uncommitted changes (-dirty)."
