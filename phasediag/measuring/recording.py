"""When a tile is measured, and what is remembered of it until its rows are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasediag.arrays import FloatArray
from phasediag.grids.measure import Measure
from phasediag.measuring.block import ALWAYS_HELD, SOMETIMES_HELD, Block
from phasediag.measuring.layer_distances import Distances, Request, log_norm, measure
from phasediag.measuring.moments import Changes, CourseMoments, changes_of
from phasediag.measuring.specimens import Surroundings
from phasediag.observables.known import ALWAYS, distance_observables, observable_of
from phasediag.observables.observable import (
    DistanceObservable,
    NumberObservable,
    SpectrumObservable,
)
from phasediag.observables.threshold import living_scale
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.training.parts import Networks
from phasediag.trial import IntArray

Moment = Literal["half", "late", "last"]
"""Half, 0.9 and the end of a trial's steps."""
MOMENTS: Final[tuple[Moment, ...]] = ("half", "late", "last")
NEVER: Final = 2**62
"""Later than the last step of any trial."""


@dataclass(slots=True, kw_only=True, eq=False)
class MeasuredSoFar:
    """What was measured on a tile so far; plain arrays, so that a checkpoint can hold it."""

    blocks: list[Block] = field(default_factory=list)
    last: dict[tuple[str, str], IntArray] = field(default_factory=dict)
    """Degree of each trial at its last step, shape (trials,), by layer and observable; -1: unmeasured."""
    half: FloatArray
    """log of the layer's norm at half of each trial's steps, NaN before."""
    end: FloatArray
    """log of the layer's norm at the last step, NaN before."""
    moments: dict[tuple[Moment, str], npt.NDArray[Any]] = field(default_factory=dict)
    """The layer's distances at three moments of each trial's steps, as measured, by moment and observable,
    shape (trials, length), NaN before."""
    numbers: dict[str, FloatArray] = field(default_factory=dict)
    """By column of `trials`: the numbers of the observables of the measured layer, shape (trials,)."""
    passed: dict[str, FloatArray] = field(default_factory=dict)
    """`numbers` as they were before the last measurement of each trial: from these a longer one goes on."""

    @classmethod
    def empty(cls, trials: int) -> MeasuredSoFar:
        """A recording of a tile at step 0."""
        return cls(half=np.full(trials, np.nan), end=np.full(trials, np.nan))

    def continued(self) -> MeasuredSoFar:
        """The recording of the next stage of the same trials, with what was measured and new moments."""
        recording = MeasuredSoFar.empty(len(self.half))
        recording.blocks, recording.numbers = self.blocks, dict(self.numbers)
        return recording

    def saved(self) -> tuple[list[list[Any]], dict[str, npt.NDArray[Any]]]:
        """What a checkpoint holds: of each block what fits JSON, and all arrays, by name."""
        arrays: dict[str, npt.NDArray[Any]] = {"half": self.half, "end": self.end}
        arrays |= {f"last/{layer}/{name}": counted for (layer, name), counted in self.last.items()}
        arrays |= {f"moment/{at}/{name}": distances for (at, name), distances in self.moments.items()}
        arrays |= {f"number/{name}": numbers for name, numbers in self.numbers.items()}
        arrays |= {f"passed/{name}": numbers for name, numbers in self.passed.items()}
        headers = []
        for number, block in enumerate(self.blocks):
            headers.append([block.step, block.layer, block.observable, block.max_degree])
            parts = {name: getattr(block, name) for name in ALWAYS_HELD + SOMETIMES_HELD}
            held = {f"block/{number}/{n}": np.ascontiguousarray(a) for n, a in parts.items() if a is not None}
            arrays |= held
        return headers, arrays

    @classmethod
    def restored(
        cls, headers: Sequence[Sequence[Any]], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> MeasuredSoFar:
        """What `saved` gave, once more."""
        recording = cls(half=arrays["half"], end=arrays["end"])
        for name, array in arrays.items():
            kind, *place = name.split("/", 2)
            if kind == "last":
                recording.last[place[0], place[1]] = array
            if kind == "moment":
                recording.moments[place[0], place[1]] = array  # type: ignore[index]
            if kind == "number":
                recording.numbers[place[0]] = array
            if kind == "passed":
                recording.passed[place[0]] = array
        for number, (step, layer, observable, max_degree) in enumerate(headers):
            names = {name: f"block/{number}/{name}" for name in ALWAYS_HELD + SOMETIMES_HELD}
            held: dict[str, Any] = {name: arrays.get(place) for name, place in names.items()}
            recording.blocks.append(
                Block(step=step, layer=layer, observable=observable, max_degree=max_degree, **held)
            )
        return recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredLists:
    """One observable of one layer at the tile's present step; a diverged trial has zeros."""

    layer: str
    observable: str
    distances: npt.NDArray[Any]
    """Shape (measured, length), of the trials' dtype."""
    scale: FloatArray
    """The scale of the layer, as in `Block`, and so is the threshold."""
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
    folder
        Where files of the user's observables are.
    start
        The step of the tile at which the present stage of its ramp began, from which moments are counted.

    Attributes
    ----------
    steps
        Of each trial, those of earlier stages left out.
    """

    def __init__(
        self, plan: Measure, tile: Networks, real: int, folder: Path | None = None,
        start: int = 0,
    ) -> None:  # fmt: skip
        self.plan, self.start = plan, start
        names = {*ALWAYS, "directions", *(request.observable for request in plan.observables)}
        self.observables = {name: observable_of(name, folder or Path()) for name in names}
        self.tile = tile
        self.steps = np.array(tile.steps[:real])
        self.groups = {group.name: group for group in tile.network.groups}
        self.recording = MeasuredSoFar.empty(real)
        half, nine_tenths = self.steps // 2, np.round(0.9 * self.steps).astype(np.int64)
        self._half, self._nine_tenths = half, nine_tenths
        every = range(0, start + int(self.steps.max()) + 1, plan.every) if plan.every else ()
        moments = {0, *half.tolist(), *nine_tenths.tolist(), *self.steps.tolist()}
        self.due = np.array(sorted({*every, *(start + moment for moment in moments)}))
        self._lists: dict[tuple[bytes, Request], MeasuredLists] = {}
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
        step = self.tile.step - self.start
        self._lists.clear()
        self._pass(np.flatnonzero(self.steps == step))
        on_schedule = step == 0 or (self.plan.every is not None and self.tile.step % self.plan.every == 0)
        rows = np.flatnonzero((self.steps >= step) if on_schedule else (self.steps == step))
        if len(rows):
            self._measure(step, rows)
        layer = self.groups.get(self.plan.layer)
        if layer is None:
            return
        self._norms(self.recording.half, np.flatnonzero(self._half == step), layer)
        self._norms(self.recording.end, np.flatnonzero(self.steps == step), layer)
        requests = [Request(observable=name, layer=layer.name) for name in self.counted]
        for moment, due in zip(MOMENTS, (self._half, self._nine_tenths, self.steps), strict=True):
            rows = np.flatnonzero(due == step)
            for lists in self._distances(rows, requests) if len(rows) else ():
                shape = (len(self.steps), lists.distances.shape[1])
                nothing = np.full(shape, np.nan, dtype=lists.distances.dtype)
                self.recording.moments.setdefault((moment, lists.observable), nothing)[rows] = lists.distances
        if (self.steps == step).any():
            self.recording.blocks = [self._with_changes(block, step) for block in self.recording.blocks]

    def _pass(self, rows: IntArray) -> None:
        """Remember what of trials that end here the measurement of their last step is about to change."""
        for name, numbers in self.recording.numbers.items() if len(rows) else ():
            passed = self.recording.passed.setdefault(name, np.full(len(self.steps), np.nan))
            passed[rows] = numbers[rows]

    def _with_changes(self, block: Block, step: int) -> Block:
        """A block with how its distances moved, where it holds the last ones of the measured layer."""
        ends = block.step == self.tile.step and (self.steps[block.rows] == step).all()
        if not ends or block.layer != self.plan.layer or block.distances is None:
            return block
        changes = self._changes(block.observable, block.rows)
        if changes is None:
            return block
        return replace(block, log_change_half=changes.half, log_change_late=changes.late)

    @property
    def counted(self) -> dict[str, DistanceObservable]:
        """The observables by which convergence is judged, by name: what is counted on the measured layer."""
        asked = [request.observable for request in self._requests() if request.layer == self.plan.layer]
        observables = {name: self.observables[name] for name in asked}
        return {name: each for name, each in observables.items() if isinstance(each, DistanceObservable)}

    def moments(self) -> dict[str, CourseMoments]:
        """How the distances of the measured layer moved, by the observable; as they can be read again."""
        rows, moments = np.arange(len(self.steps)), {}
        for name in [name for moment, name in self.recording.moments if moment == "last"]:
            half, late, last = (self.recording.moments[at, name] for at in MOMENTS)
            kept = self._changes(name, rows)
            plain = CourseMoments(half=half.astype(float), late=late.astype(float), last=last.astype(float))
            moments[name] = plain if kept is None else CourseMoments.of(last, kept)
        return moments

    def _changes(self, observable: str, rows: IntArray) -> Changes | None:
        """How distances moved, of a built-in observable that is counted on the measured layer; else None."""
        if ("last", observable) not in self.recording.moments or observable not in distance_observables():
            return None
        half, late, last = (self.recording.moments[at, observable][rows] for at in MOMENTS)
        return changes_of(half, late, last)

    def _measure(self, step: int, rows: IntArray) -> None:
        finishing = self.steps[rows] == step
        train, test = self._losses(rows)
        requests = self._requests()
        layer = self.groups.get(self.plan.layer)
        if layer is not None and finishing.all():
            self._distances(rows, {*requests, *_always(layer)})
        for lists in self._distances(rows, requests):
            counted, top = self._degree(lists)
            if counted is not None:
                key = (lists.layer, lists.observable)
                last = self.recording.last.setdefault(key, np.full(len(self.steps), -1))
                last[rows[finishing]] = counted[finishing]
            if lists.layer == self.plan.layer:
                self._numbers(step, rows, finishing, lists)
            numbers = isinstance(self.observables[lists.observable], NumberObservable)
            for part, kept in self._kept(finishing):
                self.recording.blocks.append(
                    Block(
                        step=self.tile.step,
                        layer=lists.layer,
                        observable=lists.observable,
                        max_degree=top,
                        rows=rows[part],
                        degree=None if counted is None else counted[part],
                        epsilon=lists.epsilon[part],
                        scale=lists.scale[part],
                        distances=lists.distances[part] if kept or numbers else None,
                        train_loss=None if train is None else train[part],
                        test_loss=None if test is None else test[part],
                    )
                )

    def _numbers(
        self, step: int, rows: IntArray, finishing: npt.NDArray[np.bool_], lists: MeasuredLists
    ) -> None:
        """Keep the numbers of an observable for the columns of `trials`."""
        observable = self.observables[lists.observable]
        if not isinstance(observable, NumberObservable | SpectrumObservable):
            return
        besides = observable.highest if step else observable.starting
        for columns, which in ((observable.columns, finishing), (besides, rows >= 0)):
            measured = lists.distances[which if columns else slice(0)].astype(np.float64)
            numbers = np.array([observable.numbers(each) for each in measured], dtype=np.float64)
            for column, new in zip(columns, numbers.reshape(len(measured), len(columns)).T, strict=True):
                kept = self.recording.numbers.setdefault(column.name, np.full(len(self.steps), np.nan))
                kept[rows[which]] = np.fmax(kept[rows[which]], new) if columns is observable.highest else new

    def _losses(self, rows: IntArray) -> tuple[FloatArray | None, FloatArray | None]:
        if not self.plan.losses:
            return None, None
        train, test, _ = self.tile.losses()
        return train.double().cpu().numpy()[rows], test.double().cpu().numpy()[rows]

    def _kept(self, finishing: npt.NDArray[np.bool_]) -> Iterable[tuple[npt.NDArray[np.bool_], bool]]:
        """The parts of the measured trials, and whether their distances are stored."""
        kinds = {"all": (True, True), "last": (True, False), "none": (False, False)}[self.plan.distances]
        for part, kept in zip((finishing, ~finishing), kinds, strict=True):
            if part.any():
                yield part, kept

    def _requests(self) -> list[Request]:
        layer = self.groups.get(self.plan.layer)
        asked = [
            Request(observable=request.observable, layer=request.layer)
            for request in self.plan.observables
            if request.layer in self.groups
        ]
        return list(dict.fromkeys([*asked, *(_always(layer) if layer is not None else ())]))

    def _distances(self, rows: IntArray, requests: Collection[Request]) -> list[MeasuredLists]:
        trials = rows.tobytes()
        missing = [request for request in requests if (trials, request) not in self._lists]
        scales: dict[str, FloatArray] = {}
        for measured in self._measured(rows, missing) if missing else ():
            if measured.layer not in scales:
                norms = _finite(measured.norms).double().cpu().numpy()
                scales[measured.layer] = living_scale(norms)
            scale = scales[measured.layer]
            request = Request(observable=measured.observable, layer=measured.layer)
            self._lists[trials, request] = MeasuredLists(
                layer=measured.layer, observable=measured.observable, scale=scale,
                distances=self._held(measured).cpu().numpy(),
                epsilon=self.plan.threshold.at_scale(scale),
            )  # fmt: skip
        return [self._lists[trials, request] for request in requests]

    def _held(self, measured: Distances) -> Tensor:
        """Zeros in place of what a diverged trial has left of distances, which are counted."""
        counted = isinstance(self.observables[measured.observable], DistanceObservable)
        return _finite(measured.distances) if counted else measured.distances

    def _measured(self, rows: IntArray, requests: Sequence[Request]) -> list[Distances]:
        """Measure trials; those that are as they were drawn, alike, once, where weights alone are measured.

        On a GPU to look costs more.
        """
        weights, groups = self._weights(rows), tuple(self.groups.values())
        of_data = [request for request in requests if self.observables[request.observable].uses_data]
        others = [request for request in requests if request not in of_data]
        measured: list[Distances] = []
        if of_data:
            measured = measure(weights, groups, of_data, self.observables, self._surroundings(rows))
        if self.tile.step or self.tile.device.type != "cpu" or not others:
            return measured + measure(weights, groups, others, self.observables)
        first, kind = _distinct(weights)
        once = {name: weight[first] for name, weight in weights.items()}
        return measured + [
            replace(each, distances=each.distances[kind], norms=each.norms[kind])
            for each in measure(once, groups, others, self.observables)
        ]

    def _surroundings(self, rows: IntArray) -> Surroundings:
        index = torch.from_numpy(rows).to(self.tile.device)
        return Surroundings(
            network=self.tile.network, batches=self.tile.batches, world=self.tile.world[index],
            label_noise=self.tile.rates["label_noise"][index],
        )  # fmt: skip

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

    def _degree(self, lists: MeasuredLists) -> tuple[IntArray | None, int | None]:
        """What an observable counts of each trial, and the most there can be; None where nothing is."""
        observable = self.observables[lists.observable]
        if not isinstance(observable, DistanceObservable):
            return None, None
        counted = observable.count(lists.distances, lists.epsilon, self.plan.threshold.absolute)
        return counted, lists.distances.shape[1]


def _always(layer: NeuronGroup) -> list[Request]:
    """What is measured of the layer that stands for the network, whatever the grid asks for."""
    observables = (*ALWAYS, "directions") if layer.homogeneity == 1 else ALWAYS
    return [Request(observable=observable, layer=layer.name) for observable in observables]


def _distinct(weights: Mapping[str, Tensor]) -> tuple[list[int], list[int]]:
    """The first trial of each kind that differs in no bit, and the kind of each trial."""
    parts = [weight.reshape(len(weight), -1) for weight in weights.values()]
    keys = [row.tobytes() for row in torch.cat(parts, dim=1).numpy()]
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    number = {key: kind for kind, key in enumerate(first)}
    return list(first.values()), [number[key] for key in keys]


def _finite(numbers: Tensor) -> Tensor:
    """Zeros in place of what a diverged trial has left; nothing measured on it is kept."""
    return torch.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
