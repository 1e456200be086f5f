"""The course of training: at which steps a network's symmetries broke, and at which they mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from phasediag.analysis.frame import need_columns
from phasediag.analysis.result import Result, plain
from phasediag.errors import AnalysisError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class History(Result):
    """The course of one trial: its degrees of symmetry in every layer, and its losses."""

    figure: ClassVar[str] = "history"

    observable: str
    rows: pd.DataFrame
    """The measurements of the observable, sorted by layer and step."""
    losses: pd.DataFrame | None
    """`step`, `train_loss`, `test_loss`; None where none are known."""
    breaking: pd.DataFrame
    """Where the degree changed, as `breaking_steps` gives it."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The changes of the degree, and the course without its distances."""
        course = self.rows.drop(columns="distances", errors="ignore")
        return {"breaking": self.breaking, "history": course}

    @property
    def findings(self) -> tuple[str, ...]:
        """How many generators each layer lost and regained, and when."""
        return tuple(self._of_layer(str(layer)) for layer in self.rows["layer"].unique())

    def _of_layer(self, layer: str) -> str:
        changes = self.breaking[self.breaking["layer"] == layer]
        if changes.empty:
            return f"{layer}: the degree of {self.observable} never changes."
        lost, regained = (changes["broken"].clip(lower=0).sum(), -changes["broken"].clip(upper=0).sum())
        first, last = changes["step"].min(), changes["step"].max()
        return (
            f"{layer}: {lost} generators of {self.observable} are lost and {regained} regained, between the "
            f"steps {first} and {last}."
        )

    def as_dict(self) -> dict[str, Any]:
        """The changes of the degree in plain types."""
        return {"observable": self.observable, "breaking": plain(self.breaking)}


def trial_history(
    measurements: pd.DataFrame, losses: pd.DataFrame | None = None, observable: str = "permutation"
) -> History:
    """The course of one trial.

    Parameters
    ----------
    measurements
        One trial's rows of `load_measurements`, or `history.parquet` of a rerun.
    losses
        `losses.parquet` of a rerun: `step`, `train_loss`, `test_loss`. None: the figure shows the distances
        in place of the losses, which a sweep records of the last step only.
    observable
        Whose degree is followed.

    Raises
    ------
    AnalysisError
        Where the rows are of several trials, or of none with this observable.
    """
    need_columns(measurements, ("trial_id", "layer", "observable", "step", "degree"))
    rows = measurements[measurements["observable"] == observable].sort_values(["layer", "step"])
    if rows["trial_id"].nunique() != 1:
        raise AnalysisError(
            f"a history is of one trial, these are {rows['trial_id'].nunique()} with {observable}; keep one, "
            "such as history[history['trial_id'] == TRIAL_ID]"
        )
    if losses is not None:
        need_columns(losses, ("step", "train_loss", "test_loss"))
    return History(observable=observable, rows=rows, losses=losses, breaking=breaking_steps(rows, observable))


def breaking_steps(history: pd.DataFrame, observable: str = "permutation") -> pd.DataFrame:
    """The steps between which the degree of symmetry of a layer changed.

    Parameters
    ----------
    history
        Rows of `load_measurements`, or `history.parquet` of a rerun.
    observable
        Whose degree is followed.

    Returns
    -------
    One row a change: `trial_id`, `layer`, `after` and `step` (the recorded steps before and at which
    the change was seen), `degree_before`, `degree`, `broken` (generators lost; negative where they
    came back).

    Raises
    ------
    AnalysisError
        Where a column is missing, or there are no rows.
    """
    need_columns(history, ("trial_id", "layer", "observable", "step", "degree"))
    keys = ["trial_id", "layer"]
    rows = history[history["observable"] == observable].sort_values([*keys, "step"])
    before = rows.groupby(keys)[["step", "degree"]].shift()
    changes = rows[[*keys]].assign(
        after=before["step"], step=rows["step"], degree_before=before["degree"], degree=rows["degree"],
        broken=before["degree"] - rows["degree"],
    )  # fmt: skip
    changed = changes[changes["broken"].notna() & (changes["broken"] != 0)]
    counts = ["after", "degree_before", "broken"]
    return changed.astype(dict.fromkeys(counts, "int64")).reset_index(drop=True)
