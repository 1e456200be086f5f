"""One look for all figures, readable without colour, and how they are written.

Figures are made without pyplot, so none is shown or kept alive behind the caller's back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes as Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from phasediag.analysis.labels import label
from phasediag.analysis.scale import Scale
from phasediag.errors import AnalysisError

FloatArray = npt.NDArray[np.float64]

COLUMN_WIDTH: Final = 3.5
"""Inches: one column of a journal."""
INK: Final = "black"
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final[tuple[Any, ...]] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
_RC: Final[dict[Any, Any]] = {
    "pdf.fonttype": 42, "svg.fonttype": "none", "hatch.linewidth": 0.5,
    "figure.dpi": 150, "savefig.dpi": 300,
}  # fmt: skip
_SEABORN: Final[dict[Any, Any]] = {
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.grid": False, "axes.axisbelow": True,
    "text.color": ".15", "axes.labelcolor": ".15", "axes.edgecolor": ".15", "xtick.color": ".15",
    "ytick.color": ".15", "grid.color": ".8", "grid.linestyle": "-", "patch.edgecolor": "w",
    "patch.force_edgecolor": True, "lines.solid_capstyle": "round", "font.family": ["sans-serif"],
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "axes.spines.left": True, "axes.spines.bottom": True, "axes.spines.right": True, "axes.spines.top": True,
    "xtick.bottom": True, "ytick.left": True, "xtick.top": False, "ytick.right": False,
    "xtick.direction": "out", "ytick.direction": "out", "xtick.major.size": 4.8, "ytick.major.size": 4.8,
    "xtick.minor.size": 3.2, "ytick.minor.size": 3.2, "xtick.major.width": 1.0, "ytick.major.width": 1.0,
    "xtick.minor.width": 0.8, "ytick.minor.width": 0.8, "axes.linewidth": 1.0, "grid.linewidth": 0.8,
    "lines.linewidth": 1.2, "lines.markersize": 4.8, "patch.linewidth": 0.8, "font.size": 9.6,
    "axes.labelsize": 9.6, "axes.titlesize": 9.6, "xtick.labelsize": 8.8, "ytick.labelsize": 8.8,
    "legend.fontsize": 8.8, "legend.title_fontsize": 9.6,
}  # fmt: skip
"""seaborn's `ticks` on `paper`: importing seaborn for them takes longer than drawing a diagram."""
_SHADES: Final = (0.0, 0.82)
"""The part of viridis that stands out from white paper."""


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure that is drawn inside."""
    with rc_context(_SEABORN | _RC):
        yield


def save(drawing: Axes | Figure, path: str | Path) -> Path:
    """Write a figure; the suffix decides the format (PNG at 300 dpi, SVG, PDF and what matplotlib knows).

    Raises
    ------
    AnalysisError
        Where the format is unknown or the file cannot be written.
    """
    figure = figure_of(drawing)
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in known:
        raise AnalysisError(f"cannot write '{path}' as '{suffix}'; the suffix is one of {', '.join(known)}")
    try:
        with rc_context(_RC):
            figure.savefig(path, dpi=300)
    except OSError as error:
        raise AnalysisError(
            f"cannot write '{path}': {error.strerror or error}; choose another path"
        ) from error
    return Path(path)


def png(drawing: Axes | Figure) -> bytes:
    """The figure as a notebook shows it."""
    return _content(drawing, "png", dpi=120)


def svg(drawing: Axes | Figure) -> bytes:
    """The figure for a web page: its letters are drawn, so that no font is needed."""
    with rc_context({"svg.hashsalt": "phasediag"}):
        return _content(drawing, "svg", dpi=150, fonts="path")


def _content(drawing: Axes | Figure, kind: Literal["png", "svg"], dpi: int, fonts: str = "none") -> bytes:
    content = BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    with rc_context({**_RC, "svg.fonttype": fonts}):
        figure_of(drawing).savefig(content, dpi=dpi, format=kind, metadata=metadata)
    return content.getvalue()


def figure_of(drawing: Axes | Figure) -> Figure:
    """The figure that Axes stand in."""
    figure = drawing if isinstance(drawing, Figure) else drawing.get_figure(root=True)
    assert figure is not None
    return figure


def axes_or_new(ax: Axes | None, width: float = COLUMN_WIDTH, height: float = 3.4) -> Axes:
    """The caller's Axes, or those of a new figure of this size in inches."""
    return ax if ax is not None else Figure(figsize=(width, height), layout="constrained").add_subplot()


def halo(width: float = 2.4) -> list[AbstractPathEffect]:
    """A white rim that keeps a dark line readable on any colour."""
    return [withStroke(linewidth=width, foreground="white")]


def shades(count: int) -> list[Any]:
    """Colours that differ in lightness, dark to light."""
    palette = colormaps["viridis"]
    return [palette(value) for value in np.linspace(*_SHADES, max(count, 2))[:count]]


def legend(
    ax: Axes, own_figure: bool, handles: Sequence[Artist], size: str = "small", title: str = ""
) -> None:
    """Above the figure, or above the Axes in a figure of the caller's."""
    if not handles:
        return
    look: dict[str, Any] = {
        "handles": handles, "ncols": 4 if title else 2, "frameon": False, "fontsize": size,
        "columnspacing": 1.2, "handlelength": 1.8, "title": title, "title_fontsize": size,
        "alignment": "left",
    }  # fmt: skip
    if own_figure:
        figure_of(ax).legend(loc="outside upper left", **look)
    else:
        look["fontsize"] = "x-small"
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0.2, **look)


def named(name: str, value: Any) -> str:
    """`weight decay = 0.1`: a column and its value as a title or legend says it."""
    return f"{prose(name)} = {shown(value)}"


def prose(name: str) -> str:
    """What a sentence calls a column: its label without the unit."""
    return label(name).split(" (")[0]


def shown(value: Any) -> str:
    """A value of a column, short."""
    if value is None or value is pd.NA or value != value:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def set_scale(setter: Callable[..., None], axis: Axis, scale: Scale, values: FloatArray) -> None:
    """Scale an axis that shows `values` (ascending), with plain numbers at few ticks."""
    setter(scale.kind, **({"linear_width": scale.width} if scale.kind == "asinh" else {}))
    if scale.kind == "log":
        decades = np.log10(values[-1] / values[0])
        axis.set_major_locator(
            LogLocator(subs=(1, 2, 5) if decades < 1 else (1, 3) if decades < 1.7 else (1,))
        )
        axis.set_minor_formatter(NullFormatter())
    if scale.kind == "asinh":
        positive = values[values > 0]
        powers = 10.0 ** np.arange(np.ceil(np.log10(positive[0])), np.floor(np.log10(positive[-1])) + 1)
        axis.set_major_locator(FixedLocator([0, *powers]))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _: int) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
