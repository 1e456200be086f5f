"""--where: which trials of a sweep a command is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from phasediag.errors import PhasediagError, nearest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

SHORTEST_HASH: Final = 6
"""Digits of a hash that stand for it."""
SHORTEST_ID: Final = 4
"""Digits that stand for an id, where no other one begins so."""
_EQUATION: Final = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)\s*(.*?)\s*")
_SHOWN: Final = 12


def filtered(trials: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """The trials for which every condition holds.

    Parameters
    ----------
    where
        `NAME=VALUE` each, of an id or a hash its beginning; or a condition as in a grid's `exclude`, such as
        `width < 64 and status == 'ok'`.

    Raises
    ------
    PhasediagError
        Where there is no such column, or no trial is left; tells the values there are.
    """
    for condition in where:
        equation = _EQUATION.fullmatch(condition)
        kept = _equal(trials, condition, *equation.groups()) if equation else _holding(trials, condition)
        trials = trials[kept]
    return trials


def columns_in(where: Sequence[str]) -> list[str]:
    """The columns that conditions read; of what is no condition, its text."""
    names: list[str] = []
    for condition in where:
        equation = _EQUATION.fullmatch(condition)
        if equation:
            names.append(equation[1])
            continue
        try:
            names += [node.id for node in ast.walk(ast.parse(condition)) if isinstance(node, ast.Name)]
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            names.append(condition)
    return names


def _holding(trials: pd.DataFrame, condition: str) -> npt.NDArray[np.bool_]:
    from phasediag.analysis.frame import holds

    mask = holds(trials, condition)
    if not columns_in([condition]):
        raise PhasediagError(
            f"--where {condition}: it names no column, so that it holds for all trials or for none"
        )
    if len(trials) and not mask.any():
        raise PhasediagError(f"--where {condition}: it holds for none of {len(trials):,} trials")
    return mask


def _equal(trials: pd.DataFrame, condition: str, name: str, text: str) -> npt.NDArray[np.bool_]:
    if name not in trials.columns:
        hint = nearest(name, list(trials.columns)) or "NAME is a column of the trials"
        raise PhasediagError(f"--where {condition}: there is no column '{name}'; {hint}")
    column = trials[name]
    wanted = _wanted(column, text)
    if not wanted.any():
        distinct = sorted(set(column.map(str)))  # a value may be a list
        values = ", ".join(distinct[:_SHOWN]) + (" ..." if len(distinct) > _SHOWN else "")
        raise PhasediagError(f"--where {condition}: no trial has it; {name} is one of {values}")
    if name.endswith("_id") and column[wanted].nunique() > 1:
        count = column[wanted].nunique()
        raise PhasediagError(f"--where {condition}: {count:,} of {name} begin so; give more digits")
    return wanted


def _wanted(column: pd.Series[Any], text: str) -> npt.NDArray[np.bool_]:
    """Which values a text means: that of its form, or the ids and hashes that begin so."""
    name = str(column.name)
    shortest = SHORTEST_ID if name.endswith("_id") else SHORTEST_HASH if name.endswith("_source") else None
    if shortest is not None and len(text) >= shortest:
        begins: npt.NDArray[np.bool_] = column.str.startswith(text).to_numpy(dtype=bool, na_value=False)
        return begins
    same: npt.NDArray[np.bool_] = _forms(column) == _same_form(column, text)
    return same


def _forms(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    """The values of a column as they stand in an identity; each distinct number or text is formed once."""
    import numpy as np
    import pandas as pd

    from phasediag.trial import formatted

    codes, values = np.arange(len(column)), column.to_list()
    if column.dtype != object:
        codes, distinct = pd.factorize(column, use_na_sentinel=False)
        values = distinct.tolist()
    texts = ["null" if value is None or value is pd.NA else formatted(value) for value in values]
    return np.array(texts, dtype=object)[codes]


def _same_form(column: pd.Series[Any], text: str) -> str:
    """A value of the command line as it stands in an identity: a float of a column of floats."""
    import pandas as pd

    from phasediag.trial import formatted

    if not pd.api.types.is_float_dtype(column):
        return text
    try:
        return formatted(float(text))
    except ValueError:
        return text
