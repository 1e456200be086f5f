"""CUDA graphs: the launches of a compiled program, recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from weakref import finalize

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

Positions = tuple[int, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class RecordedGraph:
    """A graph, and the places that it reads and writes."""

    staying: Positions
    """Addresses of the tensors that stay."""
    fed: list[Tensor]
    """Where the others are copied to before every replay."""
    replay: Callable[[], None] | None = None
    """None: not recorded yet."""


class Replayed:
    """A compiled program on a GPU, called again and again with some tensors that stay where they are.

    The first call with such tensors is made as it is, which loads and tunes the kernels. The second is
    recorded as a CUDA graph, that this call and all later ones replay: one launch instead of some fifty,
    each of 4 to 6 µs. What does not stay is copied to where it was recorded. The recording, and the
    memory that it works in, goes with the first of the tensors that stay.

    Parameters
    ----------
    run
        Changes tensors that stay, and gives nothing.
    staying
        How many of its arguments stay: the first ones, on one GPU.
    """

    def __init__(self, run: Callable[..., object], staying: int) -> None:
        self.run, self.staying = run, staying
        self._recordings: dict[int, RecordedGraph] = {}
        """By the identity of the first of the tensors that stay, until that tensor is gone."""

    def __call__(self, *arguments: Tensor) -> tuple[()]:
        """Run the program on these arguments."""
        staying, given = arguments[: self.staying], arguments[self.staying :]
        places = tuple(tensor.data_ptr() for tensor in staying)
        first = staying[0]
        recording = self._recordings.get(id(first))
        if recording is None or recording.staying != places:
            fed = [tensor.clone() for tensor in given]
            if recording is None:
                finalize(first, self._recordings.pop, id(first), None).atexit = False
            self._recordings[id(first)] = RecordedGraph(staying=places, fed=fed)
            self.run(*staying, *fed)
            return ()
        for held, tensor in zip(recording.fed, given, strict=True):
            held.copy_(tensor)
        if recording.replay is None:
            recording.replay = recorded(partial(self.run, *staying, *recording.fed))
        recording.replay()
        return ()


def recorded(call: Callable[[], object]) -> Callable[[], None]:
    """What repeats the launches of a call, on the same addresses; the call itself computes nothing."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


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
