"""What a shell offers at TAB for a sweep and for a column of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, split_arg_string

from phasediag.errors import PhasediagError

STORAGE_FOLDER: Final = "sweeps"
"""Where sweeps lie that nobody put elsewhere."""


def sweeps(context: click.Context, parameter: click.Parameter, text: str) -> list[CompletionItem]:
    """The sweeps in `./sweeps`, and those in the folder that is being typed; folders else."""
    typed = text.rpartition("/")[0]
    places = [Path(typed)] if typed else [Path(STORAGE_FOLDER), Path()]
    offered = [str(path) for place in places for path in _folders(place) if (path / "grids").is_dir()]
    matching = [CompletionItem(path) for path in offered if path.startswith(text)]
    if not typed:  # `quick` stands for sweeps/quickstart
        matching += [CompletionItem(path) for path in offered if Path(path).name.startswith(text) and text]
    return list({item.value: item for item in matching}.values()) or [CompletionItem(text, type="dir")]


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except OSError:
        return []


def columns(text: str) -> list[CompletionItem]:
    """The columns that begin so, of the first sweep that the command line names."""
    from phasediag.analysis.stages import staged
    from phasediag.storage.store import Store

    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    sweep = next((word for word in words[2:] if (Path(word) / "grids").is_dir()), None)
    if sweep is None:
        return []
    try:
        names = staged(Store.at(sweep).trials_table()).column_names
    except PhasediagError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(text)]


class ColumnArgument(click.types.StringParamType):
    """A column of the sweep, or an expression of columns: any text; a shell offers the columns."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The columns that begin so."""
        return columns(incomplete)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str | None:
        """The axes of the sweep that is named, where it can be read."""
        from phasediag.analysis.axes import axes_of
        from phasediag.analysis.frames import load_trials

        sweep = None if ctx is None else ctx.params.get("sweep_path")
        names: list[str] = []
        with suppress(PhasediagError, OSError):
            names = list(axes_of(load_trials(sweep))) if isinstance(sweep, str) else []
        return f"{sweep} has the axes {', '.join(names)}" if names else None


class ConditionType(click.types.StringParamType):
    """A condition on trials; a shell offers `NAME=` of every column."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The columns that begin so, each with the equals sign."""
        return [CompletionItem(f"{item.value}=") for item in columns(incomplete)]
