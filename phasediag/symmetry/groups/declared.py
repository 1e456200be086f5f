"""The symmetries that follow from what a network tells of its layers and heads (Table 1)."""

from __future__ import annotations

from collections.abc import Iterable

from phasediag.symmetry.groups.double_rotation import DoubleRotation
from phasediag.symmetry.groups.neuron_symmetry import NeuronSymmetry
from phasediag.symmetry.groups.permutation import Permutation
from phasediag.symmetry.groups.rescaling import Rescaling
from phasediag.symmetry.groups.rotation import Rotation
from phasediag.symmetry.groups.sign_flip import SignFlip
from phasediag.symmetry.neurons import NeuronGroup


def declared(groups: Iterable[NeuronGroup]) -> list[NeuronSymmetry]:
    """Permutation for every group; the others where parity and homogeneity give them.

    A group that is odd, of homogeneity 1 and has outgoing weights is linear: it can be rotated, on one
    or both sides.
    """
    symmetries: list[NeuronSymmetry] = []
    for group in groups:
        symmetries.append(Permutation(group))
        if group.parity is not None and group.outgoing:
            symmetries.append(SignFlip(group))
        if group.homogeneity is not None and group.outgoing:
            symmetries.append(Rescaling(group))
        if group.parity == "odd" and group.homogeneity == 1 and group.outgoing:
            symmetries += [Rotation(group), DoubleRotation(group)]
    return symmetries
