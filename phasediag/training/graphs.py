"""CUDA graphs: the launches of a compiled program, recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from weakref import finalize

import torch
from torch import Tensor

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
