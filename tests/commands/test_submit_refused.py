"""What `phasediag submit` refuses before it asks any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broken_grids import BROKEN
from phasediag.cli import main
from phasediag.commands.submit import launch_options
from small_sweeps import grid_text, write

NOWHERE = "http://127.0.0.1:1"
TINY = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 10})


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """What `phasediag submit ARGUMENTS` says where it ends with 2."""
    with pytest.raises(SystemExit) as ended:
        main(["submit", *map(str, arguments)])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("kind", ["unknown fixed key", "no such file"])
def test_a_faulty_grid_goes_nowhere(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, line, _, said = BROKEN[kind]
    grid = write(tmp_path, text)
    message = refused(capsys, grid, "--address", NOWHERE, "--storage", "s3://bucket/sweeps")
    assert f"{grid}:{line}: " in message
    assert said in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--storage", "sweeps", "--address", NOWHERE), "--storage: 'sweeps' is no URI"),
        (("--storage", "s3://b/x", "--address", "head:6379"), "--address: 'head:6379' is no URL"),
        (("--storage", "s3://b/x", "--address", NOWHERE, "--time-limit", "soon"), "'soon' is no time"),
        (("--storage", "s3://b/x", "--address", NOWHERE, "--stop", "--no-wait"), "leave --no-wait out"),
        (("--address", NOWHERE), "Missing option '--storage'"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    options: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, write(tmp_path, TINY), *options)


def test_options_become_words() -> None:
    assert launch_options(max_failures=3, retry_failed=True, remeasure=False, time_limit=None) == (
        "--max-failures", "3", "--retry-failed",
    )  # fmt: skip
