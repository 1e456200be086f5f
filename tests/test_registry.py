"""Tasks and models by name: what they declare, and when their classes are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasediag.registry import KINDS, Kind, built_in, component

PACKAGE = Path(__file__).parents[1] / "phasediag"
BUILT_IN = [(kind, name) for kind in KINDS for name in built_in(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_room_is_declared(kind: Kind) -> None:
    files = {path.stem for path in (PACKAGE / f"{kind}s").glob("*.py") if not path.stem.startswith("_")}
    assert set(built_in(kind)) == files


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_a_class_takes_what_is_declared(kind: Kind, name: str) -> None:
    found = component(kind, name, Path())
    cls = found.cls
    assert (getattr(cls, "registered", name), cls.__module__) == (name, f"phasediag.{kind}s.{name}")
    assert cls.declares == tuple(found.parameters.values())
    assert cls.constraints == found.constraints
    assert getattr(cls, "always_fresh", False) == found.always_fresh
    assert getattr(cls, "population", False) == found.population


@pytest.mark.parametrize(("kind", "name"), [("task", "teacher_student"), ("model", "mlp")])
def test_torch_is_imported_when_a_class_is_asked_for(kind: Kind, name: str) -> None:
    code = f"""
import sys
from pathlib import Path
from phasediag.registry import component
found = component("{kind}", "{name}", Path())
assert found.parameters and "torch" not in sys.modules
assert found.cls.registered == "{name}" and "torch" in sys.modules
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


def test_a_signal_while_a_file_is_imported_stops_the_command(tmp_path: Path) -> None:
    """The handler raises SystemExit(130), wherever it strikes; a file that exits by itself is told."""
    (tmp_path / "slow.py").write_text("raise SystemExit(130)\n")
    with pytest.raises(SystemExit) as stopped:
        component("model", "slow.py:Net", tmp_path)
    assert stopped.value.code == 130
    (tmp_path / "script.py").write_text("raise SystemExit(1)\n")
    with pytest.raises(ValueError, match="SystemExit"):
        component("model", "script.py:Net", tmp_path)
