"""The sections `measure` and `resources` of a grid: what is measured, on what it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, WithJsonSchema

from phasediag.grids.measure import DistancesKept, Measure, ObservableRequest
from phasediag.grids.nodes import FileSection
from phasediag.observables.known import ALWAYS, built_in, check_name
from phasediag.observables.threshold import Threshold
from phasediag.trial import PositiveInt

LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


def _names() -> dict[str, Any]:
    """The JSON schema of the name of an observable."""
    user = {"type": "string", "pattern": r"^.+\.py:\w+$"}
    return {"anyOf": [{"type": "string", "enum": list(built_in())}, user]}


ObservableName = Annotated[str, AfterValidator(check_name), WithJsonSchema(_names())]
"""A built-in observable, or `my_obs.py:Class`."""


class LayerObservable(FileSection):
    """An observable on a layer of its own, as written in a grid."""

    observable: ObservableName
    layer: LayerName


def _form(value: Any) -> str:
    return "mapping" if isinstance(value, dict | LayerObservable) else "name"


ObservableEntry = Annotated[
    Annotated[ObservableName, Tag("name")] | Annotated[LayerObservable, Tag("mapping")], Discriminator(_form)
]


class MeasureSection(FileSection):
    """The keys of `measure`, as written in a grid."""

    nested: ClassVar[Mapping[str, type[BaseModel]]] = {"threshold": Threshold, "observables": LayerObservable}

    observables: list[ObservableEntry] = Field(default=["permutation", "sign_flip"])
    """Names (on `layer`), `my_obs.py:Class`, or `{observable: rank, layer: hidden.2}`."""
    every: PositiveInt | None = None
    """Steps between measurements; null: at step 0 and at the last one only."""
    distances: DistancesKept = "last"
    """Which measurements' distances are stored."""
    threshold: Threshold = Threshold()
    """Below which distance two neurons count as equal."""
    layer: LayerName = "hidden.1"
    """The layer that the trial's own row tells about."""
    losses: bool = False
    """Whether train and test loss are recorded at every measurement, not only at the last step."""
    entropic: bool = False
    """Whether the gradient noise and the other terms of the entropic loss are recorded at the last step."""

    def resolve(self) -> Measure:
        """The section with its layers filled in."""
        always = [ObservableRequest(observable=name, layer=self.layer) for name in ALWAYS]
        asked = [
            ObservableRequest(observable=entry.observable, layer=entry.layer)
            if isinstance(entry, LayerObservable)
            else ObservableRequest(observable=entry, layer=self.layer)
            for entry in self.observables
        ]
        return Measure(
            observables=tuple(dict.fromkeys(always + asked)), every=self.every, distances=self.distances,
            threshold=self.threshold, layer=self.layer, entropic=self.entropic,
            losses=self.losses,
        )  # fmt: skip


class KeepSection(FileSection):
    """What is kept of trials besides their rows."""

    weights: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    """Share of the trials whose last weights are kept, with what the optimizer keeps: by a hash, so that a
    trial is among them at every length."""


class Resources(FileSection):
    """What one pack may use of a machine."""

    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Processor cores."""
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Devices; a share of one lets packs live side by side on it."""
    trials_per_pack: Literal["auto"] | PositiveInt = "auto"
    """Networks a pack trains; auto: as many as train in about a minute where they are trained."""
    workers: Literal["auto"] | PositiveInt = "auto"
    """Packs that are trained at once, at most; auto: all for which a machine has room, and of a cluster that
    grows as many as there is work for."""
    tf32: bool = False
    """Whether a device may round the factors of float32 products to TF32; recorded in `device`."""
