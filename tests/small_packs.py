"""The packs of some trials, as equal workers would take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phasediag.packing.machine import CPU, Machine
from phasediag.packing.pack import CompileMode, Pack
from phasediag.packing.stock import Conditions, cut_trials
from phasediag.packing.trial_source import TrialSource
from phasediag.trial import Parameter


def pack_trials(
    trials: TrialSource, parameters: Mapping[str, Parameter], folder: Path, *, workers: int,
    compile_mode: CompileMode = "auto", trials_per_pack: int | None = None, machine: Machine = CPU,
) -> list[Pack]:  # fmt: skip
    """The packs with their trials, longest first."""
    conditions = Conditions(workers=workers, compile_mode=compile_mode, trials_per_pack=trials_per_pack)
    return [cut.pack() for cut in cut_trials(trials, parameters, folder, conditions, machine)]
