"""Write what analysis/neuron-count.ipynb reads: small tables of each grid that was launched and extended.

usage: python jobs/neuron-count/tables.py [SWEEPS [TABLES]]

SWEEPS (default: sweeps) holds the sweeps of the grids beside this file; what is not there is left as it is.
TABLES (default: analysis/neuron-count) gets the trials of each and their numbers of neurons by the largest
gap; of relu also the exact optima of its data, which take up to half an hour the first time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import phasediag
from phasediag.calibration.relu_counts import relu_optima, squares_of
from phasediag.theory.gaps import gap_counts

ROOT = Path(__file__).parents[2]
GRIDS = ("relu", "field", "wide-teacher", "controls", "noise")
COUNTED = ("contributions", "directions", "classes")
"""The observables whose distances have gaps; those that a sweep has not are left out."""
LEFT_OUT = ("wall_s", "device", "host", "started_at", "pack_id")
"""Columns that say when and where a network was trained, and nothing of it."""


def write(sweep: Path, tables: Path, name: str) -> None:
    """The tables of one grid."""
    trials = phasediag.load_trials(sweep).drop(columns=list(LEFT_OUT), errors="ignore")
    trials.attrs = {}

    rows = phasediag.load_measurements(sweep, layer="hidden.1", last=True)

    def measured(observable: str) -> pd.DataFrame:
        return rows[rows["observable"] == observable]

    numbers = [
        gap_counts(trials, measured(observable)).assign(observable=observable)
        for observable in COUNTED
        if len(measured(observable))
    ]
    pd.concat(numbers).to_parquet(tables / f"{name}-numbers.parquet", index=False, compression="zstd")
    if name == "relu":
        trials["squares"] = trials["trial_id"].map(squares_of(measured("sign_flip")))
        optima = tables / "relu-optima.parquet"
        if not optima.exists():
            relu_optima(trials, notify=print).to_parquet(optima, index=False)
    trials.to_parquet(tables / f"{name}-trials.parquet", index=False, compression="zstd")


def main(sweeps: Path, tables: Path) -> None:
    """The tables of all grids whose sweeps are there."""
    tables.mkdir(parents=True, exist_ok=True)
    for name in GRIDS:
        sweep = sweeps / f"neuron-count-{name}"
        if sweep.exists():
            write(sweep, tables, name)
        print(f"{name}: {'written' if sweep.exists() else 'no sweep'}")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(*given, *(Path("sweeps"), ROOT / "analysis" / "neuron-count")[len(given) :])
