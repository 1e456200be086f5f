"""When a tile is measured, and what is remembered of it until its rows are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasediag.grids.sections import Measure
from phasediag.measuring.convergence import RELAXATIONS, log_margin, more_steps, steps_to_crossing
from phasediag.measuring.measure import Distances, Request, least_log_norm, log_norm, measure
from phasediag.observables.threshold import ALWAYS, Observable, degree, root_mean_square
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.views import width_of
from phasediag.training.parts import Networks
from phasediag.trial import IntArray

Moment = Literal["half", "late", "last"]
"""Half, 0.9 and the end of a trial's steps."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One observable of one layer at one step, for some trials of a tile or of a part of one."""

    step: int
    layer: str
    observable: Observable
    max_degree: int
    rows: IntArray
    """Positions in the tile, shape (measured,)."""
    degree: IntArray
    epsilon: FloatArray
    scale: FloatArray
    """Root mean square of the neuron norms, s of the threshold, shape (measured,)."""
    distances: npt.NDArray[Any] | None
    """Shape (measured, length), of the trials' dtype; None where they are left out."""
    train_loss: FloatArray | None = None
    """Shape (measured,); None where only the last step's is asked for."""
    test_loss: FloatArray | None = None


NEVER: Final = 2**62
"""Later than the last step of any trial."""
ALWAYS_HELD: Final = ("rows", "degree", "epsilon", "scale")
SOMETIMES_HELD: Final = ("distances", "train_loss", "test_loss")
"""The arrays of a block."""


@dataclass(slots=True, kw_only=True, eq=False)
class Recording:
    """What was measured on a tile so far; plain arrays, so that a checkpoint can hold it."""

    blocks: list[Block] = field(default_factory=list)
    last: dict[tuple[str, Observable], IntArray] = field(default_factory=dict)
    """Degree of each trial at its last step, shape (trials,), by layer and observable; -1: unmeasured."""
    half: FloatArray
    """log of the layer's norm at half of each trial's steps, NaN before."""
    end: FloatArray
    """The same at the last step."""
    nine_tenths: FloatArray
    """Normalized degree at 0.9 of each trial's steps, NaN before."""
    margins: dict[tuple[Moment, Observable], FloatArray] = field(default_factory=dict)
    """`log_margin` of the layer's distances, shape (trials, 2, length), NaN before: over the threshold, and
    over its absolute part, which layers that shrink as a whole reach first."""

    @classmethod
    def empty(cls, trials: int) -> Recording:
        """A recording of a tile at step 0."""
        return cls(
            half=np.full(trials, np.nan), end=np.full(trials, np.nan), nine_tenths=np.full(trials, np.nan)
        )

    def saved(self) -> tuple[list[list[Any]], dict[str, npt.NDArray[Any]]]:
        """What a checkpoint holds: of each block what fits JSON, and all arrays, by name."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "half": self.half,
            "end": self.end,
            "nine_tenths": self.nine_tenths,
        }
        arrays |= {f"last/{layer}/{name}": counted for (layer, name), counted in self.last.items()}
        arrays |= {f"margin/{at}/{name}": margin for (at, name), margin in self.margins.items()}
        told = []
        for number, block in enumerate(self.blocks):
            told.append([block.step, block.layer, block.observable, block.max_degree])
            parts = {name: getattr(block, name) for name in ALWAYS_HELD + SOMETIMES_HELD}
            held = {f"block/{number}/{n}": np.ascontiguousarray(a) for n, a in parts.items() if a is not None}
            arrays |= held
        return told, arrays

    @classmethod
    def restored(cls, told: Sequence[Sequence[Any]], arrays: Mapping[str, npt.NDArray[Any]]) -> Recording:
        """What `saved` gave, once more."""
        recording = cls(half=arrays["half"], end=arrays["end"], nine_tenths=arrays["nine_tenths"])
        last = [(*n.split("/")[1:], a) for n, a in arrays.items() if n.startswith("last/")]
        recording.last = {(layer, observable): counted for layer, observable, counted in last}  # type: ignore[misc]
        margins = [(*n.split("/")[1:], a) for n, a in arrays.items() if n.startswith("margin/")]
        recording.margins = {(at, observable): margin for at, observable, margin in margins}  # type: ignore[misc]
        for number, (step, layer, observable, max_degree) in enumerate(told):
            names = {name: f"block/{number}/{name}" for name in ALWAYS_HELD + SOMETIMES_HELD}
            held: dict[str, Any] = {name: arrays.get(place) for name, place in names.items()}
            recording.blocks.append(
                Block(step=step, layer=layer, observable=observable, max_degree=max_degree, **held)
            )
        return recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """One observable of one layer at the tile's present step; a diverged trial has zeros."""

    layer: str
    observable: Observable
    max_degree: int
    distances: npt.NDArray[Any]
    """Shape (measured, length), of the trials' dtype."""
    scale: FloatArray
    """As in `Block`, and so is the threshold."""
    epsilon: FloatArray


class Recorder:
    """Measures a tile at the steps where something is due.

    Parameters
    ----------
    plan
        What the grid asks for under `measure`.
    tile
        The tile; it is not trained here.
    real
        How many of its trials are no padding.
    """

    def __init__(self, plan: Measure, tile: Networks, real: int, recording: Recording | None = None) -> None:
        self.plan = plan
        self.tile = tile
        self.steps = np.array(tile.steps[:real])
        self.groups = {group.name: group for group in tile.network.groups}
        self.recording = recording or Recording.empty(real)
        half, nine_tenths = self.steps // 2, np.round(0.9 * self.steps).astype(np.int64)
        self._half, self._nine_tenths = half, nine_tenths
        every = range(0, int(self.steps.max()) + 1, plan.every) if plan.every else ()
        due = {0, *every, *half.tolist(), *nine_tenths.tolist(), *self.steps.tolist()}
        self.due = np.array(sorted(due))
        self._found: dict[tuple[bytes, Request], Found] = {}
        """By trials, at the tile's present step."""

    @property
    def started(self) -> bool:
        """Whether anything was measured yet."""
        return bool(self.recording.blocks) or not self.groups

    def next_due(self, step: int) -> int:
        """The first step from `step` on at which something is measured; `NEVER` where nothing is."""
        return int(self.due[self.due >= step].min(initial=NEVER))

    def record(self) -> None:
        """Measure what is due at the tile's present step."""
        step = self.tile.step
        self._found.clear()
        on_schedule = step == 0 or (self.plan.every is not None and step % self.plan.every == 0)
        rows = np.flatnonzero((self.steps >= step) if on_schedule else (self.steps == step))
        if len(rows):
            self._measure(step, rows)
        layer = self.groups.get(self.plan.layer)
        if layer is None:
            return
        self._norms(self.recording.half, np.flatnonzero(self._half == step), layer)
        self._norms(self.recording.end, np.flatnonzero(self.steps == step), layer)
        moments: tuple[tuple[Moment, IntArray], ...]
        moments = (("half", self._half), ("late", self._nine_tenths), ("last", self.steps))
        for moment, due in moments:
            rows = np.flatnonzero(due == step)
            if len(rows):
                self._margins(moment, rows, layer)

    def _margins(self, moment: Moment, rows: IntArray, layer: NeuronGroup) -> None:
        for found in self._distances(rows, _always(layer)):
            distances = found.distances.astype(np.float64)
            absolute = np.full(len(rows), self.plan.threshold.absolute)
            shape = (len(self.steps), 2, distances.shape[1])
            kept = self.recording.margins.setdefault((moment, found.observable), np.full(shape, np.nan))
            kept[rows, 0] = log_margin(distances, found.epsilon)
            kept[rows, 1] = log_margin(distances, absolute)
            if moment == "late" and found.observable == "permutation":
                self.recording.nine_tenths[rows] = _normalized(self._degree(found), found.max_degree)

    def _measure(self, step: int, rows: IntArray) -> None:
        finishing = self.steps[rows] == step
        train, test = self._losses(rows)
        requests = self._requests()
        layer = self.groups.get(self.plan.layer)
        if layer is not None and finishing.all():
            self._distances(rows, {*requests, *_always(layer)})
        for found in self._distances(rows, requests):
            key = (found.layer, found.observable)
            counted = self._degree(found)
            last = self.recording.last.setdefault(key, np.full(len(self.steps), -1))
            last[rows[finishing]] = counted[finishing]
            for part, kept in self._kept(finishing):
                self.recording.blocks.append(
                    Block(
                        step=step,
                        layer=found.layer,
                        observable=found.observable,
                        max_degree=found.max_degree,
                        rows=rows[part],
                        degree=counted[part],
                        epsilon=found.epsilon[part],
                        scale=found.scale[part],
                        distances=found.distances[part] if kept else None,
                        train_loss=None if train is None else train[part],
                        test_loss=None if test is None else test[part],
                    )
                )

    def _losses(self, rows: IntArray) -> tuple[FloatArray | None, FloatArray | None]:
        if not self.plan.losses:
            return None, None
        train, test, _ = self.tile.losses()
        return train.double().cpu().numpy()[rows], test.double().cpu().numpy()[rows]

    def _kept(self, finishing: npt.NDArray[np.bool_]) -> Iterable[tuple[npt.NDArray[np.bool_], bool]]:
        """The parts of the measured trials, and whether their distances are stored."""
        if self.plan.distances != "last":
            yield np.ones_like(finishing), self.plan.distances == "all"
            return
        if finishing.any():
            yield finishing, True
        if not finishing.all():
            yield ~finishing, False

    def _requests(self) -> list[Request]:
        return [
            Request(observable=request.observable, layer=request.layer)
            for request in self.plan.observables
            if request.layer in self.groups
        ]

    def _distances(self, rows: IntArray, requests: Collection[Request]) -> list[Found]:
        trials = rows.tobytes()
        missing = [request for request in requests if (trials, request) not in self._found]
        scales: dict[str, FloatArray] = {}
        for measured in self._measured(rows, missing) if missing else ():
            if measured.layer not in scales:
                norms = _finite(measured.norms).double().cpu().numpy()
                scales[measured.layer] = root_mean_square(norms)
            scale = scales[measured.layer]
            request = Request(observable=measured.observable, layer=measured.layer)
            self._found[trials, request] = Found(
                layer=measured.layer, observable=measured.observable, max_degree=measured.max_degree,
                distances=_finite(measured.distances).cpu().numpy(), scale=scale,
                epsilon=self.plan.threshold.at_scale(scale),
            )  # fmt: skip
        return [self._found[trials, request] for request in requests]

    def _measured(self, rows: IntArray, requests: Sequence[Request]) -> list[Distances]:
        """Trials that are still as they were drawn, alike, are measured once; on a GPU to look costs more."""
        weights, groups = self._weights(rows), tuple(self.groups.values())
        if self.tile.step or self.tile.device.type != "cpu":
            return measure(weights, groups, requests)
        first, kind = _distinct(weights)
        found = measure({name: weight[first] for name, weight in weights.items()}, groups, requests)
        return [replace(each, distances=each.distances[kind], norms=each.norms[kind]) for each in found]

    def _norms(self, into: FloatArray, rows: IntArray, layer: NeuronGroup) -> None:
        if len(rows):
            weights = self._weights(rows)
            of_layer = {name: _finite(weights[name]) for name in layer.parameters}
            into[rows] = log_norm(of_layer, layer).double().cpu().numpy()

    def _weights(self, rows: IntArray) -> Mapping[str, Tensor]:
        weights = self.tile.weights
        if len(rows) == len(next(iter(weights.values()))):
            return weights
        index = torch.from_numpy(rows).to(self.tile.device)
        return {name: weight.index_select(0, index) for name, weight in weights.items()}

    def _degree(self, found: Found) -> IntArray:
        absolute = self.plan.threshold.absolute
        return degree(found.observable, found.distances, found.epsilon, absolute)


def _always(layer: NeuronGroup) -> list[Request]:
    """What is measured of the layer that stands for the network, whatever the grid asks for."""
    return [Request(observable=observable, layer=layer.name) for observable in ALWAYS]


def _distinct(weights: Mapping[str, Tensor]) -> tuple[list[int], list[int]]:
    """The first trial of each kind that differs in no bit, and the kind of each trial."""
    keys = [row.tobytes() for row in torch.cat([w.flatten(1) for w in weights.values()], dim=1).numpy()]
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    number = {key: kind for kind, key in enumerate(first)}
    return list(first.values()), [number[key] for key in keys]


def _finite(numbers: Tensor) -> Tensor:
    """Zeros in place of what a diverged trial has left; nothing measured on it is kept."""
    return torch.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)


def _normalized(counted: IntArray, max_degree: int) -> FloatArray:
    return counted / max_degree if max_degree else np.full(len(counted), np.nan)


def results(
    recorder: Recorder, rates: Mapping[str, FloatArray], steps_done: IntArray, layer: str
) -> dict[str, FloatArray]:
    """The measured columns of each trial of a tile, NaN where there is nothing to measure.

    Parameters
    ----------
    rates
        `learning_rate` and `weight_decay`, shape (trials,).
    steps_done
        Shape (trials,).

    Returns
    -------
    Columns of `trials` by name, float64, shape (trials,).
    """
    recording, steps = recorder.recording, recorder.steps
    group = recorder.groups.get(layer)
    count = len(steps)
    last: dict[str, FloatArray] = {}
    for observable in ("permutation", "sign_flip", "classes", "rank"):
        found = recording.last.get((layer, observable))
        last[observable] = np.full(count, np.nan) if found is None else found.astype(np.float64)
    width = float("nan") if group is None else _width(recorder, group)
    neighbours = width - 1 if width > 1 else np.nan
    normalized = last["permutation"] / neighbours
    drift = normalized - recording.nine_tenths
    relaxations = rates["learning_rate"] * rates["weight_decay"] * steps_done
    needed = np.full(count, np.nan) if group is None else _more_steps(recorder, rates, drift)
    return {
        "max_degree": np.full(count, width - 1),
        "degree_of_symmetry": last["permutation"],
        "degree_normalized": normalized,
        "neuron_count": last["classes"],
        "alive_count": width - last["sign_flip"],
        "rank": last["rank"],
        "log_rate": _log_rate(recorder, steps),
        "drift": drift,
        "relaxations": relaxations,
        "converged": np.where(np.isnan(needed), np.nan, needed == 0),
        "more_steps": needed,
    }


def _log_rate(recorder: Recorder, steps: IntArray) -> FloatArray:
    """Growth rate of the layer's norm over the second half; -inf where it was zero all along."""
    half, end = recorder.recording.half, recorder.recording.end
    gone = np.maximum(half, end) <= least_log_norm(recorder.tile.network.dtype)
    return np.where(gone, -np.inf, (end - half) / (steps - steps // 2))


def _width(recorder: Recorder, group: NeuronGroup) -> float:
    return float(width_of(group, recorder.tile.network.shapes))


def _more_steps(recorder: Recorder, rates: Mapping[str, FloatArray], drift: FloatArray) -> FloatArray:
    margins, steps = recorder.recording.margins, recorder.steps.astype(np.float64)
    waits = [
        _waits(margins["half", name], margins["late", name], margins["last", name], steps)
        for name in ALWAYS
        if ("last", name) in margins and margins["last", name].shape[2]
    ]
    speed = rates["learning_rate"] * rates["weight_decay"]
    relaxing = np.divide(RELAXATIONS, speed, out=np.zeros(len(steps)), where=speed > 0)
    return more_steps(waits, drift, steps, relaxing)


def _waits(half: FloatArray, late: FloatArray, last: FloatArray, steps: FloatArray) -> FloatArray:
    """Steps until each distance crosses its threshold, or sinks below the absolute part of it."""
    relative, absolute = (
        steps_to_crossing(half[:, part], late[:, part], last[:, part], steps) for part in (0, 1)
    )
    sinking = (last[:, 0] > 0) & (last[:, 1] > 0)
    return np.minimum(relative, np.where(sinking, absolute, np.inf))
