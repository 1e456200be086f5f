"""A step taken in place and replayed is the step; what a GPU's graph holds is on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from phasediag.native.nested import leaves, skeleton
from phasediag.training import graphs
from phasediag.training.compilation import Compiled
from phasediag.training.graphs import Replayed
from phasediag.training.steps import Vmapped, vmapped_steps
from phasediag.training.tiles import Program, Tile
from phasediag.training.traced import settle, strangers
from phasediag.trial import Trials
from trained_tiles import CPU, grid_of, vmapped

META = torch.device("meta")
SMALL: dict[str, Any] = {
    "task": "teacher_student", "width": 6, "steps": 40, "batch_size": 8, "samples": 32, "learning_rate": 0.05,
}  # fmt: skip
AXES: dict[str, Any] = {"weight_decay": [0.0, 0.1], "label_noise": [0.0, 0.5]}
KINDS: dict[str, dict[str, Any]] = {
    "sgd": {}, "momentum": {"momentum": 0.5}, "adam": {"optimizer": "adam"}, "adamw": {"optimizer": "adamw"},
    "float64": {"dtype": "float64", "optimizer": "adam"}, "fresh": {"samples": 0},
    "sin": {"activation": "sin"}, "dcs": {"control": "dcs"}, "gate": {"control": "gate"},
    "syre": {"control": "syre"},
}  # fmt: skip
KEPT = 3
"""Tensors that stay, in the calls by hand."""


def trials_of(kind: str, replicates: int = 2) -> Trials:
    return grid_of(SMALL | KINDS[kind], AXES, replicates=replicates).trials()


def in_place(trials: Trials, envelope: dict[str, Any] | None = None) -> Tile:
    """A tile that is trained as on a GPU."""
    tile = vmapped(trials, envelope)
    assert isinstance(tile.program.steps, Vmapped)
    tile.program.steps.in_place = True
    return tile


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """The calls that were recorded: here each replay is the call, on the addresses of the recording."""
    calls: list[Callable[[], object]] = []

    def recorded(call: Callable[[], object]) -> Callable[[], object]:
        calls.append(call)
        return call

    monkeypatch.setattr(graphs, "recorded", recorded)
    return calls


@pytest.mark.usefixtures("untranslated")
@pytest.mark.parametrize("kind", ["sgd", "adam", "fresh", "dcs"])
def test_a_step_in_place_is_the_step(kind: str) -> None:
    trials = trials_of(kind)
    new, replaced = vmapped(trials), in_place(trials)
    places = {name: tensor.data_ptr() for name, tensor in replaced.state.tensors().items()}
    for until in (3, 11):
        for tile in (new, replaced):
            tile.advance(until)
        for name, tensor in new.state.tensors().items():
            assert torch.equal(replaced.state.tensors()[name], tensor)
    assert {name: tensor.data_ptr() for name, tensor in replaced.state.tensors().items()} == places


@pytest.mark.usefixtures("untranslated")
def test_two_tiles_of_a_program_do_not_touch_each_other() -> None:
    first = in_place(trials_of("adam"))
    second, alone = first.program.tile(first.trials), in_place(first.trials)
    for until in (1, 9):
        first.advance(until)
        second.advance(2 * until)
    alone.advance(9)
    for name, tensor in alone.state.tensors().items():
        assert torch.equal(first.state.tensors()[name], tensor)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_program_works_in_place() -> None:
    """With the compiler itself: what it makes of a copy at the end of a graph."""

    def step(state: dict[str, Tensor], rate: Tensor) -> dict[str, Tensor]:
        return {"x": state["x"] - rate * state["y"], "y": state["y"] + state["x"]}

    state = {"x": torch.arange(6.0).view(2, 3), "y": torch.ones(2, 3)}
    expected, rate = {name: tensor.clone() for name, tensor in state.items()}, torch.tensor(0.5)
    run = Compiled(step, staying=1)
    for _ in range(3):
        assert run(state, rate) is state
        expected = step(expected, rate)
    assert all(torch.equal(state[name], expected[name]) for name in state)


def sums(a: Tensor, b: Tensor, rate: Tensor, x: Tensor, until: Tensor) -> None:
    """A program that changes two of the three tensors that stay."""
    a.add_(rate * x)
    b.copy_(torch.minimum(b + a, until))


def test_a_replay_is_a_call(recordings: list[Callable[[], object]]) -> None:
    """Also where what is fed lies elsewhere each time, and where two sets of tensors take turns."""
    run = Replayed(sums, KEPT)
    sets = [[torch.full((2,), float(n)), torch.zeros(2), torch.ones(2)] for n in range(2)]
    expected = [[tensor.clone() for tensor in each] for each in sets]
    for turn in range(6):
        fed = (torch.full((2,), 2.0 + turn), torch.tensor(50.0))
        for tensors, same in zip(sets, expected, strict=True):
            run(*tensors, *fed)
            sums(*same, *fed)
            assert all(torch.equal(one, other) for one, other in zip(tensors, same, strict=True))
        assert len(recordings) == (0 if turn == 0 else 2)


def test_tensors_elsewhere_are_recorded_anew(recordings: list[Callable[[], object]]) -> None:
    run, fed = Replayed(sums, KEPT), (torch.ones(2), torch.tensor(50.0))
    a, b, rate = torch.zeros(2), torch.zeros(2), torch.ones(2)
    for _ in range(3):
        run(a, b, rate, *fed)
    moved = torch.zeros(2)
    for _ in range(2):
        run(a, moved, rate, *fed)
    assert moved.tolist() == [9.0, 9.0]
    assert len(recordings) == 2


def test_a_recording_goes_with_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "recorded", lambda call: lambda: None)
    run = Replayed(sums, KEPT)
    for _ in range(3):
        tensors = [torch.zeros(2), torch.zeros(2), torch.ones(2)]
        for _ in range(2):
            run(*tensors, torch.ones(2), torch.tensor(50.0))
        assert len(run._recordings) == 1
    del tensors
    assert len(run._recordings) == 0


def arguments_of(tile: Tile) -> tuple[list[Tensor], Any]:
    """What two steps of a tile take, as the compiler sees it, and its form."""
    state, batches = tile.state, [tile.batches.at(step) for step in range(2)]
    parts = (state.weights, state.moments, state.buffers, state.steps_done, state.alive)
    samples = [tuple(part[0] for part in (batch.x, batch.y, batch.noise)) for batch in batches]
    arguments = (parts, tile.rates, samples, torch.tensor(2))
    return leaves(arguments), skeleton(arguments)


@pytest.mark.parametrize("envelope", [{}, {"width": 8, "batch_size": 16}], ids=["one size", "padded"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_step_of_another_device_holds_nothing_of_the_cpu(kind: str, envelope: dict[str, Any]) -> None:
    """A number that tracing makes a tensor, or an index on the host, would stop a GPU at every step."""
    if envelope and "control" in KINDS[kind]:
        pytest.skip("networks with a control are not padded")
    trials = trials_of(kind)
    tile = Program(trials.record(0), Path(), CPU, False, envelope).tile(trials)
    flat, form = arguments_of(tile)
    step = Compiled(vmapped_steps(tile.network, True), staying=2)
    with torch.no_grad():
        graph, _ = step._traced([tensor.to(META) for tensor in flat], form)
        assert strangers(graph, META) == []
        assert strangers(graph, CPU) != []
        assert all(not str(node.target).startswith("aten._local_scalar") for node in graph.graph.nodes)


def back(graph: GraphModule) -> None:
    """The numbers that were moved to a device without values, on the CPU again."""
    for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.full.default):
        if node.kwargs.get("device") == META:
            node.kwargs = {**node.kwargs, "device": CPU}
    graph.recompile()


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_graph_whose_numbers_were_moved_is_the_step(kind: str) -> None:
    trials = trials_of(kind, replicates=1)
    tile = Program(trials.record(0), Path(), CPU, False).tile(trials)
    flat, form = arguments_of(tile)
    with torch.no_grad():
        graph, _ = Compiled(vmapped_steps(tile.network, True), staying=2)._traced(flat, form)
        settle(graph, META)
        back(graph)
        assert "aten.full.default" in graph.code
        graph(*flat)
    alone = Program(trials.record(0), Path(), CPU, False).tile(trials)
    alone.advance(2)
    for name, tensor in alone.state.tensors().items():
        torch.testing.assert_close(tile.state.tensors()[name], tensor, rtol=1e-6, atol=1e-7)


def test_what_a_users_model_makes_on_the_host_lies_on_the_device() -> None:
    """Ranges, lists and what follows from them are computed once; noise and what the input gives are not."""
    table = torch.tensor([3.0, 4.0])

    def step(x: Tensor) -> Tensor:
        share = torch.arange(2).sum() / torch.tensor(4.0)
        return x * torch.tensor([1.0, 2.0]).to(x.device) + share.to(x.device) * table.to(x.device)

    with torch.no_grad():
        graph, _ = Compiled(step)._traced([torch.ones(3, 2, device=META)], (None,))
        assert strangers(graph, META) == []
        assert "arange" not in graph.code
        random, _ = Compiled(lambda x: x + torch.rand(2).to(x.device))._traced(
            [torch.ones(2, device=META)], (None,)
        )
        assert strangers(random, META) == ["rand"]
