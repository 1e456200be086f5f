"""Whether a user's classes make the same in another process, before anything is recorded.

Texts hash otherwise in every process, and a set is gone through in another order; the clock and the number of
the process are others, too. What follows from these is the same however often one process makes it, and
another one for each worker, after each resumption, and in a rerun. Where the text of a file holds such a
thing, a second process makes the networks and the data that this one has made. It takes some seconds, which
other files do not cost.
"""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError, in_words
from phasediag.registry import Component, component
from phasediag.rehearsal.dry_data import World, made_by
from phasediag.source_lines import explained, place_of
from phasediag.training.construction import CANONICAL_SEED
from phasediag.training.network import network_of
from phasediag.training.passes import SAMPLES, evaluating

CALLED: Final = frozenset({
    "hash", "set", "frozenset", "getpid", "time", "time_ns", "now", "today", "utcnow", "gethostname", "node",
    "cpu_count",
})  # fmt: skip
"""Functions whose results are those of a process, by the last part of their name."""
PATIENCE_S: Final = 120.0
"""For a second process; what it would have shown is told to be unknown where it takes longer."""
ROUNDING: Final = 1e-6
_BEGUN: Final = "from phasediag.rehearsal.dry_process import answer; answer()"
Sketch = dict[str, list[float]]
"""By the name of a tensor its shape, and sums over it that tell it from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """What the classes of a trial make: sums over it, by name."""

    model: Sketch
    task: Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What another process gave."""

    made: Sequence[Sketches | str] = ()
    """For each world what was made, or the error by which nothing was."""
    failure: str = ""
    """Why there is nothing at all, in words."""


def check_process(worlds: Sequence[World]) -> list[str]:
    """Refuse classes that make something else, or nothing, in another process.

    Parameters
    ----------
    worlds
        One trial of each pair of a model and a task.

    Returns
    -------
    That it was not seen whether they do, where no other process came to an end; else nothing.

    Raises
    ------
    PhasediagError
        Tells the class, what it makes otherwise, and the lines by which that may come.
    """
    suspected = [world for world in worlds if any(_lines(part) for part in _users(world))]
    if not suspected:
        return []
    others = _made_elsewhere(suspected)
    if others.failure:
        lines = dict.fromkeys(line for world in suspected for part in _users(world) for line in _lines(part))
        return [
            f"nobody knows whether another process makes the same of your files: {others.failure}; what may "
            f"differ there follows from {', '.join(lines)}"
        ]
    for world, other in zip(suspected, others.made, strict=True):
        if isinstance(other, str):
            raise PhasediagError(f"in another process, as workers are, nothing can be made of it: {other}")
        here = made_for(world)
        _compare(_component("model", world), here.model, other.model)
        _compare(_component("task", world), here.task, other.task)
    return []


def made_for(world: World) -> Sketches:
    """Sums over all that the user's classes make for a trial."""
    model, task = _component("model", world), _component("task", world)
    of_model, of_task = Sketch(), Sketch()
    if model.loaded:
        network = network_of(world.record, world.folder)
        values = network.construction.values(CANONICAL_SEED)
        of_model = {f"'{name}'": _sums(value) for name, value in values.items()}
        module = network.construction.module(CANONICAL_SEED)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(SAMPLES, network.sizes[0], generator=generator, dtype=torch.float64)
        with torch.no_grad(), evaluating(module):
            of_model["its prediction"] = _sums(module(x.to(network.dtype)))
    if task.loaded:
        made = made_by(task.cls, task.name, world)
        pairs = {f"{method}, {kind}": part for method, pair in made.sets.items()
                 for kind, part in zip(("inputs", "targets"), pair, strict=True)}  # fmt: skip
        of_task = {name: _sums(part) for name, part in pairs.items()} | {"its noise": _sums(made.noise)}
    return Sketches(model=of_model, task=of_task)


def answer() -> None:
    """What the second process does: it reads worlds, and writes what is made for each."""
    to_whom = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    worlds: list[World] = pickle.load(sys.stdin.buffer)
    with to_whom:
        pickle.dump([_made_or_error(world) for world in worlds], to_whom)


def _made_or_error(world: World) -> Sketches | str:
    try:
        return made_for(world)
    except Exception as error:  # of the user's code, which this process is there to try
        return str(error) if isinstance(error, PhasediagError) else explained(error, _users(world)[0].cls)


def _made_elsewhere(worlds: list[World]) -> Elsewhere:
    """What another process makes."""
    # Other hashes of texts than here, and sets in another order: what rests on these comes out otherwise.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    try:
        process = subprocess.run(
            [sys.executable, "-c", _BEGUN], input=pickle.dumps(worlds), capture_output=True,
            env=environment, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        if not process.returncode:
            return Elsewhere(made=pickle.loads(process.stdout))
    except subprocess.TimeoutExpired:
        return Elsewhere(failure=f"it did not come to an end within {PATIENCE_S:.0f} s")
    except OSError as error:
        return Elsewhere(failure=f"it could not be begun ({in_words(error)})")
    except (pickle.PickleError, EOFError):
        return Elsewhere(failure="it ended without an answer")
    said = process.stderr.decode(errors="replace").strip().splitlines()
    return Elsewhere(failure=f"it ended with {process.returncode}{f': {said[-1]:.200}' if said else ''}")


def _compare(part: Component, here: Sketch, there: Sketch) -> None:
    for name in {**here, **there}:
        one, other = here.get(name), there.get(name)
        if one is None or other is None or not _alike(one, other):
            lines = ", ".join(_lines(part))
            raise PhasediagError(
                f"{lines or place_of(part.cls)}: {part.name} makes something else in another process, of the "
                f"same seed ({name}): workers, resumed trials and reruns would not train the same; hash() of "
                "a text and the order of a set are others in each process, as are the clock and the number "
                "of the process: use sorted(...), hashlib, and the generators that are seeded"
            )


def _alike(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and np.allclose(one, other, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)


def _sums(value: Any) -> list[float]:
    """The shape of a tensor, and sums with weights that differ from place to place."""
    if not isinstance(value, Tensor):
        return []
    numbers = (torch.view_as_real(value) if value.is_complex() else value).detach().double().flatten()
    places = torch.arange(1, len(numbers) + 1, dtype=torch.float64)
    sums = (numbers.sum(), numbers.abs().sum(), (numbers * torch.sin(places)).sum())
    return [*map(float, value.shape), *map(float, sums)]


def _users(world: World) -> list[Component]:
    return [part for part in (_component("model", world), _component("task", world)) if part.loaded]


def _component(kind: Any, world: World) -> Component:
    return component(kind, str(world.record[kind]), world.folder)


def _lines(part: Component) -> list[str]:
    """`file:line` of what in the files of a class is another one in each process."""
    code = part.loaded.code if part.loaded else {}
    return [f"{path}:{line}" for path, content in code.items() for line in _lines_of(path, content)]


def _lines_of(path: Path, content: bytes) -> Iterator[int]:
    if path.suffix == ".py":
        yield from sorted(set(_suspected(ast.parse(content, str(path)))))


def _suspected(node: ast.AST) -> Iterator[int]:
    """The lines of calls of `CALLED` and of sets, but for those in which something is only looked up."""
    if isinstance(node, ast.Set | ast.SetComp):
        yield node.lineno
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in CALLED:
            yield node.lineno
    looked_up = isinstance(node, ast.Compare) and all(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
    for child in ast.iter_child_nodes(node):
        if not (looked_up and isinstance(child, ast.Set)):
            yield from _suspected(child)
