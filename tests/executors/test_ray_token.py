"""Ray's own switch of authentication, RAY_AUTH_MODE, both ways; clusters that do not let a launch in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from phasediag.executors.ray_tune.connection import refusal
from small_sweeps import grid_text, run, write

GRID = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 50}, resources="{trials_per_pack: 2}")
OPTIONS = ("--compile", "off")
HEAD = """
import sys
import ray
from ray.scripts.scripts import main

if sys.argv[1] != ray.__version__:
    ray.__version__ = sys.argv[1]
sys.argv[1:] = ["start", "--head", "--block", "--num-cpus=1", "--port=0", "--include-dashboard=false",
                "--disable-usage-stats", f"--temp-dir={sys.argv[2]}"]
main()
"""
"""A head of a Ray that tells another version where it is asked to."""


def environment(home: Path, **given: str) -> dict[str, str]:
    """That of a user who has no token yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return {**kept, "RAY_ADDRESS": "", "HOME": str(home), **given}


@contextmanager
def head(version: str, **given: str) -> Iterator[str]:
    """The address of a cluster of one node."""
    # Ray puts sockets below its folder, and their paths may have 107 characters: pytest's are too long.
    with tempfile.TemporaryDirectory(prefix="pd-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", HEAD, version, folder]
        with subprocess.Popen(
            command, env=environment(Path(folder), **given), stdout=subprocess.PIPE, text=True
        ) as started:
            assert started.stdout is not None
            try:
                for line in started.stdout:
                    address = re.search(r"--address='([^']+)'", line)
                    if address:
                        yield address[1]
                        return
                pytest.fail("no address was told")
            finally:
                started.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_local_ray_trains_whatever_the_switch(tmp_path: Path, mode: str) -> None:
    grid = write(tmp_path, GRID)
    given = environment(tmp_path, RAY_AUTH_MODE=mode)
    outcome = run("launch", grid, "--storage", tmp_path, *OPTIONS, env=given)
    assert outcome.returncode == 0, outcome.stderr
    assert "2 of 2 trials done" in outcome.stderr


@pytest.mark.slow
def test_a_home_that_cannot_be_written_keeps_no_launch_from_a_token(tmp_path: Path) -> None:
    grid = write(tmp_path, GRID)
    given = environment(Path("/proc/nowhere"), XDG_CACHE_HOME=str(tmp_path))
    outcome = run("launch", grid, "--storage", tmp_path, *OPTIONS, env=given)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_that_asks_for_a_token(tmp_path: Path) -> None:
    grid = write(tmp_path, GRID)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": 8 * "0123456789"}
    with head(ray.__version__, **token) as address:
        options = ("--storage", tmp_path, *OPTIONS, "--address", address)
        for given in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": 8 * "abcdefghij"}):
            refused = run("launch", grid, *options, env=environment(tmp_path, **given))
            assert refused.returncode == 2, refused.stderr
            assert "does not let this process in" in refused.stderr
            assert "RAY_AUTH_TOKEN" in refused.stderr
            assert "Traceback" not in refused.stderr
        outcome = run("launch", grid, *options, env=environment(tmp_path, **token))
        assert outcome.returncode == 0, outcome.stderr


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_of_another_version_says_what_to_install(tmp_path: Path) -> None:
    grid = write(tmp_path, GRID)
    with head("2.59.99", RAY_AUTH_MODE="disabled") as address:
        options = ("--storage", tmp_path, *OPTIONS, "--address", address)
        refused = run("launch", grid, *options, env=environment(tmp_path))
    assert refused.returncode == 2, refused.stderr
    assert "pip install 'ray[tune]==2.59.99'" in refused.stderr
    assert f"this process Ray {ray.__version__}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_cluster_of_another_python_says_which() -> None:
    """Ray's own words."""
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n"
        "This process on node 127.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    text = refusal("10.0.0.1:6379", error, listened=True)
    assert "runs Ray 2.60.0 on Python 3.12.1" in text
    assert "run phasediag by Python 3.12.1" in text
    assert "pip install" not in text
