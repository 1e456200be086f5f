"""What is calibrated: the path from a grid to its trials, and the faults that can be planted in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from phasediag import exact
from phasediag.analysis.frames import load_measurements, load_trials
from phasediag.arrays import FloatArray
from phasediag.errors import PhasediagError
from phasediag.observables.threshold import Threshold
from phasediag.packing.pack import CompileMode
from phasediag.sweeps.launching import ExecutorName
from phasediag.sweeps.sweep import launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A finished sweep of the calibration."""

    path: Path
    trials: pd.DataFrame
    """As `load_trials` gives them, with the column `gamma`."""

    def history(self, observable: str) -> pd.DataFrame:
        """The measurements of an observable, with `trial_id`, `step` and `distances`."""
        return load_measurements(self.path, observable)

    def last(self, observable: str, trials: pd.DataFrame | None = None) -> FloatArray:
        """The last distances of some trials, in their order; by default of all.

        Returns
        -------
        Float64, shape (trials, length); of sign_flip the norms of the neurons, of rank the singular values.
        """
        distances = load_measurements(self.path, observable, last=True).set_index("trial_id")["distances"]
        chosen = self.trials if trials is None else trials
        return np.stack(distances.loc[chosen["trial_id"]].tolist()).astype(np.float64)


def grouped(trials: pd.DataFrame, *names: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The trials of each combination of values: the value, or the tuple of values, and the rows."""
    yield from trials.groupby(list(names) if len(names) > 1 else names[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """How trials are specified and measured; the defaults are phasediag as it is.

    Any other value of the first three is a planted fault: a calibration that passes with it is worthless.
    """

    gamma_of: Callable[[float], float] = exact.gamma_of
    """What a weight decay is taken for in the exact results."""
    optimizers: Mapping[str, str] = field(default_factory=dict)
    """Optimizers that are trained in place of the ones asked for."""
    threshold_factor: float = 1.0
    """Multiplies the thresholds of the measurement."""
    folder: Path
    """Where the sweeps go."""
    executor: ExecutorName = "inline"
    compile: CompileMode = "auto"

    def run(self, name: str, grid: Mapping[str, Any]) -> Sweep:
        """Launch a grid as a user does, and read its trials.

        Parameters
        ----------
        name
            Of the sweep.
        grid
            The keys of a grid.yaml but `name`.

        Raises
        ------
        PhasediagError
            Where the launch does not end with all trials done.
        """
        fixed = dict(grid["fixed"])
        fixed["optimizer"] = self.optimizers.get(fixed.get("optimizer", "sgd"), fixed.get("optimizer", "sgd"))
        default = Threshold()
        threshold = {
            "absolute": default.absolute * self.threshold_factor,
            "relative": default.relative * self.threshold_factor,
        }
        measure = {**grid.get("measure", {}), "threshold": threshold}
        path = self.folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump({"name": name, **grid, "fixed": fixed, "measure": measure}, file)
        outcome = launch(path, str(self.folder), executor=self.executor, compile=self.compile)
        if outcome.exit_code:
            reason = outcome.first_error or outcome.drained or f"{outcome.status.missing} trials are missing"
            raise PhasediagError(f"calibration {name} did not end: {reason}; run it again to go on")
        trials = load_trials(self.folder / name)
        gamma = [self.gamma_of(decay) for decay in trials["weight_decay"]]
        return Sweep(path=self.folder / name, trials=trials.assign(gamma=gamma))


def _full_decay(weight_decay: float) -> float:
    """The planted fault: gamma without its factor of 1/2."""
    return weight_decay


FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "gamma": {"gamma_of": _full_decay},
    "optimizer": {"optimizers": {"adam": "adamw"}},
    "threshold": {"threshold_factor": 100.0},
}
"""Mistakes that a calibration must notice: a factor 2 in gamma, AdamW for Adam, thresholds times 100."""


def with_fault(instrument: Instrument, fault: str) -> Instrument:
    """An instrument with one of `FAULTS` planted in it."""
    return replace(instrument, **FAULTS[fault])
