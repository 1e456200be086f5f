"""Workers are counted by the cores that this process may use: affinity, Slurm, cgroup."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phasediag.executors import places
from phasediag.executors.places import allowed_cores
from small_sweeps import command, grid_text, write

ALL = 64
NONE = Path("/nonexistent")


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_of_affinity", lambda: [ALL])


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({}, ALL),
        ({"SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "32"}, 4),
        ({"SLURM_CPUS_ON_NODE": "32"}, 32),
        ({"SLURM_CPUS_PER_TASK": "128"}, ALL),
        ({"SLURM_CPUS_PER_TASK": "many", "SLURM_CPUS_ON_NODE": ""}, ALL),
        ({"SLURM_CPUS_PER_TASK": "0"}, 1),
    ],
)
def test_slurm(variables: dict[str, str], cores: int) -> None:
    assert allowed_cores(variables, NONE) == cores


def machine(root: Path, groups: str, quotas: dict[str, str]) -> Path:
    """The files of a machine: the cgroups of this process, and what stands in those of others."""
    for name, text in {"proc/self/cgroup": groups, **quotas}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("groups", "quotas", "cores"),
    [
        ("0::/", {f"{V2}/cpu.max": "250000 100000"}, 3),
        ("0::/", {f"{V2}/cpu.max": "max 100000"}, ALL),
        ("0::/", {f"{V2}/cpu.max": "10000 100000"}, 1),
        ("0::/a/b", {f"{V2}/a/b/cpu.max": "max 100000", f"{V2}/a/cpu.max": "200000 100000"}, 2),
        ("0::/gone/in/this/namespace", {f"{V2}/cpu.max": "500000 100000"}, 5),
        ("0::/a", {f"{V2}/a/cpu.max": "garbage"}, ALL),
        (
            "5:memory:/m\n4:cpu,cpuacct:/job",
            {f"{V1}/job/cpu.cfs_quota_us": "150000", f"{V1}/job/cpu.cfs_period_us": "100000"},
            2,
        ),
        (
            "4:cpu,cpuacct:/job",
            {f"{V1}/job/cpu.cfs_quota_us": "-1", f"{V1}/job/cpu.cfs_period_us": "100000"},
            ALL,
        ),
        ("1:cpu:/", {f"{V2}/cpu/cpu.cfs_quota_us": "600000", f"{V2}/cpu/cpu.cfs_period_us": "100000"}, 6),
        ("", {}, ALL),
    ],
)
def test_quotas_of_cgroups(tmp_path: Path, groups: str, quotas: dict[str, str], cores: int) -> None:
    assert allowed_cores({}, machine(tmp_path, groups, quotas)) == cores


def test_the_least_of_them_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", {f"{V2}/cpu.max": "300000 100000"})
    assert allowed_cores({"SLURM_CPUS_PER_TASK": "8"}, root) == 3
    assert allowed_cores({"SLURM_CPUS_PER_TASK": "2"}, root) == 2


@pytest.mark.skipif(not shutil.which("taskset"), reason="needs taskset")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is all there is")
@pytest.mark.parametrize("limit", ["affinity", "Slurm"])
@pytest.mark.slow
def test_plan_and_launch_count_the_same_workers(tmp_path: Path, limit: str) -> None:
    grid = write(tmp_path, grid_text({"weight_decay": "[0.01, 0.1, 0.2, 0.3]"}, {"steps": 20}))
    core = str(min(os.sched_getaffinity(0)))
    bound = ["taskset", "-c", core] if limit == "affinity" else ["env", "SLURM_CPUS_PER_TASK=1"]
    environment = {**os.environ, "RAY_ADDRESS": ""}

    def printed(*arguments: str | Path) -> str:
        asked = [*bound, *command(*arguments)]
        return subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout

    assert "on 1 workers of this machine" in printed("plan", grid, "--storage", tmp_path)
    counting = [sys.executable, "-c", COUNTING, str(grid), str(tmp_path)]
    counted = subprocess.run([*bound, *counting], env=environment, capture_output=True, text=True, check=True)
    assert counted.stdout.split() == ["1"]


COUNTING = """
import sys

from phasediag.sweeps import sweep

seen = []
sweep.launch(sys.argv[1], sys.argv[2], compile="off", observer=lambda watch: seen.append(watch.workers))
print(max(seen))
"""
