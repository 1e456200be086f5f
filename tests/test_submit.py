"""`phasediag submit` to a real head with its dashboard: with and without a token, stopped, continued."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import phasediag
from phasediag.storage.lease import held_by
from phasediag.storage.store import Store
from ray_heads import RayHead, environment_at, ray_head
from small_sweeps import assert_same_rows, command, fragments, grid_text, launched, run, write

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

TOKEN = 8 * "0123456789"
NET = """
import torch
from helper import squash


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(inputs, width, bias=False)
        self.last = torch.nn.Linear(width, outputs, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(squash(self.first(x)))
"""
AXES = {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}
LONG = grid_text(AXES, {"steps": 10_000}, replicates=2, resources="{trials_per_pack: 2}")
"""6 packs in three rounds, each longer than a command takes to ask for a stop."""
OPTIONS = ("--compile", "off")


@pytest.fixture(scope="module", params=["token", "disabled"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head that asks for a token, or for none."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    if request.param == "token":
        (home / ".ray" / "auth_token").write_text(TOKEN)
    with ray_head(environment_at(home, RAY_AUTH_MODE=request.param)) as head:
        yield Cluster(head, home)


class Cluster:
    """A head, and a laptop on which nothing but the token's file tells of a token."""

    def __init__(self, head: RayHead, home: Path) -> None:
        self.head, self.environment = head, environment_at(home)

    def words(self, grid: Path, *options: str) -> tuple[str | Path, ...]:
        return ("submit", grid, "--address", self.head.url, "--storage", grid.parent, *OPTIONS, *options)

    def submit(self, grid: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return run(*self.words(grid, *options), env=self.environment, timeout=300)

    def submitting(self, grid: Path, *options: str) -> subprocess.Popen[str]:
        """A submission that goes on."""
        return subprocess.Popen(
            command(*self.words(grid, *options)), env=self.environment, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert launched(folder, LONG.replace("resources: {trials_per_pack: 2}\n", "")).exit_code == 0
    return folder / "g"


def wait_for_fragments(sweep: Path, least: int = 1) -> None:
    deadline = time.monotonic() + 240
    while len(fragments(sweep)) < least:
        assert time.monotonic() < deadline, "no pack was committed"
        time.sleep(0.05)


def test_a_model_of_the_users_trains_there_as_here(cluster: Cluster, tmp_path: Path) -> None:
    text = grid_text(AXES, {"steps": 200, "model": "net.py:Net"})
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "net.py").write_text(NET)
        (folder / "helper.py").write_text("import torch\nsquash = torch.tanh\n")
    launched(tmp_path / "here", text)
    sent = cluster.submit(write(tmp_path / "there", text))
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout == f"{tmp_path / 'there' / 'g'}\n"
    assert "dashboard_sdk" not in sent.stderr
    assert "6 of 6 trials done (0 diverged), 0 failed, 0 missing; 6 trained" in sent.stderr
    assert_same_rows(tmp_path / "here" / "g", tmp_path / "there" / "g")


def test_a_storage_that_the_cluster_cannot_write_is_told(cluster: Cluster, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG)
    words = ("submit", grid, "--address", cluster.head.url, "--storage", "/proc/nowhere", *OPTIONS)
    sent = run(*words, env=cluster.environment)
    assert sent.returncode == 2, sent.stderr
    assert "/proc/nowhere" in sent.stderr.splitlines()[-1]
    assert "Traceback" not in sent.stderr


def test_a_stop_drains_and_the_same_command_goes_on(
    cluster: Cluster, undisturbed: Path, tmp_path: Path
) -> None:
    grid = write(tmp_path, LONG)
    follower = cluster.submitting(grid)
    wait_for_fragments(tmp_path / "g")
    stopped = cluster.submit(grid, "--stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped; submit the same grid again to go on" in stopped.stderr
    _, followed = follower.communicate(timeout=240)
    assert follower.returncode == 130, followed
    assert "drained: SIGTERM" in followed
    assert "dashboard_sdk" not in followed
    unfinished = {path.name for path in (tmp_path / "g" / "checkpoints").iterdir()}
    assert unfinished
    assert held_by(Store.at(tmp_path / "g")) is None
    before, relaunched = fragments(tmp_path / "g"), time.time()
    again = cluster.submit(grid)
    assert again.returncode == 0, again.stderr
    assert {pack: at for pack, at in fragments(tmp_path / "g").items() if pack in before} == before
    assert_same_rows(tmp_path / "g", undisturbed)
    rows = phasediag.load_trials(str(tmp_path / "g")).groupby("pack_id")["started_at"].min()
    assert all(rows[pack].timestamp() < relaunched for pack in unfinished if pack in rows)
    nothing = cluster.submit(grid, "--stop")
    assert nothing.returncode == 0
    assert "no launch of" in nothing.stderr


def test_a_launch_goes_on_without_its_laptop_and_is_found_again(
    cluster: Cluster, undisturbed: Path, tmp_path: Path
) -> None:
    grid = write(tmp_path, LONG)
    left = cluster.submit(grid, "--no-wait")
    assert left.returncode == 0, left.stderr
    job = left.stdout.strip()
    follower = cluster.submitting(grid)
    wait_for_fragments(tmp_path / "g")
    os.kill(follower.pid, signal.SIGKILL)
    follower.communicate()
    other = cluster.submit(grid, "--max-failures", "5")
    assert other.returncode == 2, other.stderr
    assert f"as job {job}, with another grid or other options" in other.stderr
    outcome = cluster.submit(grid)
    assert outcome.returncode == 0, outcome.stderr
    assert f"in training already, as job {job}" in outcome.stderr
    assert_same_rows(tmp_path / "g", undisturbed)
