"""What a pass of a user's module does besides giving a prediction: the state it leaves, its chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasediag.native.lowering import lowers
from phasediag.training.arguments import attributes_in, holding
from phasediag.training.arithmetic import Arithmetic, arithmetic_of
from phasediag.training.chance import Chance

SAMPLES: Final = 8
"""Samples of a pass that is watched."""
SIZES: Final = (1.0, 1.0, 1e3)
"""By what the inputs of each pass that is watched are multiplied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What passes in training do."""

    state: tuple[str, ...] = ()
    """The buffers that they change or put others in place of, by name."""
    random: bool = False
    """Whether they draw random numbers that `Chance` can give."""
    native: bool = True
    """Whether a native program is expected to do what they and their gradients do."""
    arithmetic: Arithmetic | None = None
    """What they compute; None where none was watched."""


def habits_of(module: nn.Module, inputs: int, dtype: torch.dtype, attributes: Sequence[str] = ()) -> Habits:
    """Watch some passes of a module, which is left as they leave it.

    Of normal numbers, and of large ones, by which a maximum changes that seldom does; where the module cannot
    pass those, of zeros and ones, which are indices of any table.
    A module that cannot pass samples has no habits: the dry step tells why.

    Parameters
    ----------
    module
        In the mode in which it trains; not used for anything else.
    inputs
        Numbers of a sample.
    attributes
        Floats that are tensors in a pass of many networks.
    """
    generator = torch.Generator().manual_seed(0)
    before = {name: (buffer, buffer.clone()) for name, buffer in module.named_buffers()}
    chance = Chance(torch.zeros(2, dtype=torch.int64), torch.tensor(0))
    own = {n: torch.tensor(v, dtype=dtype) for n, v in attributes_in(module, attributes).items()}
    normal = torch.randn(len(SIZES), SAMPLES, inputs, generator=generator)
    sized = normal * torch.tensor(SIZES)[:, None, None]
    indices = torch.randint(2, normal.shape, generator=generator)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), chance, holding(module, own):
        taken = next((g for g in (sized.to(dtype), indices.to(dtype)) if _passed(module, g)), None)
        if taken is None:
            return Habits()
    after = dict(module.named_buffers())
    changed = tuple(n for n, (b, was) in before.items() if after.get(n) is not b or not torch.equal(b, was))
    random = chance.drawn > 0
    with torch.random.fork_rng(devices=[]), chance, holding(module, own):
        native, arithmetic = _natively(module, taken[0]), None
        with torch.no_grad(), suppress(Exception):  # the dry step tells
            arithmetic = arithmetic_of(lambda: module(taken[0]), SAMPLES)
    return Habits(state=changed, random=random, native=native, arithmetic=arithmetic)


def _natively(module: nn.Module, samples: Tensor) -> bool:
    """Whether native programs do what a pass calls and its gradient does."""
    names = [name for name, _ in module.named_parameters()]

    def gradients(x: Tensor, *weights: Tensor) -> Sequence[Tensor]:
        trained = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            loss = functional_call(module, dict(zip(names, trained, strict=True)), (x,)).square().sum()
        return torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)

    return lowers(gradients, [samples, *(weight.detach().clone() for weight in module.parameters())])


def _passed(module: nn.Module, given: Tensor) -> bool:
    """Whether a module passes the first of some samples, shape (passes, samples, inputs)."""
    for number, samples in enumerate(given):
        try:
            module(samples)
        except Exception:
            return number > 0
    return True


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in `eval()` for a while; each part of it in its own mode again after it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
