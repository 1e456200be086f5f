"""A training whose end is known tells a sick machine from a healthy one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from phasediag.errors import TileRaisedError
from phasediag.executors import worker as workers
from phasediag.executors.worker import Worker
from phasediag.grids.grid import parse_grid
from phasediag.running import canary
from phasediag.running.canary import sickness
from phasediag.running.job import Breakdown, Job


def test_a_healthy_processor_is_well() -> None:
    assert sickness(torch.device("cpu")) == ""


@pytest.mark.parametrize("error", [float("nan"), 1e-3])
def test_one_that_computes_wrongly_is_sick(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    right = canary._hadamard

    def wrong() -> torch.Tensor:
        matrix = right()
        matrix[3, 5] += error
        return matrix

    monkeypatch.setattr(canary, "_hadamard", wrong)
    assert sickness(torch.device("cpu")).startswith("it computes wrongly: a known training in float")


def test_one_that_raises_is_sick(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*arguments: Any) -> Any:
        raise RuntimeError("CUDA error: unspecified launch failure\nmore of it")

    monkeypatch.setattr(canary, "_error", raising)
    expected = "it cannot train: CUDA error: unspecified launch failure"
    assert sickness(torch.device("cpu")) == expected


def test_a_worker_tells_whether_its_machine_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """At once; and where all trials of a tile raise, whose fault that is."""
    grid = parse_grid("name: g\nfixed: {task: scalar_linear}\naxes: {weight_decay: [0.1]}\n", tmp_path)
    job = Job(sweep=str(tmp_path), measure=grid.measure, parameters=grid.parameters)
    worker = Worker(job, cpus=1, gpus=0, tf32=False)
    assert worker.place.refusal == ""
    raised = Breakdown(error=str(TileRaisedError("ValueError: no")), of_machine=False, of_tile=True)
    assert worker._judged(raised) == raised
    monkeypatch.setattr(workers, "sickness", lambda device: "it computes wrongly")
    judged = worker._judged(raised)
    assert (judged.of_machine, judged.of_tile) == (True, False)
    assert judged.error == "ValueError: no; it computes wrongly"
    assert Worker(job, cpus=1, gpus=0, tf32=False).place.refusal == "it computes wrongly"
