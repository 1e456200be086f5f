"""The GPU benchmark, tried out on the CPU: it compares the same work, and counts what it says."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import click
import gpu
import pytest
import torch
from click.testing import CliRunner

CPU = torch.device("cpu")
SMALL = ["--width", "4", "--tile", "6", "--seconds", "0.01", "--copied", "100000"]


@pytest.mark.slow
@pytest.mark.usefixtures("untranslated")
def test_it_prints_rates_the_roof_the_ratio_and_the_targets() -> None:
    result = CliRunner().invoke(gpu.main, ["--device", "cpu", *SMALL], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == [gpu.PLAIN, "phasediag"]
    for words in ("cpu, width 4", "steps a second, ms", "roof:", "300 x", "30%"):
        assert words.split(",")[0] in result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so() -> None:
    result = CliRunner().invoke(gpu.main, SMALL)
    assert result.exit_code == 1
    assert "no CUDA device" in result.output


def test_other_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.check_same_work(4, CPU) < gpu.TOLERANCE
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *args, **kw: adam(*args, **{**kw, "weight_decay": 1.0}))
    with pytest.raises(click.ClickException, match="not the same work"):
        gpu.check_same_work(4, CPU)


def test_traffic_is_what_its_formula_counts() -> None:
    """Every tensor of every kernel, listed for width 3."""
    first, between, last = 20 * 3, 3 * 3, 3 * 10
    weights = first + 3 * between + last
    adam = weights * (4 + 4)  # weight, gradient, two moments in; weight, two moments out; gradient out
    forward = weights + 32 * (4 * 3 * 4 + 2 * 10)
    backward = (weights - first) + 32 * (4 * 3 * 7 - 3 + 3 * 10)
    assert gpu.traffic(3) == 4 * (adam + forward + backward)


def test_a_tile_that_is_too_large_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def limited(width: int, size: int, *rest: object, in_place: bool) -> gpu.Rate:
        sizes.append(size)
        if size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gpu.Rate(networks=size, steps_s=1.0)

    monkeypatch.setattr(gpu, "_engine", limited)
    assert gpu.engine(4, 40, CPU, 1.0, in_place=False).networks == 5
    assert sizes == [40, 20, 10, 5]


def test_a_call_is_timed_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], count()

    def call() -> None:
        clock[0] += 10.0 if next(calls) == 0 else 0.25

    monkeypatch.setattr(gpu.time, "perf_counter", lambda: clock[0])
    assert gpu.timed(call, CPU, 3.0) == pytest.approx(0.25)


def test_it_needs_no_ray() -> None:
    folder = Path(gpu.__file__).parent
    code = "import sys, gpu; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
