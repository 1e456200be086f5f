"""An observable of your own, written for one network; what `network` holds: docs/own-observable.md."""

import torch

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable


class Participation(NumberObservable):
    """The share of neurons that carry the layer: (sum |v|^2)^2 / (width * sum |v|^4)."""

    columns = (
        Column(
            name="participation",
            meaning="Share of neurons that carry the layer, 1/width to 1.",
            label="participation of neurons",
        ),
    )

    def measure(self, network) -> torch.Tensor:
        """One number for each of `columns`, shape (1,)."""
        square = network.raw.vectors.square().sum(dim=1)
        return (square.sum().square() / (len(square) * square.square().sum())).reshape(1)
