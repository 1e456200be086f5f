"""The phase diagram: cells at their true positions, phases, the boundary and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import NullLocator

from phasediag.analysis.axes import COLLAPSE
from phasediag.analysis.diagram_words import fronts
from phasediag.analysis.labels import named
from phasediag.analysis.phases import PhaseDiagram
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError
from phasediag.figures.boundary_lines import BAND, OPEN, draw_boundary
from phasediag.figures.line import draw_line
from phasediag.figures.look import DEFAULT, Look
from phasediag.figures.mesh import Panel, edges, panel_of
from phasediag.figures.phase_names import name_regions
from phasediag.figures.style import (
    COLUMN_WIDTH,
    FRONT,
    INK,
    UNCONVERGED,
    axes_or_new,
    caveat,
    figure_of,
    halo,
    inches,
    legend,
    name_axes,
    set_scale,
    style,
    wrapped,
)

DrawnCurve = Callable[[FloatArray], npt.ArrayLike]

DIVERGED: Final = "#d55e00"
MISSING: Final = "white"
_MISSING_LINES: Final = "#8c8c8c"
_HATCHES: Final = {"unconverged": "//////", "diverged": "......", "missing": "xxxx"}
_EXACT: Final[dict[str, Any]] = {"color": "#c8102e", "linewidth": 1.3, "linestyle": (0, (4, 1.2, 1, 1.2))}
_COLLAPSE: Final[dict[str, Any]] = {"color": INK, "linewidth": 1.2, "linestyle": "--"}
_NO_SEAMS: Final[dict[str, Any]] = {"edgecolors": "face", "linewidth": 0.6}
"""Viewers of vector graphics leave hairlines between cells that only touch."""
_MOST_VECTOR_CELLS: Final = 10_000
_CURVE_POINTS: Final = 400
_WIDEST: Final = 6
"""Panels side by side at most where there are several facets, unless the last one has more values."""
_WORDED: Final = 2.2
"""Inches of width from which Axes of the caller's have room for the names of phases."""
_BAR: Final = 0.9
"""Inches that a colour bar and its label take."""


def draw(diagram: PhaseDiagram, ax: Axes | None = None, **options: Any) -> Axes | Figure:
    """Draw a diagram: in one Axes, as a Figure with a panel a facet, or without y as a curve a facet.

    Parameters
    ----------
    ax
        Where to draw; by default a new figure.
    options
        Those of `phasediag.figures.look.Look`.

    Raises
    ------
    AnalysisError
        Where Axes are given for a diagram with facets.
    """
    look = Look.of(options)
    diagram = look.scaled(look.chosen(diagram))
    if not diagram.y:
        drawing: Axes | Figure = draw_line(diagram, ax, look)
    elif diagram.facets and ax is None:
        drawing = draw_facets(diagram, look)
    else:
        drawing = draw_phase_diagram(diagram, ax, look)
    if look.size and ax is None:
        figure_of(drawing).set_size_inches(*look.size)
    return drawing


def draw_phase_diagram(diagram: PhaseDiagram, ax: Axes | None = None, look: Look = DEFAULT) -> Axes:
    """Draw a diagram without facets.

    Cells lie at their true positions. A position that a refinement did not run shows the nearest cell;
    one that was planned and is missing is crossed out. Unconverged cells are hatched, diverged ones
    dotted. Each branch of the boundary is a line, where it runs along x too; the band is its 95 % interval,
    with triangles where it is open at the edge of the grid. Beside unconverged cells the boundary is dashed,
    with hollow points and without a band: there it may be a front of training time.

    Parameters
    ----------
    ax
        Where to draw; by default a new figure of one column's width.

    Raises
    ------
    AnalysisError
        For a diagram with facets.
    """
    if diagram.facets:
        raise AnalysisError(
            f"a diagram with facets ({', '.join(diagram.facets)}) does not fit into one Axes; call plot() "
            f"without ax, or draw one panel: plot(ax, panel={{{diagram.facets[0]!r}: ...}})"
        )
    panel = panel_of(diagram, pd.Series(dtype=object))
    own = ax is None
    with style():
        ax = axes_or_new(ax, *(look.size or (COLUMN_WIDTH + 0.5, 3.7)))
        mesh = _draw_panel(ax, diagram, panel, look, lone=True)
        above = caveat(ax, look.caveat(diagram)) if own else ""
        height = legend(ax, own, _legend_handles(diagram, [panel]), title=above)
        taken = look.loses(height) if own else 0.0
        across, up, about = look.labels(diagram)
        name_axes(ax, across, up, taken)
        if look.title:
            ax.set_title(wrapped(look.title, inches(ax)[0]))
        about = wrapped(about, inches(ax)[1] - taken)
        bar = figure_of(ax).colorbar(mesh, ax=ax, label=about, extend=look.extend(diagram))
        look.mark(bar, diagram)
    return ax


def draw_facets(diagram: PhaseDiagram, look: Look = DEFAULT) -> Figure:
    """Draw one panel a facet, on equal axes and colours.

    The last facet columns run across where there are several; the panels of a single one wrap.
    """
    keys = diagram.cells[list(diagram.facets)].drop_duplicates().sort_values(list(diagram.facets))
    panels = [(panel_of(diagram, key), _title(key)) for _, key in keys.iterrows()]
    across = _across([keys[name].nunique() for name in diagram.facets], len(panels))
    down = -(-len(panels) // across)
    with style():
        figure = Figure(
            figsize=look.size or (2.2 * across + 1.1, 2.2 * down + 0.9),
            layout=ConstrainedLayoutEngine(w_pad=0.08),
        )
        axes = figure.subplots(down, across, squeeze=False)
        for place, (ax, (panel, title)) in enumerate(zip(axes.flat, panels, strict=False)):
            mesh = _draw_panel(ax, diagram, panel, look, lone=False)
            ax.set_title("\n".join(wrapped(line, 1.2 * inches(ax)[0]) for line in title), fontsize="small")
            _label_edge(ax, bottom=place >= len(panels) - across, left=place % across == 0)
        for ax in axes.flat[len(panels) :]:
            ax.remove()
        before = figure.get_figheight()
        width, height = figure.get_size_inches() - 0.7
        shown = list(axes.flat[: len(panels)])
        handles = _legend_handles(diagram, [panel for panel, _ in panels])
        above = "\n".join(filter(None, [look.title, caveat(shown[0], look.caveat(diagram))]))
        height -= look.loses(legend(shown[0], True, handles, title=above, columns=max(2 * across - 1, 2)))
        below, left, about = look.labels(diagram)
        figure.supxlabel(wrapped(below, width), fontsize="medium")
        beside = figure.supylabel(wrapped(left, height), fontsize="medium")
        bar = figure.colorbar(mesh, ax=shown, label=wrapped(about, height), extend=look.extend(diagram))
        look.mark(bar, diagram)
        beside.set_y(0.5 * before / figure.get_figheight())  # a tall legend moves the panels down
    return figure


def _label_edge(ax: Axes, *, bottom: bool, left: bool) -> None:
    """Ticks of a panel among others: labels, and minor ticks, only where it is at the edge.

    All panels show the same range, so their axes need not be shared: matplotlib would keep every pair of
    them in step, in a time that grows with the square of their number.
    """
    ax.tick_params(labelbottom=bottom, labelleft=left)
    for axis in [ax.xaxis] * (not bottom) + [ax.yaxis] * (not left):
        axis.set_minor_locator(NullLocator())


def draw_curve(
    ax: Axes, curve: DrawnCurve, along: str = "y", name: str = "exact", colour: str | None = None
) -> Line2D:
    """Lay a known boundary over a diagram, across all that the Axes show, and add it to the legend.

    Parameters
    ----------
    curve
        The boundary as a function of an array of positions; NaN where there is none.
    along
        The axis whose positions it takes: `y`, for a boundary x(y), or `x`, for y(x).
    name
        What the legend calls it.
    colour
        Of the line; None: that of exact results.

    Raises
    ------
    AnalysisError
        Where `along` is neither.
    """
    if along not in ("x", "y"):
        raise AnalysisError(f"along='{along}': a curve is given along 'x' or 'y'")
    limits = ax.get_xlim(), ax.get_ylim()
    axis = ax.yaxis if along == "y" else ax.xaxis
    transform = axis.get_transform()
    low, high = transform.transform(np.array(limits[along == "y"], dtype=np.float64))
    positions = transform.inverted().transform(np.linspace(float(low), float(high), _CURVE_POINTS))
    values = np.asarray(curve(positions), dtype=np.float64)
    points = (values, positions) if along == "y" else (positions, values)
    with style():
        look = _EXACT if colour is None else {**_EXACT, "color": colour}
        (line,) = ax.plot(*points, **look, path_effects=halo(), label=name, scalex=False, scaley=False)
        ax.set(xlim=limits[0], ylim=limits[1])
        _extend_legend(ax, line)
    return line


def _extend_legend(ax: Axes, line: Line2D) -> None:
    """Add a line to the legend of these Axes, or to that of their figure."""
    figure = figure_of(ax)
    of_figure = ax.get_legend() is None and bool(figure.legends)
    before = figure.legends[0] if of_figure else ax.get_legend()
    handles = [] if before is None else [h for h in before.legend_handles if h is not None]
    if before is not None:
        if line.get_label() in {text.get_text() for text in before.get_texts()}:
            return
        before.remove()
    legend(ax, of_figure, [*handles, line])


def _across(values: Sequence[int], count: int) -> int:
    """How many of so many panels stand side by side: all values of as many last facets as make a sheet.

    Parameters
    ----------
    values
        Of each facet column, their number.
    """
    if len(values) == 1:
        return count if count <= 3 else int(np.ceil(np.sqrt(count)))
    *others, across = values
    for further in reversed(others):
        if count < 2 * across * across or across * further > _WIDEST:
            break
        across *= further
    return across


def _title(key: pd.Series[Any]) -> list[str]:
    return [named(str(name), value) for name, value in key.items()]


def _draw_panel(ax: Axes, diagram: PhaseDiagram, panel: Panel, look: Look, *, lone: bool) -> QuadMesh:
    lines = edges(panel.x, diagram.x_scale), edges(panel.y, diagram.y_scale)
    ax.set_facecolor(MISSING)
    set_scale(ax.set_xscale, ax.xaxis, diagram.x_scale, look.seen("x", panel.x), taken=_BAR if lone else 0)
    set_scale(ax.set_yscale, ax.yaxis, diagram.y_scale, look.seen("y", panel.y))
    diverged = panel.phase == "diverged"
    many = panel.value.size > _MOST_VECTOR_CELLS
    mesh = ax.pcolormesh(
        *lines,
        np.ma.masked_where(panel.missing | diverged, panel.value),
        cmap=look.colours,
        norm=look.norm(diagram),
        rasterized=many,
        **_NO_SEAMS,
    )
    if diverged.any():
        ax.pcolormesh(*lines, np.ma.masked_where(~diverged, np.ones(diverged.shape)),
                      cmap=ListedColormap([DIVERGED]), rasterized=many, **_NO_SEAMS)  # fmt: skip
    _hatch_panel(ax, lines, panel, mesh)
    if not diagram.scattered:
        draw_boundary(ax, diagram, panel, (lines[0][0], lines[0][-1]), (lines[1][0], lines[1][-1]))
    _draw_collapse(ax, diagram, panel)
    ax.set_xlim(lines[0][0], lines[0][-1])
    ax.set_ylim(lines[1][0], lines[1][-1])
    look.limit(ax)
    if not lone or inches(ax)[0] >= _WORDED:
        name_regions(ax, diagram, panel, as_run=not look.moved)
    return mesh


def _hatch_panel(ax: Axes, lines: tuple[FloatArray, FloatArray], panel: Panel, mesh: QuadMesh) -> None:
    """Hatch the unconverged cells, in white on dark colours and black on light ones; mark the others."""
    diverged = panel.phase == "diverged"
    unconverged = panel.unconverged & ~panel.missing & ~diverged
    shade = np.asarray(mesh.to_rgba(np.nan_to_num(panel.value)))[..., :3] @ [0.299, 0.587, 0.114]
    for kind, colour, chosen in (
        ("unconverged", "white", unconverged & (shade < 0.5)),
        ("unconverged", "#303030", unconverged & (shade >= 0.5)),
        ("diverged", "white", diverged),
        ("missing", _MISSING_LINES, panel.missing),
    ):
        row, column = np.nonzero(chosen)
        if len(row):
            ax.add_collection(PathCollection(
                [_outline(lines, row, column)], facecolors="none", edgecolors=colour, linewidths=0,
                hatch=_HATCHES[kind], label=f"_{kind}",
            ), autolim=False)  # fmt: skip


def _outline(lines: tuple[FloatArray, FloatArray], row: IntArray, column: IntArray) -> Path:
    """All these cells as one path: a renderer draws the pattern of a hatch anew for each path."""
    left, right = lines[0][column], lines[0][column + 1]
    low, high = lines[1][row], lines[1][row + 1]
    corners = np.stack([left, low, right, low, right, high, left, high, left, low], axis=1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners.reshape(-1, 2), np.tile(codes, len(row)))


def _draw_collapse(ax: Axes, diagram: PhaseDiagram, panel: Panel) -> None:
    if panel.collapse is None or panel.collapse.empty:
        return
    flip = diagram.x != "weight_decay"
    other, scale = (diagram.x, diagram.x_scale) if flip else (diagram.y, diagram.y_scale)
    line = panel.collapse.sort_values(other)
    points = [line[COLLAPSE].to_numpy(dtype=np.float64), line[other].to_numpy(dtype=np.float64)]
    if not scale.ordered:  # a piece for each category
        gaps = np.array([-0.5, 0.5, np.nan])
        points = [np.repeat(points[0], 3), (points[1][:, None] + gaps).ravel()]
    ax.plot(
        *(points[::-1] if flip else points), **_COLLAPSE, path_effects=halo(),
        label="_collapse",
    )  # fmt: skip


def _legend_handles(diagram: PhaseDiagram, panels: list[Panel]) -> list[Artist]:
    """What the panels show, and nothing else."""
    handles: list[Artist] = []
    boundary = diagram.every_crossing.iloc[: 0 if diagram.scattered else None]
    early = fronts(boundary)
    if (boundary["position"].notna() & ~early).any():
        handles.append(Line2D([], [], color=INK, linewidth=1.3, label=f"boundary ({diagram.level:.3g})"))
    if early.any():
        handles.append(
            Line2D([], [], **{**UNCONVERGED, **FRONT}, label=f"boundary, unconverged ({diagram.level:.3g})")
        )
    if boundary["low"].notna().any():
        handles.append(Patch(**BAND, label="95 % interval"))
    if (boundary["censored"] != "none").any():
        handles.append(Line2D([], [], **OPEN, marker=">", label="interval open at the edge"))
    if any(panel.collapse is not None and len(panel.collapse) for panel in panels):
        handles.append(Line2D([], [], **_COLLAPSE, label="data's collapse threshold"))
    shown = {
        "diverged": (any((panel.phase == "diverged").any() for panel in panels), DIVERGED, "white"),
        "unconverged": (
            any((panel.unconverged & (panel.phase != "diverged")).any() for panel in panels),
            "white",
            "#404040",
        ),
        "missing": (any(panel.missing.any() for panel in panels), MISSING, _MISSING_LINES),
    }
    handles += [
        Patch(facecolor=face, edgecolor=lines, hatch=_HATCHES[kind], linewidth=0, label=kind)
        for kind, (there, face, lines) in shown.items()
        if there
    ]
    return handles
