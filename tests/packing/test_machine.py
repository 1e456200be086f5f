"""What a worker may take of a GPU, and how it sets one up; the GPU itself is played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from phasediag.grids.grid import Grid
from phasediag.packing.machine import CPU, FILLED, GPU, device_of, machine_of, room
from phasediag.packing.pack import Cost, Pack, cost_of
from phasediag.running.rows import device_name
from phasediag.training.network import network_of
from small_packs import pack_trials
from trained_tiles import grid_of

GIB = 2**30
CUDA = torch.device("cuda")
WIDE = {"task": "teacher_student", "width": 128, "depth": 5, "optimizer": "adam", "steps": 1000}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A GPU of 80 GiB; what is set of it."""
    stated: dict[str, Any] = {"free": 80 * GIB, "reserved": 0, "part": 1.0}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (stated["free"], 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: stated["reserved"])
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part: stated.update(part=part))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: stated["part"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Z1")
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield stated
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions


@pytest.mark.parametrize("gpus", [1.0, 0.5, 0.25])
def test_workers_that_share_a_gpu_share_its_memory(gpu: dict[str, Any], gpus: float) -> None:
    assert device_of(gpus) == CUDA
    assert room(CUDA) == pytest.approx(FILLED * gpus * 80 * GIB)
    assert machine_of(gpus).tile_bytes == pytest.approx(gpus * GPU.tile_bytes)


def test_what_others_hold_is_no_room_and_what_this_process_keeps_is(gpu: dict[str, Any]) -> None:
    device_of(1.0)
    gpu["free"] = 10 * GIB
    assert room(CUDA) == pytest.approx(FILLED * 10 * GIB)
    gpu["reserved"] = 30 * GIB
    assert room(CUDA) == pytest.approx(FILLED * 40 * GIB)


def test_tf32_only_when_asked(gpu: dict[str, Any]) -> None:
    """Also where the environment has switched it on, as some images do."""
    for asked in (True, False, True):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not asked
        device_of(1.0, tf32=asked)
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is asked
        assert device_name(CUDA) == ("NVIDIA Z1, TF32" if asked else "NVIDIA Z1")


def test_no_gpu_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(1.0).type == "cpu"
    assert device_of(0.0).type == "cpu"
    assert machine_of(0.0) is CPU
    assert 0 < room(torch.device("cpu")) < float("inf")


def cost_on(gpus: float) -> Cost:
    values = grid_of(WIDE).trials().record(0)
    return cost_of(network_of(values, Path()), values, machine_of(gpus))


def packs_on(gpus: float, points: int, **options: Any) -> list[Pack]:
    grid: Grid = grid_of(WIDE, {"weight_decay": {"linspace": [0.1, 1], "num": points}})
    machine = machine_of(gpus)
    return pack_trials(grid.trials(), grid.parameters, Path(), workers=1, machine=machine, **options)


def test_one_tile_fills_a_gpu() -> None:
    """A grid that fits is one tile; a larger one is cut by the memory, and by half of it for half a GPU."""
    assert [pack.tile_size for pack in packs_on(1.0, 5000)] == [5000]
    assert max(pack.tile_size for pack in packs_on(0.0, 5000)) <= CPU.largest_tile
    for gpus in (1.0, 0.5):
        cost = cost_on(gpus)
        projected = 2 * cost.tile * cost.bytes
        assert 0.99 * gpus * FILLED * 80 * GIB < projected <= gpus * FILLED * 80 * GIB


def test_a_gpu_is_projected_to_be_faster_and_a_half_takes_twice_as_long() -> None:
    core, device, half = (
        sum(pack.projected_seconds for pack in packs_on(gpus, 5000, compile_mode="on"))
        for gpus in (0.0, 1.0, 0.5)
    )
    assert core > 50 * device
    assert 1.5 * device < half <= 2 * device
