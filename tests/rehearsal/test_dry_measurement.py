"""What cannot be measured is told at plan, with the user's line, and not after the training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import parse_grid
from phasediag.measuring.recording import Recorder
from phasediag.observables.known import built_in
from phasediag.training.tiles import Program
from small_sweeps import grid_text, write

NET = """
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from phasediag.symmetry.neurons import NeuronGroup


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 8), nn.Linear(8, outputs)

    def forward(self, x):
        tokens = self.first(x).tanh().reshape(-1, 1, 2, 4)
        return self.second(scaled_dot_product_attention(tokens, tokens, tokens).reshape(-1, 8))

    @property
    def neuron_groups(self):
        return (NeuronGroup(name="hidden.1", incoming=("first.weight",), bias=("first.bias",)),)
"""
"""Attention: on a processor torch has its first derivatives and no second ones."""


pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


def grid_file(folder: Path, **measure: Any) -> Path:
    write(folder, NET, "net.py")
    fixed = {"model": "net.py:Net", "width": None, "steps": 6}
    text = grid_text({"weight_decay": [0.0, 0.1]}, fixed, measure=measure)
    return write(folder, text.replace("  width: None\n", ""))


def test_a_network_without_second_derivatives_is_trained(tmp_path: Path) -> None:
    path = grid_file(tmp_path, observables=["permutation", "rank", "effective_rank"])
    assert phasediag.launch(path, str(tmp_path), executor="inline", compile="off").status.ok == 2


@pytest.mark.parametrize("observable", ["sharpness", "escape"])
def test_what_needs_them_is_refused_at_plan(tmp_path: Path, observable: str) -> None:
    path = grid_file(tmp_path, observables=["permutation", observable])
    words = rf"net.py:\d+: .*\[net.py:Net: measuring {observable} on hidden.1\]; .*leave out"
    with pytest.raises(PhasediagError, match=re.compile(words, re.DOTALL)) as refused:
        phasediag.plan(path, str(tmp_path))
    assert refused.value.exit_code == 2
    assert not (tmp_path / "g").exists()


def test_so_is_the_entropic_loss(tmp_path: Path) -> None:
    """It is the gradient of a gradient's square."""
    path = grid_file(tmp_path, entropic=True)
    with pytest.raises(PhasediagError, match=r"\[net.py:Net: measuring the entropic loss\]"):
        phasediag.plan(path, str(tmp_path))


MODELS = {
    "mlp": "{task: teacher_student, width: 3, depth: 3, samples: 8, test_samples: 4, steps: 1}",
    "one neuron": "{task: teacher_student, width: 1, samples: 8, test_samples: 4, steps: 1}",
    "hermite": "{task: hermite, model: hermite, width: 3, steps: 1}",
    "transformer": "{task: in_context, model: transformer, length: 3, token_size: 2, head_width: 2, "
    "attention_layers: 1, samples: 8, test_samples: 4, steps: 1}",
}


@pytest.mark.parametrize("name", MODELS)
def test_every_observable_of_phasediag_measures_every_layer_of_its_models(name: str) -> None:
    """So that a grid of them needs no dry measurement: nothing raises, and what is no null is a number."""
    text = f"name: g\nfixed: {MODELS[name]}\naxes: {{weight_decay: [0.0, 0.1]}}\n"
    trials = parse_grid(text, Path("grid.yaml")).trials()
    tile = Program(trials.record(0), Path(), torch.device("cpu"), compiled=False).tile(trials)
    layers = [group.name for group in tile.network.groups]
    asked = ", ".join(f"{{observable: {each}, layer: {layer}}}" for layer in layers for each in built_in())
    measure = parse_grid(
        f"{text}measure: {{layer: {layers[0]}, observables: [{asked}]}}\n", Path("g.yaml")
    ).measure
    recorder = Recorder(measure, tile, len(trials))
    recorder.record()
    blocks = {(block.layer, block.observable): block for block in recorder.recording.blocks}
    assert set(blocks) == {(layer, each) for layer in layers for each in built_in()}
    for (_, each), block in blocks.items():
        if block.degree is not None:
            assert block.distances is None or np.isfinite(block.distances).all(), each
