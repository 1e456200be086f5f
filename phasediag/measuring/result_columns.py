"""The measured columns of `trials`, from what was recorded of a tile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from phasediag.arrays import FloatArray
from phasediag.measuring.judgement import Judgement, judged
from phasediag.measuring.layer_distances import least_log_norm
from phasediag.measuring.recording import MeasuredSoFar, Recorder
from phasediag.observables.known import distance_observables
from phasediag.symmetry.neurons import NeuronGroup
from phasediag.symmetry.views import width_of
from phasediag.trial import IntArray


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
    Columns of `trials` by name, float64, shape (trials,); `unsettled` as `Judgement` has it.
    """
    recording, steps = recorder.recording, recorder.steps
    group = recorder.groups.get(layer)
    count = len(steps)
    width = float("nan") if group is None else _width(recorder, group)
    neighbours = width - 1 if width > 1 else np.nan
    counts = _counts(recording, layer, count, width)
    normalized = counts["degree_of_symmetry"] / neighbours
    relaxations = rates["learning_rate"] * rates["weight_decay"] * steps_done
    judgement = Judgement.none(count) if group is None else _judgement(recorder, rates)
    return {
        "max_degree": np.full(count, width - 1),
        **counts,
        "degree_normalized": normalized,
        "log_rate": _log_rate(recorder, steps),
        "relaxations": relaxations,
        **judgement.columns(),
        **(recording.numbers if group is not None else {}),
    }


def _counts(recording: MeasuredSoFar, layer: str, trials: int, width: float) -> dict[str, FloatArray]:
    """The columns with the counts at the last step, NaN where they were not measured."""
    columns = {}
    for name, observable in sorted(distance_observables().items(), key=lambda each: each[1].supersedes):
        if observable.column:
            last = recording.last.get((layer, name))
            if last is None and observable.supersedes:
                continue
            counted = np.full(trials, np.nan) if last is None else last.astype(np.float64)
            columns[observable.column] = width - counted if observable.complement else counted
    return columns


def _log_rate(recorder: Recorder, steps: IntArray) -> FloatArray:
    """Growth rate of the layer's norm over the second half; -inf where it was zero all along."""
    half, end = recorder.recording.half, recorder.recording.end
    gone = np.maximum(half, end) <= least_log_norm(recorder.tile.network.dtype)
    return np.where(gone, -np.inf, (end - half) / (steps - steps // 2))


def _width(recorder: Recorder, group: NeuronGroup) -> float:
    return float(width_of(group, recorder.tile.network.shapes))


def _judgement(recorder: Recorder, rates: Mapping[str, FloatArray]) -> Judgement:
    """Whether the trials have converged."""
    steps, threshold = recorder.steps.astype(np.float64), recorder.plan.threshold
    absolute, relative = (np.full(len(steps), part) for part in (threshold.absolute, threshold.relative))
    speed = rates["learning_rate"] * rates["weight_decay"]
    return judged(recorder.moments(), recorder.counted, (absolute, relative), steps, speed)
