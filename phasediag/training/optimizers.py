"""What an optimizer is: the contract between an update rule and everything that trains by it.

It needs no torch before a step is taken, so that a grid which names an optimizer is read without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from phasediag.trial import Constraint, Parameter

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]
"""Tensors by the name of a parameter."""
Moments = dict[str, Weights]
"""What an optimizer keeps from step to step, by its name for it."""
Rates = Mapping[str, "Tensor"]
"""Numbers of one trial by name, of which an optimizer is given `learning_rate` and `weight_decay`. Most are
scalars; what padding, control, chance and fixed weights add (`padding/own`, `control/offset/NAME`) is not."""
GradientOf = Callable[[Weights], Weights]
"""The gradient of the loss on the batch of the step, at any weights."""


class Optimizer:
    """An update rule, written for one network.

    The constructor takes the values of what the class declares: of a structural parameter the value itself,
    of a batched one a tensor of shape (), for each trial of a program has its own. An optimizer keeps
    nothing in itself: it is made anew whenever it suits, and serves many networks.

    A class of the user's need not derive from this one; it states `update`, and what it needs of the rest.
    """

    declares: ClassVar[tuple[Parameter, ...]]
    """The parameters that it adds to a trial. A user's class may leave it out: then they are the arguments
    of its constructor, batched where they are of type float."""
    constraints: ClassVar[tuple[Constraint, ...]] = ()
    """Rules between parameters, checked where a grid names this optimizer."""
    decoupled: ClassVar[bool | None] = None
    """Whether weight decay shrinks the weights beside the gradient (as in adamw) instead of being added to
    it; None: not known, and what rests on it is null."""
    moments: tuple[str, ...] = ()
    """Names of what it keeps: each holds a tensor for every weight, of its shape, zero at the start."""

    def update(
        self, weights: Weights, gradient: Weights, moments: Moments, rates: Rates, step: Tensor
    ) -> tuple[Weights, Moments]:
        """One step.

        An optimizer that needs the gradient elsewhere too takes one more argument, `gradient_of`
        (`GradientOf`).

        Parameters
        ----------
        weights, gradient
            By the name of a parameter. They are not changed in place.
        moments
            As the step before gave them.
        rates
            `learning_rate`, as the schedule has it at this step, and `weight_decay`.
        step
            Its number counted from 1, int64.

        Returns
        -------
        The new weights, and the new moments.
        """
        raise NotImplementedError
