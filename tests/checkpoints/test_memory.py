"""What a checkpoint takes of the memory: one layer, held once, however many layers there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from phasediag.arrays import FloatArray, Shape
from phasediag.checkpoints.heads import measured_block
from phasediag.checkpoints.layouts import Matrix, NeuronBlock
from phasediag.checkpoints.named_tensors import StoredTensors
from phasediag.symmetry import geometry
from phasediag.symmetry.order import Part

WIDTH, HIDDEN = 32768, 16
"""Long rows of few neurons: megabytes that are soon measured."""
MEGABYTES = 2 * 3 * HIDDEN * WIDTH / 1e6
"""Of a layer, bfloat16."""
PEAK = """
import sys
from pathlib import Path
from phasediag.checkpoints.record import ReadingPlan, record
for path in map(Path, sys.argv[1:]):
    record([path], path / "sweep", ReadingPlan(heads=1, parts=("mlp",)))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1e3)
"""
"""Prints the most memory that the process has had after each checkpoint, in MB.

Not ru_maxrss, which tells of the process that started this one besides.
"""


def llama(folder: Path, layers: int, suffix: str) -> Path:
    """A sharded checkpoint in Llama's layout, a file a layer."""
    rng = torch.Generator().manual_seed(0)
    sizes = {
        "self_attn.q_proj": (8, 8), "self_attn.k_proj": (8, 8), "mlp.gate_proj": (HIDDEN, WIDTH),
        "mlp.up_proj": (HIDDEN, WIDTH), "mlp.down_proj": (WIDTH, HIDDEN),
    }  # fmt: skip
    one = {name: torch.randn(size, generator=rng).bfloat16() for name, size in sizes.items()}
    folder.mkdir(parents=True)
    index: dict[str, str] = {}
    for layer in range(layers):
        state = {f"model.layers.{layer}.{name}.weight": tensor for name, tensor in one.items()}
        shard = f"layer-{layer}.{suffix}"
        save_file(state, folder / shard) if suffix == "safetensors" else torch.save(state, folder / shard)
        index |= dict.fromkeys(state, shard)
    listed = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    (folder / f"{listed}.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_the_peak_of_many_layers_is_that_of_two(tmp_path: Path) -> None:
    """What is read of a shard is let go; eight layers more would be 25 MB more."""
    asked = ((2, "safetensors"), (2, "bin"), (10, "safetensors"), (10, "bin"))
    paths = [llama(tmp_path / f"{layers}-{kind}", layers, kind) for layers, kind in asked]
    given_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed leaves no holes
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *paths], check=True, capture_output=True, text=True, env=given_back
    )
    peaks = [float(line) for line in done.stdout.split()]
    assert len(peaks) == len(paths)
    assert peaks[-1] - peaks[1] < 3 * MEGABYTES, peaks  # the first two load what all need


class _Watched(StoredTensors):
    """Tensors of which it is known whether anything still holds them."""

    def __init__(self, arrays: Mapping[str, FloatArray]) -> None:
        self.arrays = arrays
        self.given: list[weakref.ref[FloatArray]] = []

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: array.shape for name, array in self.arrays.items()}

    def read(self, name: str) -> Tensor:
        array = self.arrays[name].astype(np.float32)
        self.given.append(weakref.ref(array))
        return torch.from_numpy(array)

    @property
    def held(self) -> int:
        """How many of the tensors that were given are held."""
        return sum(given() is not None for given in self.given)


def test_the_weights_of_a_block_are_gone_where_pairs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a block of a model of 7 billion parameters they are half a gigabyte, and so are the vectors."""
    draw = np.random.default_rng(0)
    sizes = {"gate": (24, 16), "up": (24, 16), "down": (16, 24)}
    weights = _Watched({name: draw.normal(size=size) for name, size in sizes.items()})
    held: list[int] = []
    compare = geometry.pair_distances

    def compared(parts: list[Part]) -> Tensor:
        held.append(weights.held)
        return compare(parts)

    monkeypatch.setattr(geometry, "pair_distances", compared)
    block = NeuronBlock(
        depth=1, incoming=(Matrix(name="gate"), Matrix(name="up")), bias="", outgoing=Matrix(name="down")
    )
    part = measured_block(weights, block)
    assert held == [0]
    vectors = np.concatenate([weights.arrays["gate"], weights.arrays["up"], weights.arrays["down"].T], axis=1)
    np.testing.assert_allclose(part.norms, np.sort(np.linalg.norm(vectors, axis=1)), rtol=1e-6)
