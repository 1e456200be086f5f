"""Compiling the step of a tile: traced to a flat graph, compiled once a machine."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from subprocess import SubprocessError
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.fx import GraphModule

from phasediag.environment import environment
from phasediag.native import unpublished
from phasediag.native.building import CACHE, cache_folder, working_folder
from phasediag.native.compiler import SAID, compiler
from phasediag.native.nested import filled, leaves, skeleton
from phasediag.native.remembered import drop_damaged, libraries, remember
from phasediag.native.unpublished import compiler_errors
from phasediag.training.graphs import Replayed
from phasediag.training.traced import settle, strangers, written_apart

Layouts = tuple[tuple[torch.Size, tuple[int, ...]], ...]
"""Shapes and strides."""
CompiledCall = tuple[Callable[..., Sequence[Tensor]], Any]
"""A compiled graph of plain tensors, and its results as `skeleton` has them."""


class UntranslatedError(Exception):
    """A function that was not compiled, whatever the reason; as it is, it may run."""


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

    Raises
    ------
    UntranslatedError
        From a call that cannot compile it. A fault of the machine is remembered for the process.
    """

    def __init__(self, function: Callable[..., Any], staying: int = 0) -> None:
        self.function = function
        self.staying = staying
        self.seconds = 0.0
        self._programs: dict[Layouts, CompiledCall] = {}

    def __call__(self, *arguments: Any) -> Any:
        """The function's result; the first call with new layouts compiles."""
        flat: list[Tensor] = leaves(arguments)
        layouts = tuple([(tensor.shape, tensor.stride()) for tensor in flat])
        if layouts not in self._programs:
            kept = len(leaves(arguments[: self.staying]))
            self._programs[layouts] = self._compiled(flat, skeleton(arguments), kept)
        run, result = self._programs[layouts]
        if self.staying:
            run(*flat)
            return arguments[0]
        return filled(result, run(*flat))

    def _compiled(self, flat: Sequence[Tensor], form: Any, kept: int) -> CompiledCall:
        started, device = time.monotonic(), flat[0].device
        if faults():
            raise UntranslatedError(faults()[0])
        try:
            with torch.no_grad(), placed():
                graph, result = self._traced(flat, form)
                alone = not strangers(graph, device)  # asked now: the compiler may change the graph
                with _remembered(), compiled_once(_signature(graph, flat)):
                    run: Callable[..., Sequence[Tensor]] = translated(graph, flat)
        except (MemoryError, torch.AcceleratorError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of the machine, of the compiler, or of the function, which tells itself
            raise UntranslatedError(f"{type(error).__name__}: {first_line(error)}") from error
        finally:
            self.seconds += time.monotonic() - started
        if kept and device.type == "cuda" and alone:
            run = Replayed(run, kept)
        return run, result

    def _traced(self, flat: Sequence[Tensor], form: Any) -> tuple[GraphModule, Any]:
        from torch.fx.experimental.proxy_tensor import make_fx

        results: list[Any] = []

        def flattened(*tensors: Tensor) -> list[Tensor]:
            nested = self.function(*filled(form, tensors))
            results.append(skeleton(nested))
            if not self.staying:
                return leaves(nested)
            for tensor, result in zip(tensors, leaves(nested), strict=False):
                tensor.copy_(result)
            return []

        # real tensors, for those that a module holds besides its parameters are no arguments; clones, for
        # tracing takes a step
        module: GraphModule = make_fx(flattened, tracing_mode="real")(*[tensor.clone() for tensor in flat])
        written_apart(module)
        if flat[0].device.type != "cpu":
            settle(module, flat[0].device)
        return module, results[-1]


@cache
def faults() -> list[str]:
    """What showed this process that its machine cannot compile."""
    return []


@contextmanager
def _remembered() -> Iterator[None]:
    """Keep in mind what the machine is at fault for: trying again takes as long, for the same end."""
    try:
        yield
    except Exception as error:
        if of_machine(error):
            faults().append(first_line(error))
        raise


def of_machine(error: BaseException) -> bool:
    """Whether it, or what it came from, is an error of files, of the compiler, or of loading."""
    kinds = (OSError, ImportError, SubprocessError, *compiler_errors())
    return any(isinstance(each, kinds) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """What an error says, but for its details."""
    return next((line for line in str(error).splitlines() if line.strip()), "")[:SAID]


@contextmanager
def placed() -> Iterator[None]:
    """Let torch.compile keep its files in the folder that serves, and its compiler's beside them."""
    folder = working_folder()
    if folder is None:
        yield
        return
    with environment({CACHE: str(folder.parent), "TMPDIR": str(folder)}):
        yield


def translated(graph: GraphModule, flat: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """The machine's code of a graph, from its cache where that holds it."""
    settings: dict[str, Any] = {"cpp.vec_isa_ok": True} if _vectors_known() else {}
    if compiler():
        settings["cpp.cxx"] = (None, _compiler())
    return unpublished.translated(graph, flat, settings)


def _compiler() -> str:
    """The C++ compiler that torch would take if it read the environment now, and `$CXX` as a shell does."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    return compiler()[0] if os.environ.get("CXX") or not shutil.which(usual) else usual


def _vectors_known() -> bool:
    """Whether torch can be told that the compiler has the processor's vector instructions.

    Every C++ compiler has AVX2 and AVX-512, not every one AMX. Else torch tries a build, which takes 4 s.
    """
    known = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return known and not torch.cpu.get_capabilities().get("amx_tile")


def _signature(graph: GraphModule, flat: Sequence[Tensor]) -> str:
    """What tells one compiled program from another on this machine."""
    inputs = [(tuple(t.shape), t.stride(), str(t.dtype), t.device.type) for t in flat]
    text = f"{graph.code}\n{inputs}\n{torch.__version__}\n{torch.get_num_threads()}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def compiled_once(signature: str) -> Iterator[None]:
    """Let one process compile a program while the others of this machine wait, then load what it left.

    What was damaged since is compiled again.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{signature}.done"
    if done.exists() and not drop_damaged(done, folder.parent):
        yield
        return
    lock = FileLock(folder / f"{signature}.lock")
    with lock:
        if not done.exists():
            before = libraries(folder.parent)
            yield
            remember(done, folder.parent, before)
            return
    yield
