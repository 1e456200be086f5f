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
    training_set: Callable[[], tuple[Tensor, Tensor]]
    """Inputs, and targets with their label noise."""
    probe: Callable[[], Tensor]
    layer_features: Callable[[Weights, Tensor], Tensor] | None
    """What the layer's neurons give: (samples, inputs) to (samples, ..., width), between them tokens or the
    places of an image."""
    classes: int = 0
    """How many classes the targets tell apart; 0 where they are no classes."""


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
    """The neuron vectors as the weights are, without a gauge."""
    data: Data | None
    """None where the weights alone are measured."""

    def loss(self, weights: Weights | None = None) -> Tensor:
        """The training loss: over all training samples, with its label noise and without penalty.

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
    def training_set(self) -> tuple[Tensor, Tensor]:
        """All training inputs, (samples, inputs), and their targets with label noise, (samples, outputs)."""
        return self._given.training_set()

    @property
    def classes(self) -> int:
        """How many classes the targets tell apart, each by its largest entry; 0 where they are none."""
        return self._given.classes

    @property
    def has_features(self) -> bool:
        """Whether `features` knows what the layer's neurons give."""
        return self._given.layer_features is not None

    def features(self) -> Tensor:
        """What the neurons give for the inputs of the test set, after the activation: (samples, width).

        Tokens, and places of an image, count as samples.

        Raises
        ------
        ValueError
            Where it is not known: no Linear or convolution holds the layer's outgoing weights.
        """
        given = self._of_layer(self._given.probe())
        return given.reshape(-1, given.shape[-1])

    def features_of(self, x: Tensor) -> Tensor:
        """What the neurons give for each of some inputs, (samples, inputs): (samples, places, width).

        `places` counts tokens, or the places of an image; 1 where there are none.

        Raises
        ------
        ValueError
            Where it is not known, as of `features`, or where the layer does not keep samples apart.
        """
        given = self._of_layer(x)
        if len(given) != len(x):
            raise ValueError(
                f"layer {self.group.name} is given {len(given)} rows for {len(x)} samples, so that what it "
                "gives for one of them is not known; keep the samples on axis 0"
            )
        return given.reshape(len(x), -1, given.shape[-1])

    def _of_layer(self, x: Tensor) -> Tensor:
        """What the layer gives for inputs, shape (samples, ..., width)."""
        features = self._given.layer_features
        if features is None:
            raise ValueError(
                f"the features of layer {self.group.name} are not known: no torch.nn.Linear or convolution "
                "holds its outgoing weights; name them in neuron_groups, or measure another layer"
            )
        return features(self.weights, x)

    @property
    def _given(self) -> Data:
        if self.data is None:
            raise ValueError("uses_data = False: neither loss nor features are given; leave that line out")
        return self.data
