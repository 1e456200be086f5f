"""The same grid on a Ray cluster of two nodes on this machine: the same rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from small_sweeps import assert_same_rows, grid_text, launched, run, trials, write

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GRID = grid_text(
    {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"},
    {"steps": 1000},
    replicates=2,
    resources="{cpus: 1, gpus: 0.5, trials_per_pack: 2}",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A head without resources for packs and two nodes with a declared GPU each."""
    from ray.cluster_utils import Cluster

    # Ray puts sockets below its folder, and their paths may have 107 characters: pytest's are too long.
    with tempfile.TemporaryDirectory(prefix="pd-", ignore_cleanup_errors=True) as folder:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1, num_gpus=1)
            yield cluster.address
        finally:
            cluster.shutdown()


def test_rows_are_those_of_an_inline_launch(address: str, tmp_path: Path) -> None:
    launched(tmp_path / "inline", GRID)
    grid = write(tmp_path / "cluster", GRID)
    options = ("--storage", grid.parent, "--compile", "off", "--address", address)
    outcome = run("launch", grid, *options)
    assert outcome.returncode == 0, outcome.stderr
    assert "12 of 12 trials done (0 diverged), 0 failed, 0 missing" in outcome.stderr
    assert_same_rows(tmp_path / "inline" / "g", grid.parent / "g")
    assert not list((grid.parent / "g").glob(".token-*"))


def test_the_environment_names_the_cluster(address: str, tmp_path: Path) -> None:
    """And the cluster is left running after both launches."""
    for gpus, code in ((1, 0), (0.5, 0)):
        text = GRID.replace("gpus: 0.5", f"gpus: {gpus}").replace("1000", str(20 + int(2 * gpus)))
        grid = write(tmp_path, text)
        environment = {**os.environ, "RAY_ADDRESS": address}
        outcome = run("launch", grid, "--storage", tmp_path, "--compile", "off", env=environment)
        assert outcome.returncode == code, outcome.stderr


@pytest.mark.timeout(900)
def test_a_refinement_on_the_cluster_leaves_the_rows_of_an_inline_one(address: str, tmp_path: Path) -> None:
    chain = {
        "task": "linear_map", "inputs": 1, "outputs": 1, "singular_values": "[1.0]", "samples": 4,
        "data_seed": 0, "test_samples": 1, "width": 1, "batch_size": 0, "depth": 2, "activation": "linear",
        "init": "balanced", "init_scale": 0.5, "steps": 200, "dtype": "float64", "model": "mlp",
    }  # fmt: skip
    axes = {"weight_decay": "{logspace: [0.1, 10], num: 4}", "learning_rate": "[0.02, 0.05, 0.08]"}
    text = grid_text(axes, chain, resources="{cpus: 1, gpus: 0.5}").replace("  teacher_width: 4\n", "")
    question = ("--x", "weight_decay", "--y", "learning_rate", "--order", "train_loss", "--level", "0.25")
    for name, where in (("inline", ("--executor", "inline")), ("cluster", ("--address", address))):
        launched(tmp_path / name, text)
        options = (*question, "--resolution", "0.26", "--compile", "off", *where)
        outcome = run("refine", tmp_path / name / "g", *options, timeout=400)
        assert outcome.returncode == 0, outcome.stderr
        assert "the resolution is reached" in outcome.stderr
    assert_same_rows(tmp_path / "inline" / "g", tmp_path / "cluster" / "g")
    assert len(trials(tmp_path / "cluster" / "g")) > 12


def test_a_cluster_that_is_not_there_exits_2(tmp_path: Path) -> None:
    grid = write(tmp_path, GRID)
    outcome = run("launch", grid, "--storage", tmp_path, "--address", "127.0.0.1:1", timeout=60)
    assert outcome.returncode == 2, outcome.stderr
    assert "no Ray cluster at '127.0.0.1:1'" in outcome.stderr
    assert "Traceback" not in outcome.stderr
