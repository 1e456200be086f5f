"""The transformer against attention written out, and in a tile."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from phasediag.errors import GridError
from phasediag.models._activations import ACTIVATIONS
from phasediag.models.transformer import Transformer
from phasediag.packing.pack import cost_of
from phasediag.training.network import network_of
from trained_tiles import grid_of, pair, tile_of

ICL = {
    "task": "in_context", "model": "transformer", "length": 4, "token_size": 4, "stream_width": 16,
    "head_width": 16, "batch_size": 16, "steps": 3, "test_samples": 20, "learning_rate": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("attention", ["softmax", "linear"])
@pytest.mark.parametrize("feedforward", [0, 5])
def test_forward_is_attention_written_out(attention: Any, feedforward: int) -> None:
    """Token by token and head by head, in numpy."""
    module = Transformer(
        inputs=12, outputs=2, length=3, attention_layers=2, heads=2, head_width=3, stream_width=4,
        attention=attention, feedforward=feedforward, activation="relu",
    ).double()  # fmt: skip
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = {name: p.detach().numpy() for name, p in module.named_parameters()}
    expected = []
    for sequence in x.numpy().reshape(5, 3, 4):
        stream = sequence @ weights["embedding.weight"].T
        for layer in range(2):
            part = {n.split(".")[2]: w for n, w in weights.items() if n.startswith(f"blocks.{layer}.")}
            mixed = np.zeros((3, 6))
            for start in (0, 3):
                query, key, value = (stream @ part[n][start : start + 3].T for n in ("query", "key", "value"))
                logits = query @ key.T / sqrt(3)
                shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                mixed[:, start : start + 3] = (shares if attention == "softmax" else logits / 3) @ value
            stream = stream + mixed @ part["output"].T
            if feedforward:
                stream = stream + np.maximum(stream @ part["up"].T, 0) @ part["down"].T
        expected.append(weights["readout.weight"] @ stream[-1])
    np.testing.assert_allclose(module(x).detach().numpy(), np.array(expected), rtol=1e-10)


def test_the_groups_name_every_head_and_hidden_layer() -> None:
    module = Transformer(inputs=8, outputs=1, length=2, attention_layers=2, heads=2, head_width=3,
                         stream_width=4, feedforward=5, activation="square")  # fmt: skip
    names = [group.name for group in module.neuron_groups]
    assert names == [
        f"{kind}.{layer}.{head}" if head else f"{kind}.{layer}"
        for layer in (1, 2)
        for kind, head in (("head", 1), ("value", 1), ("head", 2), ("value", 2), ("hidden", 0))
    ]
    hidden = module.neuron_groups[4]
    assert (hidden.parity, hidden.homogeneity) == (ACTIVATIONS["square"].parity, 2)


def test_a_trial_in_a_tile_is_the_trial_alone() -> None:
    trials = grid_of(ICL, {"weight_decay": [0.0, 0.1], "init_scale": [0.5, 1.0]}).trials()
    tile = tile_of(trials)
    tile.advance(3)
    for row in range(len(trials)):
        alone = tile_of(pair(trials, row))
        alone.advance(3)
        for name, weights in tile.state.weights.items():
            torch.testing.assert_close(alone.state.weights[name][0], weights[row], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_is_eager() -> None:
    trials = grid_of(ICL | {"dtype": "float64"}, {"weight_decay": [0.0, 0.1]}).trials()
    eager, compiled = tile_of(trials), tile_of(trials, compiled=True)
    for tile in (eager, compiled):
        tile.advance(3)
    for name, weights in eager.state.weights.items():
        torch.testing.assert_close(compiled.state.weights[name], weights, rtol=1e-9, atol=1e-12)


def test_the_projected_cost_counts_every_token() -> None:
    """Products of one sample by torch's own counter, times three for forward and backward."""
    record = grid_of(ICL | {"heads": 2, "feedforward": 8}).trials().record(0)
    network = network_of(record, Path())
    module = Transformer(16, 1, length=4, attention_layers=2, heads=2, head_width=16, stream_width=16,
                         feedforward=8)  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        module(torch.randn(16, 16))
    flops = cost_of(network, record).flops
    # the readout sees one token of four: the cost counts it for all
    assert flops == pytest.approx(3 * counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": "balanced"}, "which model transformer is not"),
        (
            {"task": "teacher_student", "inputs": 9, "length": 4, "token_size": None},
            "cannot be cut into 4 tokens",
        ),
        ({"teacher_rank": 4}, "give at most 3"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    fixed = {name: value for name, value in {**ICL, **changes}.items() if value is not None}
    with pytest.raises(GridError, match=message):
        grid_of(fixed).trials()
