"""The course of training: at which steps a network's symmetries broke, and at which they mended."""

from __future__ import annotations

import pandas as pd

from phasediag.analysis.frame import need_columns


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
    found = rows[[*keys]].assign(
        after=before["step"], step=rows["step"], degree_before=before["degree"], degree=rows["degree"],
        broken=before["degree"] - rows["degree"],
    )  # fmt: skip
    changed = found[found["broken"].notna() & (found["broken"] != 0)]
    whole = ["after", "degree_before", "broken"]
    return changed.astype(dict.fromkeys(whole, "int64")).reset_index(drop=True)
