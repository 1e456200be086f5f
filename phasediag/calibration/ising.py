"""The two-dimensional Ising model: a critical point and exponents that finite-size scaling has to find.

Nothing is trained: what is calibrated is `fit_collapse` and `distributions`, on data of which all is known.
K_c = ln(1 + sqrt 2) / 2 (L. Onsager, Phys. Rev. 65, 117, 1944), 1/nu = 1, beta/nu = 1/8, gamma/nu = 7/4.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag.analysis.distributions import distributions
from phasediag.analysis.finite_size import SizeCollapse, fit_collapse
from phasediag.arrays import FloatArray
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.reading import TOLERANCE, Reading
from phasediag.errors import PhasediagError
from phasediag.native.building import given_up, library, suits
from phasediag.native.lowering import UnsupportedError

CRITICAL: Final = float(np.log1p(np.sqrt(2)) / 2)
EXPONENTS: Final = {"x_exponent": 1.0, "magnetization": -1 / 8, "susceptibility": 7 / 4}
OMEGA: Final = 7 / 4
"""The exponent of the corrections: beside the singular part of the susceptibility there is a constant."""
LENGTHS: Final = (16, 24, 32, 48, 64)
COUPLINGS: Final = tuple(np.linspace(0.414, 0.472, 9).tolist())
CLOSE: Final = tuple(np.linspace(0.430, 0.453, 9).tolist())
"""Couplings near enough to each other for cumulants to be interpolated."""
REPLICATES: Final = 10
SAMPLES: Final = 1600
"""Samples of a chain, quick or not: half of them give exponents whose intervals are too wide."""
SOURCE: Final = Path(__file__).with_name("wolff.cpp")
_WARM: Final = 20.0
"""Times that all spins are turned before the first sample."""


def possible() -> bool:
    """Whether the simulation can be compiled here."""
    return suits()


@cache
def _program() -> Any:
    """The compiled simulation.

    Raises
    ------
    PhasediagError
        Where there is no compiler that makes programs for this machine.
    """
    try:
        if not suits():
            raise UnsupportedError(given_up() or "its processor has no AVX2")
        program = library(SOURCE.read_text(encoding="utf-8")).magnetisations
    except UnsupportedError as error:
        raise PhasediagError(
            f"the Ising model is simulated by a compiled program, and none can be made here: {error}; "
            "install a C++ compiler (c++, or the one that $CXX names), or choose results with --only"
        ) from error
    program.restype = None
    program.argtypes = [
        ctypes.c_int, ctypes.c_double, ctypes.c_uint64, ctypes.c_double, ctypes.c_double, ctypes.c_int64,
        ctypes.c_void_p,
    ]  # fmt: skip
    return program


def chain(length: int, coupling: float, seed: Sequence[int], samples: int, apart: float = 1.0) -> FloatArray:
    """Magnetisations per site of one Markov chain of Wolff's clusters, shape (samples,).

    Parameters
    ----------
    length
        Of the lattice, with periodic boundaries.
    coupling
        K = J / kT.
    seed
        Of the chain: others give independent ones.
    apart
        How many times as many spins as there are sites are turned between two samples, on average.
    """
    out = np.empty(samples, dtype=np.float64)
    (start,) = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)
    _program()(length, coupling, int(start), _WARM, apart, samples, out.ctypes.data)
    return out


def moments(samples: FloatArray) -> FloatArray:
    """Means of |m|, m^2 and m^4 of a chain, shape (3,)."""
    return np.array([np.abs(samples).mean(), (samples**2).mean(), (samples**4).mean()])


def as_trials(means: FloatArray) -> pd.DataFrame:
    """One row a length, coupling and replicate, with what is scaled.

    Parameters
    ----------
    means
        `moments` of each, shape (lengths, couplings, replicates, 3).
    """
    shape = means.shape[:-1]
    index = pd.MultiIndex.from_product(
        [LENGTHS, COUPLINGS, range(shape[2])], names=["length", "coupling", "replicate"]
    )
    first, second, fourth = means.reshape(-1, 3).T
    frame = index.to_frame(index=False)
    return frame.assign(
        magnetization=first, susceptibility=frame["length"] ** 2 * (second - first**2),
        binder=1 - fourth / (3 * second**2), status="ok", converged=True,
    )  # fmt: skip


def simulated(samples: int, seed: int = 0, replicates: int = REPLICATES) -> FloatArray:
    """Moments of independent chains, shape (lengths, couplings, replicates, 3)."""
    made = [
        moments(chain(length, coupling, (seed, length, at, replicate), samples))
        for length in LENGTHS for at, coupling in enumerate(COUPLINGS) for replicate in range(replicates)
    ]  # fmt: skip
    return np.reshape(made, (len(LENGTHS), len(COUPLINGS), replicates, 3))


def collapses(trials: pd.DataFrame, resamples: int = 200) -> dict[str, SizeCollapse]:
    """The collapse of the magnetisation and of the susceptibility, by name."""
    return {
        y: fit_collapse(trials, "coupling", y, "length", "critical", resamples=resamples, omega=OMEGA)
        for y in ("magnetization", "susceptibility")
    }


def crossing(samples: int, seed: int = 1) -> Reading:
    """K_c where the Binder cumulants of two lengths cross: no exponent has to be known."""
    lengths = LENGTHS[2::2]
    parts = [
        pd.DataFrame({
            "length": length, "coupling": coupling, "replicate": replicate,
            "m": chain(length, coupling, (seed, length, at, replicate), samples),
        })
        for length in lengths for at, coupling in enumerate(CLOSE) for replicate in range(REPLICATES)
    ]  # fmt: skip
    made = distributions(pd.concat(parts, ignore_index=True), "coupling", "m", "length")
    position, low, high = made.crossings[["position", "low", "high"]].to_numpy()[0].tolist()
    return Reading(
        result="Ising", quantity=f"K_c by the Binder cumulants of lengths {lengths[0]} and {lengths[1]}",
        exact=CRITICAL, measured=position, low=low, high=high, tolerance=TOLERANCE, kind="value",
    )  # fmt: skip


def finite_size(instrument: Instrument, quick: bool) -> list[Reading]:
    """The critical point and the exponents of both collapses; the instrument trains nothing here."""
    readings = [crossing(200 if quick else 400)]
    for y, made in collapses(as_trials(simulated(SAMPLES))).items():
        own = "-beta/nu" if y == "magnetization" else "gamma/nu"
        for name, words, exact, tolerance in (
            ("critical", "K_c", CRITICAL, TOLERANCE), ("x_exponent", "1/nu", EXPONENTS["x_exponent"], 0.15),
            ("y_exponent", own, EXPONENTS[y], 0.4 if y == "magnetization" else 0.08),
        ):  # fmt: skip
            value, low, high = made.parameters.loc[[name], ["value", "low", "high"]].to_numpy()[0].tolist()
            readings.append(
                Reading(
                    result="Ising", quantity=f"{words} by the collapse of the {y}", exact=exact,
                    measured=value, low=low, high=high, tolerance=tolerance, kind="value",
                )
            )  # fmt: skip
    return readings
