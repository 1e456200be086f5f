"""What is published by several ways is the same: versions and dependencies of wheel, conda and citation."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dockerfile_steps import left_out
from phasediag.version import VERSION

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_CONDA = {"matplotlib-base": "matplotlib", "pytorch": "torch", "ray-tune": "ray[tune]"}
"""What conda calls otherwise."""
FOLDERS = {".ci", ".github", "analysis", "benchmarks", "conda", "docs", "jobs", "phasediag", "tests"}


def read(path: str) -> Any:
    """A YAML file of the repository."""
    return YAML(typ="safe", pure=True).load((ROOT / path).read_text())


def bounds(requirements: list[str]) -> dict[str, str]:
    """The bounds of each requirement, by its name in small letters."""
    parts = [re.fullmatch(r"([\w.\[\]-]+) *(.*)", each.partition(";")[0]) for each in requirements]
    return {part[1].lower(): part[2] for part in parts if part}


def test_the_version_is_the_same_everywhere() -> None:
    versions = [
        PROJECT["version"],
        read("CITATION.cff")["version"],
        read("conda/meta.yaml")["package"]["version"],
    ]
    assert versions == [VERSION] * 3


def test_conda_asks_for_what_pip_asks_for() -> None:
    recipe = read("conda/meta.yaml")["requirements"]["run"]
    asked = {OF_CONDA.get(name, name): bound for name, bound in bounds(recipe).items()}
    python = asked.pop("python")
    assert python == PROJECT["requires-python"]
    assert asked == bounds(PROJECT["dependencies"])


def test_a_release_needs_no_token_and_tries_the_wheel_outside_the_clone() -> None:
    jobs = read(".github/workflows/release.yml")["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert not re.search(r"secrets\.|password", (ROOT / ".github/workflows/release.yml").read_text())
    commands = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    assert 'phasediag" init two-axes' in commands


def test_the_image_copies_what_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_gets_the_whole_package_and_no_sweeps() -> None:
    ignored = left_out(ROOT)
    assert ignored(str(ROOT), ["sweeps", "phasediag", ".venv", ".mypy_cache"]) == {
        "sweeps",
        ".venv",
        ".mypy_cache",
    }
    assert ignored(str(ROOT / "phasediag"), ["sweeps", "py.typed", "__pycache__"]) == {"__pycache__"}


def test_no_folder_that_a_test_left_is_committed() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no clone, or no git")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {path.partition("/")[0] for path in tracked.stdout.splitlines() if "/" in path} == FOLDERS
