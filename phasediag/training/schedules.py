"""What a schedule of the learning rate is: the contract between one and everything that trains by it.

It needs no torch before a step is taken, so that a grid which names a schedule is read without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.trial import Constraint, Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Schedule:
    """What the learning rate is multiplied by at each step, written for one network.

    The constructor takes the values of what the class declares: of a structural parameter the value itself,
    of a batched one a float64 tensor of shape (), for each trial of a program has its own. A class of the
    user's need not derive from this one.
    """

    declares: ClassVar[tuple[Parameter, ...]]
    """The parameters that it adds to a trial. A user's class may leave it out: then they are the arguments
    of its constructor, batched where they are of type float."""
    constraints: ClassVar[tuple[Constraint, ...]] = ()
    """Rules between parameters, checked where a grid names this schedule."""

    def factor(self, step: Tensor, steps: Tensor) -> Tensor:
        """What multiplies learning_rate at a step.

        Parameters
        ----------
        step
            Counted from 0 and from the end of the warm-up; float64 of shape (), or of shape (steps,) for
            several steps at once.
        steps
            How many there are, from the end of the warm-up on, at least 1; float64, shape ().

        Returns
        -------
        Of the shape of `step`, finite and at least 0.
        """
        raise NotImplementedError
