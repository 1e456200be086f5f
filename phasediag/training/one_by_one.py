"""Networks of convolutions that keep a processor busy alone: trained one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from phasediag.native.nested import filled, leaves, skeleton
from phasediag.training.compilation import Compiled, UntranslatedError
from phasediag.training.data import Samples
from phasediag.training.network import FIXED, Network
from phasediag.training.optimizers import Rates
from phasediag.training.step import State, trial_step
from phasediag.training.steps import Parts, by_autograd, parts_of, state_of

CONVOLUTIONS: Final = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
LARGE: Final = 1e8
"""Operations of the convolutions of one trial and step from which on a pack gains nothing: a few
milliseconds, beside which calling the operators of one network takes little."""


def suits_one_by_one(network: Network, state: State, rates: Rates, batches: Samples) -> bool:
    """Whether the trials of a tile are trained faster one after the other than side by side.

    The convolutions of a pack are one of as many groups as trials, for which PyTorch has no fast kernels:
    those of a network alone are. What is answered follows from the structure and the batch size alone.
    """
    if not any(isinstance(part, CONVOLUTIONS) for part in network.module.modules()):
        return False
    from torch.utils.flop_counter import FlopCounterMode

    constants = {name: rate[0] for name, rate in rates.items()}
    constants |= {FIXED + name: buffer[0] for name, buffer in state.buffers.items()}
    weights = network.weights({name: weight[0] for name, weight in state.weights.items()}, constants)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.predict(weights, batches.x[0, 0])
    counts: Mapping[Any, int] = counter.get_flop_counts().get("Global", {})
    forward = sum(count for operator, count in counts.items() if "convolution" in str(operator))
    return 3 * forward >= LARGE


class OneByOne:
    """One trial after the other, each for all the steps of a call, as it is or through torch's compiler.

    What is computed of a trial does not depend on the others.

    Parameters
    ----------
    network
        Of the tile.
    compiled
        Whether through the compiler of `torch.compile`.
    """

    def __init__(self, network: Network, compiled: bool) -> None:
        self.network = network
        self.notice = ""
        self._compiled = Compiled(self._one) if compiled else None
        self._step: Callable[..., Parts] = self._compiled or self._one

    @property
    def seconds(self) -> float:
        """Spent on compiling so far."""
        return self._compiled.seconds if self._compiled is not None else 0.0

    def take(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """The state of all trials a step for each batch later, as `Steps.take` has it."""
        held, form = leaves(parts_of(state)), skeleton(parts_of(state))
        for trial, home in enumerate(world.tolist()):
            parts = filled(form, [tensor[trial] for tensor in held])
            constants = {name: rate[trial] for name, rate in rates.items()}
            for x, y, noise in zip(batches.x, batches.y, batches.noise, strict=True):
                parts = self._taken(parts, constants, (x[home], y[home], noise[home]))
            for tensor, left in zip(held, leaves(parts), strict=True):
                tensor[trial] = left
        return state

    def _taken(self, parts: Parts, constants: Rates, batch: tuple[Tensor, Tensor, Tensor]) -> Parts:
        with torch.no_grad():
            try:
                return self._step(parts, constants, batch)
            except UntranslatedError as error:
                self.notice = f"torch.compile failed ({error}): training uncompiled, which is slower"
                self._step = self._one
                return self._one(parts, constants, batch)

    def _one(self, parts: Parts, constants: Rates, batch: tuple[Tensor, Tensor, Tensor]) -> Parts:
        x, y, noise = batch
        samples = Samples(x=x, y=y, noise=noise)
        return parts_of(trial_step(self.network, state_of(parts), constants, samples, by_autograd))
