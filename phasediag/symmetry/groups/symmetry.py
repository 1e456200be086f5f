"""What a parameter symmetry is (Definitions 1 and 2, Eq. 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from phasediag.errors import PhasediagError, nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Parameters = Mapping[str, "Tensor"]
"""The parameters of one network, by name, without leading axes; `phasediag.measuring.layer_distances`
measures whole tiles."""
Element = TypeVar("Element")


class Symmetry(ABC, Generic[Element]):
    """A group G that acts on the parameters of a network without changing its function.

    Definition 1: f(g theta, x) = f(theta, x) for all g, theta and x. The groups here hold for every
    network whose layer is as the subclass says; that a given network is so is the user's claim.
    """

    name: ClassVar[str]
    """The name, as in Table 1 of the paper."""
    symmetric_state: ClassVar[str | None]
    """What P_G theta = theta means for the layer; None where G has no symmetric state."""

    @abstractmethod
    def act(self, parameters: Parameters, element: Element) -> dict[str, Tensor]:
        """G theta: all parameters by name, in their shapes; those that G does not move as they are."""

    @abstractmethod
    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Element:
        """An element of G; of compact groups a Haar-distributed one."""

    def projected(self, parameters: Parameters) -> dict[str, Tensor]:
        """P_G theta (Definition 2), with P_G^2 = P_G and g P_G = P_G for every g.

        The mean over the group where it is compact, else the orthogonal projection on the
        states that no element moves.

        Raises
        ------
        PhasediagError
            Where G has no symmetric state.
        """
        raise PhasediagError(
            f"{self.name} symmetry has no symmetric state to project on: no state is left as it is by all "
            "its elements; it can be acted with, but not broken or kept"
        )

    def generators(self, parameters: Parameters) -> Sequence[Symmetry[Element]]:
        """The subgroups, each with its own projection, that the degree of symmetry counts."""
        del parameters
        return ()

    def distance(self, parameters: Parameters) -> Tensor:
        """Delta_G = ||theta - P_G theta|| (Eq. 3, without its square), a scalar in units of the weights."""
        import torch

        projected = self.projected(parameters)
        moved = [(parameters[name] - projected[name]).flatten() for name in parameters]
        norm: Tensor = torch.linalg.vector_norm(torch.cat(moved))
        return norm

    def representative(self, parameters: Parameters) -> dict[str, Tensor]:
        """The state on the orbit of theta at which distances are taken, so that they are invariant.

        theta itself where the generators follow theta under G; for groups that are not compact
        the state of smallest norm.
        """
        return dict(parameters)

    def distances(self, parameters: Parameters) -> Tensor:
        """Delta of every generator, invariant under G up to order, shape (generators,)."""
        return self.generator_distances(parameters)

    def generator_distances(self, parameters: Parameters) -> Tensor:
        """The distances by their definition: of each generator from its projection, one by one."""
        import torch

        state = self.representative(parameters)
        distances = [generator.distance(state) for generator in self.generators(state)]
        return torch.stack(distances) if distances else torch.zeros(0)

    def required(self, parameters: Parameters, names: Sequence[str]) -> None:
        """Raise a PhasediagError where a parameter that G acts on does not exist."""
        missing = sorted(set(names) - parameters.keys())
        if missing:
            hint = nearest(missing[0], parameters) or f"the network has {', '.join(parameters)}"
            raise PhasediagError(f"{self.name} symmetry names the parameter '{missing[0]}'; {hint}")

    def degree(self, parameters: Parameters, epsilon: float) -> int:
        """The degree of symmetry: how many generators are closer to their symmetric state than epsilon."""
        return int((self.distances(parameters) < epsilon).sum())
