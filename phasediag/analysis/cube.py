"""A table of results as a data set of xarray: over its axes, each variable with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.branches import MAIN
from phasediag.analysis.labels import prose
from phasediag.columns import Column, column_of
from phasediag.errors import PhasediagError
from phasediag.grids.catalogue import all_declarations
from phasediag.parameters import TRAINING
from phasediag.trial import formatted

if TYPE_CHECKING:
    import xarray

BRANCH: Final = "branch"
ROW: Final = "row"
"""The one dimension of a table that no columns span."""


def cube(
    table: pd.DataFrame,
    over: Sequence[str] = (),
    quantities: Mapping[str, Column] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """A table over the columns that tell its rows apart.

    Where these are null in a row, or two rows have the same, the data set has one dimension, `row`. A row
    of a boundary without any crossing stands at branch 1.
    A combination that the table lacks is NaN, of text ''; whole numbers and truth values are floats then.
    Every variable has the attribute `long_name`, and `units` where it has a unit.

    Parameters
    ----------
    over
        Columns of the table; the dimensions, in this order.
    quantities
        What columns hold values of whose names do not say it: of `low`, the x of a diagram.
    attributes
        Of the data set.

    Raises
    ------
    PhasediagError
        Where xarray is not installed.
    """
    needs_xarray()
    plain = pd.DataFrame({str(name): plain_column(table[name]) for name in table.columns}, index=table.index)
    axes = [name for name in over if name in plain]
    if BRANCH in axes:
        plain[BRANCH] = plain[BRANCH].fillna(MAIN).astype(np.int64)
    if axes and not plain[axes].isna().to_numpy().any() and not plain.duplicated(axes).any():
        data = plain.set_index(axes).to_xarray()
    else:
        data = plain.reset_index(drop=True).rename_axis(ROW).to_xarray()
    for name, variable in data.data_vars.items():
        if variable.dtype == object:
            data[name] = variable.fillna("")
    return described(data, quantities or {}).assign_attrs(attributes or {})


def described(data: xarray.Dataset, quantities: Mapping[str, Column]) -> xarray.Dataset:
    """A data set whose variables say what they are and in which unit."""
    for name, variable in data.variables.items():
        own = str(name)
        column = quantities.get(own) or column_of(own)
        of = "" if column.name == own else f"{own.replace('_', ' ')} of "
        variable.attrs["long_name"] = f"{of}{prose(column.name, column)}"
        unit = column.unit or unit_of(column.name)
        if unit:
            variable.attrs["units"] = unit
    return data


def unit_of(name: str) -> str:
    """The unit of a parameter or a result; '' where it has none, or is known of no built-in one."""
    return _units_of_parameters().get(name) or column_of(name).unit


@cache
def _units_of_parameters() -> Mapping[str, str]:
    own = [declared[0] for declared in all_declarations(Path()).values()]
    return {parameter.name: parameter.unit for parameter in (*own, *TRAINING) if parameter.unit}


def needs_xarray() -> None:
    """Refuse what cannot be made without xarray.

    Raises
    ------
    PhasediagError
        Where it is not installed; says how to install it.
    """
    if find_spec("xarray") is None:
        raise PhasediagError("this needs xarray: pip install 'phasediag[xarray]'")


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of numbers and text alone: lists as in an identity, times as text, truth values 0 and 1."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.astype(str)
    if pd.api.types.is_bool_dtype(column):
        return column.astype("Float64").astype(np.float64)
    if pd.api.types.is_numeric_dtype(column):
        if column.isna().any() or pd.api.types.is_float_dtype(column):
            return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
        return pd.Series(column.to_numpy(dtype=np.int64), index=column.index)
    texts = [_text(value) for value in column.tolist()]
    return pd.Series(texts, index=column.index, dtype=object)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, list | tuple | np.ndarray):
        return formatted(tuple(np.asarray(value).tolist()))
    return str(value)
