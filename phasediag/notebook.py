"""What a notebook shows of a sweep while it is trained."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phasediag.analysis.phases import phase_diagram
from phasediag.errors import PhasediagError
from phasediag.figures.style import png
from phasediag.storage.store import Store
from phasediag.sweeps.filling import filling
from phasediag.sweeps.status import Status

if TYPE_CHECKING:
    from phasediag.executors.watch import Watch

EVERY_S: Final = 2.0
"""Between two looks at the store, at least."""
PATIENCE: Final = 10.0
"""So many times as long as a look took is waited before the next: looking must not hinder training."""
DRAWS: Final = 100
"""Draws of replicates behind the intervals until the sweep is complete."""


@dataclass(slots=True, kw_only=True)
class _Shown:
    """What was shown last, and when."""

    handle: Any = None
    """The handle of IPython's display; None before anything was shown."""
    at: float = -float("inf")
    took_s: float = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self.at >= max(EVERY_S, PATIENCE * self.took_s)


@dataclass(slots=True, eq=False, init=False)
class LiveDiagram:
    """The phase diagram of a sweep in a notebook, drawn anew as it fills; cells to come are crossed.

    Elsewhere than in a notebook it is told in words, on stderr. It observes a launch of the same notebook,
    and follows one that runs elsewhere:

    >>> live = phasediag.LiveDiagram("sweeps/mine", x="weight_decay", y="lr_over_batch")
    >>> phasediag.launch("mine.yaml", observer=live)
    >>> live.follow()  # or this, of a sweep that a terminal or a cluster trains

    Results are recorded by packs, so that a sweep of one pack fills at once, at its end.

    Parameters
    ----------
    sweep
        The folder or URI of the sweep: `STORAGE/NAME`. It need not be there yet.
    x, y, order, level, facet
        As for `phase_diagram`; without a level that of the order parameter, mostly 0.5.
    look
        Options of the figure, see `phasediag.figures.look.Look`.

    Raises
    ------
    PhasediagError
        Where IPython is not installed.
    """

    sweep: str
    x: str
    y: str | None
    order: str
    level: float | None
    """None: what the column of the order parameter declares."""
    facet: str | None
    look: dict[str, Any]
    _shown: _Shown = field(repr=False)

    def __init__(
        self, sweep: str | Path, x: str, y: str | None = None, order: str = "degree_normalized",
        level: float | None = None, facet: str | None = None, **look: Any,
    ) -> None:  # fmt: skip
        if find_spec("IPython") is None:
            raise PhasediagError("a live diagram needs IPython: pip install 'phasediag[notebooks]'")
        self.sweep, self.x, self.y, self.order, self.facet = str(sweep), x, y, order, facet
        self.level, self.look = level, look
        self._shown = _Shown()

    def __call__(self, watch: Watch) -> None:
        """Show how far a launch is: to be given to `launch` as its observer.

        Between two looks at the store at least two seconds pass, and ten times as long as a look takes; that
        everything is trained is shown at once.
        """
        if watch.trained >= watch.total or self._shown.due:
            self.show()

    def follow(self) -> None:
        """Show a sweep until nothing of it is missing, wherever it is trained; interrupt the cell to stop."""
        while (status := self.show()) is None or status.missing:
            time.sleep(max(EVERY_S, PATIENCE * self._shown.took_s))

    def show(self) -> Status | None:
        """Look at the store once and show what it holds, in the place where it was shown before.

        Returns
        -------
        How far the sweep is; None where it was not launched yet.
        """
        from IPython import display as shown
        from IPython import get_ipython

        display: Callable[..., Any] = shown.display
        started = time.monotonic()
        status, content = self._looked()
        if get_ipython() is None:
            print(content["text/plain"], file=sys.stderr)
        elif self._shown.handle is None:
            self._shown.handle = display(content, raw=True, display_id=True)
        else:
            self._shown.handle.update(content, raw=True)
        self._shown.at = time.monotonic()
        self._shown.took_s = self._shown.at - started
        return status

    def _looked(self) -> tuple[Status | None, dict[str, str]]:
        """How far the sweep is, and what is shown of it, by media type."""
        store = Store.at(self.sweep)
        if not store.grids():
            return None, _content(f"{self.sweep} was not launched yet")
        now = filling(store, tuple(filter(None, (self.x, self.y, self.order, self.facet))))
        counts = now.status.in_words
        if not now.status.done:
            return now.status, _content(counts)
        try:
            diagram = phase_diagram(
                now.trials, self.x, self.y, self.order, self.level, facet=self.facet,
                resamples=DRAWS if now.status.missing else 1000,
            )  # fmt: skip
            return now.status, _content(counts, png(diagram.plot(**self.look)), diagram.warnings)
        except PhasediagError as error:
            return now.status, _content(counts, warnings=(str(error),))


def _content(counts: str, picture: bytes = b"", warnings: tuple[str, ...] = ()) -> dict[str, str]:
    words = "".join(f"<p><strong>warning:</strong> {escape(text)}</p>" for text in warnings)
    drawn = b64encode(picture).decode("ascii")
    image = f'<img src="data:image/png;base64,{drawn}" alt="" style="max-width: 100%">' if picture else ""
    plain = "\n".join([counts, *(f"warning: {text}" for text in warnings)])
    return {"text/html": f"<p>{escape(counts)}</p>{image}{words}", "text/plain": plain}
