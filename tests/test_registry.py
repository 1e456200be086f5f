"""Tasks and models by name: what they declare, and when their classes are imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from phasediag.registry import built_in, component
from phasediag.training.model import Model
from phasediag.training.task import Task
from phasediag.trial import KINDS, ComponentKind
from phasediag.user_code import apart

PACKAGE = Path(__file__).parents[1] / "phasediag"
BUILT_IN = [(kind, name) for kind in KINDS for name in built_in(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_a_room_is_a_name_of_a_grid(kind: ComponentKind) -> None:
    files = {path.stem for path in (PACKAGE / f"{kind}s").glob("*.py") if not path.stem.startswith("_")}
    assert set(built_in(kind)) == files


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("model", "from phasediag.models.mlp import MLP\nclass Net(MLP):\n    declares = MLP.declares[:1]\n"),
        (
            "task",
            "from phasediag.tasks.hermite import HermiteTask\nclass It(HermiteTask):\n    declares = ()\n",
        ),
    ],
)
def test_a_new_file_needs_no_other_edit(kind: ComponentKind, text: str, tmp_path: Path) -> None:
    """In a copy of the package, as a contributor would add it."""
    shutil.copytree(PACKAGE, tmp_path / "phasediag", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "phasediag" / f"{kind}s" / "newcomer.py").write_text(text)
    code = f"""
from pathlib import Path
from phasediag.registry import built_in, component
found = component("{kind}", "newcomer", Path())
assert "newcomer" in built_in("{kind}") and len(found.parameters) == {int(kind == "model")}
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                         check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_a_component_is_what_its_class_states(kind: ComponentKind, name: str) -> None:
    component_class = component(kind, name, Path())
    cls = component_class.cls
    assert cls.__module__ == f"phasediag.{kind}s.{name}"
    assert issubclass(cls, {"task": Task, "model": Model}.get(kind, object))
    assert cls.declares == tuple(component_class.parameters.values())
    assert cls.constraints == component_class.constraints
    assert getattr(cls, "always_fresh", False) == component_class.always_fresh
    assert getattr(cls, "population", False) == component_class.population


def test_kinds_of_components_share_a_parameter_only_where_it_is_the_same() -> None:
    """A grid that names both gives it one value."""
    declared = [(kind, component(kind, name, Path()).parameters) for kind, name in BUILT_IN]
    shared = [
        (parameters[name] is others[name], name)
        for (kind, parameters), (other, others) in combinations(declared, 2)
        if kind != other
        for name in parameters.keys() & others.keys()
    ]
    assert [name for same, name in shared if not same] == []


def test_torch_is_imported_when_a_network_is_made() -> None:
    code = f"""
import sys
from pathlib import Path
from phasediag.registry import component
for kind, name in {BUILT_IN}:
    component(kind, name, Path())
assert not {{"torch", "sklearn"}} & sys.modules.keys()
from phasediag.models.mlp import MLP
network = MLP(3, 1, depth=2, width=4, activation="tanh")
from torch import nn
assert isinstance(network, nn.Module) and isinstance(network, MLP) and type(network).__name__ == "MLP"
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_users_class_inherits_what_it_does_not_state(tmp_path: Path) -> None:
    text = "from phasediag.tasks.hermite import HermiteTask\nclass Mine(HermiteTask):\n    {}\n"
    (tmp_path / "mine.py").write_text(text.format("population = False"))
    mine, own = component("task", "mine.py:Mine", tmp_path), component("task", "hermite", tmp_path)
    assert mine.cls.__mro__[1] is own.cls
    assert (mine.parameters, mine.constraints) == (own.parameters, own.constraints)
    assert (own.always_fresh, own.population) == (True, True)
    assert (mine.always_fresh, mine.population) == (True, False)
    assert mine.source
    assert not own.source


def test_a_signal_while_a_file_is_imported_stops_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler raises SystemExit(130), wherever it strikes; a file that exits by itself is told."""
    monkeypatch.setattr(apart, "_forks", lambda: False)  # else a process without that handler is first
    (tmp_path / "slow.py").write_text("raise SystemExit(130)\n")
    with pytest.raises(SystemExit) as stopped:
        component("model", "slow.py:Net", tmp_path)
    assert stopped.value.code == 130
    (tmp_path / "script.py").write_text("raise SystemExit(1)\n")
    with pytest.raises(ValueError, match="SystemExit"):
        component("model", "script.py:Net", tmp_path)
