"""What is no number at the start is refused with its values, or told, before it is recorded as diverged."""

from __future__ import annotations

from pathlib import Path

import pytest

import phasediag
from phasediag.errors import PhasediagError
from small_sweeps import grid_text, write

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, temperature: float = 1.0):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 8, bias=False), nn.Linear(8, outputs, bias=False)
        self.temperature = temperature

    def forward(self, x):
        return self.second(self.first(x) / self.temperature)


class Batched(Net):
    batched = ("temperature",)
"""


def grid_file(folder: Path, model: str, axes: dict[str, str], **top: str) -> Path:
    write(folder, NET, "net.py")
    fixed = {"model": f"net.py:{model}", "width": None, "steps": 6}
    text = grid_text({"weight_decay": "[0.0, 0.1]", **axes}, fixed, **top)
    return write(folder, text.replace("  width: None\n", ""))


@pytest.mark.parametrize("model", ["Net", "Batched"])
def test_a_value_by_which_nothing_can_start_is_refused(model: str, tmp_path: Path) -> None:
    """Also one in the middle of an axis that is a number per trial in one program."""
    axes = {"temperature": "[-1.0, 0.0, 1.0]"}
    words = rf"net.py:\d+: net.py:{model}: its predictions are not finite .*temperature=0.0.*exclude"
    with pytest.raises(PhasediagError, match=words) as refused:
        phasediag.launch(grid_file(tmp_path, model, axes), str(tmp_path), executor="inline", compile="off")
    assert refused.value.exit_code == 2
    assert not list(tmp_path.rglob("*.parquet"))
    without = grid_file(tmp_path, model, axes, exclude='["temperature == 0"]')
    assert len(phasediag.plan(without, str(tmp_path)).survey.missing) == 4


def test_weights_that_are_too_large_are_told_and_trained(tmp_path: Path) -> None:
    """A sweep of initial scales may well end where nothing can be trained."""
    notes: list[str] = []
    outcome = phasediag.launch(
        grid_file(tmp_path, "Net", {"init_scale": "[1.0, 1e30]"}), str(tmp_path), executor="inline",
        compile="off", notify=notes.append,
    )  # fmt: skip
    assert (outcome.status.ok, outcome.status.diverged) == (2, 2)
    (note,) = (each for each in notes if "too large" in each)
    assert "init_scale=1e+30" in note
    assert "recorded as diverged" in note
