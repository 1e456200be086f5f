"""A compiled step that is not the one that was written is not trained by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from phasediag.native.nested import leaves, skeleton
from phasediag.training import compilation
from phasediag.training.as_written import takes_the_step
from phasediag.training.compilation import Compiled
from phasediag.training.step import parts_of
from phasediag.training.steps import Vmapped, vmapped_steps
from phasediag.training.tiles import Program, Tile
from phasediag.training.traced import WRITING
from trained_tiles import CPU, grid_of, tile_of

FIXED: dict[str, Any] = {
    "task": "teacher_student", "width": 6, "steps": 20, "batch_size": 8, "samples": 32, "learning_rate": 1e-6,
}  # fmt: skip
AXES: dict[str, Any] = {"weight_decay": [0.0, 0.1, 0.2]}
KINDS: dict[str, dict[str, Any]] = {
    "sgd": {}, "momentum": {"momentum": 0.5}, "adam": {"optimizer": "adam"},
    "zeros": {"init_scale": 0.0}, "float64": {"dtype": "float64"},
}  # fmt: skip
NETWORKS = """
import torch
from torch import nn


class Normed(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(inputs, 5), nn.BatchNorm1d(5), nn.Linear(5, outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.first(x))))


class Plain(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 5), nn.Linear(5, outputs)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class Summed(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("target", torch.tensor([1, 0, 1, 0]))
        self.first, self.head = nn.Linear(inputs, 4), nn.Linear(2, outputs)

    def forward(self, x):
        return self.head(torch.zeros(len(x), 2, dtype=x.dtype).index_add(1, self.target, self.first(x)))
"""
OPTIMIZER = """
import torch


class Anchored:
    moments = ("start",)
    decoupled = False

    def update(self, weights, gradient, moments, rates, step):
        start = {n: torch.where(step == 1, w, moments["start"][n]) for n, w in weights.items()}
        moved = {
            n: w - rates["learning_rate"] * (gradient[n] + rates["weight_decay"] * (w - start[n]))
            for n, w in weights.items()
        }
        return moved, {"start": start}
"""
Wrong = Callable[[Sequence[Tensor], Sequence[Tensor]], None]
"""Changes what a compiled call gives, which it knows with what it was given."""


def rest_of_the_first(results: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """As if all trials had written into one place."""
    for result in results:
        if result.is_floating_point():
            result.copy_(result[:1].expand_as(result))


def one_per_cent(results: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """Of the change of the last trial."""
    for result, before in zip(results, given, strict=False):
        if result.is_floating_point():
            result[-1] += 0.01 * (result[-1] - before[-1])


def weights_alone(results: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """As if the momenta were right, and what they move were not."""
    one_per_cent(results[: len(STATE)], given)


@pytest.fixture
def compiled_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Wrong], None]:
    """Let every compiled call give other numbers than its graph."""

    def patch(wrong: Wrong) -> None:
        def translated(graph: GraphModule, flat: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
            def run(*tensors: Tensor) -> Sequence[Tensor]:
                before = [tensor.clone() for tensor in tensors]
                results: list[Tensor] = list(graph(*tensors))
                wrong(results or tensors[: len(STATE)], before)
                return results

            return run

        monkeypatch.setattr(compilation, "translated", translated)

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return patch


STATE = ("first.weight", "first.bias", "second.weight", "second.bias")
"""What comes first among the tensors of a call."""


def compiled_tile(kind: str, in_place: bool) -> Tile:
    trials = grid_of(FIXED | KINDS[kind], AXES).trials()
    program = Program(trials.record(0), Path(), CPU, True)
    program.steps = Vmapped(program.network, CPU, True)
    program.steps.in_place = in_place
    return program.tile(trials)


@pytest.mark.parametrize(
    ("kind", "wrong", "in_place"),
    [*((kind, one_per_cent, False) for kind in KINDS), ("sgd", rest_of_the_first, False),
     ("sgd", rest_of_the_first, True), ("adam", one_per_cent, True), ("adam", weights_alone, False)],
)  # fmt: skip
def test_a_compiler_that_gives_other_numbers_is_given_up(
    kind: str, wrong: Wrong, in_place: bool, compiled_wrong: Callable[[Wrong], None]
) -> None:
    """However small the steps are, and from weights that are all zero."""
    compiled_wrong(wrong)
    tile = compiled_tile(kind, in_place)
    plain = tile_of(tile.trials)
    for each in (tile, plain):
        each.advance(20)
    assert "gives other weights" in tile.program.notice
    for name, tensor in plain.state.tensors().items():
        assert torch.equal(tile.state.tensors()[name], tensor)


@pytest.mark.usefixtures("untranslated")
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_one_program_does_for_the_comparison_and_the_steps(kind: str) -> None:
    tile = compiled_tile(kind, in_place=False)
    tile.advance(20)
    assert isinstance(tile.program.steps, Vmapped)
    assert tile.program.notice == ""
    (many,) = tile.program.steps._many.values()
    assert isinstance(many, Compiled)
    assert len(many._programs) == 1


def own_tile(folder: Path, name: str, **fixed: Any) -> Tile:
    folder.joinpath("net.py").write_text(NETWORKS)
    values = {**FIXED, "model": f"net.py:{name}", "learning_rate": 0.01, **fixed}
    del values["width"]
    trials = grid_of(values, AXES, folder / "grid.yaml").trials()
    program = Program(trials.record(0), folder, CPU, True)
    program.steps = Vmapped(program.network, CPU, True)
    return program.tile(trials)


@pytest.mark.parametrize("wrong", [one_per_cent, weights_alone])
def test_momenta_that_see_no_gradient_hide_nothing(
    wrong: Wrong, tmp_path: Path, compiled_wrong: Callable[[Wrong], None]
) -> None:
    compiled_wrong(wrong)
    tmp_path.joinpath("opt.py").write_text(OPTIMIZER)
    tile = own_tile(tmp_path, "Plain", optimizer="opt.py:Anchored")
    tile.advance(3)
    assert "gives other weights" in tile.program.notice


def in_another_order(step: Any) -> Callable[..., Any]:
    """A step that sums over its samples from the last to the first."""

    def run(parts: Any, rates: Any, batches: Any, stop: Tensor) -> Any:
        return step(parts, rates, [tuple(part.flip(-2) for part in batch) for batch in batches], stop)

    return run


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sums_in_another_order_are_rounding(optimizer: str) -> None:
    """Also among 40,000 weights, whose first steps of Adam are signs: some gradient is always nearly zero."""
    fixed = FIXED | {"width": 128, "depth": 3, "optimizer": optimizer}
    tile = tile_of(grid_of(fixed, AXES).trials())
    step = vmapped_steps(tile.network, True)
    batch = tile.batches.at(0)
    samples = [tuple(part[0] for part in (batch.x, batch.y, batch.noise))]
    with torch.no_grad():
        assert takes_the_step(
            in_another_order(step), step, parts_of(tile.state), tile.rates, samples, True, 0
        )


def rounded_otherwise(results: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """As sums in another order would be."""
    generator = torch.Generator().manual_seed(0)
    for result in results:
        if result.is_floating_point():
            result *= 1 + 1e-7 * torch.randn(result.shape, generator=generator)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rounding_is_no_reason_to_give_up(
    tmp_path: Path, optimizer: str, compiled_wrong: Callable[[Wrong], None]
) -> None:
    """The bias before a batch normalisation has no gradient but rounding."""
    compiled_wrong(rounded_otherwise)
    tile = own_tile(tmp_path, "Normed", optimizer=optimizer)
    tile.advance(3)
    assert tile.program.notice == ""


def test_trials_write_into_zeros_of_their_own(tmp_path: Path) -> None:
    """Inductor copies expanded zeros as they lie: the sums of all trials went into one place."""
    tile = own_tile(tmp_path, "Summed")
    batch = tile.batches.at(0)
    samples = [tuple(part[0] for part in (batch.x, batch.y, batch.noise))]
    arguments = (parts_of(tile.state), tile.rates, samples, torch.tensor(1))
    with torch.no_grad():
        graph, _ = Compiled(vmapped_steps(tile.network, True))._traced(leaves(arguments), skeleton(arguments))
    written = [node for node in graph.graph.nodes if node.target in WRITING]
    assert written
    assert all(0 not in node.args[0].meta["val"].stride() for node in written)
