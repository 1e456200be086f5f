"""Networks of several sizes, and batches of several sizes, in one program.

A smaller network lies in the corner of the largest: its tensors are padded with zeros. Neurons that
only padding joins have zero weights in and out, their symmetric state, and their gradients are set
to zero, so that they never leave it, whatever the activation is at zero; the rest of the network
gets from them zeros. A smaller batch is filled up with repeats of its samples, which weigh nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap

from phasediag.training.data import Batches, Task, block_steps
from phasediag.training.initial import Shapes
from phasediag.training.optimizers import Rates, Weights
from phasediag.trial import Value, integer

WeightArrays = Mapping[str, npt.NDArray[np.float64]]

PADDING: Final = "padding/"
"""What the names of all constants of a trial begin with that padding adds."""
INSIDE: Final = PADDING + "inside/"
"""`padding/inside/NAME`: where the parameter NAME is no padding, bool, shaped like it."""
OWN: Final = PADDING + "own"
"""Which samples of a batch are the trial's own, bool, shape (batch_size,): the others are padding."""
BATCH: Final = "batch_size"


def fits(small: Shapes, large: Shapes) -> bool:
    """Whether every tensor of one network fits into the corner of the other's."""
    if list(small) != list(large):
        return False
    pairs = [(small[name], large[name]) for name in small]
    return all(len(a) == len(b) and all(x <= y for x, y in zip(a, b, strict=True)) for a, b in pairs)


def corner(shape: Sequence[int]) -> tuple[slice, ...]:
    """Where a smaller tensor lies in a larger one."""
    return tuple(slice(size) for size in shape)


def placed(weights: WeightArrays, shapes: Shapes) -> dict[str, npt.NDArray[np.float64]]:
    """The tensors of one network in the corner of larger ones, zero elsewhere.

    By name, float64; `shapes` are those of the larger ones.
    """
    placed = {name: np.zeros(shapes[name]) for name in weights}
    for name, weight in weights.items():
        placed[name][corner(weight.shape)] = weight
    return placed


def cut(weights: Weights, shapes: Shapes) -> Weights:
    """The corners of tensors that have a leading axis of trials.

    By name: shape (trials, *larger) to (trials, *shapes[name]).
    """
    return {name: weights[name][(slice(None), *corner(shape))] for name, shape in shapes.items()}


def constants_of(
    envelope: Mapping[str, Value], records: Sequence[Mapping[str, Value]], own: Sequence[Shapes],
    shapes: Shapes, device: torch.device,
) -> dict[str, Tensor]:  # fmt: skip
    """What tells the network and the batch of each trial from their padding.

    Parameters
    ----------
    envelope
        The largest values of the parameters in which trials may differ.
    records
        Of the trials.
    own, shapes
        Of every parameter: in each trial's network, and in the one that holds them all.

    Returns
    -------
    `INSIDE` of every parameter and `OWN`, as far as they are needed, with a leading axis of trials.
    """
    constants: dict[str, Tensor] = {}
    if set(envelope) - {BATCH}:
        constants = {name: inside.to(device) for name, inside in _insides(own, shapes).items()}
    if BATCH in envelope:
        count = torch.tensor([integer(record[BATCH]) for record in records])[:, None]
        constants[OWN] = (torch.arange(integer(envelope[BATCH])) < count).to(device)
    return constants


def _insides(own: Sequence[Shapes], shapes: Shapes) -> dict[str, Tensor]:
    keys = [tuple(each.items()) for each in own]
    distinct = dict(zip(keys, own, strict=True))
    position = {key: number for number, key in enumerate(distinct)}
    index = torch.tensor([position[key] for key in keys])
    insides = {}
    for name, shape in shapes.items():
        inside = np.zeros((len(distinct), *shape), dtype=np.bool_)
        for number, each in enumerate(distinct.values()):
            inside[number][corner(each[name])] = True
        insides[INSIDE + name] = torch.from_numpy(inside)[index]
    return insides


def world_names(task: type[Task], name: str, envelope: Iterable[str]) -> list[str]:
    """The parameters that tell the worlds of a replicate apart, where trials differ in those of an envelope.

    Parameters
    ----------
    task, name
        The class, and the trials' value that names it: a task of the user may look at its label noise, and
        at parameters of the envelope that it does not declare.
    """
    users = ":" in name
    declared = [p.name for p in getattr(task, "declares", ()) if users or p.name != "label_noise"]
    return ["data_seed", *declared] + [each for each in envelope if ":" in name or each == BATCH]


def within(gradients: Weights, rates: Rates) -> Weights:
    """The gradients of one network, zero where its weights are padding."""
    return {
        name: torch.where(rates[INSIDE + name], gradient, 0) if INSIDE + name in rates else gradient
        for name, gradient in gradients.items()
    }


def data_loss(
    loss: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor, rates: Rates
) -> Tensor:
    """The loss of one network over its own samples; where batches are padded it is a mean over samples.

    Prediction and target of shape (samples, outputs); a scalar.
    """
    if OWN not in rates:
        return loss(prediction, target)

    def of_one(prediction: Tensor, target: Tensor) -> Tensor:
        return loss(prediction[None], target[None])

    own = torch.where(rates[OWN], vmap(of_one)(prediction, target), 0)
    return own.sum() / rates[OWN].sum()


class PaddedBatches(Batches):
    """Batches of worlds whose batch sizes differ: each draws what it would draw alone.

    Parameters
    ----------
    worlds
        One task object for each replicate, data set and batch size, all of finite batches.
    batch_size
        The largest; smaller batches are filled up with repeats.
    """

    def __init__(
        self,
        worlds: Sequence[Task],
        batch_size: int,
        fresh_noise: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(worlds, batch_size, fresh_noise, dtype, device)
        inputs, outputs = worlds[0].sizes(worlds[0].values)
        self._sizes = [integer(world.values[BATCH]) for world in worlds]
        self._own_steps = [block_steps(size * (inputs + 2 * outputs)) for size in self._sizes]
        self._held: dict[int, tuple[int, tuple[Tensor, Tensor, Tensor]]] = {}

    def _draw_one(self, index: int, block: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """The steps of a block, cut out of the block of the world's own, which is no shorter."""
        size, own_steps = self._sizes[index], self._own_steps[index]
        own_block, offset = divmod(block * steps, own_steps)
        held = self._held.get(index)
        if held is None or held[0] != own_block:
            held = (own_block, self._samples_of(index, own_block, own_steps, size))
            self._held[index] = held
        filled = torch.arange(self.batch_size) % size
        x, y, noise = (
            part.reshape(own_steps, size, -1)[offset : offset + steps, filled].flatten(0, 1)
            for part in held[1]
        )
        return x, y, noise
