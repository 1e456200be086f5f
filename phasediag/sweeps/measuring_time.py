"""What measuring takes where that is no small part of a launch: projections count steps alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from phasediag.grids.grid import Grid
from phasediag.observables._lanczos import STEPS
from phasediag.observables.known import observable_of
from phasediag.values import Value, number

PASSES: Final = 2 * STEPS
"""Gradients over the training set that an observable of second derivatives is worth, two a product."""
LEAST: Final = 0.2
"""The share of the training from which on measuring is told."""


def measuring_note(grid: Grid, records: Sequence[Mapping[str, Value]]) -> str:
    """Tell that the time of a plan leaves out what measures second derivatives; empty where that is little.

    Parameters
    ----------
    records
        A trial of each structure that is to be trained.
    """
    asked = (request.observable for request in grid.measure.observables)
    curved = [name for name in dict.fromkeys(asked) if observable_of(name, grid.folder).curved]
    if not curved:
        return ""
    times = [_times(grid.measure.every, record) for record in records]
    shares = [
        len(curved) * PASSES * count * _batches(record) / number(record["steps"])
        for count, record in zip(times, records, strict=True)
    ]
    if max(shares, default=0.0) < LEAST:
        return ""
    take = "takes" if len(curved) == 1 else "take"
    return (
        f"the time is that of training alone: {' and '.join(curved)} {take} up to {STEPS} Hessian products "
        f"over the training set at each of {max(times):,} measurements of a trial; a launch tells the time "
        "left by what it has measured"
    )


def _times(every: int | None, record: Mapping[str, Value]) -> int:
    """How often a trial is measured: at the start, at the end, and in between."""
    return 1 + (1 if every is None else ceil(number(record["steps"]) / every))


def _batches(record: Mapping[str, Value]) -> float:
    """Batches that the training set has; 1 where it is the batch, or is drawn anew."""
    samples, batch = (number(record.get(name) or 0) for name in ("samples", "batch_size"))
    return samples / batch if samples and batch else 1.0
