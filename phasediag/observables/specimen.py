"""One network as an observable sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.symmetry.neurons import NeuronGroup
    from phasediag.symmetry.vectors import Neurons

    Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """What a network computes on its data; of one network, differentiable."""

    predict: Callable[[Weights, Tensor], Tensor]
    training_loss: Callable[[Weights], Tensor]
    probe: Callable[[], Tensor]
    layer_features: Callable[[Weights, Tensor], Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Specimen:
    """One trained network and the layer to be measured; tensors of one network, in the trial's dtype."""

    weights: Weights
    """All parameters of the network, and its own buffers, by name."""
    trained: tuple[str, ...]
    """Names of the parameters that are trained."""
    group: NeuronGroup
    """The layer: which parameters are its neurons'."""
    neurons: Neurons
    """The neuron vectors of the layer in the balanced gauge: `incoming`, `bias`, `outgoing`, each of shape
    (width, numbers), and `vectors`, all of them side by side."""
    raw: Neurons
    """The same as the weights are."""
    data: Data | None
    """None where the weights alone are measured."""

    def loss(self, weights: Weights | None = None) -> Tensor:
        """The training loss: over the whole training set, with its label noise and without penalty.

        Parameters
        ----------
        weights
            In place of the network's own, by name; those left out stay. It may be differentiated by them.

        Returns
        -------
        A scalar.
        """
        return self._given.training_loss({**self.weights, **(weights or {})})

    def predict(self, x: Tensor, weights: Weights | None = None) -> Tensor:
        """What the network gives for inputs: (samples, inputs) to (samples, outputs)."""
        return self._given.predict({**self.weights, **(weights or {})}, x)

    @property
    def probe(self) -> Tensor:
        """The inputs of the test set, shape (samples, inputs)."""
        return self._given.probe()

    @property
    def has_features(self) -> bool:
        """Whether `features` knows what the layer's neurons give."""
        return self._given.layer_features is not None

    def features(self) -> Tensor:
        """What the neurons give for the inputs of the test set, after the activation: (samples, width).

        Raises
        ------
        ValueError
            Where it is not known: no Linear or convolution holds the layer's outgoing weights.
        """
        features = self._given.layer_features
        if features is None:
            raise ValueError(
                f"the features of layer {self.group.name} are not known: no torch.nn.Linear or convolution "
                "holds its outgoing weights; name them in neuron_groups, or measure another layer"
            )
        return features(self.weights, self._given.probe())

    @property
    def _given(self) -> Data:
        if self.data is None:
            raise ValueError("uses_data = False: neither loss nor features are given; leave that line out")
        return self.data
