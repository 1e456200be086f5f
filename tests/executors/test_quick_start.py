"""A launch needs no part of Ray that Ray does not publish; without them its start takes longer, no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phasediag.executors.ray_tune import quick_start
from small_sweeps import assert_same_rows, grid_text, launched, write

GRID = grid_text(
    {"weight_decay": "[0.01, 0.1]"}, {"steps": 50}, replicates=2, resources="{trials_per_pack: 2}"
)
NAMES = (
    "start_monitor", "start_log_monitor", "start_api_server", "get_node", "_get_gcs_client_options",
    "GlobalState", "_initialize_global_state", "node_table", "DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE",
)  # fmt: skip
"""Those that shortcuts use; each is looked for in the text of the module too."""
MODULES = (
    "ray._private.node",
    "ray._private.services",
    "ray._private.state",
    "ray.tune.execution.class_cache",
)

LAUNCHING = """
import os, sys
from pathlib import Path

from phasediag.sweeps import sweep

outcome = sweep.launch(sys.argv[1], str(Path(sys.argv[1]).parent), compile="off")
assert outcome.exit_code == 0, outcome
"""

RENAMING = """
import re, sys
from importlib.machinery import PathFinder, SourceFileLoader

WORDS = re.compile("|".join(rf"\\\\b{name}\\\\b" for name in sys.argv[2:]))


class Renamed(SourceFileLoader):
    def get_code(self, fullname):
        text = WORDS.sub(lambda found: found[0] + "_of_another_release", open(self.path).read())
        return compile(text, self.path, "exec", dont_inherit=True)


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("ray."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.origin and spec.origin.endswith(".py") and WORDS.search(open(spec.origin).read()):
            spec.loader = Renamed(name, spec.origin)
        return spec


sys.meta_path.insert(0, Finder)
"""
"""A Ray, in the process of the launch, that calls some of its parts otherwise, and works as before."""

HIDING = """
import sys
from importlib import import_module
from phasediag.executors.ray_tune import quick_start

def hidden(name):
    if name in sys.argv[2:]:
        raise ModuleNotFoundError(name)
    return import_module(name)

quick_start.import_module = hidden
"""

REFUSING = """
import ray._private.node as node
common = node.Node.start_head_processes
tries = []

def start_head_processes(self):
    common(self)
    tries.append(self.all_processes)
    if "monitor" not in self.all_processes:
        raise TypeError("cannot unpack non-iterable NoneType object")

node.Node.start_head_processes = start_head_processes
"""
"""A Ray that does not start with the shortcuts."""

LOOKING = """
import sys
import ray._private.state as state
common = state.GlobalState.node_table

def node_table(self):
    if sys._getframe(1).f_code.co_filename.endswith("quick_start.py"):
        raise TypeError("node_table() missing 1 required positional argument: 'limit'")
    return common(self)

state.GlobalState.node_table = node_table
"""
"""A Ray in which a part has other arguments, which its own callers give."""


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    assert launched(folder, GRID).exit_code == 0
    return folder / "g"


def launch(folder: Path, inline: Path, *names: str, before: str = "", **environment: str) -> None:
    """Launch in a process whose Ray is another one; the rows are those of an inline launch."""
    grid = write(folder, GRID)
    command = [sys.executable, "-c", before + LAUNCHING, str(grid), *names]
    given = {**os.environ, "RAY_ADDRESS": "", **environment}
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert_same_rows(inline, folder / "g")


def test_every_private_name_is_one_that_is_taken_away_here() -> None:
    text = Path(quick_start.__file__).read_text()
    assert all(name in text for name in NAMES)
    used = {name for name in dir(__import__("ray._private.services")._private.services) if f".{name}" in text}
    assert used <= {*NAMES, "os", "time", "ray", "sys"}


@pytest.mark.slow
def test_a_launch_without_any_of_them(inline: Path, tmp_path: Path) -> None:
    launch(tmp_path, inline, *NAMES, before=RENAMING)


@pytest.mark.slow
def test_a_ray_that_refuses_the_shortcuts_is_started_without(inline: Path, tmp_path: Path) -> None:
    launch(tmp_path, inline, before=REFUSING)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_launch_without_one_of_them(inline: Path, tmp_path: Path, name: str) -> None:
    launch(tmp_path, inline, name, before=RENAMING)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_launch_without_one_of_their_modules(inline: Path, tmp_path: Path, module: str) -> None:
    launch(tmp_path, inline, module, before=HIDING)


@pytest.mark.slow
def test_a_part_that_takes_other_arguments(inline: Path, tmp_path: Path) -> None:
    launch(tmp_path, inline, before=LOOKING)


@pytest.mark.slow
def test_the_switch_leaves_them_away(inline: Path, tmp_path: Path) -> None:
    refusing = REFUSING + "\nimport atexit\natexit.register(lambda: print(len(tries)))\n"
    launch(tmp_path, inline, before=refusing, PHASEDIAG_QUICK_START="0")


def test_nothing_else_in_the_package_uses_what_ray_does_not_publish() -> None:
    root = Path(quick_start.__file__).parents[2]
    for path in root.rglob("*.py"):
        if path.name != "quick_start.py":
            text = path.read_text()
            assert "ray._private" not in text.replace('"ray._private")', ""), path
            assert "_system_config" not in text, path
            assert "class_cache" not in text, path
