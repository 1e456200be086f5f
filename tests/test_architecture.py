"""Law 7: imports run downward only; the heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "phasediag"

LAYERS = """
arrays locks errors environment library_messages version columns exact_noise exact_relu exact
values trial parameters ramp shared_parameters identity
source_lines constructor user_code registry native symmetry observables training
models tasks optimizers schedules
grids packing storage measuring checkpoints running rehearsal executors
theory analysis figures sweeps submission notebook report trackers calibration commands cli
"""
"""The folders, and the modules beside them, lowest first: each imports from itself and from below."""
ORDER = LAYERS.split()

ON_DEMAND = {("analysis.result", "figures")}
"""`result.plot()` reaches up, but only when called (and for the type checker)."""

OWNERS = {
    "ray": {"executors.ray_tune.*", "submission.jobs"},
    "matplotlib": {"figures.*"},
    "seaborn": {"figures.alignment", "figures.scaling"},
    "jinja2": {"report.page"},
}
"""The only importers of a library; `figures.*` is any module of the room."""

ANALYSIS = [
    "phasediag",
    "phasediag.analysis.frames",
    "phasediag.analysis.phases",
    "phasediag.analysis.scaling",
]
"""The right-hand side of the store."""

READING = """
from pathlib import Path
from phasediag.errors import GridError
from phasediag.grids.grid import parse_grid, read_grid
from phasediag.grids.ready import grids_below
from phasediag.grids.schema import grid_schema, parameter_table

def refused(fixed):
    try:
        parse_grid(f"name: g\\nfixed: {fixed}\\n", Path("grid.yaml"))
    except GridError:
        return True

for job in grids_below(Path("jobs")):
    if job.parent != Path("jobs"):
        continue
    assert len(read_grid(job).trials())
grid_schema(), parameter_table()
assert refused("{task: digits, model: mpl}") and refused("{task: digits, heads: 2, widht: 3}")
assert refused("{task: scalar_linear, batch_size: 0}") and refused("{task: in_context, model: hermite}")
"""
"""Grids of built-in tasks and models, some of them faulty, and the reference of parameters."""


MOST_LINES: Final = 60
"""Of a function, its docstring left out."""
MOST_ARGUMENTS: Final = 8
"""Of a function by position: what takes more lacks a word for what some of them are together."""
MANY_ARGUMENTS: Final = {
    "analysis.phases.phase_diagram", "analysis.finite_size.fit_collapse",
    "analysis.distributions.distributions",  # asked by name, in notebooks
    "models.transformer.__init__",  # parameters of the grid
    "training.chance._attention",  # the signature of torch's
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import statement's target."""

    target: str
    """Dotted: `phasediag.trial`, `ray.tune`."""
    at_import: bool
    """Whether importing the module runs it: not in a function, not under TYPE_CHECKING."""


@cache
def modules() -> dict[str, Path]:
    """The files of the package by name relative to it; empty package files carry nothing."""
    files = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts).removesuffix("__init__")
        files[name.removesuffix(".")] = path
    return files


@cache
def tree(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(modules()[name].read_text())


@cache
def imports(name: str) -> tuple[Import, ...]:
    """All import statements of a module, wherever they stand."""
    return tuple(_imports(tree(name), name, at_import=True))


def _imports(node: ast.AST, name: str, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(target=alias.name, at_import=at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{name}:{child.lineno} is a relative import; write it in full"
            for alias in child.names:
                yield Import(target=_module_of(child.module or "", alias.name), at_import=at_import)
        else:
            runs = at_import and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                runs = False
            yield from _imports(child, name, runs)


def _module_of(module: str, attribute: str) -> str:
    """`from phasediag import trial` names a module, `from phasediag.trial import Trials` does not."""
    inside = f"{module}.{attribute}".removeprefix(f"{PACKAGE}.")
    return f"{module}.{attribute}" if module.startswith(PACKAGE) and inside in modules() else module


def internal(name: str) -> set[tuple[str, bool]]:
    """The modules of the package that a module imports, and whether at import."""
    dotted = {(i.target, i.at_import) for i in imports(name) if i.target.split(".")[0] == PACKAGE}
    return {(target.removeprefix(PACKAGE).removeprefix("."), at_import) for target, at_import in dotted}


def layer(name: str) -> str:
    """The folder of a module, or the module itself where it lies beside the folders."""
    return name.partition(".")[0]


def exempt(name: str, target: str) -> bool:
    return (name, target) in ON_DEMAND or (name, layer(target)) in ON_DEMAND


@pytest.mark.parametrize("name", [name for name in modules() if name])
def test_imports_run_downward(name: str) -> None:
    own = layer(name)
    assert own in ORDER, f"the folder or module {PACKAGE}.{own} has no place in ORDER"
    for target, at_import in sorted(internal(name)):
        if exempt(name, target):
            assert not at_import, f"{name} imports {target} at module level"
            continue
        assert ORDER.index(layer(target)) <= ORDER.index(own), f"{name} imports {target}, which is above it"


def test_no_two_modules_need_each_other() -> None:
    graph = {name: {t for t, _ in internal(name) if not exempt(name, t)} for name in modules()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_the_order_names_nothing_that_is_gone() -> None:
    assert set(ORDER) == {layer(name) for name in modules() if name}
    used = {pair for name in modules() for t, _ in internal(name) for pair in ((name, t), (name, layer(t)))}
    assert used >= ON_DEMAND


def test_the_page_of_the_architecture_shows_this_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().split("## Layers")[1].split("## Words")[0]
    rows = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    assert [name for row in rows for name in re.findall("`(.+?)`", row)] == ORDER


def test_the_compiler_knows_nothing_of_phasediag() -> None:
    native = {name for name in modules() if layer(name) == "native"}
    assert {target for name in native for target, _ in internal(name)} <= native


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_has_one_importer(library: str) -> None:
    importers = {name for name in modules() if any(i.target.split(".")[0] == library for i in imports(name))}
    rooms = {name.removesuffix("*") for name in OWNERS[library] if name.endswith(".*")}
    stray = {name for name in importers if not name.startswith(tuple(rooms))} if rooms else importers
    assert importers
    assert stray == {name for name in OWNERS[library] if not name.endswith(".*")}


def loaded_by(module: str) -> set[str]:
    """Top-level packages in `sys.modules` after importing a module in a new process."""
    return loaded_after(f"import {module}")


def loaded_after(code: str) -> set[str]:
    """Top-level packages in `sys.modules` after running code in a new process."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ANALYSIS)
def test_analysis_loads_neither_torch_nor_ray(module: str) -> None:
    assert {"torch", "ray"}.isdisjoint(loaded_by(module))


def test_a_grid_is_read_or_refused_without_a_heavy_library() -> None:
    assert {"torch", "ray", "pandas", "scipy", "sklearn"}.isdisjoint(loaded_after(READING))


def test_a_status_is_told_without_a_heavy_library() -> None:
    command = ["phasediag", "status", str(ROOT / "tests" / "recorded" / "sweeps" / "recorded"), "--json"]
    answered = f"import sys; sys.argv = {command!r}\nfrom phasediag.cli import main\n"
    answered += (
        "try: main()\nexcept SystemExit as end: assert not end.code\nfinally: sys.stdout = sys.__stdout__"
    )
    assert {"torch", "ray", "scipy", "sklearn", "matplotlib"}.isdisjoint(loaded_after(answered))


def test_a_store_is_read_without_what_reads_files_of_the_users() -> None:
    unused = {"multiprocessing", "safetensors", "configparser", "sklearn"}
    assert unused.isdisjoint(loaded_by("phasediag.storage.store"))


DIAGRAM = """
import sys
import numpy as np, pandas as pd
import phasediag

index = pd.MultiIndex.from_product([range(1, 7), range(1, 5), range(3)], names=["x", "y", "replicate"])
frame = index.to_frame(index=False).assign(status="ok", converged=True)
frame["degree_normalized"] = (frame["x"] > frame["y"]).astype(float)
assert len(phasediag.phase_diagram(frame, x="x", y="y").boundary) == 4
assert "scipy.optimize" not in sys.modules
"""
"""One crossing a row."""


def test_a_single_boundary_is_found_without_an_assignment() -> None:
    """What assigns several crossings takes longer to import than such a diagram to make."""
    assert "pandas" in loaded_after(DIAGRAM)


@pytest.mark.parametrize("module", ["phasediag.sweeps.sweep", "phasediag.cli"])
def test_planning_and_inline_launches_do_not_load_ray(module: str) -> None:
    assert "ray" not in loaded_by(module)


def test_ray_starts_before_torch_is_loaded() -> None:
    """The launch loads torch while Ray and its workers start: loaded before, it delays the first rate."""
    assert "torch" not in loaded_by("phasediag.executors.ray_tune.executor")


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions and methods of the package, by module and name."""
    for name in modules():
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef):
                yield f"{name}.{node.name}", node


def lines_of(function: ast.FunctionDef) -> int:
    """From `def` to the end, without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def test_functions_are_short() -> None:
    lengths = {name: lines_of(function) for name, function in functions()}
    assert len(lengths) > 1000
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


def test_functions_take_few_arguments_by_position() -> None:
    many = set()
    for name, function in functions():
        arguments = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        if len(set(arguments) - {"self", "cls"}) > MOST_ARGUMENTS:
            many.add(name)
    assert many == MANY_ARGUMENTS


@pytest.mark.parametrize("name", modules())
def test_modules_are_short_and_named_for_what_they_do(name: str) -> None:
    assert len(modules()[name].read_text().splitlines()) <= 400
    assert {"utils", "helpers", "common", "base", "misc"}.isdisjoint(name.lstrip("_").split("."))


def test_the_package_re_exports_at_most_a_dozen_names() -> None:
    values = [n.value for n in ast.walk(tree("")) if isinstance(n, ast.Assign | ast.AnnAssign) and _is_all(n)]
    assert len(values) == 1, "phasediag/__init__.py states __all__ once"
    assert values[0] is not None
    assert 1 <= len(ast.literal_eval(values[0])) <= 12


def _is_all(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets)
