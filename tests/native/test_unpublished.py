"""A sweep trains without any part of PyTorch that it does not publish: by another way, which is told."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import phasediag
from native_calls import NATIVE
from phasediag.native import unpublished
from phasediag.native.nested import filled, leaves, skeleton
from phasediag.training import compilation
from phasediag.training.steps import Native, Vmapped
from phasediag.training.tiles import Program
from phasediag.trial import Trials
from trained_tiles import CPU, grid_of, tile_of

SMALL: dict[str, Any] = {
    "task": "teacher_student", "width": 6, "steps": 12, "batch_size": 8, "samples": 32, "learning_rate": 0.05,
}  # fmt: skip
PARTS = (
    ("torch.utils._python_dispatch", "TorchDispatchMode"), ("torch._decomp", "decomposition_table"),
    ("torch._inductor.config", "size_asserts"), ("torch._inductor.config", "alignment_asserts"),
    ("torch._inductor.config", "cpp"), ("torch._inductor", "standalone_compile"),
    ("torch._inductor.exc", "CppCompileError"), ("torch._inductor.exc", "InvalidCxxCompiler"),
)  # fmt: skip
"""Modules and what is used of them."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What is kept of PyTorch's parts is looked for again."""
    kept = (unpublished._mode, unpublished.decompositions, unpublished.compiler_errors)
    for part in kept:
        part.cache_clear()
    yield
    for part in kept:
        part.cache_clear()


def trials() -> Trials:
    return grid_of(SMALL, {"weight_decay": [0.0, 0.1]}).trials()


def lacking(module: str, name: str) -> Any:
    """Imports of a PyTorch in which a module has no such part."""

    class Lacking:
        def __getattr__(self, asked: str) -> Any:
            if asked == name:
                raise AttributeError(f"module '{module}' has no attribute '{name}'")
            return getattr(import_module(module), asked)

    return lambda asked: Lacking() if asked == module else import_module(asked)


def missing(module: str) -> Any:
    """Imports of a PyTorch without a module."""

    def imported(asked: str) -> ModuleType:
        if asked == module:
            raise ModuleNotFoundError(f"No module named '{asked}'")
        return import_module(asked)

    return imported


WITHOUT = {
    **{f"{module}.{name}": lacking(module, name) for module, name in PARTS},
    **{module: missing(module) for module, _ in PARTS},
}


def assert_trained_alike(outcome: Any) -> None:
    """As trials are trained uncompiled, to rounding."""
    plain = tile_of(outcome.trials)
    plain.advance(12)
    for name, weights in plain.weights.items():
        torch.testing.assert_close(outcome.weights[name], weights, rtol=1e-4, atol=1e-6)


@NATIVE
@pytest.mark.parametrize("part", [part for part in WITHOUT if "_inductor" not in part])
def test_a_native_program_or_what_stands_in_for_it(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(unpublished, "import_module", WITHOUT[part])
    monkeypatch.setattr(compilation, "translated", lambda graph, flat: graph)
    program = Program(trials().record(0), Path(), CPU, True)
    tile = program.tile(trials())
    tile.advance(12)
    assert_trained_alike(tile)
    if "_python_dispatch" in part:
        assert isinstance(program.steps, Vmapped)
    else:
        assert isinstance(program.steps, Native)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own, of torch.jit
@pytest.mark.parametrize("part", [part for part in WITHOUT if "_inductor" in part])
def test_inductor_or_what_stands_in_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str
) -> None:
    monkeypatch.setattr(unpublished, "import_module", WITHOUT[part])
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    kept: list[str] = []
    monkeypatch.setattr(compilation, "faults", lambda: kept)
    program = Program(trials().record(0), Path(), CPU, True)
    program.steps = Vmapped(program.network, CPU, compiled=True)
    tile = program.tile(trials())
    tile.advance(12)
    assert_trained_alike(tile)
    uncompiled = part in ("torch._inductor", "torch._inductor.config")
    assert program.steps.compiled != uncompiled, program.notice
    assert ("training uncompiled" in program.notice) == uncompiled


def test_nothing_else_uses_what_pytorch_does_not_publish() -> None:
    private = re.compile(r"torch(?!\.ops)(\.\w+)*\._[a-z]\w*")  # operators are named by ATen, `_softmax` too
    root = Path(phasediag.__file__).parent
    for path in root.rglob("*.py"):
        if path.name not in ("unpublished.py", "library_settings.py"):  # tests/user_code/test_settings.py
            assert not private.search(path.read_text()), path


WATCHED = {
    "user_code/library_settings.py": {"_global"},
    "rehearsal/fingerprint.py": {"_parameters", "_buffers", "_modules"},
    "training/refusals.py": {"_forward_pre_hooks", "_parameters", "_buffers", "_modules"},
}
"""Names in texts, of what torch keeps in modules and in its file of them: looked at where they are there, for
what a user's code does. `tests/user_code/test_process.py`, `tests/zoo/test_refusals.py` and
`tests/rehearsal/test_fingerprint.py` take them away."""


def test_no_text_names_what_pytorch_does_not_publish_of_modules_but_where_it_may_be_gone() -> None:
    kept = {*vars(torch.nn.Linear(1, 1)), *vars(import_module("torch.nn.modules.module"))}
    private = {name for name in kept if name.startswith("_") and not name.startswith("__")}
    assert len(private) > 20
    root, named = Path(phasediag.__file__).parent, {}
    for path in root.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        texts = {
            each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)
        }
        short = {text for text in texts if len(text) > 3 and any(name.startswith(text) for name in private)}
        if short:
            named[str(path.relative_to(root))] = short
    assert named == WATCHED


def test_every_part_is_one_that_is_taken_away_here() -> None:
    modules = set(re.findall(r'import_module\("([\w.]+)"\)', Path(unpublished.__file__).read_text()))
    assert modules == {module for module, _ in PARTS}


def test_nested_values_come_back_in_their_places() -> None:
    form = ({"a": 1, "b": [2, (3, None)]}, 4, ())
    assert leaves(form) == [1, 2, 3, None, 4]
    assert skeleton(form) == ({"a": None, "b": [None, (None, None)]}, None, ())
    assert filled(skeleton(form), leaves(form)) == form
    for held in ([1, 2, 3, None], [1, 2, 3, None, 4, 5]):
        with pytest.raises(ValueError, match="values than the form has places"):
            filled(form, held)
