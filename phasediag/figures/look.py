"""What a user may choose of the figure of a phase diagram: size, words, colours, limits and scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import CenteredNorm, FuncNorm, Normalize

from phasediag.analysis.labels import label, shown
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.scale import Scale
from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError, nearest

_APART: Final = 0.06
"""Share of a colour bar between two numbers."""
Pair = tuple[float, float]
ScaleKind = Literal["linear", "log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The options of `PhaseDiagram.plot`; each left out is chosen by phasediag."""

    panel: Mapping[str, Any] | None = None
    """The panel of a diagram with facets: the values of those that are drawn, such as `{"width": 16}`."""
    size: Pair | None = None
    """Width and height of the figure in inches; of a new figure only."""
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    order_label: str = ""
    """The label of the colour bar, or of the axis that the order parameter has without y."""
    colours: str = "viridis"
    """A colour map of matplotlib."""
    colour_limits: Pair | None = None
    """Values of the order parameter at the ends of the colours."""
    equalise: bool = False
    """Spread the colours so that each is seen equally often."""
    x_limits: Pair | None = None
    y_limits: Pair | None = None
    x_scale: ScaleKind | None = None
    y_scale: ScaleKind | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Look:
        """The look of some options.

        Raises
        ------
        AnalysisError
            Where an option, a colour map or a scale is unknown, or limits are no two numbers that rise.
        """
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                hint = nearest(name, names) or f"there are {', '.join(names)}"
                raise AnalysisError(f"a phase diagram's figure has no option '{name}'; {hint}")
        look = cls(**options)
        if look.colours not in colormaps:
            hint = nearest(look.colours, list(colormaps)) or "such as viridis, cividis or gray"
            raise AnalysisError(f"colours: there is no colour map '{look.colours}'; {hint}")
        for name in ("x_scale", "y_scale"):
            if getattr(look, name) not in (None, "linear", "log"):
                raise AnalysisError(f"{name}: '{getattr(look, name)}' is unknown; it is linear or log")
        for name in ("x_limits", "y_limits", "colour_limits"):
            pair = getattr(look, name)
            if pair is not None and not (len(pair) == 2 and pair[0] < pair[1]):
                raise AnalysisError(f"{name}: give the lower limit and then the upper one, not {pair}")
        if look.size is not None and min(look.size) < 1:
            raise AnalysisError(f"size: a figure is at least 1 inch wide and high, not {look.size}")
        return look

    def chosen(self, diagram: PhaseDiagram) -> PhaseDiagram:
        """The panels of the diagram that are asked for; a facet that is named is one no more.

        Raises
        ------
        AnalysisError
            Where there is no such facet or value.
        """
        tables: dict[str, Any] = {
            name: getattr(diagram, name) for name in ("cells", "boundary", "across", "collapse")
        }
        for name, value in (self.panel or {}).items():
            if name not in diagram.facets:
                facets = ", ".join(diagram.facets) or "none"
                raise AnalysisError(f"panel: '{name}' is no facet of this diagram; its facets are {facets}")
            if value not in (values := diagram.cells[name].unique().tolist()):
                known = ", ".join(map(shown, values))
                raise AnalysisError(f"panel: no panel has {name} = {value}; it is one of {known}")
            tables = {key: None if t is None else t[t[name] == value] for key, t in tables.items()}
        rest = tuple(name for name in diagram.facets if name not in (self.panel or {}))
        return replace(diagram, facets=rest, **tables)

    def scaled(self, diagram: PhaseDiagram) -> PhaseDiagram:
        """The diagram with the scales that are asked for.

        Raises
        ------
        AnalysisError
            Where a logarithmic axis has values that are not positive.
        """
        scales = {"x_scale": self.x_scale, "y_scale": self.y_scale if diagram.y else None}
        for name, kind in scales.items():
            column = diagram.x if name == "x_scale" else diagram.y
            limits = self.x_limits if name == "x_scale" else self.y_limits
            if (kind or limits) and not getattr(diagram, name).ordered:
                raise AnalysisError(
                    f"{column} has categories, which have neither a scale nor limits: leave {name} and "
                    f"{name[0]}_limits out, or keep the trials of some of them"
                )
            if kind == "log" and diagram.cells[column].min() <= 0:
                raise AnalysisError(
                    f"{name}: {column} goes down to {diagram.cells[column].min():g}, which has no logarithm; "
                    f"leave {name} out, or the trials of that value"
                )
        x_kind, y_kind = scales.values()
        return replace(
            diagram, x_scale=Scale(kind=x_kind) if x_kind else diagram.x_scale,
            y_scale=Scale(kind=y_kind) if y_kind else diagram.y_scale,
        )  # fmt: skip

    def loses(self, height: float) -> float:
        """Inches that panels lose to a legend of some height: all, where the figure cannot grow by it."""
        return height if self.size else 0.0

    def caveat(self, diagram: PhaseDiagram) -> str:
        """What must be said above the figure; in one of a stated size the fact alone: words take its room.

        The whole of it stands among the warnings of the diagram.
        """
        fact, dash, _ = diagram.caveat.partition(" (")
        return fact if self.size and dash else diagram.caveat

    def labels(self, diagram: PhaseDiagram) -> tuple[str, str, str]:
        """What x, y and the order parameter are called."""
        return (
            self.x_label or label(diagram.x), self.y_label or label(diagram.y),
            self.order_label or label(diagram.order, diagram.about),
        )  # fmt: skip

    def seen(self, axis: Literal["x", "y"], values: FloatArray) -> FloatArray:
        """The values of an axis that lie within its limits; all where those hold fewer than two.

        Shape (values,) to (values within,).
        """
        limits = self.x_limits if axis == "x" else self.y_limits
        if limits is None:
            return values
        inside = values[(values >= limits[0]) & (values <= limits[1])]
        return inside if len(inside) > 1 else values

    def limit(self, ax: Axes) -> None:
        """Set the limits of Axes that are asked for."""
        if self.x_limits is not None:
            ax.set_xlim(*self.x_limits)
        if self.y_limits is not None:
            ax.set_ylim(*self.y_limits)

    def norm(self, diagram: PhaseDiagram) -> Normalize:
        """From values of the order parameter to colours."""
        values = diagram.cells["mean"].dropna().to_numpy(dtype=np.float64)
        if self.equalise and len(np.unique(values)) > 1:
            return equalised(values)
        about = diagram.about
        if self.colour_limits is not None:
            return Normalize(*self.colour_limits)
        if about.centred:
            away = np.abs(values - diagram.level)
            return CenteredNorm(diagram.level, float(np.quantile(away, 0.95)) or 1.0 if len(away) else 1.0)
        if about.colours:
            return Normalize(*about.colours)
        if not len(values) or values.min() == values.max():
            return Normalize(diagram.level - 1, diagram.level + 1)
        return Normalize(float(values.min()), float(values.max()))

    @property
    def moved(self) -> bool:
        """Whether the cells are seen in other proportions than they were run in."""
        return any((self.x_limits, self.y_limits, self.x_scale, self.y_scale))

    def mark(self, bar: Colorbar, diagram: PhaseDiagram) -> None:
        """Draw the level into a colour bar; where colours are spread evenly, numbers where they are apart."""
        if bar.solids is not None:
            bar.solids.set(rasterized=False, edgecolor="face", linewidth=1)  # a vector, without seams
        bar.ax.axhline(diagram.level, color="black", linewidth=1.2)
        if isinstance(bar.norm, FuncNorm):
            values = np.unique([float(f"{at:.2g}") for at in bar.norm.inverse(np.linspace(0, 1, 9))])
            values = values[(values >= bar.norm.vmin) & (values <= bar.norm.vmax)]
            places = np.asarray(bar.norm(values))
            kept = [0]
            kept += [at for at in range(1, len(values)) if places[at] - places[kept[-1]] > _APART]
            bar.set_ticks(values[kept].tolist(), labels=[f"{value:g}" for value in values[kept]])
            bar.ax.minorticks_off()

    def extend(self, diagram: PhaseDiagram) -> str:
        """At which ends of the colour bar there may be values beyond it."""
        values = diagram.cells["mean"]
        if self.equalise:
            return "neither"
        if self.colour_limits is None:
            return "both" if diagram.about.centred else "neither"
        below, above = bool(values.min() < self.colour_limits[0]), bool(values.max() > self.colour_limits[1])
        return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
            (below, above), "neither"
        )


DEFAULT: Final = Look()
"""What phasediag chooses."""


def equalised(values: FloatArray) -> FuncNorm:
    """The scale of colours on which each is seen equally often: a value goes to the share of lower ones.

    Parameters
    ----------
    values
        Of the cells, at least two different ones, shape (cells,).
    """
    levels, counts = np.unique(values, return_counts=True)
    above = np.cumsum(counts)
    shares = (above - counts + above - counts[0]) / (2 * len(values))  # each at the middle of its own share
    return FuncNorm(
        (lambda at: np.interp(at, levels, shares), lambda at: np.interp(at, shares, levels)),
        vmin=float(levels[0]), vmax=float(levels[-1]),
    )  # fmt: skip
