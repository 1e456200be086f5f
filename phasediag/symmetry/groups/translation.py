"""Translation: f(theta + t v) = f(theta); it has no symmetric state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from phasediag.symmetry.groups.symmetry import Parameters, Symmetry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Translation(Symmetry["Tensor"]):
    """A shift of the parameters along one direction, by any real t.

    As for the incoming weights of an input that is always zero, the biases of the logits of a
    softmax, or W_Q -> W_Q + n m^T where all inputs are orthogonal to n.

    Parameters
    ----------
    direction
        v by parameter name, in the shapes of the parameters; others do not move.
    """

    name: ClassVar[str] = "translation"
    symmetric_state: ClassVar[str | None] = None

    def __init__(self, direction: Mapping[str, Tensor]) -> None:
        self.direction = dict(direction)

    def act(self, parameters: Parameters, element: Tensor) -> dict[str, Tensor]:
        """Theta + t v, t the element, a scalar: all parameters by name, in their shapes."""
        self.required(parameters, tuple(self.direction))
        moved = dict(parameters)
        for name, direction in self.direction.items():
            moved[name] = moved[name] + element.to(moved[name]) * direction.to(moved[name])
        return moved

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Tensor:
        """A normal t; the group is not compact and has no uniform element."""
        import torch

        del parameters
        return torch.randn((), generator=generator, dtype=torch.float64)
