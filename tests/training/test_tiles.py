"""A tile against the loop that it replaces: one `torch.nn.Module`, autograd and `torch.optim`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phasediag.models._activations import ACTIVATIONS
from phasediag.native.building import suits
from phasediag.training.steps import Native, Vmapped
from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials
from trained_tiles import CPU, grid_of, pair, tile_of, vmapped, weights_of

STEPS = 15
SMALL: dict[str, Any] = {
    "task": "teacher_student", "inputs": 3, "outputs": 2, "samples": 12, "test_samples": 7, "width": 5,
    "batch_size": 4, "learning_rate": 0.03, "steps": STEPS, "dtype": "float64", "activation": "tanh",
}  # fmt: skip
WIDE = SMALL | {"inputs": 16, "outputs": 16, "width": 16, "batch_size": 16, "samples": 32, "steps": 40}
VARIED = {"weight_decay": [0.0, 0.2], "label_noise": [0.0, 0.7], "init_scale": [0.5, 1.0]}


class Elementwise(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        match self.name:
            case "sin":
                return x.sin()
            case "square":
                return x**2
            case "cube":
                return x**3
            case _:
                return x


NONLINEAR = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "swish": nn.SiLU}


def plain_network(values: dict[str, Any]) -> nn.Sequential:
    sizes = [values["inputs"], *[values["width"]] * (values["depth"] - 1), values["outputs"]]
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        parts.append(nn.Linear(before, after, bias=values["bias"], dtype=getattr(torch, values["dtype"])))
        name = values["activation"]
        parts.append(NONLINEAR[name]() if name in NONLINEAR else Elementwise(name))
    return nn.Sequential(*parts[:-1])


def plain_optimizer(network: nn.Module, values: dict[str, Any]) -> torch.optim.Optimizer:
    rate, decay = values["learning_rate"], values["weight_decay"]
    if values["optimizer"] == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate, weight_decay=decay, momentum=values["momentum"])
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[values["optimizer"]]
    return cls(network.parameters(), lr=rate, weight_decay=decay)


def mean_squared(prediction: Tensor, target: Tensor) -> Tensor:
    return ((prediction - target) ** 2).sum() / len(target)


def plain_training(
    tile: Tile, row: int, start: dict[str, np.ndarray]
) -> tuple[list[np.ndarray], float, float]:
    """Weights, train loss and test loss of a trial, by the plain loop on the tile's batches."""
    values, world = tile.trials.record(row), int(tile.world[row])
    network = plain_network(values)
    with torch.no_grad():
        for parameter, initial in zip(network.parameters(), start.values(), strict=True):
            parameter.copy_(torch.from_numpy(initial))
    optimizer = plain_optimizer(network, values)
    for step in range(values["steps"]):
        batch = tile.batches.at(step)
        target = batch.y[world] + values["label_noise"] * batch.noise[world]
        optimizer.zero_grad()
        mean_squared(network(batch.x[world]), target).backward()
        optimizer.step()
    train, test = tile.batches.training_set(), tile.batches.test_set()
    with torch.no_grad():
        target = train.y[world] + values["label_noise"] * train.noise[world]
        losses = (
            mean_squared(network(train.x[world]), target),
            mean_squared(network(test.x[world]), test.y[world]),
        )
    return [p.detach().numpy() for p in network.parameters()], float(losses[0]), float(losses[1])


def assert_like_plain_loop(
    fixed: dict[str, Any], tolerance: float = 1e-10, init_scale: tuple[float, float] = (0.5, 1.0)
) -> None:
    trials = grid_of(SMALL | fixed, VARIED | {"init_scale": list(init_scale)}, replicates=2).trials()
    assert len(trials) == 16
    tile = tile_of(trials)
    starts = [weights_of(tile, row) for row in range(len(trials))]
    tile.advance(STEPS)
    train, test, accuracy = tile.losses()
    assert accuracy is None
    moved = False
    for row, start in enumerate(starts):
        weights, train_loss, test_loss = plain_training(tile, row, start)
        for (name, weight), expected in zip(weights_of(tile, row).items(), weights, strict=True):
            np.testing.assert_allclose(
                weight, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
            )
            moved |= not np.allclose(weight, start[name], rtol=1e-3)
        assert float(train[row]) == pytest.approx(train_loss, rel=tolerance)
        assert float(test[row]) == pytest.approx(test_loss, rel=tolerance)
    assert moved
    assert tile.state.steps_done.tolist() == [STEPS] * len(trials)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-4)])
def test_every_optimizer_trains_like_the_plain_loop(optimizer: str, dtype: str, tolerance: float) -> None:
    chosen = {"optimizer": "sgd", "momentum": 0.8} if optimizer == "momentum" else {"optimizer": optimizer}
    assert_like_plain_loop({**chosen, "dtype": dtype, "bias": True}, tolerance)


ARCHITECTURES = [("linear", 1), *itertools.product([*NONLINEAR, "linear", "sin", "square", "cube"], (2, 3))]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("activation", "depth"), ARCHITECTURES)
def test_every_architecture_trains_like_the_plain_loop(activation: str, depth: int, bias: bool) -> None:
    scales = (0.1, 0.2) if activation in ("square", "cube") else (0.5, 1.0)
    assert_like_plain_loop({"activation": activation, "bias": bias, "depth": depth}, init_scale=scales)


@pytest.mark.parametrize(
    "data",
    [
        {"noise": "quenched"}, {"noise": "fresh"}, {"samples": 0}, {"batch_size": 0},
        {"batch_size": 0, "noise": "fresh"}, {"batch_size": 1},
    ],
)  # fmt: skip
def test_every_source_of_batches_trains_like_the_plain_loop(data: dict[str, Any]) -> None:
    assert_like_plain_loop(data)


def test_the_loss_of_the_origin_is_known() -> None:
    """Networks of weight zero stay there: their losses are the mean squares of the targets."""
    trials = grid_of(SMALL | {"init_scale": 0, "label_noise": 0.5}, replicates=2).trials()
    tile = tile_of(trials)
    tile.advance(STEPS)
    train, test, _ = tile.losses()
    sets = tile.batches.training_set(), tile.batches.test_set()
    noisy = sets[0].y + 0.5 * sets[0].noise
    torch.testing.assert_close(train, noisy.square().sum(2).mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(test, sets[1].y.square().sum(2).mean(1), rtol=1e-12, atol=0)


def outcome(tile: Tile) -> list[Tensor]:
    """All that a trial's row rests on; every tensor with a leading axis of trials."""
    return [*tile.state.tensors().values(), *tile.losses()[:2]]


def same_trial(one: list[Tensor], row: int, other: list[Tensor], other_row: int) -> bool:
    return all(torch.equal(a[row], b[other_row]) for a, b in zip(one, other, strict=True))


def trained(trials: Trials, steps: int) -> Tile:
    tile = tile_of(trials)
    tile.advance(steps)
    return tile


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trial_is_the_same_bit_for_bit_with_any_mates(optimizer: str, dtype: str) -> None:
    fixed = WIDE | {"optimizer": optimizer, "dtype": dtype}
    trials = grid_of(fixed, VARIED, replicates=2).trials()
    together = outcome(trained(trials, 40))
    order = np.random.default_rng(0).permutation(len(trials))
    shuffled = outcome(trained(trials.take(order), 40))
    for position, row in enumerate(order):
        assert same_trial(together, int(row), shuffled, position)
    for row in (0, len(trials) - 1):
        assert same_trial(together, row, outcome(trained(pair(trials, row), 40)), 0)
    assert not same_trial(together, 0, together, 1)


def test_losses_do_not_depend_on_how_trials_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one trial would be left over: a lone matrix is multiplied by another kernel."""
    samples = 500
    fixed = WIDE | {"outputs": 1, "samples": samples, "test_samples": samples, "dtype": "float32", "steps": 1}
    trials = grid_of(fixed, {"weight_decay": [0.0, 0.1, 0.2]}, replicates=5).trials()
    at_once = outcome(trained(trials, 1))
    monkeypatch.setattr("phasediag.training.evaluation.EVALUATION_NUMBERS", 2 * samples * (16 + 1 + 16))
    for count in range(2, len(trials) + 1):
        fewer = outcome(trained(trials.take(np.arange(count)), 1))
        for actual, expected in zip(fewer[-2:], at_once[-2:], strict=True):
            assert torch.equal(actual, expected[:count])


@pytest.mark.parametrize("fixed", [{}, {"optimizer": "adam"}, {"momentum": 0.5}, {"samples": 0}])
def test_training_can_stop_anywhere_and_be_continued(fixed: dict[str, Any]) -> None:
    trials = grid_of(SMALL | fixed | {"steps": 300}, VARIED).trials()
    straight = outcome(trained(trials, 300))
    pieces = tile_of(trials)
    for until in (1, 255, 256, 257, 300):
        pieces.advance(until)
        saved = {name: tensor.clone() for name, tensor in pieces.state.tensors().items()}
        pieces = tile_of(trials)
        pieces.restore(saved, until)
    for actual, expected in zip(outcome(pieces), straight, strict=True):
        assert torch.equal(actual, expected)


def test_trials_of_different_length_freeze_when_they_are_done() -> None:
    """learning_time: steps = ceil(time / rate) each; in one tile or alone makes no difference."""
    fixed = {k: v for k, v in WIDE.items() if k not in ("steps", "learning_rate")} | {"learning_time": 1.0}
    trials = grid_of(fixed, {"learning_rate": [0.3, 0.1, 0.03, 0.01]}).trials()
    assert trials.values("steps").tolist() == [4, 10, 34, 100]
    together = trained(trials, 100)
    assert together.state.steps_done.tolist() == [4, 10, 34, 100]
    for row, steps in enumerate((4, 10, 34, 100)):
        assert same_trial(outcome(together), row, outcome(trained(pair(trials, row), steps)), 0)


def test_a_diverged_trial_stops_and_leaves_its_mates_alone() -> None:
    fixed = WIDE | {"activation": "cube", "init_scale": 0.3, "steps": 30}
    trials = grid_of(fixed, {"learning_rate": [1e-4, 1e3]}).trials()
    tile = trained(trials, 30)
    assert tile.state.alive.tolist() == [True, False]
    assert tile.state.steps_done[0] == 30
    assert 0 < tile.state.steps_done[1] < 30
    assert same_trial(outcome(tile), 0, outcome(trained(pair(trials, 0), 30)), 0)
    assert torch.isfinite(tile.losses()[0]).tolist() == [True, False]


def test_replicates_differ_and_points_share_their_randomness() -> None:
    """Common random numbers: the replicate decides data and start, the point only their scale."""
    trials = grid_of(SMALL, {"init_scale": [0.5, 1.0], "weight_decay": [0.0, 0.1]}, replicates=2).trials()
    tile = tile_of(trials)
    assert len(tile.batches.worlds) == 2
    first = next(iter(tile.state.weights.values()))
    replicate, scale = trials.replicate, trials.values("init_scale")
    for a, b in itertools.combinations(range(len(trials)), 2):
        same = torch.equal(first[a] / scale[a], first[b] / scale[b])
        assert same == (replicate[a] == replicate[b])
        assert (tile.world[a] == tile.world[b]) == (replicate[a] == replicate[b])


def test_data_seed_pins_the_data_and_not_the_start() -> None:
    trials = grid_of(SMALL | {"data_seed": 3}, replicates=3).trials()
    tile = tile_of(trials)
    first, data = next(iter(tile.state.weights.values())), tile.batches.training_set()
    for other in (1, 2):
        assert torch.equal(data.x[0], data.x[other])
        assert torch.equal(data.y[0], data.y[other])
        assert not torch.equal(data.noise[0], data.noise[other])
        assert not torch.allclose(first[0], first[other])
        assert not torch.equal(tile.batches.at(0).x[0], tile.batches.at(0).x[other])


def assert_trains_like(tile: Tile, expected: Tile, relative: float) -> None:
    """To rounding: operations are fused and reordered."""
    assert torch.equal(tile.state.steps_done, expected.state.steps_done)
    assert torch.equal(tile.state.alive, expected.state.alive)
    for name, tensor in expected.state.tensors().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(
                tile.state.tensors()[name], tensor, rtol=relative, atol=relative * float(tensor.abs().max())
            )


STRUCTURES: dict[str, dict[str, Any]] = {
    **{name: {"activation": name} for name in ACTIVATIONS}, "bias": {"bias": True, "depth": 3},
    "momentum": {"momentum": 0.5}, "adam": {"optimizer": "adam"}, "adamw": {"optimizer": "adamw", "depth": 4},
    "full batch": {"batch_size": 0}, "fresh": {"samples": 0}, "narrow": {"width": 3, "outputs": 1},
    "wide": {"width": 37, "inputs": 21, "outputs": 10}, "steps": {"steps": [7, 40]},
    "transformer": {
        "task": "in_context", "length": 5, "token_size": 4, "model": "transformer", "heads": 2,
        "head_width": 4, "stream_width": 8, "attention_layers": 2, "samples": 0,
        "steps": 10, "learning_rate": 1e-4,
    },
    "dcs": {"control": "dcs"}, "gate": {"control": "gate"}, "syre": {"control": "syre"},
}  # fmt: skip


@pytest.mark.skipif(not suits(), reason="native programs need AVX2 and a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("dtype", "relative"), [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_native_step_is_the_eager_step(structure: str, dtype: str, relative: float) -> None:
    given = WIDE | STRUCTURES[structure] | {"dtype": dtype}
    if given["task"] == "in_context":
        given = {name: value for name, value in given.items() if name not in ("inputs", "outputs", "width")}
    axes = VARIED | {name: value for name, value in given.items() if isinstance(value, list)}
    trials = grid_of({n: v for n, v in given.items() if n not in axes}, axes, replicates=2).trials()
    eager, native = tile_of(trials), tile_of(trials, compiled=True)
    for until in (1, 3, 40):
        native.advance(until)
    eager.advance(40)
    through_torch = structure == "gelu" and dtype == "float64"  # of erf there is but the C library's
    assert isinstance(native.program.steps, Vmapped if through_torch else Native)
    assert_trains_like(native, eager, relative)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("fixed", [{}, {"optimizer": "adam", "bias": True}, {"samples": 0, "depth": 3}])
def test_the_compiled_step_is_the_eager_step(fixed: dict[str, Any]) -> None:
    trials = grid_of(WIDE | fixed, VARIED, replicates=2).trials()
    eager, compiled = tile_of(trials), vmapped(trials)
    for tile in (eager, compiled):
        tile.advance(40)
    assert_trains_like(compiled, eager, 1e-9)


CHAIN: dict[str, Any] = {
    "task": "teacher_student",
    "width": 2,
    "batch_size": 4,
    "samples": 8,
    "dtype": "float64",
}


@pytest.mark.usefixtures("untranslated")
@pytest.mark.parametrize("batch", [{"batch_size": 4}, {"batch_size": 0}, {"samples": 0}], ids=str)
@pytest.mark.parametrize("seeds", [1, 2])
def test_any_slices_of_training_and_any_steps_a_call_give_the_same_weights(
    batch: dict[str, Any], seeds: int
) -> None:
    """Calls of 8 steps, cut where something is due, against one step a call; not all trials end together."""
    axes = {"weight_decay": [0.0, 0.3], "steps": [5, 37, 300]}
    trials = grid_of(CHAIN | batch, axes, replicates=seeds).trials()
    together, single = vmapped(trials), tile_of(trials)
    assert isinstance(together.program.steps, Vmapped)
    assert together.program.steps.steps_a_call(len(trials), together.batches.batch_size) == 1
    together.program.steps.in_place = True  # as on a GPU
    assert together.program.steps.steps_a_call(len(trials), together.batches.batch_size) == 8
    for until in (1, 2, 4, 20, 21, 60, 255, 257, 300):
        together.advance(until)
    single.advance(300)
    assert together.state.steps_done.tolist() == single.state.steps_done.tolist() == together.steps
    for name, weights in single.state.weights.items():
        torch.testing.assert_close(together.state.weights[name], weights, rtol=1e-10, atol=1e-12)


def test_trials_of_one_world_share_its_batches_without_a_change() -> None:
    trials = grid_of(CHAIN | {"steps": 20}, {"weight_decay": [0.0, 0.1, 0.3]}).trials()
    program = Program(trials.record(0), Path(), CPU, False)
    shared, own = program.tile(trials), program.tile(trials, shared=False)
    assert (shared.shared, own.shared) == (True, False)
    for tile in (shared, own):
        tile.advance(20)
    for name, weights in own.state.weights.items():
        torch.testing.assert_close(shared.state.weights[name], weights, rtol=1e-12, atol=1e-14)


def test_a_trial_that_is_done_cannot_diverge_in_the_company_of_others() -> None:
    """The last step leaves weights whose next loss overflows: what the tile does next is not its training."""
    fixed = CHAIN | {"learning_rate": 1e3, "init_scale": 5.0, "activation": "linear"}
    axes = {"steps": [6, 200]}
    trials = grid_of(fixed, axes).trials()
    alone, together = tile_of(pair(trials, 0)), tile_of(trials)
    for tile in (alone, together):
        tile.advance(max(tile.steps))
    assert together.state.alive.tolist()[0] == alone.state.alive.tolist()[0]
    assert together.state.steps_done.tolist()[0] == alone.state.steps_done.tolist()[0]
