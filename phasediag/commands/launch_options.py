"""The options of a command that launches: where its trials are trained, and until when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from phasediag.commands.options import COMPILE, MAX_FAILURES, RETRY, TIME_LIMIT, say, seconds, together

if TYPE_CHECKING:
    from phasediag.packing.pack import CompileMode
    from phasediag.sweeps.sweep import Outcome

LAUNCHING: Final = together("launching", {
    "address": click.option(
        "--address", help="A Ray cluster, or auto; default: RAY_ADDRESS, or a local Ray of its own."),
    "executor": click.option(
        "--executor", type=click.Choice(["ray", "inline", "array"]), default="ray", show_default=True,
        help="Who trains: Ray; this process; or this process and all that are launched alike, on any "
        "machines of one storage."),
    "max_failures": MAX_FAILURES,
    "retry_failed": RETRY,
    "time_limit": TIME_LIMIT,
    "compile_mode": COMPILE,
})  # fmt: skip
"""Options that a command takes as one mapping, `launching`: what `Launching.of` makes a value of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launching:
    """How one command launches, as often as it does."""

    executor: str
    """A name of `phasediag.sweeps.launching.ExecutorName`."""
    address: str | None
    max_failures: int | None
    """Failed trials of one launch after which it drains."""
    retry_failed: bool
    compile_mode: CompileMode
    deadline: float | None
    """By `time.monotonic`; None: no limit."""
    remeasure: bool = False
    _said: set[str] = field(default_factory=set)
    """Sentences that its launches have said."""

    @classmethod
    def of(cls, options: Mapping[str, Any], *, remeasure: bool = False) -> Launching:
        """From the options of `LAUNCHING`; the time runs from now."""
        given = dict(options)
        limit = given.pop("time_limit")
        deadline = None if limit is None else time.monotonic() + seconds(limit)
        return cls(deadline=deadline, remeasure=remeasure, **given)

    @property
    def keywords(self) -> dict[str, Any]:
        """What `phasediag.launch` is given; its time limit is what is left until the deadline."""
        return {
            "executor": self.executor, "address": self.address, "max_failures": self.max_failures,
            "retry_failed": self.retry_failed, "remeasure": self.remeasure, "compile": self.compile_mode,
            "time_limit_s": None if self.deadline is None else max(1.0, self.deadline - time.monotonic()),
        }  # fmt: skip

    def train(self, grid: Path, *, sweep: str) -> Outcome:
        """Launch a grid into a sweep with a progress line; a local Ray stays for the next one.

        What the launches before had to tell, of the same code and machine, is not told again.
        """
        from phasediag.commands.progress import ProgressLine
        from phasediag.sweeps.sweep import launch

        earlier = frozenset(self._said)

        def note(sentence: str) -> None:
            self._said.add(sentence)
            if sentence not in earlier:
                say(f"note: {sentence}")

        with ProgressLine(Console(stderr=True)) as line:
            return launch(grid, sweep=sweep, observer=line, notify=note, keep_ray=True, **self.keywords)
