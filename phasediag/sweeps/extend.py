"""Extend a sweep: train its trials again to several times their steps, to see what was settled.

An extension is a grid for each grid of the sweep, equal to it but for the length of training, under the
sweep's own name. The longer trials are trials of their own, for the steps are part of what a trial is; what
a step draws depends on the step and not on the length, so that a longer trial passes through the shorter one
(law 1), but for schedules that follow the length.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from phasediag.errors import INTERRUPTED, PhasediagError
from phasediag.parameters import TRAINING
from phasediag.storage.launches import LENGTHS, LONGER, RELAXATIONS, added_to
from phasediag.storage.store import Store
from phasediag.sweeps.beginnings import OF_STEPS
from phasediag.sweeps.designs import Design, present_designs, read_designs
from phasediag.sweeps.refine import Train
from phasediag.sweeps.sweep import DEFAULT_STORAGE, launch

_LENGTHS: Final = (*LENGTHS, RELAXATIONS)
"""What a grid may say of how long it trains."""
_MOST_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """How an extension ended."""

    sweep: str
    trained: int
    """Trials that this launch committed, failed ones among them."""
    stopped: str
    """Why it ended early; empty where it did not."""
    exit_code: int
    """0 complete, 1 some trials failed, 130 interrupted."""
    notes: tuple[str, ...]
    """What must be known of the longer trials, in whole sentences."""


def extend(
    sweep_or_grid: str | Path, factor: float, storage: str = DEFAULT_STORAGE, *, train: Train = launch,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Extended:  # fmt: skip
    """Train the trials of a sweep, or of one of its grids, to so many times their steps.

    Asked again, it trains what is missing and nothing else. `phasediag.analysis.extension.extension` tells
    what moved; statistics take the longest trials of every point whose extension is complete.

    Parameters
    ----------
    sweep_or_grid
        Folder or URI of a sweep, or the path of a grid that was launched.
    factor
        Above 1, of the lengths as the grids have them; where that is no whole step, one more.
    storage
        Where the sweep of a grid lies.
    train
        Launches a grid into the sweep.
    notify
        Called with each of the notes before anything is trained.

    Raises
    ------
    PhasediagError
        Where there is no such sweep, the grid was not launched, or a grid has its length as an axis; or as
        `launch` does.
    """
    if not 1 < factor < math.inf:
        raise PhasediagError(f"--extend {factor:g} is not allowed; give a number above 1, such as 2")
    store, text = _sweep_of(sweep_or_grid, storage)
    trained, code, stopped = 0, 0, ""
    with tempfile.TemporaryDirectory(prefix="phasediag-extend-") as folder:
        designs = present_designs(read_designs(store, Path(folder)))
        chosen = _to_extend(designs, factor, text, str(sweep_or_grid))
        texts = [extended_text(design, by) for design, by in chosen]
        notes = tuple(notes_on([design for design, _ in chosen]))
        for note in notes:
            notify(note)
        for (design, _), text_of_longer in zip(chosen, texts, strict=True):
            outcome = train(design.written(Path(folder), text_of_longer), sweep=store.folder.uri)
            trained += outcome.trained
            code = max(code, outcome.exit_code)
            if outcome.drained:
                stopped = f"drained: {outcome.drained}; run the same command again to go on"
                break
    if stopped and code:
        code = INTERRUPTED
    return Extended(sweep=store.folder.uri, trained=trained, stopped=stopped, exit_code=code, notes=notes)


def _sweep_of(sweep_or_grid: str | Path, storage: str) -> tuple[Store, str | None]:
    """The sweep, and the text of the grid where one was named."""
    path = Path(str(sweep_or_grid))
    if path.suffix in (".yaml", ".yml") or path.is_file():
        from phasediag.grids.grid import read_grid

        grid = read_grid(path)
        return Store.open(storage, grid.name).required(), grid.text
    return Store.at(sweep_or_grid).required(), None


def _to_extend(
    designs: Sequence[Design], factor: float, text: str | None, named: str
) -> list[tuple[Design, float]]:
    """The designs to extend, and by what factor each.

    Rounds of a refinement of longer trials are longer already.
    """
    factors = {design.name: design.extends[1] for design in designs if design.extends}
    chosen = []
    for design in designs:
        if design.extends or (text is not None and design.grid.text != text):
            continue
        before = factors.get(added_to(design.grid.text), 1.0)
        if factor > before:
            chosen.append((design, factor / before))
    if not chosen and text is not None:
        raise PhasediagError(
            f"{named} was not launched as it stands, so there is nothing to extend; launch it first, or name "
            "the folder of the sweep to extend all its grids"
        )
    return chosen


def extended_text(design: Design, factor: float) -> str:
    """The text of a grid that is trained so many times as long, everything else as in a design.

    Raises
    ------
    PhasediagError
        Where the length is an axis by itself, or stands in a file of points.
    """
    content = {key: value for key, value in design.content.items() if value is not None}
    fixed, axes = dict(content.get("fixed") or {}), dict(content.get("axes") or {})
    _check_lengths(design, axes)
    points = content.get("points")
    listed = points if isinstance(points, list) else []
    fixed = longer_fixed(fixed, frozenset(axes).union(*listed), factor)
    for name in axes.keys() & _LENGTHS:
        axes[name] = _longer_axis(name, axes[name], factor)
    changed: dict[str, Any] = {"fixed": fixed, "axes": axes}
    if listed:
        changed["points"] = [
            {name: longer(name, value, factor) if name in _LENGTHS else value for name, value in p.items()}
            for p in listed
        ]
    text = StringIO()
    YAML(typ="safe", pure=True).dump({**content, **{key: v for key, v in changed.items() if v}}, text)
    return f"{LONGER}{factor:.12g} of {design.name}\n{mark_of(design)}{text.getvalue()}"


def mark_of(design: Design) -> str:
    """The line by which a grid that extends a design says that it is of a refinement; empty where not."""
    return f"{design.grid.text.partition(chr(10))[0]}\n" if design.refines else ""


def longer_fixed(fixed: Mapping[str, Any], given: Collection[str], factor: float) -> dict[str, Any]:
    """The fixed values of a grid with its length, and with the default one where it gives none, longer.

    Parameters
    ----------
    given
        The parameters that its axes and points give values to.
    """
    changed = {n: longer(n, v, factor) if n in _LENGTHS else v for n, v in fixed.items()}
    if not any(name in fixed or name in given for name in _LENGTHS):
        default = next(parameter.default for parameter in TRAINING if parameter.name == "steps")
        changed["steps"] = longer("steps", default, factor)
    return changed


def _check_lengths(design: Design, axes: Mapping[str, Any]) -> None:
    together = {name for names in design.grid.zips for name in names}
    for name in _LENGTHS:
        if name in axes and name not in together:
            raise PhasediagError(
                f"{design.name} has {name} as an axis of its own: its longer trials are in the sweep "
                f"already; compare them along {name}, or add larger values to the axis and launch it again"
            )
    if design.grid.points_file is not None and design.grid.given & set(_LENGTHS):
        raise PhasediagError(
            f"{design.name} takes the length of training from {design.grid.points_file}; write a file with "
            "longer ones and launch a grid that names it"
        )


def longer(name: str, value: Any, factor: float) -> Any:
    """A length times a factor; steps are whole."""
    multiple = round(value * factor, 9)
    return math.ceil(multiple) if name == "steps" else multiple


def _longer_axis(name: str, axis: Any, factor: float) -> Any:
    """All values of an axis times a factor."""
    if isinstance(axis, list):
        return [longer(name, value, factor) for value in axis]
    kinds = ("values", "linspace", "logspace", "arange")
    return {key: [longer(name, v, factor) for v in given] if key in kinds else given
            for key, given in axis.items()}  # fmt: skip


def notes_on(designs: Sequence[Design]) -> list[str]:
    """That some trials are no continuation of the shorter ones."""
    other: dict[str, None] = {}
    for design in designs:
        if "schedule" in design.trials.columns:
            names = (str(value) for value in design.trials.columns["schedule"].pool)
            other |= dict.fromkeys(name for name in names if name not in OF_STEPS)
    if not other:
        return []
    shown = ", ".join(list(other)[:_MOST_SHOWN])
    return [
        f"the schedule {shown} follows the length of training: the longer trials take other steps from the "
        "start and do not pass through the shorter ones; what moves is an effect of the schedule too"
    ]
