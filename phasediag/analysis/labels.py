"""What figures call the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phasediag.columns import Column, column_of

LABELS: Final[Mapping[str, str]] = {
    "weight_decay": "weight decay",
    "lr_over_batch": "learning rate / batch size (T)",
    "label_noise": "label noise σ",
    "init_scale": "initial scale",
    "width": "width (neurons)",
    "batch_size": "batch size (samples)",
    "learning_time": "learning time (steps × learning rate)",
    "steps": "training steps",
}
"""What an axis says of parameters; other parameters say their name."""


def label(name: str, declared: Column | None = None) -> str:
    """What an axis says about a column, with its unit; `declared` is what its frame knows of it."""
    return LABELS.get(name) or (declared or column_of(name)).title
