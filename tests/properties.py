"""How many examples a property is tried on: as many as it asks for, or several times that."""

from __future__ import annotations

import os
from typing import Final

TIMES: Final = int(os.environ.get("PHASEDIAG_EXAMPLES", "1"))
"""More than 1: so many times the examples, drawn anew by the seed that `--hypothesis-seed` gives."""


def examples(count: int) -> int:
    """The examples of a property that asks for `count`."""
    return count * TIMES
