"""A user's class says what a grid may give it: by its constructor, its defaults, or what it declares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from phasediag.constructor import arguments_of
from phasediag.errors import GridError
from phasediag.registry import component
from trained_tiles import grid_of, tile_of

NET = """
from __future__ import annotations
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Literal
import torch
from torch import nn
from phasediag.trial import Parameter, PositiveInt, Role

if TYPE_CHECKING:
    from decimal import Decimal

class Net(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.given = {{name: value for name, value in locals().items() if name not in ("self", "__class__")}}
        self.layer = nn.Linear(5, 1)
    def forward(self, x):
        return self.layer(x)
"""


def written(folder: Path, arguments: str, name: str = "my_net.py") -> None:
    (folder / name).write_text(NET.format(arguments=arguments))


def built(folder: Path, arguments: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the constructor is called with, for these values in a grid."""
    written(folder, arguments)
    fixed = {"task": "teacher_student", "model": "my_net.py:Net", "steps": 2, **given}
    trials = grid_of(fixed, {"weight_decay": [0.0, 0.1]}, folder / "grid.yaml").trials()
    model = component("model", "my_net.py:Net", folder)
    arguments_ = arguments_of(model.cls, model.parameters, trials.record(0), 5, 1)
    return dict(model.cls(**arguments_).given)


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        ("inputs, outputs, hidden: list[int] = [16, 8]", {}, {"hidden": [16, 8]}),
        ("hidden: list[int] = [16, 8]", {"hidden": [4, 4, 2]}, {"hidden": [4, 4, 2]}),
        ("hidden: tuple[int, ...] = (16, 8)", {"hidden": [4]}, {"hidden": (4,)}),
        ("scales: list[float] = [1.5]", {"scales": [1, 2.5]}, {"scales": [1.0, 2.5]}),
        ("names: list[str] = ['tanh']", {"names": ["relu", "gelu"]}, {"names": ["relu", "gelu"]}),
        ("flags: list[bool] = [True]", {"flags": [False, True]}, {"flags": [False, True]}),
        ("hidden: list[int] | None = None", {}, {"hidden": None}),
        ("hidden: list[int] | None = None", {"hidden": [3]}, {"hidden": [3]}),
        ("hidden=[16, 8]", {"hidden": [4]}, {"hidden": [4]}),
        ("width=8, rate=0.5", {"width": 3}, {"width": 3, "rate": 0.5}),
        ("name='a', on=True", {"name": "b"}, {"name": "b", "on": True}),
        ("width: int = None", {"width": 3}, {"width": 3}),
        ("rate: float = 1", {}, {"rate": 1.0}),
        ("kind: Literal['a', 'b'] = 'a'", {"kind": "b"}, {"kind": "b"}),
        ("*, inputs, width: int = 2", {}, {"inputs": 5, "width": 2}),
        ("act: Callable = torch.tanh, width: int = 2", {}, {"act": torch.tanh, "width": 2}),
        ("width: int = 2, *args, **options", {}, {"width": 2, "options": {"inputs": 5, "outputs": 1}}),
    ],
)  # fmt: skip
def test_a_constructor_gets_what_its_annotations_say(
    arguments: str, given: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    made = built(tmp_path, arguments, given)
    assert {name: made[name] for name in expected} == expected
    assert [type(made[name]) for name in expected] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("steps: int = 3", "'steps' of Net is the name of a parameter of training"),
        ("stage: int = 1", "'stage' of Net is the name of a column of results"),
        ("mean: float = 0.0", "'mean' of Net is the name of a column of results"),
        ("momentum: float = 0.1", "'momentum' of Net is the name of a parameter of training"),
        ("dtype: str = 'a'", "'dtype' of Net is the name of a parameter of training"),
        ("samples: int = 3", "'samples' of my_net.py:Net is a parameter of task 'teacher_student' too"),
        ("teacher_width: int = 3", "'teacher_width' of my_net.py:Net is a parameter of task"),
        ("act: Callable", "argument 'act' of Net has no annotation that a grid can give a value to"),
        ("file: Path", "an annotation of Net's constructor cannot be read: NameError"),
        ("day: date", "argument 'day' of Net has no annotation that a grid can give a value to"),
        ("width", "argument 'width' of Net has no annotation that a grid can give a value to"),
        ("sizes: list", "argument 'sizes' of Net has no annotation that a grid can give a value to"),
        ("sizes: list[list[int]]", "argument 'sizes' of Net has no annotation"),
        ("price: Decimal = 3", "an annotation of Net's constructor cannot be read: NameError"),
        ("width: int = 'wide'", "the default 'wide' of argument 'width' of Net is not what its annotation"),
    ],
)
def test_what_a_grid_cannot_give_is_refused_with_its_line(arguments: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(GridError) as refusal:
        built(tmp_path, arguments, {})
    assert words in str(refusal.value)
    assert "grid.yaml:" in str(refusal.value)
    if "too" not in words and "task" not in words:
        assert re.search(r"my_net\.py:\d+: ", str(refusal.value))


@pytest.mark.parametrize("values", [[[16, 8], [8]], [[1, 2], [1, 2, 3]]])
def test_lists_may_be_an_axis(values: list[list[int]], tmp_path: Path) -> None:
    written(tmp_path, "hidden: list[int] = [16, 8]")
    fixed = {"task": "teacher_student", "model": "my_net.py:Net", "steps": 2}
    grid = grid_of(fixed, {"hidden": {"values": values}}, tmp_path / "grid.yaml")
    assert sorted(grid.trials().values("hidden").tolist()) == sorted(map(tuple, values))


def test_a_list_of_texts_cannot_be_taken_for_another(tmp_path: Path) -> None:
    written(tmp_path, "names: list[str] = ['tanh']")
    fixed = {"task": "teacher_student", "model": "my_net.py:Net", "names": ["a,b"]}
    with pytest.raises(GridError, match="without commas"):
        grid_of(fixed, {}, tmp_path / "grid.yaml")


def test_declares_must_be_parameters(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    declares = ('width',)\n"
    )
    with pytest.raises(ValueError, match=r"my_net.py:\d+: Net.declares is \('width',\)"):
        component("model", "my_net.py:Net", tmp_path)


def test_a_task_without_declares_has_no_parameters(tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text(
        "import torch\nfrom phasediag.training.data import Task\n"
        "class Mine(Task):\n"
        "    @staticmethod\n    def sizes(values):\n        return 2, 1\n"
        "    def train_set(self):\n        return torch.ones(4, 2), torch.ones(4, 1)\n"
        "    test_set = train_set\n"
    )
    assert component("task", "my_task.py:Mine", tmp_path).parameters == {}


def test_built_in_components_may_share_a_parameter() -> None:
    fixed = {"task": "in_context", "model": "transformer", "length": 3, "steps": 2, "batch_size": 4}
    trials = grid_of(fixed, {"weight_decay": [0.0, 0.1]}).trials()
    assert tile_of(trials).network.sizes == (18, 1)
