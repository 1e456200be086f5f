"""What models have to tell that are no chain of weight layers."""

from __future__ import annotations

from typing import Final

from phasediag.errors import RefusedError
from phasediag.trial import Constraint

NO_CHAIN: Final = Constraint(
    parameters=("init", "model"),
    fault=lambda init, model: (
        RefusedError(
            f"balanced needs a chain of weight layers, which model {model} is not", "use kaiming_normal"
        )
        if init == "balanced"
        else None
    ),
)
"""Refuses a start with balanced weights."""
