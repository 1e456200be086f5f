"""jobs/kuberay.yaml is a RayJob that KubeRay takes, and that runs phasediag."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
from ruamel.yaml import YAML

from phasediag.submission.jobs import STOP_SECONDS

ROOT = Path(__file__).parents[1]
CRD = "PHASEDIAG_RAYJOB_CRD"
"""Names a copy of ray-operator/config/crd/bases/ray.io_rayjobs.yaml of ray-project/kuberay."""


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=False).load(path)


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = load(ROOT / "jobs" / "kuberay.yaml")
    return loaded


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """KubeRay's of a RayJob, in which an unknown key is a fault, as kubectl takes it."""
    if not os.environ.get(CRD):
        pytest.skip(f"{CRD} names no copy of ray.io_rayjobs.yaml of ray-project/kuberay")
    (version,) = [each for each in load(Path(os.environ[CRD]))["spec"]["versions"] if each["name"] == "v1"]
    strict: dict[str, Any] = closed(version["schema"]["openAPIV3Schema"])
    return strict


def closed(schema: Any) -> Any:
    """A schema whose objects have no other keys than those it names; quantities may be numbers or text."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        inside["properties"] = {name: closed(each) for name, each in schema["properties"].items()}
        inside.setdefault("additionalProperties", False)
    return inside


def test_kuberay_accepts_it(job: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(job, schema)


@pytest.mark.parametrize("misspelt", ["maxReplica", "teminationGracePeriodSeconds"])
def test_kuberay_would_refuse_a_misspelt_key(
    job: dict[str, Any], schema: dict[str, Any], misspelt: str
) -> None:
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    changed = {**group, misspelt: 1}
    spec = {**job["spec"]["rayClusterSpec"], "workerGroupSpecs": [changed]}
    with pytest.raises(jsonschema.ValidationError, match=misspelt):
        jsonschema.validate({**job, "spec": {**job["spec"], "rayClusterSpec": spec}}, schema)


def test_it_asks_for_a_token_and_for_the_ray_that_is_pinned(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.M)
    assert pinned
    assert cluster["rayVersion"] == pinned[1]
    assert ray.__version__.split(".")[0] == pinned[1].split(".")[0]


def test_the_head_trains_nothing_and_workers_come_and_go(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= 60
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_stop_gives_it_time_to_drain(job: dict[str, Any]) -> None:
    environment = YAML(typ="safe").load(job["spec"]["runtimeEnvYAML"])
    assert environment == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}}


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 0), (2, 1), (3, 1), (130, 1)])
def test_it_is_run_again_only_where_that_can_help(
    job: dict[str, Any], tmp_path: Path, code: int, expected: int
) -> None:
    """Failed trials are recorded: the job is over."""
    (tmp_path / "phasediag").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/given\nexit {code}\n')
    (tmp_path / "phasediag").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}"}
    done = subprocess.run(job["spec"]["entrypoint"], shell=True, env=environment, check=False)
    assert done.returncode == expected
    given = (tmp_path / "given").read_text()
    assert given == "launch /grids/grid.yaml --storage s3://BUCKET/sweeps --address auto --wait 3m\n"
