"""cluster.yaml starts a cluster that can run phasediag; the Slurm script drains and queues itself again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler.sdk import fillout_defaults
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "jobs" / "phasediag.sbatch"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The file as Ray sees it: merged with the defaults of its provider."""
    loaded: dict[str, Any] = fillout_defaults(YAML(typ="safe").load(ROOT / "cluster.yaml"))
    for kind in ("head", "worker"):
        both = loaded.get("setup_commands", []) + loaded.get(f"{kind}_setup_commands", [])
        loaded[f"{kind}_setup_commands"] = both
    return loaded


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Ray's own of such a file, by which `ray up` refuses one."""
    text = (files("ray.autoscaler") / "ray-schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_ray_accepts_it(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """By the schema, and by what `ray up` looks at besides."""
    jsonschema.validate(config, schema)
    kinds = config["available_node_types"]
    assert config["head_node_type"] in kinds
    assert sum(kind.get("min_workers", 0) for kind in kinds.values()) <= config["max_workers"]


def test_ray_would_refuse_a_misspelt_key(config: dict[str, Any], schema: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_wokers"):
        jsonschema.validate({**config, "max_wokers": 1}, schema)


def test_the_head_is_paid_for_without_a_gpu(config: dict[str, Any]) -> None:
    head = config["available_node_types"][config["head_node_type"]]
    assert "GPU" not in head["resources"]
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_are_spot_gpus_that_come_and_go(config: dict[str, Any]) -> None:
    workers = {k: v for k, v in config["available_node_types"].items() if k != config["head_node_type"]}
    assert workers
    for worker in workers.values():
        assert worker["resources"]["GPU"] >= 1
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert worker["min_workers"] == 0 < worker["max_workers"] <= config["max_workers"]


def test_every_node_installs_this_repository_at_the_pinned_versions(config: dict[str, Any]) -> None:
    (remote,) = (remote for remote, local in config["file_mounts"].items() if local == ".")
    for kind in ("head", "worker"):
        commands = [c for c in config[f"{kind}_setup_commands"] if "pip install" in c]
        installs = [c for c in commands if f"cd {remote}" in c and "--editable" in c]
        assert len(installs) == 1, kind
        assert "constraints.txt" in installs[0]
        assert "[cluster]" in installs[0]


def test_the_repository_travels_without_its_builds_and_results(config: dict[str, Any]) -> None:
    assert {".venv", ".git", "sweeps"} <= set(config["rsync_exclude"])


def test_nodes_share_a_token(config: dict[str, Any]) -> None:
    assert "~/.ray/auth_token" in config["file_mounts"]
    for kind in ("head", "worker"):
        assert any("RAY_AUTH_MODE=token" in c for c in config[f"{kind}_setup_commands"]), kind


def test_workers_join_the_head(config: dict[str, Any]) -> None:
    (head,) = (c for c in config["head_start_ray_commands"] if "ray start" in c)
    (worker,) = (c for c in config["worker_start_ray_commands"] if "ray start" in c)
    port = head.split("--port=")[1].split()[0]
    assert "--head" in head
    assert "--autoscaling-config" in head
    assert f"--address=$RAY_HEAD_IP:{port}" in worker


FAKE = {
    "scontrol": 'echo "scontrol $*" >>"$CALLS"; [ "$1" = show ] && printf "n1\\nn2\\n"; exit 0',
    "srun": 'while [[ $1 == --* ]]; do shift; done; "$@"',
    "hostname": "echo 10.0.0.1",
    "ray": 'echo "ray $*" >>"$CALLS"; exit 0',
}
"""Slurm and Ray, as far as the script sees them."""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which the script finds a scheduler; what it asked for is in $CALLS."""
    for name, body in FAKE.items():
        write_command(tmp_path, name, body)
    return {
        "PATH": f"{tmp_path}:{os.defpath}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }


def write_command(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
    (folder / name).chmod(0o755)


def launch(slurm: dict[str, str], tmp_path: Path, phasediag: str) -> subprocess.Popen[str]:
    write_command(tmp_path, "phasediag", f'echo "phasediag $*" >>"$CALLS"\n{phasediag}')
    return subprocess.Popen(["bash", SCRIPT, "g.yaml", "/shared"], env=slurm, text=True)


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (2, False), (130, True)])
def test_slurm_queues_again_only_what_was_interrupted(
    slurm: dict[str, str], tmp_path: Path, code: int, requeued: bool
) -> None:
    job = launch(slurm, tmp_path, f"exit {code}")
    assert job.wait(timeout=20) == code
    calls = Path(slurm["CALLS"]).read_text().splitlines()
    assert ("scontrol requeue 7" in calls) is requeued
    assert "phasediag launch g.yaml --storage /shared --address 10.0.0.1:20007" in calls


def test_slurm_starts_one_head_and_joins_the_other_nodes(slurm: dict[str, str], tmp_path: Path) -> None:
    launch(slurm, tmp_path, "sleep 0.5").wait(timeout=20)
    starts = [c for c in Path(slurm["CALLS"]).read_text().splitlines() if c.startswith("ray start")]
    assert [("--head" in c, "--address=10.0.0.1:20007" in c) for c in sorted(starts, key=len)] == [
        (False, True),
        (True, False),
    ]


def test_slurm_hands_the_warning_on_and_waits_for_the_drain(slurm: dict[str, str], tmp_path: Path) -> None:
    drained = tmp_path / "drained"
    ready = tmp_path / "ready"
    body = f"trap 'sleep 0.5; touch {drained}; exit 130' TERM\ntouch {ready}\nwhile :; do sleep 0.05; done"
    job = launch(slurm, tmp_path, body)
    while not ready.exists():
        assert job.poll() is None, "the script ended before its launch"
    job.terminate()
    assert job.wait(timeout=20) == 130
    assert drained.exists()
    assert "scontrol requeue 7" in Path(slurm["CALLS"]).read_text()
