"""Control of symmetry: the weights of a network as functions of the numbers that are trained.

The optimizer, and with it weight decay, acts on what is trained; what is measured, recorded and
saved are the weights. A network starts from the weights that it has without control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.initial import Shapes
from phasediag.training.optimizers import Rates, Weights
from phasediag.trial import Streams, Value

FACTOR: Final = "factor/"
"""`factor/NAME`, trained: the v of dcs that stands for the parameter NAME, or the gate of its matrix."""
PRODUCT: Final = "product/"
"""`product/NAME`, trained: the u of dcs that stands for the parameter NAME."""
OFFSET: Final = "control/offset/"
"""`control/offset/NAME`, a constant of the trial: the theta_0 of syre of the parameter NAME."""
STRETCH: Final = "control/stretch/"
"""`control/stretch/NAME`, a constant: the share by which the decay of NAME differs from the trial's."""
HARMLESS: Final = 0.01
"""syre_scale times the root of the number of weights, where it is not given [2408.15495]."""


class Control:
    """No control: the weights themselves are trained.

    Parameters
    ----------
    shapes
        Of every parameter of the network.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.parameters = dict(shapes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of everything that is trained."""
        return self.parameters

    @property
    def absent(self) -> bool:
        """Whether what is trained is the weights."""
        return type(self) is Control

    def constants(
        self, records: Sequence[Mapping[str, Value]], seeds: Sequence[int], dtype: torch.dtype,
        device: torch.device,
    ) -> dict[str, Tensor]:  # fmt: skip
        """What stays fixed in the training of each trial, each with a leading axis of trials."""
        return {}

    def start(self, weights: Weights, rates: Rates) -> Weights:
        """What is trained, where one network has these initial weights."""
        return weights

    def effective(self, trained: Weights, rates: Rates) -> Weights:
        """The weights of one network, by parameter name."""
        return trained

    def penalized(self, loss: Tensor, trained: Weights, rates: Rates) -> Tensor:
        """The loss of one network with what the control adds besides the decay of the optimizer; a scalar."""
        return loss

    def penalty(self, trained: Weights, rates: Rates) -> Tensor:
        """What decay stands for, over all weights: gamma |theta|^2 with gamma = weight_decay / 2.

        A scalar, of one network.
        """
        square = torch.stack([tensor.square().sum() for tensor in trained.values()]).sum()
        return self.penalized(rates["weight_decay"] / 2 * square, trained, rates)


class Gate(Control):
    """Every weight matrix W becomes v W with one number v a matrix (`docs/physics.md`).

    Decay of v and W acts as 2 gamma |v W|_F: a matrix is alive or zero as a whole, group lasso. With
    one matrix, whitened inputs and the squared error it is E[y x^T] (1 - gamma / |E[y x^T]|_F)_+ (E4).
    Parameters of one axis have no gate.
    """

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of everything that is trained."""
        return self.parameters | {FACTOR + name: () for name in self._gated}

    @property
    def _gated(self) -> list[str]:
        return [name for name, shape in self.parameters.items() if len(shape) > 1]

    def start(self, weights: Weights, rates: Rates) -> Weights:
        """The weights, and gates of 1."""
        return weights | {FACTOR + name: torch.ones_like(weights[name].sum()) for name in self._gated}

    def effective(self, trained: Weights, rates: Rates) -> Weights:
        """The weights of one network, by parameter name."""
        gated = {name: trained[FACTOR + name] * trained[name] for name in self._gated}
        return {name: gated.get(name, trained[name]) for name in self.parameters}


class DCS(Control):
    """theta = (I - O O^T) w + O (u v), elementwise product, which favours O^T theta = 0 [2309.16932].

    Decay of u and v acts as 2 gamma |O^T theta|_1. With O the identity this is spred [2210.01212].

    Parameters
    ----------
    shapes
        Of every parameter of the network.
    axes
        Of each parameter, the axes that count neurons whose differences O spans; None: O holds
        every weight of the parameter; no axis: none of them.

    Notes
    -----
    The differences of d neurons are spanned by the columns 2 to d of the Householder reflection that
    maps the first unit vector to (1, ..., 1) / sqrt(d), for each number of the neuron vector; where
    a matrix joins two hidden layers, by all products of such columns but that of the two means.
    """

    def __init__(self, shapes: Shapes, axes: Mapping[str, tuple[int, ...] | None]) -> None:
        super().__init__(shapes)
        self.axes = axes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of everything that is trained."""
        kept = {name: shape for name, shape in self.parameters.items() if self.axes[name] is not None}
        split = {name: shape for name, shape in self.parameters.items() if self.axes[name] != ()}
        factors = {f"{kind}{name}": shape for name, shape in split.items() for kind in (PRODUCT, FACTOR)}
        return kept | factors

    def start(self, weights: Weights, rates: Rates) -> Weights:
        """The weights as w, O^T theta as u, and 1 as v, which is 0 outside of O."""
        trained: Weights = {}
        for name, weight in weights.items():
            axes = self.axes[name]
            if axes is not None:
                trained[name] = weight
            if axes != ():
                inside = _inside(weight, axes)
                trained[PRODUCT + name] = inside * _reflected(weight, axes)
                trained[FACTOR + name] = inside
        return {name: trained[name] for name in self.shapes}

    def effective(self, trained: Weights, rates: Rates) -> Weights:
        """The weights of one network, by parameter name."""
        weights: Weights = {}
        for name in self.parameters:
            axes = self.axes[name]
            if axes == ():
                weights[name] = trained[name]
                continue
            along = trained[PRODUCT + name] * trained[FACTOR + name]
            if axes is None:
                weights[name] = along
            else:
                inside = _inside(along, axes)
                kept = (1 - inside) * _reflected(trained[name], axes)
                weights[name] = _reflected(kept + inside * along, axes)
        return weights


class Syre(Control):
    """The network has the weights theta + theta_0, and theta decays (`docs/physics.md`, E12).

    theta_0 is drawn once a replicate from the stream `control` and scaled by syre_scale, so that
    points share its directions. theta starts where it makes the network start as without control:
    the same as decay of the weights towards theta_0 in place of the origin. With syre_anisotropy
    the decay of each weight has a factor of its own, 1 + sigma_D z, z uniform in (-1, 1): the
    penalty is gamma |theta|^2_D [2408.15495], which breaks rotations too.
    """

    def constants(
        self, records: Sequence[Mapping[str, Value]], seeds: Sequence[int], dtype: torch.dtype,
        device: torch.device,
    ) -> dict[str, Tensor]:  # fmt: skip
        """theta_0 and the part of the decay that differs between weights.

        Each of shape (trials, *shape of the parameter), by its name behind `OFFSET` and `STRETCH`.
        """
        drawn = {seed: self._drawn(seed) for seed in seeds}
        count = sum(prod(shape) for shape in self.parameters.values())
        constants: dict[str, Tensor] = {}
        for name in self.parameters:
            offsets, stretches = [], []
            for record, seed in zip(records, seeds, strict=True):
                normal, uniform = drawn[seed][name]
                scale, spread = record["syre_scale"], record["syre_anisotropy"]
                assert scale is None or isinstance(scale, float)
                assert isinstance(spread, float)
                size = HARMLESS / sqrt(count) if scale is None else scale
                offsets.append(size * (normal if record["syre_distribution"] == "normal" else 1 + 0 * normal))
                stretches.append(spread * uniform)
            constants[OFFSET + name] = torch.from_numpy(np.stack(offsets)).to(device, dtype)
            constants[STRETCH + name] = torch.from_numpy(np.stack(stretches)).to(device, dtype)
        return constants

    def start(self, weights: Weights, rates: Rates) -> Weights:
        """The weights less theta_0."""
        return {name: weight - rates[OFFSET + name] for name, weight in weights.items()}

    def effective(self, trained: Weights, rates: Rates) -> Weights:
        """The weights of one network, by parameter name."""
        return {name: weight + rates[OFFSET + name] for name, weight in trained.items()}

    def penalized(self, loss: Tensor, trained: Weights, rates: Rates) -> Tensor:
        """The loss and what anisotropic decay adds to the isotropic one. A scalar, of one network."""
        added = [(rates[STRETCH + name] * weight.square()).sum() for name, weight in trained.items()]
        return loss + rates["weight_decay"] / 2 * torch.stack(added).sum()

    def _drawn(self, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """A standard normal and a uniform number (in -1 to 1) for every weight."""
        first, second = (Streams(seed).generator("control", position) for position in (0, 1))
        return {
            name: (first.standard_normal(shape), second.uniform(-1, 1, shape))
            for name, shape in self.parameters.items()
        }


def control_of(values: Mapping[str, Value], shapes: Shapes, groups: Sequence[NeuronGroup]) -> Control:
    """The control of a trial's record.

    Parameters
    ----------
    shapes
        Of every parameter of the network that is trained.
    groups
        Its hidden layers.

    Raises
    ------
    PhasediagError
        Where dcs is to act on neurons and the model names none.
    """
    name = values["control"]
    if name == "gate":
        return Gate(shapes)
    if name == "syre":
        return Syre(shapes)
    if name != "dcs":
        return Control(shapes)
    symmetry = values["dcs_symmetry"]
    if symmetry == "weights":
        return DCS(shapes, dict.fromkeys(shapes))
    if not groups:
        raise PhasediagError(
            f"dcs_symmetry: {symmetry} acts on the neurons of hidden layers, and the model "
            f"'{values['model']}' has none here; use dcs_symmetry: weights, or a network with neuron_groups"
        )
    counted = _neuron_axes(shapes, groups)
    if symmetry == "sign_flip":
        return DCS(shapes, {name: None if axes else () for name, axes in counted.items()})
    return DCS(shapes, counted)


def _neuron_axes(shapes: Shapes, groups: Sequence[NeuronGroup]) -> dict[str, tuple[int, ...]]:
    """For each parameter, the axes that count the neurons of a hidden layer."""
    axes: dict[str, set[int]] = {name: set() for name in shapes}
    for group in groups:
        for name in (*group.incoming, *group.bias):
            axes.get(name, set()).add(0)
        for name in group.outgoing:
            axes.get(name, set()).add(group.outgoing_axis)
    return {name: tuple(sorted(numbers)) for name, numbers in axes.items()}


def _inside(like: Tensor, axes: tuple[int, ...] | None) -> Tensor:
    """1 at the coefficients of O, 0 at those of its complement, where all indices on `axes` are 0."""
    if axes is None:
        return torch.ones_like(like)
    outside = torch.ones_like(like)
    for axis in axes:
        first = (torch.arange(like.shape[axis], device=like.device) == 0).to(like.dtype)
        outside = outside * first.reshape(-1, *[1] * (like.dim() - axis - 1))
    return 1 - outside


def _reflected(tensor: Tensor, axes: tuple[int, ...] | None) -> Tensor:
    """The tensor with the Householder reflection of the first unit vector to the mean on each axis."""
    for axis in axes or ():
        size = tensor.shape[axis]
        if size == 1:
            continue
        first = (torch.arange(size, device=tensor.device) == 0).to(tensor.dtype)
        normal = (1 / sqrt(size) - first).reshape(-1, *[1] * (tensor.dim() - axis - 1))
        along = (normal * tensor).sum(dim=axis, keepdim=True) / (1 - 1 / sqrt(size))
        tensor = tensor - along * normal
    return tensor
