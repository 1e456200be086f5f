"""What is changed of a traced graph before a compiler sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

aten = torch.ops.aten
WRITING: Final = {
    aten.index_add.default, aten.index_put.default, aten.index_copy.default, aten.index_reduce.default,
    aten.put.default, aten.diagonal_scatter.default,
}  # fmt: skip
"""Operators that write into a copy of their first argument."""


def written_apart(graph: GraphModule) -> None:
    """Let what is written into be a tensor of as many numbers as it shows.

    Where each trial writes into zeros that all share, tracing leaves zeros that are expanded: inductor (torch
    2.13) copies those as they lie, so that all trials write into the same numbers.
    """
    for node in graph.graph.nodes:
        if node.target not in WRITING or not _repeats(node.args[0]):
            continue
        with graph.graph.inserting_before(node):
            options: dict[str, Any] = {"memory_format": torch.contiguous_format}
            copy = graph.graph.call_function(aten.clone.default, (node.args[0],), options)
        copy.meta["val"] = node.args[0].meta["val"].contiguous()
        node.update_arg(0, copy)
    graph.recompile()


def _repeats(argument: object) -> bool:
    """Whether a tensor shows a number at several places."""
    value = argument.meta.get("val") if isinstance(argument, Node) else None
    if not isinstance(value, Tensor):
        return False
    return any(size > 1 and not stride for size, stride in zip(value.shape, value.stride(), strict=True))


def settle(graph: GraphModule, device: torch.device) -> None:
    """Put what a traced graph makes of numbers alone on its device.

    Tracing leaves some numbers as tensors on the CPU, and a module may make others, `torch.tensor([1, 2])`
    or a range, at every step: each is computed once, here, and lies on the device from then on.
    """
    known: dict[Node, Tensor] = {}
    for node in list(graph.graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.device.type == device.type:
            continue
        if node.op == "get_attr":
            known[node] = attrgetter(str(node.target))(graph)
        elif not node.is_impure() and all(each in known for each in node.all_input_nodes):
            known[node] = _computed(node, known)
    for number, (node, value) in enumerate(known.items()):
        _replaced(graph, node, value, f"_number{number}", device)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _computed(node: Node, known: Mapping[Node, Tensor]) -> Tensor:
    """What an operator makes of tensors that are known, and of numbers."""
    arguments, options = map_arg((node.args, dict(node.kwargs)), known.__getitem__)
    if node.target is torch.ops.aten._to_copy.default and isinstance(arguments[0], int | float):
        return torch.full((), arguments[0], dtype=node.meta["val"].dtype)  # tracing leaves the bare number
    assert callable(node.target)
    result: Tensor = node.target(*arguments, **options)
    return result


def _replaced(graph: GraphModule, node: Node, value: Tensor, name: str, device: torch.device) -> None:
    """Give those who use a node the same tensor on the device: a number as such, else a constant."""
    with graph.graph.inserting_before(node):
        if value.dim():
            graph.register_buffer(name, value.to(device))
            moved = graph.graph.get_attr(name)
        else:
            moved = graph.graph.call_function(
                torch.ops.aten.full.default, ([], value.item()), {"dtype": value.dtype, "device": device}
            )
    moved.meta["val"] = node.meta["val"].to(device)
    node.replace_all_uses_with(moved)


def strangers(graph: GraphModule, device: torch.device) -> Sequence[str]:
    """The nodes of a traced graph whose values lie elsewhere: a CUDA graph cannot hold them."""
    values = {node.name: node.meta.get("val") for node in graph.graph.nodes}
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return [name for name, value in tensors.items() if value.device.type != device.type]
