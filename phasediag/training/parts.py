"""The networks of a tile as they are measured: all at once, or, where their sizes differ, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from phasediag.training.data import Batches
from phasediag.training.evaluation import losses_of
from phasediag.training.network import Network
from phasediag.training.optimizers import Weights
from phasediag.training.padding import PADDING, cut
from phasediag.training.tiles import Tile
from phasediag.trial import IntArray, Trials


class Networks(Protocol):
    """Networks of one structure side by side: a tile, or a part of one."""

    @property
    def network(self) -> Network:
        """What all of them have in common."""

    @property
    def device(self) -> torch.device:
        """Where they are."""

    @property
    def trials(self) -> Trials:
        """The trials, in order."""

    @property
    def steps(self) -> Sequence[int]:
        """The steps of each trial."""

    @property
    def step(self) -> int:
        """Steps that they have gone through."""

    @property
    def world(self) -> Tensor:
        """Which world of the batches each trial lives in, shape (trials,)."""

    @property
    def rates(self) -> Mapping[str, Tensor]:
        """Constants of each trial, with a leading axis of trials."""

    @property
    def constants(self) -> Mapping[str, Tensor]:
        """What their weights follow from besides what is trained, with a leading axis of trials."""

    @property
    def batches(self) -> Batches:
        """The batches of all worlds."""

    @property
    def trained(self) -> Weights:
        """What is trained, with a leading axis of trials."""

    @property
    def weights(self) -> Weights:
        """The weights of the networks, with a leading axis of trials."""

    def losses(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Train loss, test loss and test accuracy (None without classes), each shape (trials,)."""


class TilePart:
    """The trials of a padded tile whose networks have one size, each cut out of its padding.

    Parameters
    ----------
    tile
        The whole.
    network
        Of these trials.
    rows
        Their positions in the tile.
    """

    def __init__(self, tile: Tile, network: Network, rows: IntArray) -> None:
        self.tile, self.network, self.device = tile, network, tile.device
        self.trials = tile.trials.take(rows)
        self.steps = [tile.steps[row] for row in rows.tolist()]
        self._index = torch.from_numpy(rows).to(tile.device)
        self.world = tile.world[self._index]
        rates = {name: rate for name, rate in tile.rates.items() if not name.startswith(PADDING)}
        self.rates = {name: rate[self._index] for name, rate in rates.items()}
        self.batches = tile.batches

    @property
    def constants(self) -> Mapping[str, Tensor]:
        """Constants of each trial, with a leading axis of trials; padded networks have no state besides."""
        return self.rates

    @property
    def step(self) -> int:
        """Steps that the tile has gone through."""
        return self.tile.step

    @property
    def trained(self) -> Weights:
        """What is trained, with a leading axis of trials."""
        chosen = {name: tensor[self._index] for name, tensor in self.tile.trained.items()}
        return cut(chosen, self.network.shapes)

    @property
    def weights(self) -> Weights:
        """The weights of the networks; there is no control where networks are padded."""
        return self.trained

    def losses(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Train loss, test loss and test accuracy (None without classes), each shape (trials,)."""
        return losses_of(self.network, self.weights, self.rates["label_noise"], self.world, self.batches)


def parts_of(tile: Tile, real: int) -> list[tuple[IntArray, Networks]]:
    """The first `real` trials of a tile by structure: their positions, and their networks.

    A tile without padded networks is one part, itself, with all that follows these trials.
    """
    rows: dict[int, list[int]] = {}
    for row, network in enumerate(tile.own[:real]):
        rows.setdefault(id(network), []).append(row)
    if list(rows) == [id(tile.network)]:
        return [(np.arange(real), tile)]
    members = [np.array(of_one) for of_one in rows.values()]
    return [(of_one, TilePart(tile, tile.own[of_one[0]], of_one)) for of_one in members]
