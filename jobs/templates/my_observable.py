"""An observable of your own, written for one network; all that `network` holds: docs/own-observable.md."""

import torch

from phasediag.columns import Column
from phasediag.observables.observable import NumberObservable


class NeuronSize(NumberObservable):
    """The root mean square of the norms of the neurons."""

    columns = (
        Column(
            name="neuron_size",
            meaning="Root mean square of the norms of the neurons.",
            label="size of a neuron",
            below="collapsed",
            above="alive",
        ),
    )

    def measure(self, network) -> torch.Tensor:
        """One number for each of `columns`, shape (1,)."""
        return network.raw.vectors.square().sum(dim=1).mean().sqrt().reshape(1)
