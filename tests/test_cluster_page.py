"""The commands of docs/cluster.md, and of the files for clusters, are commands of this version."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from phasediag.cli import commands

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cluster.md"
FILES = (PAGE, ROOT / "cluster.yaml", ROOT / "cluster-gcp.yaml", ROOT / "jobs" / "kuberay.yaml")


def given(path: Path) -> list[str]:
    """The commands of phasediag that a file shows: lines of their own, of comments, in tables."""
    lines = path.read_text().replace("# ", "").splitlines()
    inside = [
        text for line in lines if line.startswith("|") for text in re.findall("`(phasediag .+?)`", line)
    ]
    own = [line.strip().partition("   ")[0] for line in lines if line.strip().startswith("phasediag ")]
    return [*inside, *own]


SHOWN = [(path.name, line) for path in FILES for line in given(path)]


def test_every_file_shows_some() -> None:
    assert {name for name, _ in SHOWN} == {path.name for path in FILES}


@pytest.mark.parametrize(("name", "line"), SHOWN)
def test_a_command_that_is_shown_is_one(name: str, line: str) -> None:
    """Its words are taken by the command that it names."""
    _, word, *rest = shlex.split(line)
    command = commands.get_command(click.Context(commands), word)
    assert command is not None, line
    command.make_context(word, rest)


def test_scripts_that_are_shown_take_what_they_are_given() -> None:
    shown = re.findall(r"^sbatch (.+)$", PAGE.read_text(), flags=re.M)
    assert len(shown) >= 3
    for line in shown:
        words = [word for word in shlex.split(line) if not word.startswith("--")]
        script, grid, storage = words
        assert (ROOT / script).is_file()
        assert (ROOT / grid).is_file()
        assert storage.startswith("/")
