"""Options that commands share, and how they speak: results to stdout, messages to stderr."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phasediag.commands.offers import ColumnArgument, ConditionType, sweeps
from phasediag.errors import PhasediagError, RecordsWarning

_SAID: Final[ContextVar[set[str] | None]] = ContextVar("said", default=None)
"""What a command has said of the records that it reads."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SWEEP = click.argument("sweep_path", metavar="SWEEP", shell_complete=sweeps)
COLUMN = ColumnArgument()
LEVEL = click.option(
    "--level", type=float, help="The order parameter on the boundary; default: what it declares, mostly 0.5."
)
WHERE = click.option(
    "--where", multiple=True, metavar="CONDITION", type=ConditionType(),
    help="Only these trials: NAME=VALUE, or a condition as in exclude, 'width < 64 and rank > 1'.",
)  # fmt: skip
SET = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE",
    help="Give a key of the grid another value: steps=4000, 'width=[16, 32]', measure.every=100; "
    "nothing behind = takes it out. The sweep keeps the grid as it ran.",
)  # fmt: skip
STORAGE = click.option(
    "--storage", default="./sweeps", show_default=True,
    help="Folder or URI that holds the sweeps. A bucket is s3://bucket/prefix; keys, server and region are "
    "those of the variables AWS_..., or stand behind it (?endpoint_override=HOST:PORT): docs/storage.md.",
)  # fmt: skip
COMPILE = click.option(
    "--compile", "compile_mode", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
    help="torch.compile: auto where it pays.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
SENSITIVITY = click.option(
    "--sensitivity/--no-sensitivity", default=None,
    help="By how much the result moves at half and twice the threshold, and a boundary with its level, "
    "resolution and method; default: up to 50,000 trials.",
)  # fmt: skip
MAX_FAILURES = click.option(
    "--max-failures", type=click.IntRange(min=1), help="Drain after so many failed trials."
)
REMEASURE = click.option(
    "--remeasure", is_flag=True, help="Train again what lacks an observable of this grid, or was counted by "
    "older definitions.",
)  # fmt: skip
TIME_LIMIT = click.option("--time-limit", help="Be over after this time (3h50m, 45m, 90s); drains before.")
RETRY = click.option("--retry-failed", is_flag=True, help="Train trials that failed before once more.")


def together(argument: str, options: Mapping[str, Decorator]) -> Decorator:
    """Give a command options that it takes as one argument, a mapping.

    Parameters
    ----------
    argument
        The name of that argument.
    options
        Of click, by the names of the values, in the order in which the help lists them.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def taking(**given: Any) -> Any:
            return command(**{argument: {name: given.pop(name) for name in options}}, **given)

        decorated: Callable[..., Any] = taking
        for option in reversed(list(options.values())):
            decorated = option(decorated)
        return decorated

    return decorate


def shown(text: str) -> str:
    """A text in which what would steer a terminal is written out: it may come from anywhere."""
    return "".join(char.encode("unicode_escape").decode() if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    """Whether a letter is none: it moves, colours, turns round or hides others."""
    return char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def say(text: str, err: bool = True) -> None:
    """A message to the user, on stderr; on a terminal that is gone it is lost, and nothing else."""
    try:
        click.echo(shown(text), err=err)
    except OSError:
        stream = sys.stderr if err else sys.stdout
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), stream.fileno()
        )  # what it still holds is written at the end


@contextmanager
def telling(sentences: list[str] | None = None) -> Iterator[None]:
    """Say what must be known of the records that are read as messages, each once.

    Parameters
    ----------
    sentences
        Where those are noted, too, that are no warnings.
    """
    outer = _SAID.get()
    said = set() if outer is None else outer
    token = _SAID.set(said)
    with warnings.catch_warnings():
        warnings.simplefilter("always", RecordsWarning)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            text = str(message)
            if not issubclass(category, RecordsWarning):
                usual(message, category, *where, **more)
                return
            if text not in said:
                said.add(text)
                say(f"{category.word}: {text}")
            if sentences is not None and category.word == RecordsWarning.word and text not in sentences:
                sentences.append(text)

        warnings.showwarning = show
        try:
            yield
        finally:
            _SAID.reset(token)


def print_table(title: str, rows: dict[str, str]) -> None:
    """Names and values on stdout."""
    table = Table(title=Text(shown(title)), show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(Text(shown(name)), Text(shown(value)))
    Console().print(table)


_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def seconds(text: str, option: str = "--time-limit") -> float:
    """The seconds of `3h50m`, `45m` or `90s`, which an option was given.

    Raises
    ------
    PhasediagError
        Where the text is no time.
    """
    time = _TIME.fullmatch(text.strip())
    if not text.strip() or time is None:
        raise PhasediagError(f"{option}: '{text}' is no time; write 3h50m, 45m or 90s")
    parts = [int(part or 0) for part in time.groups()]
    return float(sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True)))
