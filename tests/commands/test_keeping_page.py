"""The commands of docs/keeping.md are run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import phasediag
from phasediag import cli
from phasediag.commands import quickstart

PAGE = (Path(__file__).parents[2] / "docs" / "keeping.md").read_text()
SHORT = ("--set", "learning_time=1")
SMALL = ("--set", "replicates=1", "--set", "lr_over_batch=[1e-2, 2e-2]")


def commands() -> list[list[str]]:
    """Every command of the page, in its order."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("phasediag ")]


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "_run", lambda arguments: None)
    runner = CliRunner()
    ran = set()
    for arguments in commands():
        name = arguments[0]
        if name in ("plan", "launch"):  # the values of the page are those of a minute
            arguments = [*arguments, *SMALL, *(["--executor", "inline"] if name == "launch" else [])]
        if name == "launch" and "list" not in ran:
            inline = ("--executor", "inline", "--compile", "off")
            for storage in ("sweeps", "other"):
                first = ["launch", "two-axes.yaml", *SMALL, *SHORT, *inline, "--storage", storage]
                assert runner.invoke(cli.commands, first).exit_code == 0
            arguments += ["--compile", "off", "--set", "steps=20"]
        if name == "explain" and arguments[1].startswith("sweeps/"):
            arguments[2] = phasediag.load_trials("sweeps/two-axes").trial_id[0][:6]
        if name == "remove" and "--undo" in arguments:
            removal = ["remove", "sweeps/two-axes", "--where", "weight_decay > 3", "--yes"]
            assert runner.invoke(cli.commands, removal).exit_code == 0
        outcome = runner.invoke(cli.commands, arguments)
        never_refined = name == "refine" and "--undo" in arguments
        if never_refined:
            assert "was not refined" in str(outcome.exception)
        else:
            assert outcome.exit_code == 0, (arguments, outcome.output, outcome.exception)
        ran.add(name)
    assert ran >= {"init", "list", "explain", "remove", "merge", "export", "refine", "cite"}
