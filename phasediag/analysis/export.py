"""A frame of trials as other programs read it: an xarray data set over its axes, or plain text."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.errors import PhasediagError
from phasediag.trial import formatted

if TYPE_CHECKING:
    import xarray

LARGEST: Final = 2**31
TRIAL: Final = "trial"
"""The one dimension of what is no product of axes."""


def to_xarray(trials: pd.DataFrame) -> xarray.Dataset:
    """The trials over their axes and replicates; over one dimension where they are no full product of these.

    Lists become text, nulls of numbers NaN, and so that every netCDF file can hold it whole numbers beyond 32
    bits, such as seeds, text. What does not vary becomes an attribute.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.

    Raises
    ------
    PhasediagError
        Where xarray is not installed.
    """
    if find_spec("xarray") is None:
        raise PhasediagError("this needs xarray: pip install 'phasediag[xarray]'")
    plain = pd.DataFrame({str(name): _narrow(plain_column(trials[name])) for name in trials.columns})
    names = [name for name in (*axes_of(trials), "replicate", "stage") if name in plain]
    names = [name for name in names if plain[name].nunique() > 1]
    constant = {name: plain[name].iloc[0] for name in plain if plain[name].nunique(dropna=False) == 1}
    attributes = {name: _attribute(value) for name, value in constant.items() if value == value}
    plain = plain.drop(columns=[name for name in constant if name not in names])
    full = np.prod([plain[name].nunique() for name in names]) == len(plain)
    if names and full and not plain.duplicated(names).any():
        data = plain.set_index(names).to_xarray()
    else:
        data = plain.rename_axis(TRIAL).reset_index(drop=True).rename_axis(TRIAL).to_xarray()
    return data.assign_attrs(attributes)


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of numbers and text alone: lists as in an identity, times as text, truth values 0 and 1."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.astype(str)
    if pd.api.types.is_bool_dtype(column):
        return column.astype("Float64").astype(np.float64)
    if pd.api.types.is_numeric_dtype(column):
        kind = np.float64 if column.isna().any() or pd.api.types.is_float_dtype(column) else np.int64
        return pd.Series(column.to_numpy(dtype=kind, na_value=np.nan), index=column.index)
    texts = [_text(value) for value in column.tolist()]
    return pd.Series(texts, index=column.index, dtype=object)


def _narrow(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column whose whole numbers fit into 32 bits, or the same as text."""
    if column.dtype.kind != "i" or not len(column):
        return column
    largest = max(abs(int(column.min())), abs(int(column.max())))
    return column if largest < LARGEST else column.astype(str).astype(object)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, dict):
        return str(value)
    return value if isinstance(value, str) else formatted(tuple(np.asarray(value).tolist()))


def _attribute(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
