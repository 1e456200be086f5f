"""The transition at which neurons become equal: E9."""

from __future__ import annotations

from phasediag import exact
from phasediag.calibration.instrument import Instrument
from phasediag.calibration.reading import Reading, boundaries, value


def equal_neurons(instrument: Instrument, quick: bool) -> list[Reading]:
    """E9: neurons are equal from gamma = 2 (Q - S^2 / h) on, by the degree of permutation symmetry."""
    teacher, widths = (1.0, 0.2), (2, 3) if quick else (2, 3, 8)
    sweep = instrument.run(
        "e9-equal-neurons",
        {
            "fixed": {
                "task": "hermite", "teacher_weights": list(teacher), "model": "hermite", "dtype": "float64",
                "learning_rate": 0.08 if quick else 0.05, "batch_size": 0, "init_scale": 0.25,
                "steps": 2400 if quick else 4800,
            },
            "axes": {
                "weight_decay": {"logspace": [0.5, 4.9 if quick else 7.2], "num": 80 if quick else 180},
                "width": list(widths),
            },
            "replicates": 6,
        },
    )  # fmt: skip
    trials = sweep.trials
    readings = boundaries(
        "E9", "gamma where neurons become equal, width {}", trials,
        lambda width: exact.permutation_threshold(teacher, int(width)),
        x="gamma", y="width", order="degree_normalized", level=0.5,
    )  # fmt: skip
    pairs = trials[(trials["width"] == 2) & (trials["weight_decay"] == trials["weight_decay"].min())]
    gamma = float(pairs["gamma"].iloc[0])
    variance = sweep.last("permutation", pairs)[:, 0] ** 2 / 2
    expected = exact.permutation_variance(teacher, 2, gamma)
    name = f"sum of (w - mean)^2, width 2, gamma {gamma:.3g}"
    return [*readings, value("E9", name, expected, variance, systematic=2e-3)]
