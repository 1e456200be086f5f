"""Every result has a figure: the module that it names, whose function `draw` draws it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phasediag.analysis.result import Result
    from phasediag.figures.style import Axes, Figure


def draw(result: Result, ax: Axes | None = None) -> Axes | Figure:
    """Draw a result; its module is imported only now, as one figure need not wait for what others import.

    Parameters
    ----------
    result
        Its `figure` names a module of this folder, which has `draw(result, ax)`.
    ax
        Where to draw; by default a new figure.

    Raises
    ------
    AnalysisError
        Where Axes are given for what takes several panels.
    """
    module = import_module(f"phasediag.figures.{result.figure}")
    drawing: Axes | Figure = module.draw(result, ax)
    return drawing
