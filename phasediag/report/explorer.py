"""What the script of a report needs to draw a diagram again: cells, trials, distances and courses."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from phasediag.analysis.bootstrap import CONFIDENCE, FEWEST_REPLICATES
from phasediag.analysis.cells import order_values
from phasediag.analysis.courses import Courses
from phasediag.analysis.declared_columns import about, declared_names
from phasediag.analysis.frame import Groups, converged, has_status
from phasediag.analysis.labels import label, shown
from phasediag.analysis.layout import Layout
from phasediag.analysis.phases import PhaseDiagram
from phasediag.analysis.result import plain
from phasediag.analysis.scale import Scale
from phasediag.analysis.threshold_range import OF_SMALL, RANGE, RECORDED, ThresholdRange
from phasediag.arrays import IntArray
from phasediag.figures.mesh import edges, nearest
from phasediag.figures.style import palette
from phasediag.report.choice import Choice
from phasediag.report.embedded import embedded, smallest

MOST_TRIALS: Final = 50_000
"""More are not put into a page."""
MOST_PLACES: Final = 1_000_000
"""The places of the meshes of all panels together, at most."""
MOST_ORDERS: Final = 12
"""Order parameters of which one can be chosen."""
OFFERED: Final = (
    "degree_normalized", "neuron_count", "alive_count", "rank", "log_rate", "test_accuracy", "test_loss",
    "train_loss",
)  # fmt: skip
"""Columns that are offered where they vary, besides the one of the report and those of observables."""
NORMALIZED: Final = {"degree_normalized": "degree_of_symmetry"}
"""Columns that are a count over the largest one."""
_STATES: Final = ("ok", "diverged", "failed")
_DIGITS: Final = 16
"""Bytes of an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a sweep holds of its trials besides their rows."""

    uri: str
    """The folder of the sweep, as commands take it."""
    thresholds: ThresholdRange
    courses: Courses


@dataclass(frozen=True, slots=True, kw_only=True)
class Explorer:
    """A diagram for the script of the page."""

    payload: str
    """What `embedded` makes of it; empty where there is too much of it."""
    reason: str = ""
    """Why there is none."""


def explorer(diagram: PhaseDiagram, trials: pd.DataFrame, choice: Choice, record: Record) -> Explorer:
    """The diagram with all its trials, at every value of the parameters that the figure holds.

    Parameters
    ----------
    diagram
        Of the trials that `choice` keeps.
    trials
        All of the report.
    """
    if len(trials) > MOST_TRIALS:
        return Explorer(
            payload="",
            reason=f"The page has {len(trials):,} trials, more than the {MOST_TRIALS:,} that can be looked "
            "at one by one; make the report of a part of them, with --where.",
        )
    if not (diagram.x_scale.ordered and diagram.y_scale.ordered):
        return Explorer(
            payload="", reason="An axis of this diagram has categories: its cells stand in the figure and in "
            "the tables.",
        )  # fmt: skip
    facets = (*choice.facets, *choice.held)
    group = Groups.of(trials, (*facets, diagram.y, diagram.x))
    if np.prod([len(levels) for levels in group.levels]) > MOST_PLACES:
        return Explorer(
            payload="", reason="The values of the parameters form no grid that a page can hold; make the "
            "report of a part of the trials, with --where.",
        )  # fmt: skip
    scales = [Scale.of(group.levels[axis].astype(np.float64)) for axis in (-1, -2)]
    orders = _orders(trials, diagram.order)
    head = {
        "command": f"phasediag rerun {shlex.quote(record.uri)}",
        "axes": [_axis(name, scale) for name, scale in zip((diagram.x, diagram.y), scales, strict=True)],
        "facets": [
            {"name": name, "label": label(name), "values": [shown(value) for value in levels],
             "first": _first(levels, choice.held.get(name))}
            for name, levels in zip(facets, group.levels, strict=False)
        ],
        "orders": [_order(trials, name, diagram, record.thresholds) for name in orders],
        "factors": list(RANGE), "recorded": RECORDED, "threshold": _threshold(trials),
        "no_range": record.thresholds.reason, "of_small": sorted(OF_SMALL),
        "courses": sorted(record.courses.count), "lengths": _lengths(record.thresholds),
        "fewest": FEWEST_REPLICATES, "colours": palette(64),
        "student": plain([None, None, *_student(group.cell)]),
    }  # fmt: skip
    arrays = {
        **_places(group, scales), **_fates(trials, group.cell),
        **_values(trials, orders, record.thresholds), **_courses(record.courses, len(trials)),
        **_boundary(diagram, group, facets, choice),
    }  # fmt: skip
    return Explorer(payload=embedded(head, arrays))


def _axis(name: str, scale: Scale) -> dict[str, Any]:
    return {"name": name, "label": label(name), "kind": scale.kind, "width": scale.width}


def _first(levels: npt.NDArray[Any], held: Any) -> int:
    """Which value of a facet is shown at first."""
    same = np.flatnonzero([value == held for value in levels.tolist()])
    return int(same[0]) if len(same) else 0


def _orders(trials: pd.DataFrame, first: str) -> list[str]:
    """The order parameters that are offered: numbers that vary among the trials."""
    names = dict.fromkeys((first, *OFFERED, *sorted(declared_names(trials))))
    return [name for name in names if name == first or _varies(trials, name)][:MOST_ORDERS]


def _varies(trials: pd.DataFrame, name: str) -> bool:
    if name not in trials or not pd.api.types.is_numeric_dtype(trials[name]):
        return False
    values = order_values(trials, name)
    return bool(np.nanmax(values, initial=-np.inf) > np.nanmin(values, initial=np.inf))


def _order(
    trials: pd.DataFrame, name: str, diagram: PhaseDiagram, thresholds: ThresholdRange
) -> dict[str, Any]:
    column = about(trials, name)
    counted = NORMALIZED.get(name, name)
    said: dict[str, Any] = plain(
        {
            "name": name, "label": label(name, column), "level": _level(trials, name, diagram),
            "phases": column.phases, "bounds": column.bounds, "colours": column.colours,
            "centred": column.centred, "of_training": column.of_training,
            "counted": counted if counted in thresholds.passed else None, "shared": name in NORMALIZED,
        }
    )  # fmt: skip
    return said


def _level(trials: pd.DataFrame, name: str, diagram: PhaseDiagram) -> float | None:
    """The value on the boundary: that of the diagram, or the one that the column declares.

    None of a loss or a count, of which no value tells two phases apart by itself.
    """
    if name == diagram.order:
        return diagram.level
    column = about(trials, name)
    return column.level if column.centred or column.colours else None


def _threshold(trials: pd.DataFrame) -> dict[str, Any] | None:
    """The recorded threshold, where it is one and the same."""
    names = ("threshold_absolute", "threshold_relative")
    if not all(name in trials and trials[name].nunique() == 1 for name in names):
        return None
    absolute, relative = (float(trials[name].dropna().iloc[0]) for name in names)
    return {"absolute": absolute, "relative": relative}


def _lengths(thresholds: ThresholdRange) -> dict[str, int]:
    return {name: passed.shape[1] for name, passed in thresholds.passed.items()}


def _student(cell: IntArray) -> npt.NDArray[np.float64]:
    """Quantiles of Student's distribution for 2 values, 3 and so on, up to the most of a cell."""
    most = int(np.bincount(cell).max(initial=0))
    quantiles: npt.NDArray[np.float64] = stats.t.ppf((1 + CONFIDENCE) / 2, np.arange(1, max(most, 2)))
    return quantiles


def _places(group: Groups, scales: Sequence[Scale]) -> dict[str, npt.NDArray[Any]]:
    """The mesh, and where each cell is."""
    width, height = len(group.levels[-1]), len(group.levels[-2])
    layout = Layout.along_x(group, scales[0], lines=True)
    rows = layout.rows(np.zeros(len(group.code)), np.zeros(len(group.code), dtype=np.int64))
    places: dict[str, npt.NDArray[Any]] = {
        "cell": smallest(group.cell), "cell_x": smallest(group.code % width),
        "cell_y": smallest(group.code // width % height),
        "cell_panel": smallest(group.code // (width * height)),
        "linked": np.append(rows.linked, False).astype(np.uint8),
    }  # fmt: skip
    for name, axis, scale in zip("xy", (-1, -2), scales, strict=True):
        values = group.levels[axis].astype(np.float64)
        places |= {name: values, f"{name}_at": scale.forward(values).astype(np.float64)}
        places |= {f"{name}_edges": scale.forward(edges(values, scale)).astype(np.float64)}
    places["source"] = smallest(_sources(places, scales))
    return places


def _sources(places: Mapping[str, npt.NDArray[Any]], scales: Sequence[Scale]) -> IntArray:
    """What each place of each panel's mesh shows, one after the other: 0, or 1 more than a cell's number."""
    panel, x, y = places["cell_panel"], places["x"], places["y"]
    sources: list[IntArray] = []
    for number in range(int(panel.max()) + 1):
        own = np.flatnonzero(panel == number)
        if not len(own):
            sources.append(np.zeros(len(x) * len(y), dtype=np.int64))
            continue
        row, column = (places[f"cell_{name}"][own].astype(np.int64) for name in "yx")
        at = nearest(row, column, (scales[0], scales[1]), x, y)
        sources.append(np.append(own + 1, 0)[at].ravel())
    return np.concatenate(sources)


def _fates(trials: pd.DataFrame, cell: IntArray) -> dict[str, npt.NDArray[Any]]:
    """What became of each trial: its id, replicate, status and whether it has converged."""
    status = np.full(len(trials), len(_STATES))
    for number, name in enumerate(_STATES):
        status[has_status(trials, name)] = number
    replicate = trials["replicate"].to_numpy(np.int64) if "replicate" in trials else np.zeros(len(trials))
    ids = trials["trial_id"] if "trial_id" in trials else pd.Series([""] * len(trials))
    digits = b"".join(bytes.fromhex(text.rjust(2 * _DIGITS, "0")) for text in ids)
    return {
        "id": np.frombuffer(digits, dtype=np.uint8), "status": status.astype(np.uint8),
        "replicate": smallest(replicate.astype(np.int64)),
        "late": (~converged(trials, when_unknown=True)).astype(np.uint8),
    }  # fmt: skip


def _values(
    trials: pd.DataFrame, orders: Sequence[str], thresholds: ThresholdRange
) -> dict[str, npt.NDArray[Any]]:
    """The order parameters as recorded, and what they are counted from."""
    arrays: dict[str, npt.NDArray[Any]] = {
        f"value_{number}": order_values(trials, name) for number, name in enumerate(orders)
    }
    arrays |= {f"passed_{name}": passed for name, passed in thresholds.passed.items()}
    if "max_degree" in trials:
        arrays["most"] = trials["max_degree"].to_numpy(dtype=np.float64, na_value=np.nan)
    return arrays


def _courses(courses: Courses, trials: int) -> dict[str, npt.NDArray[Any]]:
    """The course of each count: where that of each trial begins, the steps and the counts."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, count in courses.count.items():
        first = np.searchsorted(courses.trial[name], np.arange(trials + 1))
        arrays |= {
            f"course_first_{name}": smallest(first), f"course_step_{name}": smallest(courses.step[name]),
            f"course_count_{name}": smallest(np.nan_to_num(count).astype(np.int64)),
        }  # fmt: skip
    return arrays


def _boundary(
    diagram: PhaseDiagram, group: Groups, facets: tuple[str, ...], choice: Choice
) -> dict[str, npt.NDArray[Any]]:
    """The crossings of the figure, with their intervals: their panel, row, and place on the scale of x."""
    table = diagram.boundary[diagram.boundary["position"].notna()]
    code = np.zeros(len(table), dtype=np.int64)
    for name, levels in zip(facets, group.levels, strict=False):
        held = choice.held.get(name)
        column = [held] * len(table) if name in choice.held else table[name].tolist()
        code = code * len(levels) + np.array([_first(levels, value) for value in column], dtype=np.int64)
    rows = np.searchsorted(group.levels[-2], table[diagram.y].to_numpy(np.float64))
    arrays: dict[str, npt.NDArray[Any]] = {
        "boundary_panel": smallest(code), "boundary_row": smallest(rows.astype(np.int64)),
    }  # fmt: skip
    for name in ("position", "low", "high"):
        ends = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            arrays[f"boundary_{name}"] = np.asarray(diagram.x_scale.forward(ends), dtype=np.float64)
    return arrays
