"""The number of neurons of trained relu networks against that of the exact optimum: E15."""

from __future__ import annotations

from typing import Any, Final

from phasediag import exact
from phasediag.calibration.instrument import Instrument, grouped
from phasediag.calibration.reading import Reading, value
from phasediag.tasks.teacher_student import TeacherStudent
from phasediag.trial import Streams

DATA: Final[dict[str, Any]] = {
    "outputs": 1, "samples": 64, "test_samples": 1, "teacher_width": 32, "teacher_activation": "relu",
}  # fmt: skip
SHORT: Final[dict[str, Any]] = {
    "teacher_depth": 2, "teacher_scale": 1.0, "input_scale": 1.0, "label_noise": 0.0, "noise": "quenched",
}  # fmt: skip
"""The defaults of the task, which a grid leaves out."""
CASES: Final = ((1, True, 0.15, (16, 64)), (2, False, 0.15, (16, 64)), (2, False, 0.5, (16, 64)),
                (3, True, 0.3, (64, 96)))  # fmt: skip
"""Inputs, biases, weight decay and widths. At these every ray of the exact optimum is at least twice the
threshold from the others and from zero, so that the instrument has to count it."""
REACHED: Final = 1e-4
"""How far above the exact minimum, relatively, the objective of a trained network may be to be counted: all
that are so near have to count what the optimum has. At 2e-4 some still have a ray more, which is merging."""


def counts(instrument: Instrument, quick: bool) -> list[Reading]:
    """E15: trained networks of any width reach the exact optimum, and have as many directions as it has."""
    readings = []
    for inputs, bias, decay, widths in CASES[:3] if quick else CASES:
        sweep = instrument.run(
            f"e15-relu-{inputs}-{decay:g}".replace(".", "-"),
            {
                "fixed": {
                    **DATA, "task": "teacher_student", "inputs": inputs, "bias": bias, "data_seed": 0,
                    "depth": 2, "activation": "relu", "init_scale": 0.3, "learning_rate": 0.05,
                    "batch_size": 0, "steps": 60_000, "weight_decay": decay,
                },
                "axes": {"width": list(widths)},
                "replicates": 3,
                "measure": {"entropic": True},
            },
        )  # fmt: skip
        task = TeacherStudent({**DATA, **SHORT, "inputs": inputs}, Streams(seed=0, data_seed=0))
        x, y = (part.numpy() for part in task.train_set())
        optimum = exact.relu_optimum(x, y, instrument.gamma_of(decay), bias=bias)
        for width, trials in grouped(sweep.trials, "width"):
            where = f"{inputs} inputs{' and biases' * bias}, weight decay {decay:g}, width {width}"
            objective = (trials["train_loss"] + trials["decay_term"]).to_numpy()
            near = objective <= (1 + REACHED) * optimum.objective
            directions = trials["neuron_count"].to_numpy()[near] if near.any() else [float("nan")]
            readings += [
                value("E15", f"objective, {where}", optimum.objective, objective, systematic=REACHED),
                value("E15", f"directions, {where}", optimum.count, directions),
            ]
    return readings
