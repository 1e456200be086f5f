"""Symmetry and rank of the layers of checkpoints against their depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.comparison import student
from phasediag.analysis.frame import need_columns
from phasediag.analysis.result import Result, plain
from phasediag.errors import AnalysisError

SHOWN: Final = ("degree_normalized", "rank_share", "stable_rank")
"""Columns whose means are taken, over the heads of a layer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DepthProfile(Result):
    """Means over the heads of each layer, by checkpoint and part."""

    figure: ClassVar[str] = "depth"

    part: str
    """attention, value or mlp."""
    means: pd.DataFrame
    """One row a checkpoint and depth: `checkpoint`, `depth`, `heads`, and for `degree_normalized`,
    `rank_share` (rank over width) and `stable_rank` the mean over the heads, with `_low` and `_high`
    (Student's 95 % interval of the mean over heads, cut where no mean can be; NaN with fewer than 3, and
    where all are equal)."""
    spectra: pd.DataFrame
    """One row a distance: `checkpoint`, `depth`, `distance` over the largest of its head."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Means by depth, and the spectra."""
        return {"means": self.means, "spectra": self.spectra}

    @property
    def over(self) -> Mapping[str, Sequence[str]]:
        """Means over checkpoints and depths."""
        return {"means": ("checkpoint", "depth")}

    @property
    def findings(self) -> tuple[str, ...]:
        """For each checkpoint, from where to where its means go, and how they go with depth."""
        return tuple(self._course(str(name), group) for name, group in self.means.groupby("checkpoint"))

    def _course(self, name: str, group: pd.DataFrame) -> str:
        group = group.sort_values("depth")
        courses = []
        for column, word in zip(SHOWN, ("degree of symmetry", "rank / width", "stable rank"), strict=True):
            first, last = group[column].iloc[0], group[column].iloc[-1]
            low, high = group[column].min(), group[column].max()
            courses.append(
                f"{word} {first:.3g} in the first and {last:.3g} in the last layer ({low:.3g} to {high:.3g})"
            )
        return f"{name}: {len(group)} layers, {self.part}: {'; '.join(courses)}."

    def as_dict(self) -> dict[str, Any]:
        """Means by depth in plain types."""
        return {"part": self.part, "means": plain(self.means)}


def depth_profile(trials: pd.DataFrame, measurements: pd.DataFrame, part: str = "attention") -> DepthProfile:
    """Means over heads against depth.

    Parameters
    ----------
    trials, measurements
        As `load_trials` and `load_measurements` give them of a folder that `phasediag measure` wrote.
    part
        attention (queries and keys), value (values and outputs) or mlp (hidden neurons).

    Raises
    ------
    AnalysisError
        Where nothing of that part was measured.
    """
    need_columns(trials, ("checkpoint", "part", "depth", "stable_rank"))
    own = trials[trials["part"] == part]
    if own.empty:
        parts = ", ".join(sorted(trials["part"].dropna().unique()))
        raise AnalysisError(f"nothing of part '{part}' was measured; there is {parts or 'nothing'}")
    own = own.assign(rank_share=own["rank"].astype(float) / own["width"].astype(float))
    rows = [
        {"checkpoint": name, "depth": depth, "heads": len(group), **_means(group)}
        for (name, depth), group in own.groupby(["checkpoint", "depth"], sort=True)
    ]
    observable = "permutation" if part == "mlp" else "double_rotation"
    chosen = measurements[(measurements["observable"] == observable) & (measurements["layer"] == part)]
    joined = chosen.merge(own[["trial_id", "checkpoint", "depth"]], on="trial_id")
    spectra = [
        pd.DataFrame({"checkpoint": row.checkpoint, "depth": row.depth, "distance": _shares(row.distances)})
        for row in joined.itertuples()
    ]
    empty = pd.DataFrame(columns=["checkpoint", "depth", "distance"])
    joined_spectra = pd.concat(spectra, ignore_index=True) if spectra else empty
    return DepthProfile(part=part, means=pd.DataFrame(rows), spectra=joined_spectra)


def _shares(distances: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = np.asarray(distances, dtype=np.float64)
    largest = numbers.max(initial=0.0)
    return numbers / largest if largest else numbers


def _means(group: pd.DataFrame) -> dict[str, float]:
    values: dict[str, float] = {}
    for column in SHOWN:
        numbers = group[column].to_numpy(dtype=np.float64, na_value=np.nan)
        mean, *ends = student(numbers, rounding=0)
        low, high = np.clip(ends, 0.0, np.inf if column == "stable_rank" else 1.0)
        values |= {column: mean, f"{column}_low": float(low), f"{column}_high": float(high)}
    return values
