"""Every result has a figure: the module that it names, whose function `draw` draws it."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from phasediag.errors import AnalysisError

if TYPE_CHECKING:
    from phasediag.analysis.result import Result
    from phasediag.figures.style import Axes, Figure


def draw(result: Result, ax: Axes | None = None, **look: Any) -> Axes | Figure:
    """Draw a result; its module is imported only now, as one figure need not wait for what others import.

    Parameters
    ----------
    result
        Its `figure` names a module of this folder, which has `draw(result, ax)`.
    ax
        Where to draw; by default a new figure.
    look
        Options of the figure, where it has some.

    Raises
    ------
    AnalysisError
        Where Axes are given for what takes several panels, or options for a figure that has none.
    """
    module = import_module(f"phasediag.figures.{result.figure}")
    if look and "options" not in signature(module.draw).parameters:
        raise AnalysisError(
            f"the figure of a {type(result).__name__} has no options ({', '.join(look)}); change the Axes "
            "that plot() returns"
        )
    drawing: Axes | Figure = module.draw(result, ax, **look)
    return drawing
