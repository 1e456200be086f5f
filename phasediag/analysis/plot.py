"""Figures: phase diagrams and scalings. The only module that knows matplotlib and seaborn.

Figures are made without pyplot, so none is shown or kept alive behind the caller's back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import CenteredNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from phasediag.analysis.labels import label
from phasediag.analysis.laws import law
from phasediag.analysis.mesh import Panel, alone, edges, panel_of, roomiest
from phasediag.analysis.phases import COLLAPSE, PhaseDiagram, Scale, phase_names
from phasediag.analysis.scaling import ScalingFit
from phasediag.errors import AnalysisError

__all__ = ["Axes", "Figure", "draw_facets", "draw_phase_diagram", "draw_scaling", "save"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

DIVERGED: Final = "#d55e00"
MISSING: Final = "#e4e4e4"
BOUNDARY: Final = "black"
_STYLE: Final[dict[Any, Any]] = {
    "pdf.fonttype": 42, "svg.fonttype": "none", "hatch.linewidth": 0.6,
    "figure.dpi": 150, "savefig.dpi": 300,
}  # fmt: skip
_COLUMN_WIDTH: Final = 3.5
_HATCH: Final = "//////"
_DASHES: Final = ("--", "-.", ":", (0, (5, 1)), (0, (1, 3)))
_BAND: Final[dict[str, Any]] = {"facecolor": (1, 1, 1, 0.5), "edgecolor": BOUNDARY, "linewidth": 0.5}


@contextmanager
def _style() -> Iterator[None]:
    with sns.axes_style("ticks"), sns.plotting_context("paper"), rc_context(_STYLE):
        yield


def save(drawing: Axes | Figure, path: str | Path) -> Path:
    """Write a figure; the suffix decides the format (PNG at 300 dpi, SVG, PDF and what matplotlib knows).

    Raises
    ------
    AnalysisError
        Where the format is unknown or the file cannot be written.
    """
    figure = _figure(drawing)
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in known:
        raise AnalysisError(f"cannot write '{path}' as '{suffix}'; the suffix is one of {', '.join(known)}")
    try:
        with rc_context(_STYLE):
            figure.savefig(path, dpi=300)
    except OSError as error:
        raise AnalysisError(
            f"cannot write '{path}': {error.strerror or error}; choose another path"
        ) from error
    return Path(path)


def png(drawing: Axes | Figure) -> bytes:
    """The figure as a notebook shows it."""
    content = BytesIO()
    with rc_context(_STYLE):
        _figure(drawing).savefig(content, dpi=120, format="png")
    return content.getvalue()


def _figure(drawing: Axes | Figure) -> Figure:
    figure = drawing if isinstance(drawing, Figure) else drawing.get_figure(root=True)
    assert figure is not None
    return figure


def draw_phase_diagram(diagram: PhaseDiagram, ax: Axes | None = None) -> Axes:
    """Draw a diagram without facets.

    Cells lie at their true positions. A position that a refinement did not run shows the nearest cell;
    one that was planned and is missing stays grey. Unconverged cells are hatched, diverged ones have a
    colour of their own. The band is the boundary's 95 % interval.

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
            "without ax, or filter the trials to one value of each"
        )
    panel = panel_of(diagram, pd.Series(dtype=object))
    own = ax is None
    with _style():
        if ax is None:
            ax = Figure(figsize=(_COLUMN_WIDTH + 0.5, 3.7), layout="constrained").add_subplot()
        mesh = _draw_panel(ax, diagram, panel, _norm(diagram))
        ax.set(xlabel=label(diagram.x), ylabel=label(diagram.y))
        bar = ax.figure.colorbar(mesh, ax=ax, label=label(diagram.order), extend=_extend(diagram))
        bar.ax.axhline(diagram.level, color=BOUNDARY, linewidth=1.2)
        _legend(ax, own, _legend_handles(diagram, [panel]))
    return ax


def _legend(ax: Axes, own_figure: bool, handles: Sequence[Artist], size: str = "small") -> None:
    """Above the figure, or above the Axes in a figure of the caller's."""
    style = {"handles": handles, "ncols": 2, "frameon": False, "fontsize": size, "columnspacing": 1.2,
             "handlelength": 1.8}  # fmt: skip
    if own_figure:
        ax.figure.legend(loc="outside upper left", **style)
    else:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0.2, **style)


def draw_facets(diagram: PhaseDiagram) -> Figure:
    """Draw one panel a facet, on shared axes and colours.

    The last facet column runs across where there are several; the panels of a single one wrap.
    """
    keys = diagram.cells[list(diagram.facets)].drop_duplicates().sort_values(list(diagram.facets))
    panels = [(panel_of(diagram, key), _title(key)) for _, key in keys.iterrows()]
    across = keys[diagram.facets[-1]].nunique() if len(diagram.facets) > 1 else _across(len(panels))
    down = -(-len(panels) // across)
    with _style():
        figure = Figure(figsize=(2.2 * across + 1.1, 2.2 * down + 0.9), layout="constrained")
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        norm = _norm(diagram)
        for ax, (panel, title) in zip(axes.flat, panels, strict=False):
            mesh = _draw_panel(ax, diagram, panel, norm)
            ax.set_title(title, fontsize="small")
        for ax in axes.flat[len(panels) - across : len(panels)]:
            ax.tick_params(labelbottom=True)
        for ax in axes.flat[len(panels) :]:
            ax.remove()
        figure.supxlabel(label(diagram.x), fontsize="medium")
        figure.supylabel(label(diagram.y), fontsize="medium")
        bar = figure.colorbar(
            mesh, ax=list(axes.flat[: len(panels)]), label=label(diagram.order), extend=_extend(diagram)
        )
        bar.ax.axhline(diagram.level, color=BOUNDARY, linewidth=1.2)
        handles = _legend_handles(diagram, [panel for panel, _ in panels])
        figure.legend(handles=handles, loc="outside upper left", ncols=2 * across - 1, frameon=False,
                      fontsize="small")  # fmt: skip
    return figure


def _across(count: int) -> int:
    """How many panels of one facet column stand side by side."""
    return count if count <= 3 else int(np.ceil(np.sqrt(count)))


def _title(key: pd.Series[Any]) -> str:
    texts = (
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in key.items()
    )
    return "\n".join(texts)


def _norm(diagram: PhaseDiagram) -> Normalize:
    values = diagram.cells["mean"].dropna().to_numpy(dtype=np.float64)
    if diagram.order == "log_rate":
        away = np.abs(values - diagram.level)
        return CenteredNorm(diagram.level, float(np.quantile(away, 0.95)) or 1.0 if len(away) else 1.0)
    if diagram.order in ("degree_normalized", "test_accuracy"):
        return Normalize(0, 1)
    if not len(values) or values.min() == values.max():
        return Normalize(diagram.level - 1, diagram.level + 1)
    return Normalize(float(values.min()), float(values.max()))


def _extend(diagram: PhaseDiagram) -> str:
    return "both" if diagram.order == "log_rate" else "neither"


def _draw_panel(ax: Axes, diagram: PhaseDiagram, panel: Panel, norm: Normalize) -> QuadMesh:
    lines = edges(panel.x, diagram.x_scale), edges(panel.y, diagram.y_scale)
    ax.set_facecolor(MISSING)
    _set_scale(ax.set_xscale, ax.xaxis, diagram.x_scale, panel.x)
    _set_scale(ax.set_yscale, ax.yaxis, diagram.y_scale, panel.y)
    diverged = panel.phase == "diverged"
    many = panel.value.size > 10_000
    colours = "vlag" if diagram.order == "log_rate" else "viridis"
    mesh = ax.pcolormesh(
        *lines,
        np.ma.masked_where(panel.missing | diverged, panel.value),
        cmap=colours,
        norm=norm,
        rasterized=many,
    )
    if diverged.any():
        ax.pcolormesh(*lines, np.ma.masked_where(~diverged, np.ones(diverged.shape)),
                      cmap=ListedColormap([DIVERGED]), rasterized=many)  # fmt: skip
    _hatch(ax, lines, panel, mesh)
    _draw_boundary(ax, diagram, panel)
    _draw_collapse(ax, diagram, panel)
    for name in (*phase_names(diagram.order), "diverged"):
        _name_region(ax, panel, name)
    ax.set_xlim(lines[0][0], lines[0][-1])
    ax.set_ylim(lines[1][0], lines[1][-1])
    return mesh


def _set_scale(setter: Callable[..., None], axis: Axis, scale: Scale, values: FloatArray) -> None:
    """Scale an axis, with plain numbers at few ticks."""
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
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _hatch(ax: Axes, lines: tuple[FloatArray, FloatArray], panel: Panel, mesh: QuadMesh) -> None:
    """Hatch the unconverged cells, in white on dark colours and black on light ones."""
    hatched = panel.unconverged & ~panel.missing & (panel.phase != "diverged")
    shade = np.asarray(mesh.to_rgba(np.nan_to_num(panel.value)))[..., :3] @ [0.299, 0.587, 0.114]
    for colour, chosen in (("white", hatched & (shade < 0.5)), ("black", hatched & (shade >= 0.5))):
        row, column = np.nonzero(chosen)
        if len(row):
            left, right = lines[0][column], lines[0][column + 1]
            low, high = lines[1][row], lines[1][row + 1]
            corners = np.stack([left, low, right, low, right, high, left, high], axis=1).reshape(-1, 4, 2)
            ax.add_collection(PolyCollection(
                list(corners), facecolors="none", edgecolors=colour, linewidths=0, hatch=_HATCH,
                label="_unconverged",
            ))  # fmt: skip


def _draw_boundary(ax: Axes, diagram: PhaseDiagram, panel: Panel) -> None:
    line = panel.boundary.sort_values(diagram.y)
    y, position, low, high = (
        line[name].to_numpy(dtype=np.float64) for name in (diagram.y, "position", "low", "high")
    )
    if np.isnan(position).all():
        return
    halo = [withStroke(linewidth=2.4, foreground="white")]
    ax.fill_betweenx(y, low, high, **_BAND, label="_interval")
    single = alone(~np.isnan(low))
    ax.hlines(y[single], low[single], high[single], color=BOUNDARY, linewidth=0.8, path_effects=halo)
    ax.plot(position, y, color=BOUNDARY, linewidth=1.3, path_effects=halo, label="_boundary",
            marker="o" if alone(~np.isnan(position)).any() else "", markersize=2.5)  # fmt: skip


def _draw_collapse(ax: Axes, diagram: PhaseDiagram, panel: Panel) -> None:
    if panel.collapse is None or panel.collapse.empty:
        return
    other = diagram.y if diagram.x == "weight_decay" else diagram.x
    line = panel.collapse.sort_values(other)
    points = [line[COLLAPSE].to_numpy(dtype=np.float64), line[other].to_numpy(dtype=np.float64)]
    ax.plot(
        *(points if diagram.x == "weight_decay" else points[::-1]), color=BOUNDARY, linewidth=1.2,
        linestyle="--", path_effects=[withStroke(linewidth=2.4, foreground="white")], label="_collapse",
    )  # fmt: skip


def _name_region(ax: Axes, panel: Panel, name: str) -> None:
    """Write the name of a phase where it is farthest from all others; not where it does not fit."""
    place = roomiest(panel.phase == name, len(name))
    if place is None:
        return
    row, column, rotation = place
    text = ax.text(
        panel.x[column], panel.y[row], name, ha="center", va="center", fontsize="small", color="white",
        rotation=rotation, path_effects=[withStroke(linewidth=2, foreground="#202020")], clip_on=True,
    )  # fmt: skip
    text.set_in_layout(False)


def _legend_handles(diagram: PhaseDiagram, panels: list[Panel]) -> list[Artist]:
    """What the panels show, and nothing else."""
    handles: list[Artist] = []
    if diagram.boundary["position"].notna().any():
        handles.append(Line2D([], [], color=BOUNDARY, linewidth=1.3, label=f"boundary ({diagram.level:g})"))
    if diagram.boundary["low"].notna().any():
        handles.append(Patch(**_BAND, label="95 % interval"))
    if any(panel.collapse is not None and len(panel.collapse) for panel in panels):
        handles.append(
            Line2D([], [], color=BOUNDARY, linewidth=1.2, linestyle="--", label="data's collapse threshold")
        )
    if any((panel.phase == "diverged").any() for panel in panels):
        handles.append(Patch(facecolor=DIVERGED, label="diverged"))
    if any((panel.unconverged & (panel.phase != "diverged")).any() for panel in panels):
        handles.append(
            Patch(facecolor="white", edgecolor="#404040", hatch=_HATCH, linewidth=0, label="unconverged")
        )
    if any(panel.missing.any() for panel in panels):
        handles.append(Patch(facecolor=MISSING, edgecolor="#a0a0a0", linewidth=0.5, label="missing"))
    return handles


def draw_scaling(fit: ScalingFit, ax: Axes | None = None) -> Axes:
    """Draw means and spread, the power law with its band, and the alternatives, on logarithmic axes.

    Means of zero, which a logarithmic axis cannot hold, are triangles at the lower edge.
    """
    own = ax is None
    with _style():
        if ax is None:
            ax = Figure(figsize=(_COLUMN_WIDTH, 3.4), layout="constrained").add_subplot()
        values = fit.points[fit.x].to_numpy(dtype=np.float64)
        _set_scale(ax.set_xscale, ax.xaxis, Scale(kind="log"), values)
        means = fit.points["mean"][fit.points["mean"] > 0].to_numpy(dtype=np.float64)
        _set_scale(ax.set_yscale, ax.yaxis, Scale(kind="log"), np.sort(means))
        _draw_means(ax, fit.points, fit.x)
        _draw_laws(ax, fit)
        ax.set(xlabel=label(fit.x), ylabel=label(fit.y), ylim=(means.min() / 2, means.max() * 2))
        height, side = (0.96, "top") if fit.exponent > 0 else (0.04, "bottom")
        ax.text(0.03, height, _exponent(fit), transform=ax.transAxes, fontsize="small", va=side)
        _legend(ax, own, ax.get_legend_handles_labels()[0], "x-small")
    return ax


def _draw_laws(ax: Axes, fit: ScalingFit) -> None:
    x = np.geomspace(*fit.window, 200)
    colours = sns.color_palette("colorblind")
    others = iter(zip((colours[i] for i in (0, 3, 2, 4, 1)), _DASHES, strict=True))
    for model in fit.models:
        curve = law(model["name"]).mean(x, np.array(list(model["parameters"].values())))
        delta = f"ΔAIC {model['delta_aic']:.0f}"
        if model["name"] == "power law":
            ax.plot(x, curve, color=BOUNDARY, linewidth=1.6, zorder=3, label=f"power law, {delta}")
        else:
            colour, dashes = next(others)
            ax.plot(x, curve, color=colour, linestyle=dashes, linewidth=1, label=f"{model['name']}, {delta}")
    band = fit.points[fit.points["low"].notna()]
    if len(band):
        ax.fill_between(band[fit.x], band["low"], band["high"], color=BOUNDARY, alpha=0.18, linewidth=0)


def _exponent(fit: ScalingFit) -> str:
    bounds = "" if np.isnan(fit.low) else f" [{fit.low:.2f}, {fit.high:.2f}]"
    return f"exponent {fit.exponent:.2f}{bounds}".replace("-", "\N{MINUS SIGN}")


def _draw_means(ax: Axes, points: pd.DataFrame, name: str) -> None:
    """Points with their spread: filled inside the window of the fit, hollow outside."""
    for inside, face in ((True, "#404040"), (False, "white")):
        chosen = points[(points["inside"] == inside) & (points["mean"] > 0)]
        if len(chosen):
            x, mean, std = (chosen[c].to_numpy(dtype=np.float64) for c in (name, "mean", "std"))
            spread = np.nan_to_num([np.minimum(std, 0.9 * mean), std])
            ax.errorbar(x, mean, yerr=spread, fmt="o", markersize=3.5, color="#404040",
                        elinewidth=0.7, markerfacecolor=face,
                        label="mean ± sd" if inside else "outside the window")  # fmt: skip
    zero = points[points["mean"] == 0]
    if len(zero):
        ax.plot(zero[name], np.full(len(zero), 0.02), marker="v", linestyle="", markersize=4, color="#404040",
                transform=ax.get_xaxis_transform(), label="mean 0", clip_on=False)  # fmt: skip
