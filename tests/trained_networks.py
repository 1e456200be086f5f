"""Single networks as an observable sees them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasediag.measuring.specimens import layer_features
from phasediag.observables.specimen import Data, Specimen
from phasediag.symmetry.geometry import Geometry
from phasediag.symmetry.vectors import Neurons


class _Plain:
    """What `layer_features` needs of a network."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def predict(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        prediction: Tensor = functional_call(self.module, dict(weights), (x,))
        return prediction


def specimen_of(
    module: nn.Module, layer: str, samples: int = 20, classes: int = 0, x: Tensor | None = None,
    y: Tensor | None = None, known: Mapping[str, Tensor] | None = None,
) -> tuple[Specimen, Tensor]:  # fmt: skip
    """A network with random weights in float64, or those `known`, and its inputs: normal, or as given."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    weights = {
        name: torch.randn(p.shape, generator=generator).double() for name, p in module.named_parameters()
    }
    weights |= {name: buffer.clone() for name, buffer in module.named_buffers()} | dict(known or {})
    group = next(g for g in module.neuron_groups if g.name == layer)  # type: ignore[union-attr]
    geometry = Geometry.of_one(weights, group)
    plain = _Plain(module)
    if x is None:
        inputs = next(p for n, p in module.named_parameters() if p.dim() >= 2).shape[1]
        length = getattr(module, "length", 1)
        x = torch.randn(samples, inputs * length, generator=generator).double()
    targets = plain.predict(weights, x) if y is None else y
    parts = (geometry.fixed.incoming[0], geometry.fixed.bias[0], geometry.fixed.outgoing[0])
    neurons = Neurons(incoming=parts[0], bias=parts[1], outgoing=parts[2], parity=geometry.fixed.parity)
    plain_parts = (geometry.raw.incoming[0], geometry.raw.bias[0], geometry.raw.outgoing[0])
    raw = Neurons(
        incoming=plain_parts[0], bias=plain_parts[1], outgoing=plain_parts[2], parity=neurons.parity
    )
    given = x
    network = Specimen(
        weights=weights, trained=tuple(dict(module.named_parameters())), group=group, neurons=neurons,
        raw=raw,
        data=Data(
            predict=plain.predict, probe=lambda: given, training_set=lambda: (given, targets),
            training_loss=lambda w: (plain.predict(w, given) - targets).square().sum(1).mean(),
            layer_features=layer_features(plain, group), classes=classes,  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    return network, x
