"""`plan --pilot` tells the replicates that a wished interval takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasediag.commands.launching import plan
from small_sweeps import launched, write

FIXED = (
    "{task: linear_map, inputs: 3, outputs: 3, singular_values: [1, 0.5], samples: 12, test_samples: 12, "
    "activation: linear, width: 3, batch_size: 0, learning_rate: 0.05, steps: 2000, label_noise: 0.6}"
)


def grid(name: str, replicates: int) -> str:
    decays = "{linspace: [0.2, 4.6], num: 23}"
    return f"name: {name}\nfixed: {FIXED}\naxes:\n  weight_decay: {decays}\nreplicates: {replicates}\n"


def test_a_pilot_tells_how_many_replicates_an_interval_takes(tmp_path: Path) -> None:
    launched(tmp_path, grid("pilot", 6))
    path = str(write(tmp_path, grid("wide", 3), "wide.yaml"))
    pilot = ["--pilot", str(tmp_path / "pilot"), "--x", "weight_decay"]
    answers = {}
    for width in ("2", "0.2"):
        arguments = [path, *pilot, "--width", width, "--storage", str(tmp_path)]
        result = CliRunner().invoke(plan, [*arguments, "--json"], catch_exceptions=False)
        answers[width] = json.loads(result.stdout)["replication"]
    assert answers["2"]["needed"] < answers["0.2"]["needed"]
    shown = CliRunner().invoke(plan, arguments, catch_exceptions=False)
    assert "A 95 % interval of 0.2" in shown.stderr
    assert "wide has 3: " in shown.stderr


@pytest.mark.parametrize(
    "some", [["--pilot", "p"], ["--x", "weight_decay"], ["--width", "1"], ["--y", "width"]]
)
def test_its_options_go_together(some: list[str], tmp_path: Path) -> None:
    path = str(write(tmp_path, grid("g", 2)))
    result = CliRunner().invoke(plan, [path, *some])
    assert result.exit_code == 2
    assert "go together" in result.stderr
