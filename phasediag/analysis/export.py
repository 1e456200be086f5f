"""A frame of trials as other programs read it: an xarray data set over its axes, or plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.axes import axes_of
from phasediag.analysis.cube import described, needs_xarray, plain_column
from phasediag.analysis.declared_columns import about, declared_names

if TYPE_CHECKING:
    import xarray

LARGEST: Final = 2**31
TRIAL: Final = "trial"
"""The one dimension of what is no product of axes."""


def to_xarray(trials: pd.DataFrame) -> xarray.Dataset:
    """The trials over their axes and replicates; over one dimension where they are no full product of these.

    Lists become text, nulls of numbers NaN, and so that every netCDF file can hold it whole numbers beyond 32
    bits, such as seeds, text. Every variable says its unit. What does not vary becomes an attribute.

    Parameters
    ----------
    trials
        One row a trial, as `load_trials` returns it.

    Raises
    ------
    PhasediagError
        Where xarray is not installed.
    """
    needs_xarray()
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
    quantities = {name: about(trials, name) for name in declared_names(trials)}
    return described(data, quantities).assign_attrs(attributes)


def _narrow(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column whose whole numbers fit into 32 bits, or the same as text."""
    if column.dtype.kind != "i" or not len(column):
        return column
    largest = max(abs(int(column.min())), abs(int(column.max())))
    return column if largest < LARGEST else column.astype(str).astype(object)


def _attribute(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
