"""phasediag: phase diagrams of parameter symmetry in neural networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phasediag.errors import PhasediagError
from phasediag.version import VERSION

if TYPE_CHECKING:
    from phasediag.analysis.frames import load_measurements, load_trials
    from phasediag.analysis.phases import PhaseDiagram, phase_diagram
    from phasediag.analysis.scaling import ScalingFit, fit_scaling
    from phasediag.analysis.sensitivity import threshold_sensitivity
    from phasediag.notebook import LiveDiagram
    from phasediag.sweeps.status import status
    from phasediag.sweeps.sweep import launch, plan

__version__ = VERSION

_HOMES = {
    "load_trials": "analysis.frames", "load_measurements": "analysis.frames",
    "phase_diagram": "analysis.phases", "PhaseDiagram": "analysis.phases",
    "fit_scaling": "analysis.scaling", "ScalingFit": "analysis.scaling",
    "threshold_sensitivity": "analysis.sensitivity", "LiveDiagram": "notebook",
    "launch": "sweeps.sweep", "plan": "sweeps.sweep", "status": "sweeps.status",
}  # fmt: skip

__all__ = [
    "LiveDiagram", "PhaseDiagram", "PhasediagError", "ScalingFit", "fit_scaling", "launch",
    "load_measurements", "load_trials", "phase_diagram", "plan", "status", "threshold_sensitivity",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that reading results loads neither torch nor ray."""
    if name not in _HOMES:
        raise AttributeError(f"module 'phasediag' has no attribute '{name}'")
    return getattr(import_module(f"phasediag.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names: what TAB offers."""
    return sorted([*__all__, "__version__"])
