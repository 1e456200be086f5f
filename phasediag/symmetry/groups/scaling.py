"""Scaling: f(a theta) = f(theta), a > 0; it has no symmetric state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from phasediag.symmetry.groups.symmetry import Parameters, Symmetry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Scaling(Symmetry["Tensor"]):
    """Named parameters multiplied by one positive number, as the weights before a normalisation.

    theta = 0, which no element moves, is where such an f is not defined: no symmetric state.

    Parameters
    ----------
    names
        The parameters that are scaled together.
    """

    name: ClassVar[str] = "scaling"
    symmetric_state: ClassVar[str | None] = None

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def act(self, parameters: Parameters, element: Tensor) -> dict[str, Tensor]:
        """The named parameters times the element, a positive scalar; others as they are. All by name."""
        self.required(parameters, self.names)
        moved = dict(parameters)
        for name in self.names:
            moved[name] = moved[name] * element.to(moved[name])
        return moved

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Tensor:
        """A log-normal a; the group is not compact and has no uniform element."""
        import torch

        del parameters
        return torch.randn((), generator=generator, dtype=torch.float64).exp()
