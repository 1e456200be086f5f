"""The zoo, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.comparison import copied


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the zoo, beside which grids are written."""
    return copied(tmp_path_factory.mktemp("zoo"))
