"""What a pass leaves behind and what it draws: the trial's own, whatever its company and its stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from native_calls import NATIVE, natively, one_by_one
from phasediag.grids.grid import Grid
from phasediag.training.chance import Chance, keys_of, threefry2x32
from phasediag.training.passes import habits_of
from phasediag.training.steps import Native
from phasediag.training.tiles import Program, Tile
from small_packs import pack_trials
from trained_tiles import CPU, grid_of

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs, width: int = 16, p: float = 0.25):
        super().__init__()
        self.first, self.norm = nn.Linear(inputs, width), nn.BatchNorm1d(width)
        self.drop, self.second = nn.Dropout(p), nn.Linear(width, outputs)

    def forward(self, x):
        return self.second(self.drop(torch.tanh(self.norm(self.first(x)))))
"""
FIXED: dict[str, Any] = {
    "task": "teacher_student", "model": "net.py:Net", "inputs": 16, "outputs": 16, "samples": 32,
    "test_samples": 16, "batch_size": 16, "steps": 12, "learning_rate": 0.05, "width": 16,
}  # fmt: skip
ZERO = torch.tensor(0)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "net.py").write_text(NETWORKS)
    return grid_of(FIXED, {"weight_decay": [0.0, 0.1]}, tmp_path / "grid.yaml", replicates=2)


def tile_of(grid: Grid, rows: list[int], compiled: bool = False) -> Tile:
    trials = grid.trials().take(np.array(rows))
    return Program(trials.record(0), grid.folder, CPU, compiled).tile(trials)


def same(one: Tile, row: int, other: Tile, position: int) -> bool:
    """Weights and buffers of two trials, bit by bit."""
    pairs = [(w[row], other.weights[name][position]) for name, w in one.weights.items()]
    return len(pairs) == 9 and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_threefry(
    key: tuple[int, int], counter: tuple[int, int], words: tuple[int, int]
) -> None:
    """Those of the file `kat_vectors` of Random123."""
    made = threefry2x32((torch.tensor(key[0]), torch.tensor(key[1])), *map(torch.tensor, counter))
    assert tuple(map(int, made)) == words


def test_numbers_of_a_pass_are_as_distributed_as_they_should_be() -> None:
    key = keys_of([7], CPU)[0]
    with Chance(key, torch.tensor(3)):
        drawn = {
            "uniform": torch.rand(40_000, dtype=torch.float64), "norm": torch.randn(40_000),
            "again": torch.rand_like(torch.zeros(40_000)),
        }  # fmt: skip
        dropped = functional.dropout(torch.ones(40_000), 0.3)
        scaled = functional.alpha_dropout(torch.randn(200_000), 0.3, training=True)
        channels = functional.dropout2d(torch.ones(64, 8, 3, 3), 0.5).flatten(2)
    assert stats.kstest(drawn["uniform"], "uniform").pvalue > 1e-3
    assert stats.kstest(drawn["again"], "uniform").pvalue > 1e-3
    assert stats.kstest(drawn["norm"], "norm").pvalue > 1e-3
    assert abs(float(np.corrcoef(drawn["uniform"], drawn["again"])[0, 1])) < 0.02
    assert sorted(set(dropped.tolist())) == pytest.approx([0, 1 / 0.7])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert (float(scaled.mean()), float(scaled.std())) == pytest.approx((0, 1), abs=0.02)
    assert (channels == channels[..., :1]).all()
    assert 0.4 < float((channels[..., 0] > 0).double().mean()) < 0.6


def test_attention_drops_its_weights_and_is_itself_without() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    plain = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    with Chance(keys_of([1], CPU)[0], ZERO) as chance:
        none = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        assert chance.drawn == 0
        passes = torch.stack([
            functional.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True)
            for _ in range(600)
        ])  # fmt: skip
    assert torch.equal(none, plain)
    error = passes.std(dim=0) / 600**0.5
    assert ((passes.mean(dim=0) - plain).abs() < 5 * error + 1e-12).all()


def test_what_has_a_generator_of_its_own_is_left_alone() -> None:
    with Chance(keys_of([1], CPU)[0], ZERO) as chance:
        drawn = torch.rand(3, generator=torch.Generator().manual_seed(0))
        assert chance.drawn == 0
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(0)))


class Tokens(nn.Module):
    """Ids, which normal numbers are not."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(3, 4), nn.BatchNorm1d(20)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(self.drop(self.norm(self.embed(x.long()).flatten(1))))
        return made


class Ceiling(nn.Module):
    """The largest number so far, above those of most batches; and a mask that is put in place anew."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.tensor(9.0))
        self.register_buffer("mask", torch.ones(5))
        self.register_buffer("table", torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        self.largest.copy_(torch.maximum(self.largest, x.abs().max()))
        self.mask = 1.0 * self.mask
        return x / self.largest * self.mask * self.table


def test_state_and_chance_of_what_takes_indices_are_seen() -> None:
    seen = habits_of(Tokens(), 5, torch.float32)
    assert seen.random
    assert seen.state == ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.head = nn.Conv1d(1, 2, 3), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(torch.relu(self.c(x[:, None])).mean(dim=-1))
        return made


class Noisy(nn.Linear):
    """As small as it is, mostly logarithms, which are functions of the C library."""

    def __init__(self) -> None:
        super().__init__(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn_like(x))


@pytest.mark.parametrize(
    ("module", "native"),
    [(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.2), nn.GELU(), nn.LayerNorm(3), nn.Linear(3, 1)), True),
     (nn.Linear(5, 2), True), (nn.Sequential(nn.Linear(5, 600), nn.Linear(600, 600)), False),
     (Convolved(), False), (Tokens(), False), (Noisy(), False),
     (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), False)],
    ids=["mlp", "linear", "large", "convolution", "indices", "normal", "state"],
)  # fmt: skip
def test_whether_a_native_program_is_to_be_expected_is_known_before(module: nn.Module, native: bool) -> None:
    """torch.compile takes four times as long, which decides on whether to compile, and is planned."""
    generator_state = torch.get_rng_state()
    assert habits_of(module, 5, torch.float32).native == native
    assert torch.equal(torch.get_rng_state(), generator_state)


def test_a_state_that_few_batches_change_is_one() -> None:
    assert habits_of(Ceiling(), 5, torch.float32).state == ("largest", "mask")


def test_law_1_state_and_chance_do_not_depend_on_the_mates(grid: Grid) -> None:
    together, alone = tile_of(grid, [0, 1, 2, 3]), tile_of(grid, [2, 2])
    for tile in (together, alone):
        tile.advance(12)
    assert same(together, 2, alone, 0)
    assert not same(together, 1, together, 2)
    assert torch.equal(together.losses()[0][2], alone.losses()[0][0])


def test_law_2_a_tile_goes_on_from_its_checkpoint(grid: Grid) -> None:
    through, stopped = tile_of(grid, [0, 3]), tile_of(grid, [0, 3])
    through.advance(12)
    stopped.advance(5)
    saved = {name: tensor.clone() for name, tensor in stopped.state.tensors().items()}
    assert {"buffers/norm.running_mean", "buffers/norm.num_batches_tracked"} <= saved.keys()
    again = tile_of(grid, [0, 3])
    again.restore(saved, 5)
    again.advance(12)
    assert same(through, 0, again, 0)
    assert same(through, 1, again, 1)


def test_trials_that_are_done_keep_their_state(grid: Grid, tmp_path: Path) -> None:
    short = grid_of(FIXED, {"steps": [4, 12]}, tmp_path / "grid.yaml")
    tile = Program(short.trials().record(0), grid.folder, CPU, False).tile(short.trials())
    tile.advance(12)
    assert tile.weights["norm.num_batches_tracked"].tolist() == [4, 12]


@NATIVE
def test_numbers_are_drawn_to_the_bit_natively() -> None:
    """Of any count, odd ones too, and at steps beyond 32 bits."""

    def drawn(key: Tensor, step: Tensor) -> Tensor:
        with Chance(key, step):
            return torch.cat(
                [torch.rand(7), torch.rand(4, 2).flatten(), functional.dropout(torch.ones(33), 0.3)]
            )

    keys, steps = keys_of([1, 2, 3], CPU), torch.tensor([0, 5, 2**33 + 1])
    assert torch.equal(natively(drawn, keys, steps), one_by_one(drawn, keys, steps))


@NATIVE
def test_dropout_is_trained_natively(grid: Grid) -> None:
    """Not through torch.compile, which takes half a minute to translate what draws random numbers."""
    text = NETWORKS.replace("self.norm(self.first(x))", "self.first(x)").replace(", self.norm", "")
    grid.folder.joinpath("net.py").write_text(text.replace(", nn.BatchNorm1d(width)", ""))
    eager, compiled = tile_of(grid, [0, 1, 2, 3]), tile_of(grid, [0, 1, 2, 3], compiled=True)
    for tile in (eager, compiled):
        tile.advance(12)
    assert compiled.network.habits.native
    assert isinstance(compiled.program.steps, Native), compiled.program.notice
    for name, weight in eager.weights.items():
        torch.testing.assert_close(compiled.weights[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_compiled_steps_draw_the_same_numbers(tmp_path: Path, optimizer: str) -> None:
    """Of a state, too: the bias before the norm, whose gradient is nothing but rounding, moves at random."""
    (tmp_path / "net.py").write_text(NETWORKS)
    fixed = {**FIXED, "optimizer": optimizer, "learning_rate": 0.01}
    grid = grid_of(fixed, {"weight_decay": [0.0, 0.1]}, tmp_path / "grid.yaml", replicates=2)
    eager, compiled = tile_of(grid, [0, 1, 2, 3]), tile_of(grid, [0, 1, 2, 3], compiled=True)
    for tile in (eager, compiled):
        tile.advance(12)
    assert "other weights" not in compiled.program.notice
    for name in eager.weights.keys() - {"first.bias", "norm.running_mean"}:
        torch.testing.assert_close(compiled.weights[name], eager.weights[name], rtol=1e-3, atol=1e-4)


def test_a_replicate_has_masks_of_its_own_and_points_share_them(grid: Grid) -> None:
    tile = tile_of(grid, [0, 1, 2, 3])
    trials = grid.trials()
    keys = {int(s): k.tolist() for s, k in zip(trials.seed, tile.rates["chance"], strict=True)}
    assert len({tuple(key) for key in keys.values()}) == 2


def test_networks_with_a_state_are_not_padded(grid: Grid, tmp_path: Path) -> None:
    stating = NETWORKS.replace("class Net(nn.Module):", 'class Net(nn.Module):\n    padded = ("width",)\n')
    (tmp_path / "net.py").write_text(stating)
    two = grid_of(FIXED, {"width": [5, 6]}, tmp_path / "grid.yaml")
    packs = pack_trials(two.trials(), two.parameters, tmp_path, workers=1)
    assert [dict(pack.structure.envelope) for pack in packs] == [{}, {}]


def test_a_network_without_either_has_no_key_and_no_buffers() -> None:
    tile = Program((t := grid_of({"task": "digits", "steps": 2}).trials()).record(0), Path(), CPU, False)
    made = tile.tile(t.take(np.array([0, 0])))
    assert (made.state.buffers, "chance" in made.rates) == ({}, False)
    assert isinstance(tile.network.module, nn.Module)
