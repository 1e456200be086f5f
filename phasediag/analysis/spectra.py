"""Spectra of distances: what lies behind a degree of symmetry, and how clear the threshold is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.frame import need_columns, numbers
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

NEAR: Final = 2.0
"""Distances within this factor of epsilon would be counted otherwise at another plausible threshold."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Spectra(Result):
    """The last distances of every trial against a parameter."""

    figure: ClassVar[str] = "spectra"

    x: str
    observable: str
    layer: str
    rows: pd.DataFrame
    """One row a trial: `trial_id`, `at` (its x), `epsilon`, `distances` (an array)."""

    @property
    def distances(self) -> FloatArray:
        """All distances, trial after trial, shape (distances,)."""
        return np.concatenate(self.rows["distances"].to_list()).astype(np.float64)

    def repeated(self, column: str) -> FloatArray:
        """A number of each trial, once for each of its distances, shape (distances,)."""
        counts = self.rows["distances"].map(len).to_numpy()
        return np.repeat(self.rows[column].to_numpy(dtype=np.float64), counts)

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """One row a distance: `trial_id`, x under its own name, `epsilon`, `distance`."""
        counts = self.rows["distances"].map(len).to_numpy()
        table = pd.DataFrame({
            "trial_id": np.repeat(self.rows["trial_id"].to_numpy(), counts), self.x: self.repeated("at"),
            "epsilon": self.repeated("epsilon"), "distance": self.distances,
        })  # fmt: skip
        return {"spectra": table}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many distances lie so near to epsilon that the counts hang on the threshold."""
        ratio = self.distances / self.repeated("epsilon")
        near = int(((ratio > 1 / NEAR) & (ratio < NEAR)).sum())
        return (
            f"{near:,} of {len(ratio):,} distances of {self.observable} on {self.layer} lie within a factor "
            f"of {NEAR:g} of epsilon.",
        )

    def as_dict(self) -> dict[str, Any]:
        """The distances in plain types."""
        return {"x": self.x, "observable": self.observable, "layer": self.layer, "rows": plain(self.rows)}


def spectra(
    measurements: pd.DataFrame, trials: pd.DataFrame, x: str, observable: str = "permutation",
    layer: str | None = None,
) -> Spectra:  # fmt: skip
    """The last distances of every trial against a parameter, and epsilon.

    Parameters
    ----------
    measurements
        Rows of `load_measurements(..., last=True)`, with distances.
    trials
        The trials of the same sweep: those in it are taken, so filter it to one point of the other axes.
    x
        A numeric parameter.
    observable, layer
        Whose distances; layer None: the first.

    Raises
    ------
    AnalysisError
        For unknown columns, or where no distances are left.
    """
    need_columns(trials, ("trial_id", x))
    need_columns(measurements, ("trial_id", "layer", "observable", "step", "epsilon", "distances"))
    rows = measurements[measurements["observable"] == observable]
    rows = rows[(rows["layer"] == (layer or rows["layer"].min())) & rows["distances"].notna()]
    rows = rows.sort_values("step", kind="stable").drop_duplicates("trial_id", keep="last")
    rows = rows.merge(pd.DataFrame({"trial_id": trials["trial_id"], "at": numbers(trials, x)}), on="trial_id")
    if rows.empty:
        raise AnalysisError(
            f"no distances of {observable}{f' on {layer}' if layer else ''} are stored for these trials; set "
            "`measure: {distances: last}` in the grid and launch it with --remeasure"
        )
    columns = ["trial_id", "at", "epsilon", "distances"]
    return Spectra(x=x, observable=observable, layer=str(rows["layer"].iloc[0]), rows=rows[columns])
