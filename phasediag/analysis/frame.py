"""Reading a frame of trials: one row a trial, one column a parameter or result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from phasediag.analysis.scale import key
from phasediag.arrays import BoolArray, FloatArray, IntArray
from phasediag.errors import AnalysisError, nearest
from phasediag.grids.expression import Expression, parse_expression, parse_formula
from phasediag.observables.known import built_in
from phasediag.trial import formatted


def need_columns(trials: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse columns that a frame of trials lacks.

    Raises
    ------
    AnalysisError
        Where the frame has no rows, or lacks a column; names the nearest.
    """
    if len(trials) == 0:
        raise AnalysisError(
            "the frame has no trials; has the sweep finished any, or does a filter drop them all?"
        )
    columns = [str(c) for c in trials.columns]
    for name in names:
        if name not in columns:
            hint = (
                _of_observable(name, columns)
                or nearest(name, columns)
                or "the columns are " + ", ".join(columns)
            )
            raise AnalysisError(f"the trials have no column '{name}'; {hint}")


def _of_observable(name: str, columns: Collection[str]) -> str:
    """In which columns an observable is found, or that it was not measured; empty of any other name."""
    one = built_in().get(name)
    counted = getattr(one, "column", "") or ""
    held = [counted] if counted else [column.name for column in one.filled] if one is not None else []
    if held and not set(held) <= set(columns):
        return f"the observable '{name}' was not measured: name it in `measure: {{observables: [...]}}`"
    return f"the observable '{name}' is found in {' and '.join(held)}" if held else ""


def numbers(trials: pd.DataFrame, name: str) -> FloatArray:
    """A column as float64, NaN where it is null, shape (trials,).

    Raises
    ------
    AnalysisError
        Where the column holds no numbers.
    """
    column = trials[name]
    if categorical(trials, name):
        raise AnalysisError(
            f"column '{name}' is not numeric (it holds {column.dtype}); choose a column of numbers, "
            f"or make '{name}' a facet"
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def categorical(trials: pd.DataFrame, name: str) -> bool:
    """Whether a column holds texts, truth values or lists: values without an order."""
    column = trials[name]
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def with_formulas(trials: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The trials with a column for each name that is no column but an expression of columns.

    A row where a column of the expression is null has no value.

    Parameters
    ----------
    names
        Columns, or expressions such as `neuron_count / width` or `rank >= 2` (1 where it holds, 0 elsewhere).

    Raises
    ------
    AnalysisError
        Where the frame has no rows, lacks a column, or an expression cannot be read.
    """
    formulas = [name for name in dict.fromkeys(names) if name not in trials.columns]
    need_columns(trials, [name for name in formulas if name.isidentifier()])
    return trials.assign(**{text: _value(trials, text) for text in formulas}) if formulas else trials


def holds(trials: pd.DataFrame, condition: str) -> BoolArray:
    """For which trials a condition over columns holds, shape (trials,); written as in a grid's `exclude`.

    Where a column is null every comparison with it is false, except `!=` and `not in`.

    Raises
    ------
    AnalysisError
        Where it is no condition, or the frame lacks a column of it.
    """
    kinds = {str(name): _kind(trials[name]) for name in trials.columns}
    try:
        parsed = parse_expression(condition, kinds)
    except ValueError as error:
        reason = str(error).replace("a parameter of this grid", "a column of the trials")
        raise AnalysisError(f"'{condition}' {reason}") from None
    arrays = {name: _operand(trials[name], kinds[name]) for name in parsed.names}
    mask: BoolArray = parsed.values(arrays, len(trials)) == 1
    return mask


def names_in(trials: pd.DataFrame, text: str) -> frozenset[str]:
    """The columns that an expression reads; of a column's name, that column."""
    return frozenset({text}) if text.isidentifier() else _formula(trials, text).names


def _formula(trials: pd.DataFrame, text: str) -> Expression:
    kinds = {str(name): _kind(trials[name]) for name in trials.columns}
    try:
        return parse_formula(text, kinds)
    except ValueError as error:
        reason = str(error).replace("a parameter of this grid", "a column of the trials")
        raise AnalysisError(f"'{text}' is no column, and as an expression of columns it {reason}") from None


def _value(trials: pd.DataFrame, text: str) -> FloatArray:
    formula = _formula(trials, text)
    arrays = {name: _operand(trials[name], _kind(trials[name])) for name in formula.names}
    values = formula.values(arrays, len(trials))
    for name in formula.names:
        values[trials[name].isna().to_numpy()] = np.nan
    return values


def _kind(column: pd.Series[Any]) -> type:
    if pd.api.types.is_bool_dtype(column):
        return bool
    if pd.api.types.is_numeric_dtype(column):
        return float
    first = column.dropna().head(1)
    return list if len(first) and not isinstance(first.iloc[0], str) else str


def _operand(column: pd.Series[Any], kind: type) -> npt.NDArray[Any]:
    if kind is float:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.astype(object).where(column.notna(), None).to_numpy()


def has_status(trials: pd.DataFrame, status: str) -> BoolArray:
    """Which trials ended so; all are ok where no status was recorded. Shape (trials,)."""
    if "status" not in trials:
        return np.full(len(trials), status == "ok")
    return (trials["status"] == status).to_numpy(dtype=bool, na_value=False)


def converged(trials: pd.DataFrame, when_unknown: bool) -> BoolArray:
    """Which trials have converged, shape (trials,)."""
    if "converged" not in trials:
        return np.full(len(trials), True)
    return trials["converged"].astype("boolean").to_numpy(dtype=bool, na_value=when_unknown)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """The distinct combinations of some columns."""

    names: tuple[str, ...]
    levels: tuple[npt.NDArray[Any], ...]
    """The distinct values of each column; ascending where they are numbers."""
    code: IntArray
    """The number of each combination, mixed radix over the positions in `levels`, ascending, shape
    (cells,)."""
    cell: IntArray
    """The combination of each trial, shape (trials,)."""

    @classmethod
    def of(cls, trials: pd.DataFrame, names: tuple[str, ...], by_name: Collection[str] = ()) -> Groups:
        """Group trials by the columns `names`; levels of those `by_name` are in the order of their texts."""
        code = np.zeros(len(trials), dtype=np.int64)
        levels = []
        for name in names:
            codes, values = coded(trials[name])
            if name in by_name:
                order = np.array(sorted(range(len(values)), key=lambda at: key(values[at])))
                codes, values = np.argsort(order)[codes], values[order]
            levels.append(values)
            code = code * len(values) + codes
        unique, cell = np.unique(code, return_inverse=True)
        return cls(names=names, levels=tuple(levels), code=unique, cell=cell)

    def decoded(self, code: IntArray, count: int) -> pd.DataFrame:
        """The values of the first `count` columns behind codes of them."""
        columns: dict[str, npt.NDArray[Any]] = {}
        for name, values in reversed(list(zip(self.names[:count], self.levels, strict=False))):
            code, position = np.divmod(code, len(values))
            columns[name] = values[position]
        return pd.DataFrame({name: columns[name] for name in self.names[:count]})


def coded(column: pd.Series[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """Number the distinct values of a column; a null is a value of its own, a list becomes text.

    Returns
    -------
    The number of each row's value, int64, shape (trials,), and the values, ascending where they are numbers.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        floats = column.hasnans or pd.api.types.is_float_dtype(column)
        # pandas 2.2 refuses a null value for integers, of which none is null
        array = column.to_numpy(np.float64, na_value=np.nan) if floats else column.to_numpy(np.int64)
        if len(array) and (array == array[0]).all():
            return np.zeros(len(array), dtype=np.int64), array[:1]
        codes, values = pd.factorize(array, sort=True, use_na_sentinel=False)
        return codes.astype(np.int64), np.asarray(values)
    if isinstance(column.dtype, pd.StringDtype) and len(column) and (column == column.iloc[0]).all():
        return np.zeros(len(column), dtype=np.int64), column.iloc[:1].to_numpy(dtype=object)
    texts: Any = column
    if column.dtype == object:
        texts = column.to_numpy(dtype=object)
        lists = [row for row, value in enumerate(texts) if isinstance(value, list | tuple | np.ndarray)]
        if lists:
            texts = texts.copy()
            texts[lists] = [formatted(tuple(value)) for value in texts[lists]]
    codes, values = pd.factorize(texts, use_na_sentinel=False)
    return codes.astype(np.int64), np.asarray(values, dtype=object)
