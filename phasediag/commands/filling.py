"""status --watch: the phase diagram of a sweep as it fills, drawn with letters in a terminal."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from phasediag.analysis.declared_columns import about, level_in, with_declarations
from phasediag.analysis.labels import label
from phasediag.analysis.measured import nothing_measured
from phasediag.arrays import FloatArray
from phasediag.commands.options import shown
from phasediag.errors import PhasediagError, nearest
from phasediag.report.choice import choose
from phasediag.storage.roster import digests_of, given_of
from phasediag.storage.store import Store
from phasediag.sweeps.filling import present_rosters
from phasediag.sweeps.status import Status, status_of

EVERY_S: Final = 2.0
"""Between two looks at the store, at least."""
MOST_FAILED: Final = 5
"""Failed cells that are named."""
MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "above": ("●", "blue"),
    "below": ("○", "yellow"),
    "diverged": ("×", "magenta"),
    "failed": ("!", "bold reverse"),
    "without": ("?", "dim"),
    "missing": ("·", "dim"),
}
"""Letter and style; the letters alone tell all, for those who see no colours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """All trials of the grids of a sweep; arrays have shape (trials,)."""

    trial_id: npt.NDArray[np.object_]
    x: str
    y: str
    """Empty where the grids vary one number only."""
    at_x: FloatArray
    at_y: FloatArray
    averaged: tuple[str, ...]
    """Other axes, over which the diagram averages."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A sweep at one moment."""

    planned: Planned
    status: Status
    trials: pd.DataFrame
    """One row a planned trial: `status` (empty where it is not done), `value`, `error`."""
    order: str
    level: float
    phases: tuple[str, str]
    """The names of what is below and above the level."""
    nothing: str = ""
    """Why nothing was measured; empty where something was, or no trial is ok yet."""


def planned_of(grids: Sequence[pa.Table], x: str | None, y: str | None) -> Planned:
    """The trials of some grids on two axes: those asked for, else those of numbers that a report takes.

    Parameters
    ----------
    grids
        The trials of each grid, with all parameters that any of them gives values to.

    Raises
    ------
    PhasediagError
        Where an axis is asked for that is none.
    """
    columns = {name: _numbers(grids, name) for name in sorted({n for grid in grids for n in given_of(grid)})}
    counts = {name: len(np.unique(v[~np.isnan(v)])) for name, v in columns.items() if v is not None}
    for option, name in (("--x", x), ("--y", y)):
        if name is not None and name not in counts:
            hint = nearest(name, list(counts)) or f"axes are {', '.join(counts) or 'none'}"
            raise PhasediagError(
                f"{option} {name}: the grids of this sweep have no such axis of numbers; {hint}"
            )
    if x is not None and x == y:
        raise PhasediagError(f"--x and --y are both '{x}'; name two axes of the sweep")
    choice = choose(_given(grids, columns), x, y)
    axes = [name for name in (choice.x, choice.y, *choice.facets, *choice.held) if name is not None]
    across, up = (name if name is not None and name in counts else "" for name in (choice.x, choice.y))
    ids = np.concatenate([grid["trial_id"].to_numpy().astype(str) for grid in grids])
    first = np.unique(ids, return_index=True)[1]
    at = [columns[name] if name else None for name in (across, up)]
    at_x, at_y = (np.zeros(len(ids)) if values is None else values for values in at)
    return Planned(
        trial_id=ids[first].astype(object), x=across, y=up, at_x=at_x[first], at_y=at_y[first],
        averaged=tuple(sorted(name for name in axes if name not in (across, up))),
    )  # fmt: skip


def _given(grids: Sequence[pa.Table], names: Collection[str]) -> pd.DataFrame:
    """One row a trial of each grid, with those of some parameters that it has."""
    parts = [grid.select([name for name in names if name in grid.column_names]) for grid in grids]
    frame: pd.DataFrame = pd.concat([part.to_pandas() for part in parts], ignore_index=True)
    return frame


def _numbers(grids: Sequence[pa.Table], name: str) -> FloatArray | None:
    """A parameter over the trials of all grids, NaN where it does not apply; None where it is no number."""
    parts = []
    for grid in grids:
        kind = grid.schema.field(name).type if name in grid.column_names else pa.null()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
            return None
        known = not pa.types.is_null(kind)
        parts.append(grid[name].to_numpy().astype(np.float64) if known else np.full(len(grid), np.nan))
    return np.concatenate(parts)


def view_of(store: Store, planned: Planned, order: str, level: float | None = None) -> View:
    """Look at the store; a level that is not given is what the order parameter declares."""
    columns = list(dict.fromkeys(["trial_id", "status", "error", order]))
    recorded = pd.DataFrame({"trial_id": [], "status": [], "error": [], order: []}, dtype=object)
    if len(store.committed()):
        held = store.trials_table(columns)
        recorded = with_declarations(held.to_pandas(), held.schema)
    rows = recorded.set_index("trial_id").reindex(pd.Index(planned.trial_id, name="trial_id"))
    rows["status"] = rows["status"].fillna("")
    value = pd.to_numeric(rows[order], errors="coerce").astype(float).where(rows["status"] == "ok")
    trials = rows.assign(value=value, at_x=planned.at_x, at_y=planned.at_y)
    valued = bool(value.notna().any()) or not (rows["status"] == "ok").any()
    return View(
        planned=planned, status=status_of([digests_of(planned.trial_id)], store), trials=trials,
        order=order, level=level_in(recorded, order, level), phases=about(recorded, order).phases,
        nothing="" if valued else nothing_measured(store.folder.uri),
    )  # fmt: skip


def drawn(view: View, width: int, height: int) -> RenderableType:
    """The diagram as large as the terminal, what its letters mean, and the cells that failed.

    Lines part neighbouring cells that are on different sides of the level, where cells have room for them.

    Parameters
    ----------
    width, height
        Of the terminal, in letters; neighbouring cells share a letter where there are more.
    """
    parts: list[RenderableType] = [Text(view.status.in_words, overflow="fold")]
    if view.nothing:
        parts.append(Text(shown(f"warning: {view.nothing}"), overflow="fold"))
    if view.planned.x:
        failed = _failed(view)
        parts += _mesh(view, width, max(4, height - 9 - len(failed)))
        parts += [_legend(view), *(Text(line, overflow="ellipsis", no_wrap=True) for line in failed)]
    return Group(*parts)


def _mesh(view: View, width: int, height: int) -> list[Text]:
    """The rows of the diagram, the largest y on top, and the ends of the x axis."""
    planned, trials = view.planned, view.trials
    ys = np.unique(planned.at_y[~np.isnan(planned.at_y)])
    margin = max((len(f"{value:.4g}") for value in ys), default=0) + 1 if planned.y else 0
    column, xs, columns = _binned(planned.at_x, width - margin - 1)
    row, ys, rows = _binned(planned.at_y, height)
    marks = _marks(view, row, column)
    wide, tall = max(1, (width - margin - 1) // columns), max(1, height // rows) if planned.y else 1
    lines = []
    for at in reversed(range(rows)):
        for part in range(tall):
            words = f"{ys[at]:.4g}".rjust(margin - 1) + " " if planned.y and not part else " " * margin
            line = Text(words, no_wrap=True)
            for each in range(columns):
                letter, style = MARKS[marks[at, each]] if (at, each) in marks else (" ", "")
                under = tall > 1 and part == tall - 1 and _parted(marks, (at, each), (at - 1, each))
                beside = wide > 1 and _parted(marks, (at, each), (at, each + 1))
                line.append(("─" if under else letter) * (wide - beside), style="bold" if under else style)
                line.append("│" * beside, style="bold")
            lines.append(line)
    start, end = f"{xs[0]:.4g}", f"{planned.at_x[~np.isnan(planned.at_x)].max():.4g}"
    name = label(planned.x)
    space = max(columns * wide - len(start) - len(end), len(name) + 2)
    foot = Text(" " * margin + start + name.center(space) + end, no_wrap=True, overflow="ellipsis")
    head = [Text(f"{label(planned.y)} (upwards)", style="dim")] if planned.y else []
    assert len(trials) == len(row)
    return [*head, *lines, foot]


def _parted(marks: Mapping[tuple[int, int], str], one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the boundary runs between two cells."""
    return {marks.get(one), marks.get(other)} == {"above", "below"}


def _binned(values: FloatArray, most: int) -> tuple[npt.NDArray[np.int64], FloatArray, int]:
    """The position of each value among the distinct ones, several in one where there are too many.

    Returns
    -------
    The position (-1: no value), the smallest value of each position, and the number of positions.
    """
    levels = np.unique(values[~np.isnan(values)])
    together = -(-len(levels) // max(1, most))
    position = np.searchsorted(levels, values) // together
    return np.where(np.isnan(values), -1, position), levels[::together], -(-len(levels) // together)


def _marks(
    view: View, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]
) -> dict[tuple[int, int], str]:
    """What to draw in each cell that is planned; a failed trial is never hidden by its mates."""
    status = view.trials["status"].to_numpy(dtype=object)
    frame = pd.DataFrame({
        "row": row, "column": column, "value": view.trials["value"].to_numpy(), "failed": status == "failed",
        "diverged": status == "diverged", "ok": status == "ok",
    })  # fmt: skip
    cells = frame[(row >= 0) & (column >= 0)].groupby(["row", "column"]).agg(
        value=("value", "mean"), failed=("failed", "any"), diverged=("diverged", "sum"), ok=("ok", "sum")
    )  # fmt: skip
    kinds = np.select(
        [
            cells["failed"], cells["diverged"] > cells["ok"], cells["value"].isna() & (cells["ok"] > 0),
            cells["value"].isna(), cells["value"] < view.level,
        ],
        ["failed", "diverged", "without", "missing", "below"], "above",
    )  # fmt: skip
    return dict(zip(cells.index, kinds.tolist(), strict=True))


def _legend(view: View) -> Text:
    below, above = view.phases
    names = {"above": above, "below": below, "diverged": "diverged", "failed": "failed", "missing": "not yet"}
    ended = view.trials["status"] == "ok"
    if (ended & view.trials["value"].isna()).any():
        names["without"] = "no value"
    line = Text()
    for kind, name in names.items():
        letter, style = MARKS[kind]
        line.append(letter, style=style)
        line.append(f" {name}   ")
    line.append(f"({view.order} at {view.level:g}")
    if view.planned.averaged:
        line.append(f"; mean over {', '.join(view.planned.averaged)}")
    line.append(")")
    return line


def _failed(view: View) -> list[str]:
    """The cells with failed trials and the first error of each, shortened."""
    failed = view.trials[view.trials["status"] == "failed"]
    if failed.empty:
        return []
    cells = failed.groupby(["at_x", "at_y"])["error"].agg(["size", "first"]).reset_index()
    lines = []
    for x, y, count, error in cells.head(MOST_FAILED).itertuples(index=False):
        place = f"{view.planned.x}={x:.4g}" + (f", {view.planned.y}={y:.4g}" if view.planned.y else "")
        reason = str(error).splitlines()[0] if error else "no error was recorded"
        lines.append(shown(f"! {place}: {count} failed: {reason}"))
    more = len(cells) - MOST_FAILED
    return [*lines, f"! and {more} more cells"] if more > 0 else lines


def watch(
    sweep: str, console: Console, *, x: str | None, y: str | None, order: str, level: float | None = None,
    every_s: float = EVERY_S,
) -> None:  # fmt: skip
    """Draw a sweep again and again until nothing is missing; elsewhere than on a terminal, line by line.

    A sweep that was not launched yet is waited for.

    Raises
    ------
    PhasediagError
        Where there is no such sweep, or no such axis.
    """
    source = _WatchedStore(store=_launched(sweep, console, every_s), x=x, y=y, order=order, level=level)
    view = source.look()

    def picture() -> RenderableType:
        return drawn(view, console.width, console.height)

    if not console.is_terminal:
        while view.status.missing:
            console.print(view.status.in_words, highlight=False)
            time.sleep(max(5 * every_s, 5 * source.took_s))
            view = source.look()
        console.print(picture(), highlight=False)
        return
    with Live(picture(), console=console, auto_refresh=False) as live:
        while view.status.missing:
            time.sleep(max(every_s, 5 * source.took_s))
            view = source.look()
            live.update(picture(), refresh=True)


def _launched(sweep: str, console: Console, every_s: float) -> Store:
    """The store of a sweep, as soon as a grid was launched into it."""
    store = Store.at(sweep)
    if not store.grids():
        console.print(f"waiting for {sweep} to be launched; Ctrl-C ends", highlight=False, soft_wrap=True)
    while not store.grids():
        time.sleep(every_s)
    return store.required()


@dataclass(slots=True, kw_only=True, eq=False)
class _WatchedStore:
    """Looks at a store again and again; its grids are read once, and when there are more."""

    store: Store
    x: str | None
    y: str | None
    order: str
    level: float | None
    names: tuple[str, ...] = ()
    planned: Planned | None = None
    took_s: float = 0.0
    """How long the last look took."""

    def look(self) -> View:
        started = time.monotonic()
        names = tuple(name for name, _ in self.store.grids())
        if self.planned is None or names != self.names:
            self.planned = planned_of(present_rosters(self.store), self.x, self.y)
            self.names = names
        view = view_of(self.store, self.planned, self.order, self.level)
        self.took_s = time.monotonic() - started
        return view
