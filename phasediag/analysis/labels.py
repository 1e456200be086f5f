"""What figures and sentences call the columns and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from phasediag.columns import Column, column_of

LABELS: Final[Mapping[str, str]] = {
    "weight_decay": "weight decay",
    "lr_over_batch": "learning rate / batch size",
    "label_noise": "label noise",
    "init_scale": "initial scale",
    "width": "width (neurons)",
    "batch_size": "batch size (samples)",
    "learning_time": "learning time (steps × learning rate)",
    "steps": "training steps",
}
"""What an axis says of parameters; other parameters say their name."""


def prose(name: str, declared: Column | None = None) -> str:
    """What a sentence calls a column: its label without the unit; `declared` as for `label`."""
    return label(name, declared).split(" (")[0]


def named(name: str, value: Any) -> str:
    """`weight decay = 0.1`: a column and its value as a title or legend says it."""
    return f"{prose(name)} = {shown(value)}"


def shown(value: Any) -> str:
    """A value of a column, short."""
    if value is None or value is pd.NA or value != value:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def label(name: str, declared: Column | None = None) -> str:
    """What an axis says about a column, with its unit; `declared` is what its frame knows of it."""
    return LABELS.get(name) or (declared or column_of(name)).title
