"""What is used of PyTorch that it does not publish; each is best effort, and nothing depends on it.

Tried with PyTorch 2.11 to 2.15. Where a release lacks a part or has changed it, a step is taken by another
way, which the launch says: instead of a native program by `vmap`, instead of inductor by itself through
`torch.compile`, or uncompiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache
from importlib import import_module
from typing import Any, Final
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor
from torch.fx import GraphModule

Translated = Callable[..., Sequence[Tensor]]
"""Takes and gives plain tensors."""
UNCHECKED: Final = ("size_asserts", "alignment_asserts")
"""Checks that are needless in a program that is only called with the layouts that it was compiled for."""


def seen_operators(
    called: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any],
) -> AbstractContextManager[Any]:
    """A block in which every operator that reaches the processor is handed over instead of called.

    Parameters
    ----------
    called
        Gets an operator, its arguments and its options, and gives its result. Outside of such a block, unless
        it enters the same one again.

    Raises
    ------
    ImportError, AttributeError
        Where PyTorch has no such mode.
    """
    mode: AbstractContextManager[Any] = _mode()(called)
    return mode


@cache
def _mode() -> Any:
    # No other way to see the operators of autograd; its notes on extending PyTorch name this class.
    base: Any = import_module("torch.utils._python_dispatch").TorchDispatchMode

    class Seen(base):  # type: ignore[misc]
        def __init__(self, called: Callable[..., Any]) -> None:
            super().__init__()
            self.called = called

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            """False: to skip dynamo would import it, which takes a second."""
            return False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return self.called(func, args, kwargs or {})

    return Seen


@cache
def decompositions() -> Mapping[Any, Callable[..., Any]]:
    """Operators in terms of others: some 150 more than the published ones, and loaded with PyTorch anyway."""
    with suppress(ImportError, AttributeError):
        table: Mapping[Any, Callable[..., Any]] = import_module("torch._decomp").decomposition_table
        return table
    from torch.export import default_decompositions

    published: Any = default_decompositions()
    return {operator: published[operator] for operator in published.keys()}  # noqa: SIM118 (its get() gives None)


def translated(graph: GraphModule, flat: Sequence[Tensor], settings: Mapping[str, Any]) -> Translated:
    """The machine's code of a graph, from the compiler's cache where that holds it.

    Inductor by itself translates it at once and calls it without guards; `torch.compile` does so at the first
    call, and asks each call for shapes.

    Parameters
    ----------
    settings
        Of inductor, by their dotted name; those that it does not have are left away.
    """
    config = import_module("torch._inductor.config")
    known = {name: value for name, value in settings.items() if _has(config, name)}
    known |= dict.fromkeys(filter(lambda name: _has(config, name), UNCHECKED), False)
    with catch_warnings(), config.patch(known):
        # Of TF32 that is off, of what later releases drop: where warnings are errors, nothing compiles.
        simplefilter("ignore")
        alone: Any = getattr(import_module("torch._inductor"), "standalone_compile", None)
        if alone is not None:
            run: Translated = alone(graph, list(flat))
            return run
        run = torch.compile(graph, fullgraph=True, dynamic=False)
        run(*[tensor.clone() for tensor in flat])  # which translates it, while the settings hold
        return run


def _has(owner: Any, name: str) -> bool:
    for part in name.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


@cache
def compiler_errors() -> tuple[type[BaseException], ...]:
    """What inductor raises where a C++ compiler fails or is missing."""
    with suppress(ImportError):
        kinds = import_module("torch._inductor.exc")
        named = (getattr(kinds, name, None) for name in ("CppCompileError", "InvalidCxxCompiler"))
        return tuple(kind for kind in named if kind is not None)
    return ()
