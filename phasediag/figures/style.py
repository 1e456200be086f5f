"""One look for all figures, readable without colour, and how they are written.

Figures are made without pyplot, so none is shown or kept alive behind the caller's back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any, Final, Literal

import numpy as np
from matplotlib import RcParams, colormaps, rc_context, rc_params_from_file
from matplotlib.artist import Artist
from matplotlib.axes import Axes as Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    Locator,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from phasediag.analysis.labels import shown
from phasediag.analysis.scale import Scale
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

COLUMN_WIDTH: Final = 3.5
"""Inches: one column of a journal."""
INK: Final = "black"
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
UNCONVERGED: Final[dict[str, Any]] = {
    "marker": "o", "markerfacecolor": "white", "linestyle": "", "markersize": 3.5,
}  # fmt: skip
"""How unconverged cells look on curves: points whose inside is white."""
FRONT: Final[dict[str, Any]] = {"color": INK, "linewidth": 1.0, "linestyle": (0, (2.5, 1.5))}
"""How boundaries beside unconverged cells look."""
DASHES: Final[tuple[Any, ...]] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
_SHEET: Final = Path(__file__).with_name("phasediag.mplstyle")
_LETTER: Final = 0.078
"""Inches that a letter of a label takes, at most on average."""
_TALL: Final = 0.6
"""Inches of a legend beyond which its figure grows, so that the Axes do not shrink."""
_TICK_LETTER: Final = 0.07
"""Inches that a letter of a tick's number takes."""
_SHADES: Final = (0.0, 0.82)
"""The part of viridis that stands out from white paper."""


@cache
def _sheet() -> RcParams:
    """The settings of the style sheet alone."""
    return rc_params_from_file(_SHEET, use_default_template=False)


@contextmanager
def style(**more: str) -> Iterator[None]:
    """The look of every figure that is drawn inside; `more` are settings of matplotlib, `_` for a dot."""
    settings: dict[Any, Any] = {name.replace("_", "."): value for name, value in more.items()}
    with rc_context({**_sheet(), **settings}):
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
        with style():
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
    return _content(drawing, "svg", dpi=150, fonts="path")


def _content(drawing: Axes | Figure, kind: Literal["png", "svg"], dpi: int, fonts: str = "none") -> bytes:
    content = BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    with style(svg_fonttype=fonts, svg_hashsalt="phasediag"):
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


def palette(count: int) -> list[str]:
    """So many colours of the map of diagrams as a web page writes them, dark to light."""
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0, 1, count))]


def legend(
    ax: Axes, own_figure: bool, handles: Sequence[Artist], size: str = "small", title: str = "",
    columns: int = 2,
) -> float:  # fmt: skip
    """Above the figure, or above the Axes in a figure of the caller's, in as many columns as fit.

    Returns
    -------
    Its height in inches: what panels lose where the figure must not grow.
    """
    if not handles and not title:
        return 0.0
    figure = figure_of(ax)
    look: dict[str, Any] = {
        "handles": handles, "frameon": False, "fontsize": size, "columnspacing": 1.2, "handlelength": 1.8,
        "title": title, "title_fontsize": size, "alignment": "left",
    }  # fmt: skip
    if own_figure:
        look |= {"loc": "outside upper left"}
    else:
        look |= {"fontsize": "x-small", "loc": "lower left", "bbox_to_anchor": (0, 1.01)}
        look["borderaxespad"] = 0.2
    room = 0.96 * figure.bbox.width
    if not own_figure:
        room = min(1.2 * ax.bbox.width, room - 0.7 * figure.dpi)
    for count in range(columns, 0, -1):
        drawn = (figure if own_figure else ax).legend(ncols=count, **look)
        extent = drawn.get_window_extent()
        if count == 1 or extent.width <= room:
            break
        drawn.remove()
    if own_figure:
        figure.set_figheight(figure.get_figheight() + max(0, extent.height / figure.dpi - _TALL))
    return float(extent.height / figure.dpi)


def caveat(ax: Axes, text: str) -> str:
    """Break a caveat into lines as wide as the figure of some Axes; an empty one stays empty."""
    return wrapped(text, 1.1 * figure_of(ax).get_figwidth()) if text else ""


def name_axes(ax: Axes, x: str, y: str, taken: float = 0.0) -> None:
    """Label both axes, in several lines where one is longer than the axis.

    Parameters
    ----------
    taken
        Inches of its height that the Axes will yield to a legend.
    """
    width, height = inches(ax)
    ax.set(xlabel=wrapped(x, 1.05 * width), ylabel=wrapped(y, height - taken))


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of Axes, as they stand before a layout is made."""
    dpi = figure_of(ax).dpi
    return ax.bbox.width / dpi, ax.bbox.height / dpi


def wrapped(text: str, room: float) -> str:
    """A label in lines of some inches; formulas stay whole."""
    return text if "$" in text else fill(text, max(10, int(room / _LETTER)), break_on_hyphens=False)


def set_scale(
    setter: Callable[..., None], axis: Axis, scale: Scale, values: FloatArray, taken: float = 0.0
) -> None:
    """Scale an axis that shows `values` (ascending), with numbers at few ticks.

    Numbers are plain, or powers of ten on an axis that has very small or very large ones. `taken` are the
    inches of its width that the Axes will yield to a colour bar.
    """
    if not scale.ordered:
        _name_categories(setter, axis, scale, taken)
        return
    setter(scale.kind, **({"linear_width": scale.width} if scale.kind == "asinh" else {}))
    sizes = np.abs(values[values != 0])
    powers = scale.kind != "linear" and (sizes.min() < 1e-4 * (1 - 1e-9) or sizes.max() > 1e5)
    letters = 4 if powers else _letters(values, sizes, scale)
    room = inches(axis.axes)[0] - taken
    most = room / (_TICK_LETTER * (letters + 1.5)) if isinstance(axis, XAxis) else 9.0
    if scale.kind == "log":
        axis.set_major_locator(_log_locator(values, most))
        axis.set_minor_formatter(NullFormatter())
    elif scale.kind == "asinh":
        positive = values[values > 0]
        exponents = np.arange(np.floor(np.log10(positive[-1])), np.log10(2 * positive[0]), -1)
        step = int(np.ceil((len(exponents) + 1) / most)) or 1
        axis.set_major_locator(
            FixedLocator([0, *(10.0 ** exponents[::step] if len(exponents) else positive[-1:])])
        )
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(_even_locator(most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value) if powers else _plain(value)))


def _name_categories(setter: Callable[..., None], axis: Axis, scale: Scale, taken: float) -> None:
    """A tick for each category with its name, upright where the names have no room side by side."""
    setter("linear")
    names = [shown(value) for value in scale.names]
    axis.set_major_locator(FixedLocator(list(range(len(names)))))
    axis.set_major_formatter(FixedFormatter(names))
    axis.set_minor_locator(NullLocator())
    room = (inches(axis.axes)[0] - taken) / len(names)
    if isinstance(axis, XAxis) and _TICK_LETTER * (max(map(len, names)) + 1) > room:
        axis.set_tick_params(labelrotation=90)


def _letters(values: FloatArray, sizes: FloatArray, scale: Scale) -> int:
    """How long the plain numbers at the ticks get."""
    if scale.kind == "linear":
        step = (values[-1] - values[0] or sizes.max()) / 6
        return len(f"{sizes.max():.{max(0, int(np.ceil(-np.log10(step))))}f}")
    return max(len(_plain(10 ** np.floor(np.log10(size)))) for size in (sizes.min(), sizes.max()))


def _log_locator(values: FloatArray, most: float) -> Locator:
    """Ticks of a logarithmic axis that shows cells around `values`: at most about `most`, at least two."""
    decades = float(np.log10(values[-1] / values[0])) * len(values) / max(len(values) - 1, 1)
    if decades < 0.5:
        return _even_locator(most)
    for subs, upto in (((1, 2, 5), 1.0), ((1, 3), 1.75)):
        if decades < upto and len(subs) * decades + 1 <= most:
            return LogLocator(subs=subs)
    return LogLocator(subs=(1,), numticks=max(3, int(min(most, 9)) + 1))


def _even_locator(most: float) -> Locator:
    return MaxNLocator(max(2, min(6, int(most))), steps=[1, 2, 5, 10])


def _plain(value: float) -> str:
    """Digits; a power of ten only where those would be many."""
    if value and not 1e-4 * (1 - 1e-9) <= abs(value) < 1e7:
        return _power(value)
    return f"{value:.7g}".replace("-", "\N{MINUS SIGN}")


def _power(value: float) -> str:
    if not value:
        return "0"
    factor, exponent = f"{value:.3e}".split("e")
    times = "" if float(factor) == 1 else rf"{float(factor):g}\times"
    return rf"${times}10^{{{int(exponent)}}}$"
