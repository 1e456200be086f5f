"""phasediag: phase diagrams of parameter symmetry in neural networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phasediag.errors import PhasediagError
from phasediag.version import VERSION

if TYPE_CHECKING:
    from phasediag.frames import load_measurements, load_trials
    from phasediag.phases import PhaseDiagram, phase_diagram
    from phasediag.scaling import ScalingFit, fit_scaling
    from phasediag.sweep import launch, plan, status

__version__ = VERSION

_HOMES = {
    "load_trials": "frames", "load_measurements": "frames",
    "phase_diagram": "phases", "PhaseDiagram": "phases", "fit_scaling": "scaling", "ScalingFit": "scaling",
    "launch": "sweep", "plan": "sweep", "status": "sweep",
}  # fmt: skip

__all__ = [
    "PhaseDiagram", "PhasediagError", "ScalingFit", "fit_scaling", "launch", "load_measurements",
    "load_trials", "phase_diagram", "plan", "status",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that reading results loads neither torch nor ray."""
    if name not in _HOMES:
        raise AttributeError(f"module 'phasediag' has no attribute '{name}'")
    return getattr(import_module(f"phasediag.{_HOMES[name]}"), name)
