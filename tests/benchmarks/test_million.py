"""The benchmark of a million trials: an operation is timed to its end, whatever it prints."""

from __future__ import annotations

from pathlib import Path

import million
import pytest

from phasediag.storage.seal import sealed_text


def test_a_command_is_timed_to_its_end(tmp_path: Path) -> None:
    text = tmp_path / "sealed.json"
    text.write_bytes(sealed_text({"version": 1}))
    read = f"from phasediag.storage.seal import unsealed_text; unsealed_text(open('{text}', 'rb').read())"
    task = million.Task(name="version", code=f"{read}; " + million.CLI.format("['--version']"))
    measured = million.measured(task, {})
    assert 0 < measured.seals_s < measured.cpu_s
    assert 0.01 < measured.gb < 4


def test_a_command_that_fails_is_no_time(tmp_path: Path) -> None:
    task = million.Task(name="nothing", code=million.CLI.format(f"['status', '{tmp_path / 'absent'}']"))
    with pytest.raises(RuntimeError, match=r"nothing failed:\n(.|\n)*absent"):
        million.measured(task, {})
