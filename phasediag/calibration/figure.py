"""Measured over exact, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from phasediag.calibration.reading import Reading
from phasediag.figures.style import Figure

PASSED: Final = "#0072b2"
FAILED: Final = "#d55e00"


def draw_calibration(readings: Sequence[Reading]) -> Figure:
    """One row a reading: the ratio of measured to exact, its 95 % interval and the tolerance.

    A ratio beyond twice the largest tolerance stands at the edge, with its number.
    """
    figure = Figure(figsize=(7.0, 1.0 + 0.19 * len(readings)), layout="constrained")
    ax = figure.add_subplot()
    reach = 2 * max(reading.tolerance for reading in readings)
    for row, reading in enumerate(readings):
        colour = FAILED if reading.fault else PASSED
        ax.barh(row, 2 * reading.tolerance, left=1 - reading.tolerance, height=0.8, color="#e8e8e8", zorder=0)
        ratio, low, high = (
            x / (reading.exact or float("nan")) for x in (reading.measured, reading.low, reading.high)
        )
        if not np.isfinite(ratio) or abs(ratio - 1) > reach:
            text = "not found" if not np.isfinite(ratio) else f"{ratio:.3g}"
            below = ratio < 1
            ax.text(1 - reach if below else 1 + reach, row, f"◂ {text}" if below else f"{text} ▸",
                    ha="left" if below else "right", va="center", color=colour, fontsize=6.5)  # fmt: skip
            continue
        ax.plot([low, high], [row, row], color=colour, linewidth=1.2)
        ax.plot(ratio, row, color=colour, marker="o" if not reading.fault else "X", markersize=3.5)
    ax.axvline(1, color="black", linewidth=0.7, zorder=1)
    names = [f"{reading.result}  {reading.quantity}" for reading in readings]
    ax.set_yticks(range(len(readings)), names, fontsize=6)
    ax.set(xlim=(1 - reach, 1 + reach), ylim=(len(readings) - 0.4, -0.6))
    ax.set_xlabel("measured / exact, with 95 % interval; grey: tolerance, cross: failed", fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure
