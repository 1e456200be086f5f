"""The look of figures."""

from __future__ import annotations

import subprocess
import sys

import seaborn as sns
from matplotlib import rcParams

from phasediag.figures.style import style


def test_figures_look_like_seaborn_on_paper():
    wanted = {**sns.axes_style("ticks"), **sns.plotting_context("paper")}
    del wanted["image.cmap"]  # every figure names its own
    with style():
        settings = {name: rcParams[name] for name in wanted}
    for name, value in wanted.items():
        rounded = round(value, 9) if isinstance(value, float) else value
        assert settings[name] == rounded, name


def test_drawing_a_diagram_imports_no_statistics():
    """scipy.stats, which seaborn and statsmodels bring, takes longer to import than a diagram to draw."""
    code = (
        "import sys; import phasediag.figures.exact_curve, phasediag.figures.style; "
        "print({'seaborn', 'statsmodels', 'scipy.stats'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
