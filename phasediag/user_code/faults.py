"""Where in a user's file something was raised."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path


def where(error: BaseException, folders: Sequence[Path]) -> str:
    """` (net.py:12)`, the deepest line below the folders that the error came through; else nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    of_user = [f for f in frames if any(Path(f.filename).is_relative_to(folder) for folder in folders)]
    own = Path(__file__).resolve().parents[1]
    of_user = [f for f in of_user if not Path(f.filename).is_relative_to(own)]
    return f" ({Path(of_user[-1].filename).name}:{of_user[-1].lineno})" if of_user else ""
