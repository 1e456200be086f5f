"""One thread, no screen, no telemetry, and properties that are drawn the same way every time."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from properties import TIMES, examples

# Inherited by workers and by every phasediag that a test starts; before torch is imported anywhere.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg", RAY_USAGE_STATS_ENABLED="0")
# The package is compiled once, as a user's is, and not anew by every process that a test starts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "phasediag",
    derandomize=TIMES == 1,
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("phasediag")


LONGEST = ("test_launch.py", "test_executors.py", "test_quick_start.py", "test_machine_faults.py")
"""Files of few tests that take minutes: first, so that at the end no worker is left with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all others stay in their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Do not look through the libraries that are loaded by now for garbage, as a command does not."""
    from phasediag.cli import ALLOCATIONS

    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)


@pytest.fixture
def untranslated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `torch.compile` would translate is run as it was traced."""
    from phasediag.training import compilation

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compilation, "translated", lambda graph, flat: graph)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Bitwise laws hold with one thread; tests that need no torch do not load it for that."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
