"""Networks of the zoo that have native programs, trained for a processor with AVX-512 and for one without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from native_calls import WIDE, capability
from phasediag.grids.grid import read_grid
from phasediag.native.lowering import UnsupportedError
from phasediag.training.steps import Native
from zoo.catalogue import NETWORKS, Animal
from zoo.claims import SLOW_WORDS
from zoo.comparison import axes_of, grid_file, planned, tiles

STEPS = 12

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(SLOW_WORDS)]


@WIDE
@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("animal", [a for a in NETWORKS if a.refused is False], ids=lambda a: a.name)
def test_a_network_has_the_same_bits(
    animal: Animal, dtype: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = grid_file(folder, [animal], axes_of(animal), dtype=dtype)
    assert not planned(path)
    grid = read_grid(path)
    trained = []
    for name in ("AVX2", "AVX512"):
        capability(monkeypatch, name)
        tile, _ = next(tiles(grid, compiled=True))
        program, batches = tile.program, tile.batches.run(0, 1)
        try:
            program.steps = Native(program.network, tile.state, tile.rates, batches)
        except UnsupportedError:
            pytest.skip("it has no native program")
        tile.advance(STEPS)
        trained.append(tile.weights)
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
