"""Tables as a terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS: Final = 40
"""Rows of a table that are printed."""
MISSING: Final = "-"


def printed(name: str, table: pd.DataFrame, *, infinite: str = "open") -> str:
    """A table in lines: of a long one the first rows, and where the others are.

    Parameters
    ----------
    name
        What `--json` calls it.
    infinite
        The word for what is infinite: the end of an interval that leaves the grid is open.
    """
    if table.empty:
        return f"the table {name} has no rows"
    shown = table.head(MOST_ROWS)
    columns = [[str(column), *_written(shown[column], infinite)] for column in shown]
    widths = [max(map(len, cells)) for cells in columns]
    rows = zip(*columns, strict=True)
    text = "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)
    more = len(table) - MOST_ROWS
    return text if more <= 0 else f"{text}\n... and {more:,} more rows of the table {name}: --json has all"


def _written(column: pd.Series[Any], infinite: str) -> list[str]:
    """The cells of a column, with the digits that pandas gives them."""
    import numpy as np
    from pandas.api.types import is_float_dtype

    words = [line.strip() for line in column.to_frame().to_string(index=False, header=False).split("\n")]
    missing = column.isna().to_numpy()
    words = [MISSING if each else word for each, word in zip(missing, words, strict=True)]
    if not is_float_dtype(column):
        return words
    beyond = np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return [infinite if each else word for each, word in zip(beyond, words, strict=True)]
