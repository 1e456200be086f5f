"""Layers whose neurons are known up to a basis only, and what counts of neurons say of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pandas as pd

from phasediag.analysis.frame import coded
from phasediag.columns import DERIVED_COLUMNS

COUNTS_OF_NEURONS: Final = {
    "neuron_count", "degree_of_symmetry", "degree_normalized", *DERIVED_COLUMNS,
}  # fmt: skip
"""The columns that depend on the basis."""


def arbitrary_basis(trials: pd.DataFrame, texts: Sequence[str]) -> str:
    """That counts of neurons depend on a basis, in a sentence; empty where they do not, or none is named.

    Linear layers, and the columns of a head's factors, compute the same in every invertible basis.

    Parameters
    ----------
    texts
        Columns or expressions that a statistic is about.
    """
    named = COUNTS_OF_NEURONS & set(re.findall(r"[^\W\d]\w*", " ".join(texts)))
    if not named:
        return ""
    layers = {str(value) for value in _values(trials, "measure_layer")}
    linear = "linear" in _values(trials, "activation") and any(name.startswith("hidden.") for name in layers)
    heads = any(name.startswith(("head.", "value.")) for name in layers)
    if not linear and not heads:
        return ""
    return (
        f"{', '.join(sorted(named))} of a {'linear layer' if linear else 'head'} depends on the basis of its "
        "neurons, which training leaves to chance: it tells whether all of them are dead, and no more; "
        "double_rotation and rank depend on no basis."
    )


def _values(trials: pd.DataFrame, name: str) -> list[object]:
    return list(coded(trials[name])[1]) if name in trials else []
