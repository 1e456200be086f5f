"""What a reader must know before trusting a boundary, in whole sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from phasediag.analysis.labels import prose
from phasediag.arrays import BoolArray

MOST_CROSSINGS: Final = 6
"""In the median row that crosses: with more the boundary is no set of lines."""
MOST_BRANCHES: Final = 6
"""Branches that a sentence tells one by one."""


def boundary_in_words(
    boundary: pd.DataFrame, across: pd.DataFrame | None, keys: Sequence[str], x: str, y: str, about: str
) -> tuple[str, ...]:
    """In how many rows there is a boundary, where, and how wide its interval typically is; then each branch.

    Parameters
    ----------
    boundary, across, keys, x, y
        As `PhaseDiagram` holds them.
    about
        Which boundary, such as `rank = 1.5`.
    """
    crossed = boundary.dropna(subset="position")
    texts = []
    if not crossed.empty:
        rows = f"{_rows(crossed, keys)} of {_rows(boundary, keys)} rows"
        texts.append(f"The boundary {about} crosses {rows}, at {prose(x)} {_span(crossed)}.")
    if across is not None and not across.empty:
        begins = "Between rows it also runs" if texts else f"The boundary {about} runs"
        columns = across[list(across.columns[: len(keys)])].drop_duplicates()
        texts.append(f"{begins} along {prose(x)}: {_values(len(columns))} it, at {prose(y)} {_span(across)}.")
    where = " ".join(texts) if texts else f"No boundary: nowhere is {about} crossed."
    return (where, *_branches(crossed, keys, x))


def _values(count: int) -> str:
    return "1 value of it crosses" if count == 1 else f"{count} values of it cross"


def _rows(boundary: pd.DataFrame, keys: Sequence[str]) -> int:
    return len(boundary[list(keys)].drop_duplicates()) if keys else int(len(boundary) > 0)


def _span(crossed: pd.DataFrame) -> str:
    """`0.1 to 0.5; 95 % interval typically ±3.0%`."""
    first, last = (f"{end:.3g}" for end in (crossed["position"].min(), crossed["position"].max()))
    span = first if first == last else f"{first} to {last}"
    bounded = crossed[np.isfinite(crossed["low"]) & np.isfinite(crossed["high"])]
    half = (bounded["high"] - bounded["low"]) / (2 * bounded["position"].abs())
    return span if half.empty else f"{span}; 95\u00a0% interval typically ±{half.median():.1%}"


def _branches(crossed: pd.DataFrame, keys: Sequence[str], x: str) -> list[str]:
    """Each branch by itself, where there are several."""
    count = crossed["branch"].nunique()
    if count < 2:
        return []
    parts = [
        f"{number} ({branch['direction'].iloc[0]}) in {_rows(branch, keys)} of them at {_span(branch)}"
        for number, branch in crossed[crossed["branch"] <= MOST_BRANCHES].groupby("branch")
    ]
    more = f", and {count - len(parts)} more" if count > len(parts) else ""
    return [f"By branch, along {prose(x)}: {', '.join(parts)}{more}."]


def side_by_side(x: str) -> str:
    """That no boundary is looked for between the values of x, which have no order."""
    return f"The values of {prose(x)} have no order: no boundary is looked for between them."


def about_boundary(
    cells: pd.DataFrame, boundary: pd.DataFrame, across: pd.DataFrame | None, keys: Sequence[str],
    level: float,
) -> list[str]:  # fmt: skip
    """Sentences on a boundary: rows with none or several, where it leaves the grid, or is none of phases.

    Parameters
    ----------
    cells, boundary, across, keys, level
        As `PhaseDiagram` holds them; no boundary at all where none was looked for.
    """
    crossings = [] if boundary.empty else _crossings(cells, boundary, across, keys, level)
    sentences = [*crossings, *_open_ends(boundary)]
    sentences += _plateaus(boundary, level)
    late = int((cells["phase"] == "unconverged").sum())
    if late:
        lines = [line for line in (boundary, across) if line is not None and not line.empty]
        beside = next(filter(None, map(front, lines)), _off(lines))
        sentences.append(f"{late} of {len(cells)} cells have not converged. {beside}".strip())
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


def _off(lines: Sequence[pd.DataFrame]) -> str:
    """What unconverged cells mean where no boundary lies beside one; without lines none was sought."""
    if any(line["position"].notna().any() for line in lines):
        return "No boundary point lies beside such a cell."
    if not lines:
        return ""
    return (
        "Longer training may yet show a boundary among them: `phasediag launch SWEEP --until-converged`, "
        "before it is said that there is none."
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


def _crossings(
    cells: pd.DataFrame, boundary: pd.DataFrame, across: pd.DataFrame | None, keys: Sequence[str],
    level: float,
) -> list[str]:  # fmt: skip
    sentences = []
    total = _rows(boundary, keys)
    without = int(boundary["position"].isna().sum())
    along_x = across is not None and not across.empty
    if without == total and not along_x:
        means = cells["mean"].astype(float)
        sentences.append(
            f"No row crosses {level:g}, so there is no boundary in this range: the means of cells run from "
            f"{means.min():.3g} to {means.max():.3g}. Let the axes reach further, or choose a level between "
            "these with --level (level=)."
        )
    elif without:
        ends = "none along x" if along_x else "none"
        sentences.append(f"{without} of {total} rows do not cross {level:g}; they have {ends}.")
    several = _rows(boundary[boundary["crossings"] > 1], keys)
    if scattered(boundary, keys):
        sentences.append(
            f"{several} of {total} rows cross {level:g} more than once, most of them more than "
            f"{MOST_CROSSINGS} times: the boundary is no line, and none is drawn; --roughness tells its "
            "dimension and over how much of x it is spread."
        )
    elif several:
        sentences.append(
            f"{several} of {total} rows cross {level:g} more than once: each crossing is stated, with its "
            "direction and the branch that it belongs to. What needs one boundary takes branch 1, that of "
            'most rows; direction="rising" or "falling" keeps one kind.'
        )
    return sentences


def scattered(boundary: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether the rows cross so often that lines through their crossings mean nothing.

    Parameters
    ----------
    boundary, keys
        As `PhaseDiagram` holds them.
    """
    crossed = boundary[boundary["position"].notna()]
    rows = crossed.drop_duplicates(list(keys)) if keys else crossed.head(1)
    return bool(len(rows)) and float(rows["crossings"].median()) > MOST_CROSSINGS


def _open_ends(boundary: pd.DataFrame) -> list[str]:
    """That intervals end where nothing was measured; none where all are bounded."""
    count, points = int((boundary["censored"] != "none").sum()), int(boundary["position"].notna().sum())
    if not count:
        return []
    return [
        f"{count} of {points} boundary points have an interval that is open at the edge of the grid: there "
        "the boundary may lie beyond what was measured. Widen the axis, or add replicates."
    ]


def _plateaus(boundary: pd.DataFrame, level: float) -> list[str]:
    """That crossings lie at the end of a plateau at the level; none where none does."""
    count, points = int(boundary["plateau"].sum()), int(boundary["position"].notna().sum())
    if not count:
        return []
    return [
        f"{count} of {points} boundary points lie beside a stretch in which the order parameter is "
        f"{level:g} within its errors, which is the level itself: where it meets it there is chance, or the "
        "grid, and no interval is given. Choose another level; a growth rate (log_rate) is zero once "
        "networks have settled: start them smaller (init_scale), or train fewer steps."
    ]
