"""What of a user's module phasediag does not train, in one sentence each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_ITERATORS: Final = ("builtins", "itertools")
"""Where the iterators are that go on with each use; open files are iterators, too."""
_REGISTERS: Final = frozenset({"_parameters", "_buffers", "_modules"})
_BY_HOOK: Final = {
    "torch.nn.utils.spectral_norm": "divide it in forward by torch.linalg.matrix_norm(weight, 2), without "
    "the power iteration, which changes a vector in each pass",
    "torch.nn.utils.weight_norm": "use torch.nn.utils.parametrizations.weight_norm",
    "torch.nn.utils.prune": "multiply it in forward by a mask kept by register_buffer, or use "
    "torch.nn.utils.parametrizations",
}
"""What to do instead of functions of torch that put a tensor in a weight's place before each pass."""


def refusal(module: nn.Module) -> str:
    """Why a module cannot be trained, and what to use instead; '' where nothing is known against it."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return "it has no parameter that is trained; give it one with requires_grad"
    if left := _left_out(module):
        return (
            f"its parameters() leaves out '{left}', which named_parameters() gives, and a pack trains; call "
            "requires_grad_(False) on what is not to be trained, and leave parameters() as torch has it"
        )
    if why := next(_of_attributes(module), ""):
        return why
    parts = module.named_modules()
    return next((text for path, part in parts for text in _of_part(path or "itself", part)), "")


def _left_out(module: nn.Module) -> str:
    """A trained parameter that a `parameters` of the user's leaves out; '' where it gives all."""
    given = {id(parameter) for parameter in module.parameters()}
    named = module.named_parameters()
    return next((name for name, p in named if p.requires_grad and id(p) not in given), "")


def _of_attributes(module: nn.Module) -> Iterator[str]:
    """What is against plain attributes: what asks for a gradient unheard, what each pass would move on."""
    registered = {id(parameter) for parameter in module.parameters()}
    for path, value in _held(module):
        leaf = isinstance(value, Tensor) and value.requires_grad and value.is_leaf
        if leaf and id(value) not in registered:
            yield (
                f"'{path}' is registered nowhere, so that parameters() does not give it and no optimizer "
                "would train it; keep it in an nn.ModuleList, nn.ModuleDict or nn.ParameterList, or, where "
                "it is not to be trained, call requires_grad_(False) on it"
            )
        of_python = isinstance(value, Iterator) and type(value).__module__ in _ITERATORS
        if of_python and not isinstance(value, itertools.count):  # whose place its text tells
            yield (
                f"'{path}' is a {type(value).__name__}, which each pass would move on for all trials that "
                "share the module; keep a list, and a count by register_buffer that changes where "
                "self.training alone"
            )


def _held(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What the attributes of a module and its parts hold, in containers of Python's too, and where.

    What torch registers is left out.
    """
    seen: set[int] = set()
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in _REGISTERS and not name.endswith("_hooks"):
                yield from _within(f"{path}.{name}" if path else name, value, seen)


def _within(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """A value and, where it is a container or a module, what it holds, each once."""
    if id(value) in seen:
        return
    yield path, value
    parts: dict[str, Any] = {}
    if isinstance(value, nn.Module):
        parts = {f".{name}": parameter for name, parameter in value.named_parameters()}
    elif isinstance(value, Mapping):
        parts = {f"[{key!r}]": each for key, each in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"[{number}]": each for number, each in enumerate(value)}
    if parts:
        seen.add(id(value))
    for part, each in parts.items():
        yield from _within(path + part, each, seen)


def _of_part(path: str, part: nn.Module) -> Iterator[str]:
    kind = type(part).__name__
    for hook in vars(part).get("_forward_pre_hooks", {}).values():
        if instead := _BY_HOOK.get(type(hook).__module__):
            name = getattr(hook, "name", None) or getattr(hook, "_tensor_name", "weight")
            yield (
                f"'{path}.{name}' is made by {type(hook).__module__} in a hook before each pass, once for "
                f"all networks of a pack; {instead}"
            )
    if isinstance(part, _NORMS) and part.track_running_stats and part.momentum is None:
        yield (
            f"module '{path}' is a {kind} of momentum=None, which reads its count of steps out of a tensor; "
            "give it a momentum"
        )
    if isinstance(part, nn.MultiheadAttention) and part.dropout > 0:
        yield (
            f"module '{path}' has dropout={part.dropout:g}, which it draws where a trial's own stream does "
            "not reach; use dropout=0, or attention by scaled_dot_product_attention(dropout_p=...)"
        )
    if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.max_norm is not None:
        yield (
            f"module '{path}' is a {kind} of max_norm={part.max_norm:g}, whose passes change its weights in "
            "place; leave max_norm out, and scale what it gives in forward"
        )
    if kind == "OptimizedModule":
        yield f"module '{path}' is compiled by torch.compile; leave that out, a launch compiles whole steps"
    if isinstance(part, nn.RNNBase):
        cell = "RNNCell" if kind == "RNN" else "GRUCell"
        yield f"module '{path}' is a {kind}, which torch.func.vmap does not know; use nn.{cell} in a loop"
    if isinstance(part, nn.LSTMCell):
        yield f"module '{path}' is an LSTMCell, which torch.func.vmap does not know; use nn.GRUCell"
    named = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
    for name, tensor in named:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            yield f"module '{path}' is lazy: '{name}' has no shape yet; give it the sizes that it is to have"
        elif tensor.is_complex() and isinstance(tensor, nn.Parameter):
            yield f"parameter '{name}' of module '{path}' is complex; use two real parameters for it"
        elif tensor.is_sparse or tensor.is_quantized:
            yield f"'{name}' of module '{path}' is sparse or quantized; use a dense tensor"
