"""The last weights of a trial, where its sweep keeps them; read without torch."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.storage.kept_weights import read_kept
from phasediag.storage.snapshots import known_id
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import trial_named


def load_weights(sweep: str | os.PathLike[str], trial: str) -> dict[str, npt.NDArray[Any]]:
    """The weights of a trial's network at its last step, of grids with `keep: weights`.

    Parameters
    ----------
    sweep
        Folder or URI of the sweep.
    trial
        Its id, or the first digits of it.

    Returns
    -------
    Arrays by the names and of the shapes that the `state_dict` of the network has, in the trial's dtype.
    Those of a trial that diverged are as it left them.

    Raises
    ------
    PhasediagError
        Where there is no such trial, or its weights are not kept.
    StoreError
        Where there is no such sweep, or the file of the weights cannot be believed.
    """
    store = Store.at(sweep).required()
    trial_id = trial_named(store, trial)
    rows = store.trials_table(("trial_id", "pack_id", "course_id"), ordered=False)
    for row in rows.filter(pc.equal(rows["trial_id"], trial_id)).to_pylist():
        kept = read_kept(store.folder, row["pack_id"], known_id(store.folder)) if row["course_id"] else None
        weights = None if kept is None else kept.weights(trial_id)
        if weights is not None:
            return weights
    raise PhasediagError(
        f"the weights of trial {trial_id[:12]} are not kept in {store.folder.uri}; write `keep: weights` in "
        f"its grid and launch with --remeasure, or train it again: `phasediag rerun {sweep} {trial_id[:12]} "
        "--save DIR`"
    )
