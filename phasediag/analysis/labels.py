"""What figures call the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LABELS: Final[Mapping[str, str]] = {
    "weight_decay": "weight decay",
    "lr_over_batch": "learning rate / batch size (T)",
    "label_noise": "label noise σ",
    "init_scale": "initial scale",
    "width": "width (neurons)",
    "batch_size": "batch size (samples)",
    "learning_time": "learning time (steps × learning rate)",
    "steps": "training steps",
    "degree_normalized": "degree of symmetry / maximum",
    "degree_of_symmetry": "degree of symmetry (generators)",
    "neuron_count": "distinct living neurons",
    "alive_count": "living neurons",
    "rank": "rank of the incoming weights",
    "diverged": "diverged share of trials",
    "train_loss": "training loss",
    "log_rate": "growth rate of log ‖v‖ (1/step)",
}
"""What an axis says; other columns say their name."""


def label(name: str) -> str:
    """What an axis says about a column, with its unit."""
    return LABELS.get(name, name.replace("_", " "))
