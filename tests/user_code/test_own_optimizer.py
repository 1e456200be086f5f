"""A user's optimizer and schedule: the examples of the docs, from a grid to a rerun; what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

import phasediag
from phasediag.analysis.versions import VersionsWarning
from phasediag.errors import PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.packing.structure import structures
from phasediag.rehearsal.dry_decay import decay_beside_weights
from phasediag.sweeps.rerun import rerun
from phasediag.training.steps import Native
from phasediag.training.tiles import Program

PAGE = Path(__file__).parents[2] / "docs" / "own-optimizer.md"
SMALL = {
    "task": "teacher_student",
    "samples": 32,
    "batch_size": 8,
    "width": 8,
    "steps": 10,
    "dtype": "float64",
}


def example(file: str) -> str:
    """The listing on the page that begins with a comment of the file's name."""
    block = re.search(rf"```\w+\n# {re.escape(file)}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    return block.group(1)


def written(folder: Path, **files: str) -> Path:
    """A folder with `my_opt.py` and the like, and the path of the grid that is to be beside them."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "grid.yaml"


def grid_of(path: Path, axes: str = "", **fixed: Any) -> Path:
    lines = "".join(f"  {name}: {value}\n" for name, value in (SMALL | fixed).items())
    path.write_text(f"name: own\nfixed:\n{lines}{f'axes: {axes}' if axes else ''}\nreplicates: 2\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in ("my_opt.py", "my_schedule.py"):
        text = example(file)
        assert len(text.splitlines()) <= 30
        (tmp_path / file).write_text(text)
    text = example("grid.yaml").replace("steps: 200", "steps: 20, samples: 64")
    (tmp_path / "grid.yaml").write_text(text)
    return tmp_path


def test_the_examples_are_recorded_drawn_and_rerun(folder: Path, tmp_path: Path) -> None:
    """A changed file makes new trials, and statistics take those."""
    storage, grid = str(tmp_path / "sweeps"), folder / "grid.yaml"
    assert phasediag.launch(grid, storage=storage, executor="inline").status.ok == 6
    trials = phasediag.load_trials(f"{storage}/sharpness")
    assert (len(trials), set(trials["status"])) == (6, {"ok"})
    assert sorted(set(trials["rho"])) == [0.0, 0.05, 0.5]
    assert trials["optimizer_source"].nunique() == trials["schedule_source"].nunique() == 1
    assert (trials["optimizer_source"].iloc[0], trials["model_source"].iloc[0]) != ("", "")
    assert (trials["momentum"] == 0.9).all()
    mean = float(np.mean(1 - np.arange(20) / 20))
    expected = trials["learning_rate"] * trials["weight_decay"] * 20 * mean
    np.testing.assert_allclose(trials["relaxations"], expected, rtol=1e-6)
    assert trials["learning_time"].isna().all()
    diagram = phasediag.phase_diagram(trials, x="rho", y="weight_decay", order="train_loss", level=0.1)
    assert diagram.plot() is not None
    chosen = trials.iloc[0]
    again = rerun(f"{storage}/sharpness", chosen["trial_id"], tmp_path / "again")
    assert not again.differs
    assert again.row["optimizer_source"] == chosen["optimizer_source"]
    (folder / "my_opt.py").write_text(example("my_opt.py").replace("1e-12", "1e-9"))
    assert len(phasediag.plan(grid, storage).survey.missing) == 6
    assert phasediag.launch(grid, storage=storage, executor="inline").status.ok == 6
    trials = phasediag.load_trials(f"{storage}/sharpness")
    assert (len(trials), trials["optimizer_source"].nunique()) == (12, 2)
    with pytest.warns(VersionsWarning, match="2 versions of its files .* 6 of .*optimizer_source"):
        phasediag.phase_diagram(trials, x="rho", y="weight_decay", order="train_loss", level=0.1)


class PlainSam(torch.optim.SGD):
    """The same as it is written for one network in PyTorch: two passes a step."""

    def __init__(self, parameters: Any, rho: float, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.rho = rho

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        every = [p for group in self.param_groups for p in group["params"]]
        norm = torch.stack([p.grad.norm() for p in every]).norm()
        up = [self.rho / (norm + 1e-12) * p.grad for p in every]
        with torch.no_grad():
            for p, e in zip(every, up, strict=True):
                p.add_(e)
        self.zero_grad()
        with torch.enable_grad():
            closure().backward()
        with torch.no_grad():
            for p, e in zip(every, up, strict=True):
                p.sub_(e)
        super().step()


@pytest.mark.filterwarnings("ignore:.*scheduler.step:UserWarning")
@pytest.mark.parametrize("compiled", [False, True])
def test_the_examples_are_what_plain_torch_does(folder: Path, compiled: bool) -> None:
    own = {
        "optimizer": "my_opt.py:Sam",
        "schedule": "my_schedule.py:Power",
        "steps": 50,
        "weight_decay": 0.02,
    }
    grid = read_grid(grid_of(folder / "grid.yaml", "{rho: [0.1, 0.4], power: [0.5, 2]}", **own))
    trials = grid.trials()
    program = Program(trials.record(0), folder, torch.device("cpu"), compiled)
    tile = program.tile(trials, shared=False)
    expected = []
    for row in range(len(trials)):
        values: dict[str, Any] = trials.record(row)
        module = program.network.construction.module(int(trials.seed[row]))
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(tile.weights[name][row])
        optimizer = PlainSam(
            module.parameters(), values["rho"], lr=values["learning_rate"], momentum=0.9, weight_decay=0.02
        )
        schedule = LambdaLR(optimizer, lambda step, power=values["power"]: (1 - step / 50) ** power)
        world = int(tile.world[row])
        for step in range(50):
            batch = tile.batches.at(step)

            def closure(batch: Any = batch, module: Any = module, world: int = world) -> Tensor:
                return (module(batch.x[world]) - batch.y[world]).square().sum(-1).mean()

            optimizer.zero_grad()
            closure().backward()
            optimizer.step(closure)
            schedule.step()
        expected.append({name: p.detach().clone() for name, p in module.named_parameters()})
    tile.advance(50)
    assert (type(program.steps) is Native) is compiled, program.notice
    for row, weights in enumerate(expected):
        for name, weight in weights.items():
            torch.testing.assert_close(tile.weights[name][row], weight, rtol=0, atol=1e-9)


HEAD = "import torch\n\n\nclass Own:\n"
UPDATE = "    def update(self, weights, gradient, moments, rates, step):\n        "
REFUSED = {
    "a state of its own": (
        "    held = 0\n" + UPDATE + "self.held = self.held + 1\n"
        "        return {n: w - self.held * gradient[n] for n, w in weights.items()}, moments\n",
        r"my_opt.py:\d+: my_opt.py:Own.update keeps 'held' from step to step",
    ),
    "a list": (
        "    def __init__(self):\n        self.seen = []\n\n" + UPDATE + "self.seen.append(1)\n"
        "        return dict(weights), moments\n",
        "keeps 'seen.* from step to step",
    ),
    "random numbers": (
        UPDATE + "return {n: w + torch.randn_like(w) for n, w in weights.items()}, moments\n",
        "update draws random numbers",
    ),
    "in place": (
        UPDATE + "[w.sub_(gradient[n]) for n, w in weights.items()]\n        return weights, moments\n",
        "changes the weights in place",
    ),
    "no pair": (UPDATE + "return weights\n", "gives dict; return new weights and new moments"),
    "a weight less": (UPDATE + "return {}, moments\n", r"gives \[\] for weights \['layers.0.weight'"),
    "no number": (
        "    moments = ('m',)\n\n" + UPDATE + "m = {n: moments['m'][n] + gradient[n] ** 2 for n in weights}\n"
        "        old = moments['m']\n"
        "        return {n: w - gradient[n] / old[n].sqrt() for n, w in weights.items()}, {'m': m}\n",
        "update at step 1 gives weights 'layers.0.weight' that are not finite, .*moments start at 0",
    ),
    "a shape": (
        UPDATE + "return {n: w.sum() for n, w in weights.items()}, moments\n",
        r"gives \(\) of torch.float64 for weights\['layers.0.weight'\], which is \(8, 5\)",
    ),
    "moments left out": (
        "    moments = ('v',)\n\n" + UPDATE + "return dict(weights), {}\n", r"gives \[\] for moments \['v'\]"
    ),
    "a branch": (
        UPDATE + "if gradient['layers.0.weight'].sum() > 0:\n            return weights, moments\n"
        "        return {n: 2 * w for n, w in weights.items()}, moments\n",
        "data-dependent control flow.*torch.where",
    ),
    "an error": (UPDATE + "return weights / 2\n", r"my_opt.py:6: TypeError"),
    "no update": ("    pass\n", "has no method 'update'; write def update"),
    "no names": ("    moments = 'velocity'\n\n" + UPDATE + "pass\n", "write a tuple of names"),
    "a name of training": (
        "    def __init__(self, steps: int = 3):\n        pass\n", "'steps' of Own is the name of a param"
    ),
    "a check of a number": (
        "    def __init__(self, rho: float = 0.1):\n        assert isinstance(rho, float)\n\n"
        + UPDATE + "pass\n",
        r"cannot be made with rho: instead of floats it is given tensors.*structural",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    text, words = REFUSED[case]
    path = grid_of(written(tmp_path, my_opt=HEAD + text), optimizer="my_opt.py:Own")
    with pytest.raises(PhasediagError, match=re.compile(words, re.DOTALL)) as refused:
        phasediag.plan(path, str(tmp_path / "sweeps"))
    assert "my_opt.py" in str(refused.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 - 2 * step / steps", r"factor at step 6 of 10 gives -0.1999.*; .*finite and at least 0"),
        ("return (step - 1).log()", "factor at step 0 of 10 gives nan"),
        ("return step[None]", r"factor at step 0 of 10 gives shape \(1,\); give one number"),
        ("return -0.5", "factor at step 0 of 10 gives -0.5; it multiplies the learning rate"),
        ("return {}", "factor gives {}; give one number.* or a plain float"),
        ("return None", "factor gives None; give one number"),
    ],
)
def test_a_schedule_gives_numbers_of_at_least_zero(body: str, words: str, tmp_path: Path) -> None:
    text = f"class Own:\n    def factor(self, step, steps):\n        {body}\n"
    path = grid_of(written(tmp_path, my_schedule=text), schedule="my_schedule.py:Own")
    with pytest.raises(PhasediagError, match=words):
        phasediag.plan(path, str(tmp_path / "sweeps"))


@pytest.mark.parametrize("warmup", [0, 3])
def test_a_schedule_may_give_a_plain_number(warmup: int, tmp_path: Path) -> None:
    """It is the tensor that is this number at every step; with a warm-up and without."""
    ends = []
    for number, factor in enumerate(("0.5", "0.5 + 0 * step")):
        text = f"class Own:\n    def factor(self, step, steps):\n        return {factor}\n"
        name = f"schedule{number}"
        path = grid_of(written(tmp_path, **{name: text}), schedule=f"{name}.py:Own", warmup_steps=warmup)
        phasediag.plan(path, str(tmp_path / "sweeps"))
        trials = read_grid(path).trials()
        tile = Program(trials.record(0), tmp_path, torch.device("cpu"), False).tile(trials, shared=False)
        tile.advance(10)
        ends.append(tile.weights)
    for name, weight in ends[0].items():
        assert torch.equal(weight, ends[1][name])


def test_a_number_is_an_axis_within_a_program_and_a_named_one_is_not(tmp_path: Path) -> None:
    text = (
        "class Own:\n    structural = ('nesterov',)\n\n"
        "    def __init__(self, rho: float = 0.1, nesterov: float = 0.0, often: int = 1):\n"
        "        assert isinstance(nesterov, float)\n        self.rho = rho\n\n"
        + UPDATE + "return {n: w - self.rho * gradient[n] for n, w in weights.items()}, moments\n"
    )  # fmt: skip
    axes = "{rho: [0.1, 0.2], nesterov: [0.0, 1.0], often: [1, 2]}"
    grid = read_grid(grid_of(written(tmp_path, my_opt=text), axes, optimizer="my_opt.py:Own"))
    distinct, index = structures(grid.trials(), grid.parameters)
    assert len(distinct) == 4
    assert sorted(np.bincount(index).tolist()) == [4, 4, 4, 4]


def test_momentum_is_refused_where_an_optimizer_has_none(tmp_path: Path) -> None:
    text = HEAD + UPDATE + "return weights, moments\n"
    path = grid_of(written(tmp_path, my_opt=text), optimizer="my_opt.py:Own", momentum=0.5)
    with pytest.raises(PhasediagError, match=r"momentum 0.5 would be ignored by my_opt.py:Own"):
        read_grid(path)


def test_an_optimizer_goes_with_a_model_that_has_a_state_and_chance(folder: Path, tmp_path: Path) -> None:
    """What a second pass leaves behind is not kept, and both draw the same: alone as in a pack."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, inputs: int, outputs: int):\n"
        "        parts = nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh()\n"
        "        super().__init__(nn.Linear(inputs, 8), *parts, nn.Linear(8, outputs))\n"
    )
    given = {
        "model": "net.py:Net",
        "optimizer": "my_opt.py:Sam",
        "layer_rates": "[1, 0.5, 0.1]",
        "width": None,
    }
    path = grid_of(folder / "grid.yaml", "{rho: [0.0, 0.4]}", **given, gradient_clip=1.0, warmup_steps=2)
    path.write_text(path.read_text().replace("  width: None\n", ""))
    assert len(phasediag.plan(path, str(tmp_path / "sweeps")).packs) >= 1


def test_a_state_of_the_users_survives_a_checkpoint(folder: Path) -> None:
    """SAM with a velocity and a mean of it that starts otherwise than at zero: 5 steps, then 5 more."""
    text = example("my_opt.py").replace('("velocity",)', '("velocity", "mean")')
    mean = 'torch.where(step == 1, v, 0.9 * moments["mean"][n] + 0.1 * v)'
    text = text.replace(
        'return moved, {"velocity": velocity}',
        f"mean = {{n: {mean} for n, v in velocity.items()}}\n"
        "        moved = {n: w - 0.01 * mean[n] for n, w in moved.items()}\n"
        '        return moved, {"velocity": velocity, "mean": mean}',
    )
    path = grid_of(written(folder, my_opt=text), "{rho: [0.0, 0.4]}", optimizer="my_opt.py:Sam")
    assert len(phasediag.plan(path, str(folder / "sweeps")).packs) >= 1
    trials = read_grid(path).trials()
    program = Program(trials.record(0), folder, torch.device("cpu"), False)
    straight, first, second = (program.tile(trials, shared=False) for _ in range(3))
    straight.advance(10)
    first.advance(5)
    kept = {name: tensor.clone() for name, tensor in first.state.tensors().items()}
    assert {name.split("/")[1] for name in kept if name.startswith("moments/")} == {"velocity", "mean"}
    second.restore(kept, 5)
    second.advance(10)
    for name, weight in straight.weights.items():
        assert torch.equal(second.weights[name], weight)
        assert not torch.equal(second.weights[name], first.weights[name])


NET_WITH_GAIN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.gain * self.second(torch.tanh(self.first(x)))
"""


def test_the_example_of_chosen_decay_is_two_groups_of_torch(tmp_path: Path) -> None:
    path = written(tmp_path, my_sgd=example("my_sgd.py"), net=NET_WITH_GAIN)
    model = {"model": "net.py:Net", "init": "own", "learning_rate": 0.05, "weight_decay": 0.7}
    trials = read_grid(grid_of(path, optimizer="my_sgd.py:MatricesDecay", **model)).trials()
    program = Program(trials.record(0), tmp_path, torch.device("cpu"), compiled=False)
    tile = program.tile(trials, shared=False)
    module = program.network.construction.module(int(trials.seed[0]))
    tables, others = ([p for p in module.parameters() if (p.ndim > 1) is table] for table in (True, False))
    groups = [{"params": tables, "weight_decay": 0.7}, {"params": others}]
    plain, world = torch.optim.SGD(groups, lr=0.05), int(tile.world[0])
    for step in range(10):
        batch = tile.batches.at(step)
        plain.zero_grad()
        (module(batch.x[world]) - batch.y[world]).square().sum(-1).mean().backward()
        plain.step()
    tile.advance(10)
    assert len(others) == 3
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(tile.weights[name][0], parameter.detach(), rtol=0, atol=1e-12)
    assert decay_beside_weights(trials, tmp_path) == []
