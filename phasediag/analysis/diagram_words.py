"""What a reader must know before trusting a boundary, in whole sentences."""

from __future__ import annotations

import pandas as pd

from phasediag.analysis.labels import prose
from phasediag.arrays import BoolArray


def boundary_in_words(boundary: pd.DataFrame, x: str, order: str, level: float) -> str:
    """In how many rows there is a boundary, where, and how wide its interval typically is.

    Parameters
    ----------
    boundary, x, level
        As `PhaseDiagram` holds them.
    order
        The order parameter as a sentence calls it.
    """
    crossed = boundary.dropna(subset="position")
    about = f"{order} = {level:g}"
    if crossed.empty:
        return f"No boundary: nowhere is {about} crossed."
    span = f"{crossed['position'].min():.3g} to {crossed['position'].max():.3g}"
    half = (crossed["high"] - crossed["low"]) / (2 * crossed["position"].abs())
    width = "" if half.isna().all() else f"; 95\u00a0% interval typically ±{half.median():.1%}"
    return (
        f"The boundary {about} was found in {len(crossed)} of {len(boundary)} rows, at "
        f"{prose(x)} {span}{width}."
    )


def about_boundary(cells: pd.DataFrame, boundary: pd.DataFrame, level: float) -> list[str]:
    """Where there is none, or there are several, and where it is none of phases.

    Parameters
    ----------
    cells, boundary, level
        As `PhaseDiagram` holds them.
    """
    sentences = _crossings(cells, boundary, level)
    late = int((cells["phase"] == "unconverged").sum())
    if late:
        beside = front(boundary) or "No boundary point lies beside such a cell."
        sentences.append(f"{late} of {len(cells)} cells have not converged. {beside}")
    return sentences


def front(boundary: pd.DataFrame) -> str:
    """That some of the boundary may be a front of training time; empty where none is."""
    beside, points = int(fronts(boundary).sum()), int(boundary["position"].notna().sum())
    if not beside:
        return ""
    return (
        f"{beside} of {points} boundary points lie beside unconverged cells (dashed, without an interval): "
        "there the boundary may be a front of training time, which moves with the number of steps, and no "
        "boundary of phases. Train longer, and see whether it moves."
    )


def fronts(boundary: pd.DataFrame) -> BoolArray:
    """Which points of the boundary lie beside a cell that has not converged, shape (rows,)."""
    return ~boundary["converged"].astype("boolean").to_numpy(dtype=bool, na_value=True)


def unknown(count: int) -> str:
    """That it is not known of so many trials whether they have converged."""
    return (
        f"Whether {count:,} trials have converged is not known (they were counted at another threshold, or "
        "nothing was measured of them): the boundary may be a front of training time."
    )


def _crossings(cells: pd.DataFrame, boundary: pd.DataFrame, level: float) -> list[str]:
    sentences = []
    without = int(boundary["position"].isna().sum())
    if without == len(boundary):
        means = cells["mean"].astype(float)
        sentences.append(
            f"No row crosses {level:g}, so there is no boundary in this range: the means of cells run from "
            f"{means.min():.3g} to {means.max():.3g}."
        )
    elif without:
        sentences.append(f"{without} of {len(boundary)} rows do not cross {level:g}; they have none.")
    several = int((boundary["crossings"] > 1).sum())
    if several:
        sentences.append(
            f"{several} of {len(boundary)} rows cross {level:g} more than once; the steepest crossing is "
            "stated."
        )
    return sentences
