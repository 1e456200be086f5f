"""The benchmark of a million trials: an operation is timed to its end, whatever it prints."""

from __future__ import annotations

import million
import pytest


@pytest.mark.parametrize("before", ["", million.BLIND])
def test_a_command_is_timed_to_its_end(before: str) -> None:
    task = million.Task(name="version", code=million.CLI.format("['--version']"))
    measured = million.measured(task, {}, before)
    assert measured.wall_s > 0
    assert 0.01 < measured.gb < 4


def test_a_command_that_fails_is_no_time() -> None:
    task = million.Task(name="nothing", code=million.CLI.format("['status', 'nowhere']"))
    with pytest.raises(RuntimeError, match=r"nothing failed:\n.*nowhere"):
        million.measured(task, {})
