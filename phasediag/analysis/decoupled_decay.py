"""adamw's weight decay on an axis: its boundary is none of collapse."""

from __future__ import annotations

import warnings

import pandas as pd

from phasediag.errors import RecordsWarning


class DecoupledDecayWarning(RecordsWarning):
    """A diagram over the weight decay of adamw, which has no collapse threshold to compare with."""

    word = "warning"


def warn_of_adamw(trials: pd.DataFrame, axes: tuple[str, ...]) -> None:
    """Warn where one of the axes is the weight decay of adamw."""
    if "weight_decay" in axes and "optimizer" in trials and (trials["optimizer"] == "adamw").any():
        warnings.warn(
            "adamw decouples the decay: it bounds every weight by 1 / weight_decay and never collapses a "
            "network, so a boundary here is not to be compared with a collapse threshold gamma_c; use "
            "optimizer: adam or sgd for that (exact result E13, phasediag.exact.decoupled_product)",
            DecoupledDecayWarning, stacklevel=4,
        )  # fmt: skip
