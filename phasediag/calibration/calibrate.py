"""All experiments of the calibration, by the exact result that they measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final

from phasediag.calibration import control, decay, dynamics, gradient_noise, ising, ramps, relu
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.reading import Reading
from phasediag.errors import PhasediagError, nearest

Experiment = Callable[[Instrument, bool], list[Reading]]

EXPERIMENTS: Final[Mapping[str, Experiment]] = {
    "E1": ramps.walked_layers,
    "E2": decay.homogeneous_layers,
    "E3": ramps.walked_chains,
    "E4": control.introduced,
    "E5": gradient_noise.collapse,
    "E6": gradient_noise.stationary_law,
    "E7": gradient_noise.neuron,
    "E8": dynamics.balance,
    "E9": ramps.walked_neurons,
    "E10": dynamics.times,
    "E11": dynamics.stability,
    "E12": control.removed,
    "E13": decay.optimizers,
    "E14": decay.noise_modes,
    "E15": relu.counts,
    "Ising": ising.finite_size,
}
_LONGEST_FIRST: Final = ("E2", "Ising", "E6", "E13", "E1", "E9", "E5", "E7", "E15", "E3", "E4")


def calibrate(
    instrument: Instrument, *, quick: bool = False, only: Sequence[str] = (), workers: int = 1
) -> Iterator[tuple[str, list[Reading]]]:
    """Run experiments; give the readings of each as soon as it is over.

    Parameters
    ----------
    instrument
        What is calibrated.
    quick
        Shorter and coarser, with the same tolerances.
    only
        Exact results, `E1` to `E15` and `Ising`; by default all that can be run here.
    workers
        Processes that run experiments at once; 1: all of them in this one.

    Raises
    ------
    PhasediagError
        Where there is no such result, or a launch does not end.
    """
    names = _checked(only)
    if workers == 1 or len(names) == 1:
        for name in names:
            yield name, EXPERIMENTS[name](instrument, quick)
        return
    with ProcessPoolExecutor(min(workers, len(names)), mp_context=get_context("spawn")) as pool:
        order = sorted(names, key=lambda name: (*_LONGEST_FIRST, *EXPERIMENTS).index(name))
        running = {pool.submit(EXPERIMENTS[name], instrument, quick): name for name in order}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _checked(only: Sequence[str]) -> list[str]:
    for name in only:
        if name not in EXPERIMENTS:
            hint = nearest(name, EXPERIMENTS) or f"they are {', '.join(EXPERIMENTS)}"
            raise PhasediagError(f"there is no exact result '{name}'; {hint}")
    return [name for name in EXPERIMENTS if name in only or not (only or name in impossible())]


def impossible() -> Mapping[str, str]:
    """The results that cannot be measured on this machine, and why."""
    return {} if ising.possible() else {"Ising": "its simulation needs a C++ compiler and AVX2"}
