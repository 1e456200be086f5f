"""A native program, ready to be called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from phasediag.native.building import ADDRESS, INTEGER, library
from phasediag.native.lowering import UnsupportedError, lowered
from phasediag.native.source import LINE, Slot, source_of
from phasediag.native.threads import shared_out


class NativeProgram:
    """A function of the tensors of one network, done for many, step after step of one and then of the next.

    So a network's numbers stay in the cache for as long as it is trained. What is computed of one does
    not depend on the others.

    Parameters
    ----------
    function
        Takes plain tensors; its results replace the first of them.
    examples
        Arguments for one network and one step, each a tensor of its own.
    places
        Where each argument lies in a call.

    Raises
    ------
    UnsupportedError
        Where the function holds what native programs do not do.

    Notes
    -----
    What a function computes outside of torch is not seen, and stays as it is of the examples: `verify`.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        examples: Sequence[Tensor],
        places: Sequence[Slot],
    ) -> None:
        self._function = function
        routine = lowered(function, examples)
        source = source_of(routine, places)
        self.places = tuple(places)
        self._constants = [tensor for _, tensor in routine.constants]
        self._results = len(routine.results)
        loaded = library(source.text)
        if not hasattr(loaded, "train"):
            raise UnsupportedError("the compiler makes wrong programs")
        self._run = loaded.train
        self._run.argtypes = [INTEGER, INTEGER, INTEGER, *[ADDRESS] * 5]
        self._run.restype = None
        self._scratch_bytes = source.scratch

    def __call__(self, tensors: Sequence[Tensor], world: Tensor, steps: int) -> None:
        """Change the first tensors by so many steps.

        Parameters
        ----------
        tensors
            Contiguous behind their leading axes: trials, or steps and worlds (`Slot`).
        world
            Int64, shape (trials,): the world that each trial lives in.
        steps
            To take.
        """
        given = [*tensors, *self._constants]
        count, trials = len(given), len(world)
        addresses = (ADDRESS * count)(*[tensor.data_ptr() for tensor in given])
        a_step, a_world = (INTEGER * count)(), (INTEGER * count)()
        for number, (place, tensor) in enumerate(zip(self.places, tensors, strict=True)):
            if place is Slot.WORLD:
                a_step[number], a_world[number] = (tensor.stride(axis) * tensor.itemsize for axis in (0, 1))
        shared_out(partial(self._part, steps, addresses, a_step, a_world, world.data_ptr()), trials)

    def verify(self, arguments: Sequence[Tensor], ignored: int = 0) -> None:
        """Compare with the function itself.

        Parameters
        ----------
        arguments
            For one network and one step, unlike the examples.
        ignored
            How many of the first results do not count.

        Raises
        ------
        UnsupportedError
            Where a result differs by more than rounding.
        """
        with torch.no_grad():
            expected = self._function(*arguments)[ignored:]
        leading = [1 if place is Slot.TRIAL else 2 for place in self.places]
        held = [t.clone()[(None,) * axes] for t, axes in zip(arguments, leading, strict=True)]
        self(held, torch.zeros(1, dtype=torch.int64), steps=1)
        results = [t[0] for t in held[ignored : self._results]]
        pairs = zip(expected, arguments[ignored:], strict=False)
        change = max((_largest(new - old) for new, old in pairs if new.is_floating_point()), default=0.0)
        if not all(_same(one, other, change) for one, other in zip(results, expected, strict=True)):
            raise UnsupportedError("it leaves torch, by numpy or by a number read out of a tensor")

    def _part(
        self,
        steps: int,
        addresses: object,
        a_step: object,
        a_world: object,
        world: int,
        first: int,
        last: int,
    ) -> None:
        scratch = torch.empty(self._scratch_bytes + LINE, dtype=torch.uint8)
        start = -(-scratch.data_ptr() // LINE) * LINE
        self._run(first, last, steps, addresses, a_step, a_world, world, start)


def _same(one: Tensor, other: Tensor, change: float) -> bool:
    """Whether two results are equal up to rounding, where the largest change was so large."""
    if not other.is_floating_point():
        return torch.equal(one, other)
    unit = torch.finfo(other.dtype).eps
    return torch.allclose(one, other, rtol=4 * unit, atol=change * unit**0.5, equal_nan=True)


def _largest(numbers: Tensor) -> float:
    """The largest finite absolute value."""
    return float(numbers.nan_to_num(0, 0, 0).abs().max()) if numbers.numel() else 0.0
