"""Any finite group, given by its matrices; its projection is the Reynolds average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from phasediag.errors import PhasediagError
from phasediag.symmetry.groups.symmetry import Parameters, Symmetry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CLOSED: Final = 1e-6
"""Two matrices are the same element where no entries differ by more."""


class FiniteGroup(Symmetry["Tensor"]):
    """A finite group acting on named parameters, flattened and joined in the order of their names.

    Parameters
    ----------
    names
        The parameters it acts on, n numbers together.
    matrices
        All elements of the group, shape (order, n, n).

    Raises
    ------
    PhasediagError
        Where the matrices are no group: not square, without the identity, or not closed.
    """

    name: ClassVar[str] = "finite group"
    symmetric_state: ClassVar[str | None] = "invariant under every element"

    def __init__(self, names: Sequence[str], matrices: Tensor) -> None:
        import torch

        self.names = tuple(names)
        self.matrices = matrices
        if matrices.dim() != 3 or matrices.shape[1] != matrices.shape[2] or not len(matrices):
            raise PhasediagError(
                f"a finite group needs matrices of shape (order, n, n), not {tuple(matrices.shape)}"
            )
        products = torch.einsum("aij,bjk->abik", matrices.double(), matrices.double()).flatten(0, 1)
        identity = torch.eye(matrices.shape[1], dtype=torch.float64, device=matrices.device)
        if not self._holds(identity[None]).all():
            raise PhasediagError("the matrices are no group: the identity is missing; give all elements")
        held = self._holds(products)
        if not held.all():
            first, second = divmod(int((~held).nonzero()[0]), len(matrices))
            raise PhasediagError(
                f"the matrices are no group: the product of elements {first} and {second} (from 0) is not "
                "among them; give all elements"
            )

    def act(self, parameters: Parameters, element: Tensor) -> dict[str, Tensor]:
        """The matrix, shape (n, n), times the named parameters, joined; others as they are. All by name."""
        import torch

        self.required(parameters, self.names)
        flat = torch.cat([parameters[name].flatten() for name in self.names])
        if len(flat) != element.shape[-1]:
            raise PhasediagError(
                f"the group's matrices act on {element.shape[-1]} numbers, the parameters "
                f"{', '.join(self.names)} have {len(flat)}"
            )
        image, moved, start = element.to(flat) @ flat, dict(parameters), 0
        for name in self.names:
            count = parameters[name].numel()
            moved[name] = image[start : start + count].reshape(parameters[name].shape)
            start += count
        return moved

    def random_element(self, parameters: Parameters, generator: torch.Generator) -> Tensor:
        """A uniformly distributed element."""
        import torch

        del parameters
        return self.matrices[int(torch.randint(0, len(self.matrices), (1,), generator=generator))]

    def projected(self, parameters: Parameters) -> dict[str, Tensor]:
        """The Reynolds average, the mean of g theta over the group (Definition 2).

        All parameters by name, in their shapes.
        """
        return self.act(parameters, self.matrices.double().mean(dim=0))

    def generators(self, parameters: Parameters) -> Sequence[FiniteGroup]:
        """The cyclic subgroups of a small set of elements, chosen greedily, that generates the group."""
        del parameters
        cyclic_groups: list[FiniteGroup] = []
        spanned = self._closure([])
        for element in self.matrices:
            if not self._among(element[None], spanned).all():
                cyclic = self._closure([element])
                cyclic_groups.append(FiniteGroup(self.names, cyclic))
                spanned = self._closure([*spanned, element])
        return cyclic_groups

    def _closure(self, elements: Sequence[Tensor]) -> Tensor:
        """The subgroup that these elements generate, shape (order, n, n)."""
        import torch

        size = self.matrices.shape[1]
        known = torch.eye(size, dtype=self.matrices.dtype, device=self.matrices.device)[None]
        frontier = known
        while len(frontier):
            fresh: list[Tensor] = []
            for product in (old @ element for old in frontier for element in elements):
                seen = torch.cat([known, *(new[None] for new in fresh)])
                if not self._among(product[None], seen).all():
                    fresh.append(product)
            frontier = torch.stack(fresh) if fresh else known[:0]
            known = torch.cat([known, frontier])
        return known

    def _holds(self, elements: Tensor) -> Tensor:
        return self._among(elements, self.matrices)

    @staticmethod
    def _among(elements: Tensor, known: Tensor) -> Tensor:
        """Whether each of the elements is one of the known ones, bool, shape (elements,)."""
        import torch

        differences = [(known.double() - element.double()).abs().amax(dim=(1, 2)) for element in elements]
        return (torch.stack(differences) <= CLOSED).any(dim=1)
