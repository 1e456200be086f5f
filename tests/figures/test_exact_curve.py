"""The exact boundary lies over the diagram where one is known, in each panel its own."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasediag.analysis.phases import phase_diagram
from phasediag.exact import permutation_threshold
from phasediag.figures.exact_curve import draw_with_exact
from phasediag.figures.style import figure_of

WEAK, STRONG = (1.0, 0.2), (2.0, 0.4)


def sweep(teachers: tuple[tuple[float, ...], ...] = (WEAK,), **changed: object) -> pd.DataFrame:
    """Networks of docs/physics.md E9 that follow it exactly, at one teacher each noise."""
    axes = [np.geomspace(0.5, 20, 16), [2, 3, 8], range(len(teachers)), range(3)]
    names = ["weight_decay", "width", "label_noise", "replicate"]
    frame = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    frame["teacher_weights"] = [teachers[number] for number in frame["label_noise"]]
    exact = [
        2 * permutation_threshold(t, w) for t, w in zip(frame["teacher_weights"], frame["width"], strict=True)
    ]
    fixed = {"task": "hermite", "model": "hermite", "optimizer": "sgd", "batch_size": 0, "status": "ok"}
    degree = (frame["weight_decay"] > exact).astype(float)
    return frame.assign(**fixed | {"converged": True, "degree_normalized": degree} | changed)


def curves(drawing: Axes | Figure) -> list[np.ndarray]:
    return [
        np.asarray(line.get_xydata())
        for ax in figure_of(drawing).axes
        for line in ax.lines
        if str(line.get_label()).startswith("exact")
    ]


def legends(drawing: Axes | Figure) -> list[str]:
    return [text.get_text() for legend in figure_of(drawing).legends for text in legend.get_texts()]


@pytest.mark.parametrize(("x", "y"), [("weight_decay", "width"), ("width", "weight_decay")])
def test_the_curve_lies_where_theory_says(x: str, y: str) -> None:
    trials = sweep()
    drawing = draw_with_exact(phase_diagram(trials, x, y), trials)
    (curve,) = curves(drawing)
    decay, width = curve.T if x == "weight_decay" else curve.T[::-1]
    np.testing.assert_allclose(decay, [2 * permutation_threshold(WEAK, w) for w in width])
    assert legends(drawing).count("exact (E9)") == 1


def test_each_panel_has_its_own_curve() -> None:
    trials = sweep((WEAK, STRONG))
    drawing = draw_with_exact(phase_diagram(trials, "weight_decay", "width", facet=["label_noise"]), trials)
    weak, strong = curves(drawing)
    np.testing.assert_allclose(strong[:, 0], 4 * weak[:, 0])
    assert legends(drawing).count("exact (E9)") == 1


def test_no_curve_where_none_is_known() -> None:
    trials = sweep(optimizer="adam")
    drawing = draw_with_exact(phase_diagram(trials, "weight_decay", "width"), trials)
    assert curves(drawing) == []
    assert not any(text.startswith("exact") for text in legends(drawing))


def test_a_line_has_no_curve() -> None:
    trials = sweep()
    drawing = draw_with_exact(phase_diagram(trials[trials["width"] == 2], "weight_decay"), trials)
    assert curves(drawing) == []
