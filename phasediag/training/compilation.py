"""Compiling the step of a tile: traced to a flat graph, compiled once a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock
from torch import Tensor
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from phasediag.training.graphs import Replayed, settle, strangers

Layouts = tuple[tuple[torch.Size, tuple[int, ...]], ...]
"""Shapes and strides."""
Program = tuple[Callable[..., Sequence[Tensor]], pytree.TreeSpec]
"""A compiled graph of plain tensors, and how its results are nested."""
UNCHECKED: Final = {"size_asserts": False, "alignment_asserts": False}
"""Settings of a program that is only called with the layouts that it was compiled for."""


class Compiled:
    """A function of nested tensors, compiled for every set of shapes and strides that it is called with.

    It is traced to a graph of plain tensors. So each set has a program of its own, however
    many a process holds (`torch.compile` of one Python function allows eight), and a call checks
    nothing but the tensors that it is given.

    Parameters
    ----------
    function
        Takes and gives dicts and tuples of tensors.
    staying
        How many arguments, the first ones, stay where they are from call to call: the results replace the
        first of them in place, and a GPU replays what it did (`Replayed`). 0: the results are new tensors.

    Attributes
    ----------
    seconds
        Spent on compiling so far, or on waiting for another process that compiles.
    """

    def __init__(self, function: Callable[..., Any], staying: int = 0) -> None:
        self.function = function
        self.staying = staying
        self.seconds = 0.0
        self._programs: dict[Layouts, Program] = {}

    def __call__(self, *arguments: Any) -> Any:
        """The function's result; the first call with new layouts compiles."""
        flat: list[Tensor] = []
        _flatten(arguments, flat)
        layouts = tuple([(tensor.shape, tensor.stride()) for tensor in flat])
        if layouts not in self._programs:
            kept = len(pytree.tree_leaves(arguments[: self.staying]))
            self._programs[layouts] = self._compiled(flat, pytree.tree_structure(arguments), kept)
        run, result = self._programs[layouts]
        if self.staying:
            run(*flat)
            return arguments[0]
        return pytree.tree_unflatten(run(*flat), result)

    def _compiled(self, flat: Sequence[Tensor], structure: pytree.TreeSpec, kept: int) -> Program:
        started, device = time.monotonic(), flat[0].device
        with torch.no_grad():
            graph, result = self._traced(flat, structure)
            with compiled_once(_signature(graph, flat)):
                run: Callable[..., Sequence[Tensor]] = translated(graph, flat)
        if kept and device.type == "cuda" and not strangers(graph, device):
            run = Replayed(run, kept)
        self.seconds += time.monotonic() - started
        return run, result

    def _traced(
        self, flat: Sequence[Tensor], structure: pytree.TreeSpec
    ) -> tuple[GraphModule, pytree.TreeSpec]:
        from torch.fx.experimental.proxy_tensor import make_fx

        results: list[pytree.TreeSpec] = []

        def flattened(*tensors: Tensor) -> list[Tensor]:
            leaves, result = pytree.tree_flatten(self.function(*pytree.tree_unflatten(tensors, structure)))
            results.append(result)
            if not self.staying:
                return leaves
            for tensor, leaf in zip(tensors, leaves, strict=False):
                tensor.copy_(leaf)
            return []

        # real tensors, for those that a module holds besides its parameters are no arguments; clones, for
        # tracing takes a step
        module: GraphModule = make_fx(flattened, tracing_mode="real")(*[tensor.clone() for tensor in flat])
        if flat[0].device.type != "cpu":
            settle(module, flat[0].device)
        return module, results[-1]


def _flatten(nested: Any, into: list[Tensor]) -> None:
    """The tensors of dicts, tuples and lists, in the order of `pytree`, in a tenth of its time."""
    if isinstance(nested, Tensor):
        into.append(nested)
        return
    for part in nested.values() if isinstance(nested, dict) else nested:
        _flatten(part, into)


def translated(graph: GraphModule, flat: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """The machine's code of a graph, from its cache where that holds it."""
    from torch._inductor import config, standalone_compile

    settings = {**UNCHECKED, **({"cpp.vec_isa_ok": True} if _vectors_known() else {})}
    with config.patch(settings):
        run: Callable[..., Sequence[Tensor]] = standalone_compile(graph, list(flat))
    return run


def _vectors_known() -> bool:
    """Whether any C++ compiler knows the processor's vectors; else a trial build finds out, in 4 s."""
    known = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return known and not torch.cpu._is_amx_tile_supported()


def _signature(graph: GraphModule, flat: Sequence[Tensor]) -> str:
    """What tells one compiled program from another on this machine."""
    inputs = [(tuple(t.shape), t.stride(), str(t.dtype), t.device.type) for t in flat]
    text = f"{graph.code}\n{inputs}\n{torch.__version__}\n{torch.get_num_threads()}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def compiled_once(signature: str) -> Iterator[None]:
    """Let one process compile a program while the others of this machine wait, then load what it left."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    folder = Path(cache_dir(), "phasediag")
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{signature}.done"
    if done.exists():
        yield
        return
    lock = FileLock(folder / f"{signature}.lock")
    with lock:
        if not done.exists():
            yield
            done.touch()
            return
    yield
