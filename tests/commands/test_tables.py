"""Tables as a terminal shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from phasediag.commands.tables import MOST_ROWS, printed

TABLE = pd.DataFrame(
    {
        "y": [1.5, 2.0, 3.0],
        "low": [0.25, -np.inf, np.nan],
        "branch": pd.array([1, None, 2], dtype="Int64"),
        "direction": ["rising", None, "falling"],
        "converged": [True, False, True],
    }
)


def test_what_is_missing_or_without_end_is_told_in_words() -> None:
    head, *rows = printed("boundary", TABLE).splitlines()
    assert head.split() == list(TABLE)
    assert [row.split() for row in rows] == [
        ["1.5", "0.25", "1", "rising", "True"],
        ["2.0", "open", "-", "-", "False"],
        ["3.0", "-", "2", "falling", "True"],
    ]
    assert "later" in printed("times", TABLE, infinite="later")


def test_numbers_look_as_pandas_shows_them() -> None:
    finite = pd.DataFrame({"x": [0.005, 0.0078125, 12.5], "n": [1, 20, 300], "name": ["a", "inf", "nan"]})
    assert [row.split() for row in printed("t", finite).splitlines()] == [
        row.split() for row in finite.to_string(index=False).splitlines()
    ]


def test_a_long_table_says_how_much_of_it_is_left_and_an_empty_one_that_it_is_empty() -> None:
    assert "no rows" in printed("boundary", TABLE[:0])
    *_, last = printed("boundary", pd.concat([TABLE] * MOST_ROWS)).splitlines()
    assert last == f"... and {2 * MOST_ROWS} more rows of the table boundary: --json has all"
