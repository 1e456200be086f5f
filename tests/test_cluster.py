"""The files for `ray up` start a cluster that runs phasediag."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler.sdk import fillout_defaults
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=["cluster.yaml", "cluster-gcp.yaml"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A file as Ray sees it: merged with the defaults of its provider."""
    loaded: dict[str, Any] = fillout_defaults(YAML(typ="safe").load(ROOT / request.param))
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
    assert not is_spot(head["node_config"])


def is_spot(node: dict[str, Any]) -> bool:
    """Whether a node of AWS or Google may be taken away at any time, and is paid for accordingly."""
    google = {name: value for part in node.get("scheduling", []) for name, value in part.items()}
    return node.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or google.get(
        "preemptible", False
    )


def test_workers_are_spot_gpus_that_come_and_go(config: dict[str, Any]) -> None:
    workers = {k: v for k, v in config["available_node_types"].items() if k != config["head_node_type"]}
    assert workers
    for worker in workers.values():
        assert worker["resources"]["GPU"] >= 1
        assert is_spot(worker["node_config"])
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


def test_nodes_have_what_compiles_the_step(config: dict[str, Any]) -> None:
    for kind in ("head", "worker"):
        installed = " ".join(c for c in config[f"{kind}_setup_commands"] if "apt-get" in c).split()
        assert "g++" in installed
        assert any(word.startswith("python3") and word.endswith("-dev") for word in installed), kind


def test_nodes_share_a_token(config: dict[str, Any]) -> None:
    assert "~/.ray/auth_token" in config["file_mounts"]
    for kind in ("head", "worker"):
        commands = config[f"{kind}_setup_commands"]
        assert any("RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0" in c for c in commands), kind


def test_workers_join_the_head(config: dict[str, Any]) -> None:
    (head,) = (c for c in config["head_start_ray_commands"] if "ray start" in c)
    (worker,) = (c for c in config["worker_start_ray_commands"] if "ray start" in c)
    port = head.split("--port=")[1].split()[0]
    assert "--head" in head
    assert "--autoscaling-config" in head
    assert f"--address=$RAY_HEAD_IP:{port}" in worker
