"""Gram matrix of the inputs, with which those of layers are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from phasediag.observables._gram import PROBES, inner_products
from phasediag.observables.observable import SpectrumObservable

if TYPE_CHECKING:
    from torch import Tensor

    from phasediag.observables.specimen import Specimen


class InputGram(SpectrumObservable):
    """x_i^T x_j of the inputs that `gram` takes, as the network sees them: the same on every layer."""

    name: ClassVar[str] = "input_gram"
    meaning: ClassVar[str] = (
        "Inner products of the inputs that `gram` takes, upper triangle; the same on every layer."
    )
    word: ClassVar[str] = "inner product"

    def measure(self, network: Specimen) -> Tensor:
        """Inner products of the inputs, shape (probes (probes + 1) / 2,), row by row."""
        return inner_products(network.probe[:PROBES])

    def numbers(self, measured: object) -> tuple[float, ...]:
        """None: a Gram matrix is compared with others."""
        del measured
        return ()
