"""The examples of docs/tutorial.md and docs/notebook.md, run from top to bottom in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from click.testing import CliRunner

from phasediag import cli

DOCS = Path(__file__).parents[1] / "docs"
SMALLER = {
    "num: 16": "num: 3",
    "learning_time: 800": "learning_time: 4",
    "skip: [0, 0.2, 0.4, 0.6]": "skip: [0, 0.4]",
}
"""The grid of the tutorial, so that it trains in a second."""


def blocks(page: str, languages: str) -> list[tuple[str, str]]:
    """The language and the text of every example of a page, in its order."""
    return re.findall(rf"^```({languages})\n(.*?)^```", (DOCS / page).read_text(), flags=re.M | re.S)


def run(command: str) -> None:
    """A line of a shell, in this process."""
    arguments = shlex.split(command, comments=True)[1:]
    if arguments[0] == "launch":
        arguments += ["--executor", "inline", "--compile", "off"]
    outcome = CliRunner().invoke(cli.commands, arguments)
    assert outcome.exit_code == 0, (command, outcome.output, outcome.exception)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    ran = []
    for language, text in blocks("tutorial.md", "python|yaml|sh"):
        file = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if file:
            for old, new in SMALLER.items() if language == "yaml" else ():
                assert old in text
                text = text.replace(old, new)
            (tmp_path / file[1]).write_text(text)
        elif language == "python":
            exec(text, names)
        else:
            for command in text.splitlines():
                run(command)
                ran.append(command.split()[1])
    assert {"plan", "launch", "status", "diagram", "report", "refine", "cite"} <= set(ran)
    assert (tmp_path / "skip-with-theory.pdf").stat().st_size
    assert (tmp_path / "paper" / "figure.pdf").is_file()
    assert names["measured"]["predicted"].tolist() == [2.0, 1.2]


def test_the_page_on_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with mpl.rc_context():
        for _, text in blocks("notebook.md", "python"):
            exec(text.replace('"learning_time": 200', '"learning_time": 2'), names)
    assert names["outcome"].exit_code == 0
    assert dict(names["cells"].sizes) == {"width": 2, "weight_decay": 8}
    printed = capsys.readouterr().out
    assert "grid: replicates: 0 is not allowed" in printed
    assert "did you mean 'width'?" in printed
