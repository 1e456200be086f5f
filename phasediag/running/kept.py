"""What is kept of trials besides their rows: the state of their training before the last measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasediag.identity import Identity, course_ids, share_of
from phasediag.measuring.recording import Recorder
from phasediag.running.job import Job
from phasediag.storage.kept_weights import STATE, WEIGHTS_THEMSELVES, Kept, KeptGroup
from phasediag.training.network import Network
from phasediag.training.tiles import Tile
from phasediag.trial import IntArray, Trials

NUMBERS: Final = "numbers/"
"""How the names of columns begin whose observables have looked at the whole course."""


def courses_kept(trials: Trials, job: Job) -> list[str | None]:
    """The `course_id` of each trial where its weights are kept, else None.

    Which are is decided by that hash, so that a trial is among them at every length or at none.
    """
    if not job.keep:
        return [None] * len(trials)
    identity = Identity(parameters=job.parameters, sources=job.hashes)
    courses = course_ids(trials, identity, job.measure.words)
    chosen = share_of(courses, job.keep).tolist()
    return [course if kept else None for course, kept in zip(courses.tolist(), chosen, strict=True)]


def kept_of(tile: Tile, recorders: list[tuple[IntArray, Recorder]], ids: Mapping[int, str]) -> Kept:
    """What is kept of some trials of a tile that has done its steps.

    Parameters
    ----------
    recorders
        Of each part of the tile the positions of its trials, and what measures them.
    ids
        The trials to keep: their ids by their positions in the tile.
    """
    state = {STATE + name: tensor for name, tensor in tile.state.tensors().items()}
    if tile.weights is not tile.state.weights:
        state |= {WEIGHTS_THEMSELVES + name: tensor for name, tensor in tile.weights.items()}
    groups = []
    for rows, recorder in recorders:
        chosen = np.array([row for row in rows.tolist() if row in ids], dtype=np.int64)
        if not len(chosen):
            continue
        network = recorder.tile.network
        own = None if network is tile.network else network
        arrays = {name: _cut(name, tensor, chosen, own) for name, tensor in state.items()}
        position = np.searchsorted(rows, chosen)
        arrays |= {NUMBERS + name: column[position] for name, column in recorder.recording.passed.items()}
        groups.append(KeptGroup(trial_ids=tuple(ids[row] for row in chosen.tolist()), arrays=arrays))
    return Kept.joined([Kept(groups=tuple(groups))])


def _cut(name: str, tensor: Tensor, rows: IntArray, own: Network | None) -> npt.NDArray[Any]:
    """A tensor of some trials, without the padding that a smaller network has."""
    chosen: npt.NDArray[Any] = tensor[torch.from_numpy(rows).to(tensor.device)].cpu().numpy()
    if own is None or chosen.ndim == 1:
        return chosen
    shape = next(shape for each, shape in own.shapes.items() if name.endswith(f"/{each}"))
    return np.ascontiguousarray(chosen[(slice(None), *(slice(size) for size in shape))])
