"""The progress line of a launch: updating on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from phasediag.commands.options import shown
from phasediag.sweeps.status import duration as duration

if TYPE_CHECKING:
    from phasediag.executors.watch import Watch
    from phasediag.sweeps.sweep import Outcome

PLAIN_EVERY_S: Final = 10.0
DRAWN_EVERY_S: Final = 0.25
"""Between two drawings of the bar, however many workers report: each goes through all that train."""


class ProgressLine:
    """Shows a watch on a console; to be given to `launch` as its observer.

    Elsewhere than on a terminal a thread prints a plain line every `PLAIN_EVERY_S`, whether or not
    anything was reported meanwhile: a compilation is no silence. One more is printed when there is a
    rate for the first time, and one when the launch begins to drain.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._watch: Watch | None = None
        self._said = (False, "", "")
        self._printed = 0
        self._drawn = -DRAWN_EVERY_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._print_until_stopped, name="progress", daemon=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=console, transient=False)
            self._task = self._bar.add_task("starting workers", total=None)

    def __enter__(self) -> ProgressLine:
        if self._bar:
            self._bar.start()
        else:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._bar:
            if self._watch is not None:
                self._draw(self._watch)
            with suppress(OSError):
                self._bar.stop()
        else:
            self._thread.join()

    def __call__(self, watch: Watch) -> None:
        """Show how far the launch is, and once what was given up to go on."""
        for sentence in watch.sentences[self._printed :]:
            self._say(f"note: {sentence}")
        self._printed = len(watch.sentences)
        now, news = time.monotonic(), (watch.training, watch.ending.reason, watch.waits_for)
        if self._bar and (news != self._said or now >= self._drawn + DRAWN_EVERY_S):
            self._drawn = now
            self._draw(watch)
        if self._bar is None and (self._watch is None or news != self._said):
            self._print(watch)
        self._watch, self._said = watch, news

    def _draw(self, watch: Watch) -> None:
        """Let the bar show how far the launch is."""
        if self._bar:
            text = escape(shown(described(watch)))
            with suppress(OSError):
                self._bar.update(self._task, total=watch.total, completed=watch.trials_done, description=text)

    def _print_until_stopped(self) -> None:
        while not self._stop.wait(PLAIN_EVERY_S):
            if self._watch is not None:
                self._print(self._watch)

    def _print(self, watch: Watch) -> None:
        self._say(described(watch))

    def _say(self, text: str) -> None:
        """Print a line, if anybody still reads: training goes on when its terminal is gone."""
        with suppress(OSError):
            self.console.print(shown(text), highlight=False, markup=False, soft_wrap=True)


def described(watch: Watch) -> str:
    """`1200/4096 trials, 96.1 trials/s, 0 failed, 30 s left`."""
    done, rate = f"{watch.trials_done:.0f}/{watch.total} trials", watch.rate
    waiting = "starting workers and compiling" if watch.total else "nothing to train"
    pace = waiting if rate is None else f"{rate:{'.1f' if rate >= 0.1 else '.2g'}} trials/s"
    parts = [done, pace, f"{watch.failed} failed"]
    if watch.diverged:
        parts.append(f"{watch.diverged} diverged")
    if watch.waits_for:
        parts.append(watch.waits_for)
    if watch.ending.reason:
        parts.append(f"draining: {watch.ending.reason}")
    elif watch.eta_s is not None:
        parts.append(f"{duration(watch.eta_s)} left")
    if watch.first_error:
        parts.append(f"first error: {watch.first_error.splitlines()[0][:120]}")
    return ", ".join(parts)


def size(count: float) -> str:
    """Bytes as `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def described_split(outcome: Outcome) -> str:
    """`workers' time: start-up 12 s (10 %), compilation ...`."""
    total = max(sum(outcome.split.values()), 1e-9)
    parts = [f"{phase} {s:.1f} s ({s / total:.0%})" for phase, s in outcome.split.items()]
    text = f"workers' time, {total:.1f} s in all: {', '.join(parts)}"
    if outcome.foretold is not None:
        expected, took = outcome.foretold
        text += f"\nleft at a tenth: {expected:.1f} s said, {took:.1f} s taken"
    return text
