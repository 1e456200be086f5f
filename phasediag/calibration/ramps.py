"""Ramps against exact results: the two ends of the loop of E3, and E1 and E9, which have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from phasediag import exact
from phasediag.analysis.loops import hysteresis
from phasediag.calibration.decay import CHAIN, chains, linear_layers
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.permutation import equal_neurons
from phasediag.calibration.reading import Reading

SIGNAL, LAYERS, SHIFT = 0.8, 3, 0.05
"""With decay towards a small shift in place of the origin both states end: at the extrema of gamma(u)."""
EXACT = 0.02
"""Tolerance: a stage is 2 to 3 % of the lower end."""
CLOSED = 0.04
"""Tolerance of the ratio of two ends, each of which lies between two stages that have converged."""
LEVEL = 0.4
"""The level of the loss, between that of the learned state (below 0.2 where it ends) and of the dead one
(0.64)."""
TEACHER: Final = (1.0, 0.2)
"""The teacher of the neurons of E9."""


def walked_layers(instrument: Instrument, quick: bool) -> list[Reading]:
    """E1: layers that start at each decay, and layers that walk along it, there and back."""
    fixed = {
        "task": "linear_map", "inputs": 2, "outputs": 2, "samples": 4, "test_samples": 1,
        "singular_values": [1.0], "depth": 2, "width": 2, "activation": "linear", "init_scale": 0.5,
        "learning_rate": 0.2, "batch_size": 0, "steps": 2000,
    }  # fmt: skip
    ramp = {"from": 1.87, "to": 2.19, "stages": 17}
    return linear_layers(instrument, quick) + closed(instrument, "E1", fixed, ramp, "rank", 1.0)


def walked_neurons(instrument: Instrument, quick: bool) -> list[Reading]:
    """E9: neurons that start at each decay, and neurons that walk along it, there and back."""
    fixed = {
        "task": "hermite", "teacher_weights": list(TEACHER), "model": "hermite", "dtype": "float64",
        "width": 2, "learning_rate": 0.05, "batch_size": 0, "init_scale": 0.25, "steps": 19200,
    }  # fmt: skip
    ramp = {"from": 1.17, "to": 1.41, "stages": 17}
    threshold = exact.permutation_threshold(TEACHER, 2)
    walked = closed(instrument, "E9", fixed, ramp, "degree_normalized", threshold)
    return equal_neurons(instrument, quick) + walked


def walked_chains(instrument: Instrument, quick: bool) -> list[Reading]:
    """E3: chains that start at each decay, and chains that walk along it, there and back."""
    return chains(instrument, quick) + loop(instrument)


def closed(
    instrument: Instrument, result: str, fixed: Mapping[str, Any], ramp: Mapping[str, Any], order: str,
    gamma: float,
) -> list[Reading]:  # fmt: skip
    """A continuous transition is passed at one place on both ways: there is no loop.

    Parameters
    ----------
    fixed
        What a grid fixes.
    ramp
        `from`, `to` and `stages`, of weight decay.
    order
        The order parameter, with its own level.
    gamma
        The exact transition.
    """
    sweep = instrument.run(
        f"{result.lower()}-ramp",
        {
            "fixed": fixed, "replicates": 3, "measure": {"observables": ["rank"]},
            "ramp": {"parameter": "weight_decay", "there_and_back": True, **ramp},
        },
    )  # fmt: skip
    ends = hysteresis(sweep.trials, order).ends.set_index("way")
    readings = [
        _end(instrument, ends, way, f"gamma of the transition on a ramp's way {way}", result, gamma)
        for way in ("up", "down")
    ]
    up, down = readings
    ratio = Reading(
        result=result, quantity="end of a ramp's way up over that of its way down", exact=1.0,
        measured=up.measured / down.measured, low=up.low / down.high, high=up.high / down.low,
        tolerance=CLOSED, kind="value",
    )  # fmt: skip
    return [*readings, ratio]


def loop(instrument: Instrument) -> list[Reading]:
    """E3: up, the learned state is followed to its end, and down the dead one to its own."""
    sweep = instrument.run(
        "e3-loop",
        {
            "fixed": {
                **CHAIN, "depth": LAYERS, "signal": SIGNAL, "learning_rate": 0.05, "steps": 1500,
                "control": "syre", "syre_distribution": "constant", "syre_scale": SHIFT,
            },
            "ramp": {
                "parameter": "weight_decay", "from": 0.29, "to": 0.8, "stages": 52, "there_and_back": True,
            },
            "replicates": 3,
        },
    )  # fmt: skip
    ends = hysteresis(sweep.trials, "train_loss", LEVEL).ends.set_index("way")
    low, high = exact.shifted_chain_ends(SIGNAL, LAYERS, SHIFT)
    return [
        _end(instrument, ends, way, f"gamma where the {state} state of a ramp ends", "E3", expected)
        for way, state, expected in (("up", "learned", high), ("down", "dead", low))
    ]


def _end(
    instrument: Instrument, ends: pd.DataFrame, way: str, quantity: str, result: str, gamma: float
) -> Reading:
    """Where one way of a ramp leaves the state in which it began; `ends` has a row a way."""
    reached = ends.loc[way, ["position", "low", "high"]].to_numpy(dtype=np.float64)
    at, least, most = (instrument.gamma_of(float(end)) for end in reached)
    return Reading(
        result=result, quantity=quantity, exact=gamma, measured=at, low=least, high=most, tolerance=EXACT,
        kind="value",
    )  # fmt: skip
