"""Ramps against the exact ends of the loop of a chain of three layers: E3."""

from __future__ import annotations

import numpy as np

from phasediag import exact
from phasediag.analysis.loops import hysteresis
from phasediag.calibration.decay import CHAIN, chains
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.reading import Reading

SIGNAL, LAYERS, SHIFT = 0.8, 3, 0.05
"""With decay towards a small shift in place of the origin both states end: at the extrema of gamma(u)."""
EXACT = 0.02
"""Tolerance: a stage is 2 to 3 % of the lower end."""
LEVEL = 0.4
"""Of the loss, between that of the learned state (below 0.2 where it ends) and of the dead one (0.64)."""


def walked_chains(instrument: Instrument, quick: bool) -> list[Reading]:
    """E3: chains that start at each decay, and chains that walk along it, there and back."""
    return chains(instrument, quick) + loop(instrument)


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
    readings = []
    for way, state, expected in (("up", "learned", high), ("down", "dead", low)):
        reached = ends.loc[way, ["position", "low", "high"]].to_numpy(dtype=np.float64)
        at, least, most = (instrument.gamma_of(float(end)) for end in reached)
        readings.append(
            Reading(
                result="E3", quantity=f"gamma where the {state} state of a ramp ends", exact=expected,
                measured=at, low=least, high=most, tolerance=EXACT,
                kind="value",
            )
        )  # fmt: skip
    return readings
