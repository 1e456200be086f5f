"""Networks of convolutions that keep a processor busy alone: trained one after the other."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from phasediag.native.nested import filled, leaves, skeleton
from phasediag.training.data import Samples
from phasediag.training.network import Network
from phasediag.training.optimizers import Rates
from phasediag.training.step import State, parts_of, state_of, trial_step
from phasediag.training.steps import by_autograd

LARGE: Final = 1e8
"""Operations of the convolutions of one trial and step from which on a pack gains nothing: a few
milliseconds, beside which calling the operators of one network takes little."""


def suits_one_by_one(network: Network, batches: Samples) -> bool:
    """Whether the trials of a tile are trained faster one after the other than side by side.

    The convolutions of a pack are one of as many groups as trials, for which PyTorch has no fast kernels:
    those of a network alone are. What is answered follows from the structure and the batch size alone.
    """
    return 6 * network.arithmetic.convolved * batches.x.shape[2] >= LARGE


class OneByOne:
    """One trial after the other, each for all the steps of a call, by PyTorch's operators as they are.

    What is computed of a trial does not depend on the others. Compiled, it takes no less time: nearly all of
    it is convolutions, which `torch.compile` leaves to the same kernels.

    Parameters
    ----------
    network
        Of the tile.
    """

    seconds = 0.0
    notice = "convolutions that are large: one network after the other, by PyTorch as it is"

    def __init__(self, network: Network) -> None:
        self.network = network

    def take(
        self, state: State, rates: Rates, batches: Samples, world: Tensor, shared: bool, until: int
    ) -> State:
        """The state of all trials a step for each batch later, as `Steps.take` has it."""
        held, form = leaves(parts_of(state)), skeleton(parts_of(state))
        for trial, home in enumerate(world.tolist()):
            one = state_of(filled(form, [_laid_out(tensor[trial]) for tensor in held]))
            constants = {name: rate[trial] for name, rate in rates.items()}
            for x, y, noise in zip(batches.x, batches.y, batches.noise, strict=True):
                batch = Samples(x=x[home], y=y[home], noise=noise[home])
                with torch.no_grad():
                    one = trial_step(self.network, one, constants, batch, by_autograd)
            for tensor, left in zip(held, leaves(parts_of(one)), strict=True):
                tensor[trial] = left
        return state


def _laid_out(tensor: Tensor) -> Tensor:
    """A tensor as it is; weights of convolutions of images with channels last, by which those are faster."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
