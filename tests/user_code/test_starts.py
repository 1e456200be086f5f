"""What a user's file does to torch, and to where its networks start, is said or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.rehearsal.dry_decay import decay_beside_weights

NET = """
import torch
from torch import nn

{above}


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 4):
        super().__init__()
        {before}
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        {after}

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))
"""
GRID = """
name: starts
fixed: {{task: teacher_student, inputs: 3, outputs: 1, samples: 8, test_samples: 8, model: "net.py:Net",
        steps: 3, {init}batch_size: 0}}
axes: {{init_scale: {scales}}}
replicates: 2
"""


def _notes(folder: Path, init: str = "own", scales: str = "[1.0]", **parts: str) -> list[str]:
    text = NET.format(**{"above": "", "before": "pass", "after": "pass"} | parts)
    (folder / "net.py").write_text(text)
    (folder / "grid.yaml").write_text(
        GRID.format(init="" if "init" in scales else f"init: {init}, ", scales=scales)
    )
    notices: list[str] = []
    phasediag.launch(
        folder / "grid.yaml", str(folder / "st"), executor="inline", compile="off", notify=notices.append
    )
    return notices


@pytest.mark.parametrize("where", ["above", "before"])
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("torch.set_default_dtype(torch.float64)", "dtype: float64 in the grid"),
        ("torch.set_default_device('meta')", "default device"),
        ("torch.set_grad_enabled(False)", "with statement"),
    ],
)
def test_settings_of_torch_for_the_whole_process_are_refused(
    tmp_path: Path, where: str, statement: str, message: str
) -> None:
    with pytest.raises((PhasediagError, ValueError), match=message) as refusal:
        _notes(tmp_path, **{where: statement})
    assert "net.py" in str(refusal.value)
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")
    assert torch.is_grad_enabled()


def test_replicates_that_start_alike_are_told(tmp_path: Path) -> None:
    seed = "torch.manual_seed(0)"
    assert any("all replicates start from the same values" in n for n in _notes(tmp_path, before=seed))
    assert not any("same values" in n for n in _notes(tmp_path, "kaiming_normal", before=seed))


@pytest.mark.parametrize(("init", "scales"), [("kaiming_normal", "[1.0]"), ("own", "[1.0, 2.0]")])
def test_copies_of_what_starts_otherwise_are_told(tmp_path: Path, init: str, scales: str) -> None:
    copy = 'self.register_buffer("kept", self.first.weight.detach().clone())'
    notes = _notes(tmp_path, init, scales, after=copy)
    assert any("'kept' is a copy of the constructor's 'first.weight'" in note for note in notes)
    assert not any("is a copy of" in note for note in _notes(tmp_path, after=copy))


def test_a_scale_without_effect_is_told(tmp_path: Path) -> None:
    after = "self.__class__ = Table; self.first, self.second = nn.Embedding(1, inputs), None"
    above = "class Table(nn.Module):\n    def forward(self, x):\n        return x @ self.first.weight.T"
    notes = _notes(tmp_path, "own", "[1.0, 2.0]", after=after, above=above)
    assert any("init_scale changes nothing" in note for note in notes)


def test_starts_are_told_where_init_is_an_axis(tmp_path: Path) -> None:
    notes = _notes(tmp_path, "own", "[1.0], init: [own, kaiming_normal]")
    assert any("by kaiming_normal" in note for note in notes)


GAIN = "self.register_parameter('gain', nn.Parameter(torch.ones(())))"
SCALED = "def forward(self, x):\n    return self.gain * self.second(torch.tanh(self.first(x)))"


def test_single_numbers_that_decay_are_told(tmp_path: Path) -> None:
    axes = "[1.0], weight_decay: [0.0, 0.1]"
    notes = _notes(tmp_path, scales=axes, above=SCALED, after=f"{GAIN}; type(self).forward = forward")
    assert any("net.py:Net: weight_decay pulls gain to zero" in note for note in notes)


@pytest.mark.parametrize(
    ("axes", "after"),
    [
        ("[1.0]", GAIN),
        ("[1.0], weight_decay: [0.1]", f"{GAIN}; self.gain.requires_grad_(False)"),
        ("[1.0], weight_decay: [0.1]", "pass"),
    ],
    ids=["no decay", "frozen", "weights and biases"],
)
def test_nothing_is_told_where_only_weights_and_biases_decay(tmp_path: Path, axes: str, after: str) -> None:
    (tmp_path / "net.py").write_text(NET.format(above="", before="pass", after=after))
    (tmp_path / "grid.yaml").write_text(GRID.format(init="init: own, ", scales=axes))
    assert decay_beside_weights(read_grid(tmp_path / "grid.yaml").trials(), tmp_path) == []
