"""The stability of symmetric states, from single trials, against exact transitions: E1, E2 (tanh) and E9."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

import phasediag
from phasediag import exact
from phasediag.analysis.stability import stability
from phasediag.cli import main
from phasediag.errors import AnalysisError
from phasediag.figures.stability import NAME, draw_stability
from small_sweeps import launched

HERMITE = """
name: g
fixed: {task: hermite, model: hermite, teacher_weights: [1.0, 0.2], batch_size: 0, learning_rate: 0.02,
  steps: 12000, dtype: float64, init_scale: 0.5}
axes: {weight_decay: {linspace: [1.0, 2.52], num: 39}, width: [2, 3]}
measure: {observables: [escape]}
"""
LINEAR = """
name: g
fixed: {task: linear_map, inputs: 3, outputs: 2, samples: 6, test_samples: 1, singular_values: [1.0, 0.4],
  depth: 2, activation: linear, learning_rate: 0.05, batch_size: 0, steps: 20, dtype: float64}
axes: {weight_decay: {linspace: [0.5, 3.5], num: 7}, width: [2, 5]}
replicates: 3
measure: {observables: [escape]}
"""
TANH = """
name: g
fixed: {task: teacher_student, inputs: 4, outputs: 2, samples: 64, test_samples: 8, teacher_width: 3,
  activation: tanh, learning_rate: 0.05, batch_size: 0, steps: 20, dtype: float64, data_seed: 3}
axes: {weight_decay: {linspace: [0.05, 3.0], num: 9}, width: [2, 5]}
replicates: 3
measure: {observables: [escape]}
"""


def of_text(folder: Path, text: str, order: str) -> tuple[Any, Any]:
    launched(folder, text, compile="on")
    trials = phasediag.load_trials(folder / "g")
    return trials, phasediag.phase_diagram(trials, x="weight_decay", y="width", order=order)


def test_e9_is_found_without_thresholds_at_every_width(tmp_path: Path) -> None:
    """The mean weight, and with it the Hessian, has a kink at the transition: cells of 0.04 resolve it."""
    trials, diagram = of_text(tmp_path, HERMITE, "degree_normalized")
    marginal = stability(trials, diagram, "permutation").boundary.set_index("width")["position"]
    expected = [2 * exact.permutation_threshold([1.0, 0.2], width) for width in marginal.index]
    np.testing.assert_allclose(marginal, expected, rtol=0.01)
    drawing = diagram.plot()
    assert isinstance(drawing, Axes)
    draw_stability(drawing, diagram, stability(trials, diagram, "permutation"))
    assert NAME in {str(line.get_label()) for line in drawing.lines}


def test_e1_needs_no_training_at_all(tmp_path: Path) -> None:
    """After 20 steps nothing has collapsed; the origin tells gamma_c = s_1 all the same."""
    trials, diagram = of_text(tmp_path, LINEAR, "alive_count")
    marginal = stability(trials, diagram, "sign_flip").boundary["position"]
    np.testing.assert_allclose(marginal, 2.0, rtol=0.01)


def test_e2_tanh_is_the_slope_times_the_correlation(tmp_path: Path) -> None:
    """gamma_c = |E y x^T|: what the trials record as `collapse_weight_decay`, of the data alone."""
    trials, diagram = of_text(tmp_path, TANH, "alive_count")
    marginal = stability(trials, diagram, "sign_flip").boundary["position"]
    (expected,) = trials["collapse_weight_decay"].unique()
    np.testing.assert_allclose(marginal, expected, rtol=0.01)


def test_the_command_draws_and_tells_it_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, diagram = of_text(tmp_path, LINEAR, "alive_count")
    figure = tmp_path / "diagram.png"
    main(["diagram", str(tmp_path / "g"), "--x", "weight_decay", "--y", "width", "--order", "alive_count",
          "--stability", "sign_flip", "--json", "--output", str(figure)])  # fmt: skip
    answer = json.loads(capsys.readouterr().out)["stability"]
    assert [row["position"] for row in answer] == pytest.approx([2.0, 2.0], rel=0.01)
    assert figure.is_file()
    with pytest.raises(AnalysisError, match="observables: \\[escape\\]"):
        stability(trials.drop(columns="escape_sign_flip"), diagram, "sign_flip")
