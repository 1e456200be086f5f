"""A lease in a bucket whose store knows no conditions: takers see each other before one of them writes it.

Every taker first writes a *claim* of its own and then looks for others, so of two takers at least one sees
the other. Who sees a claim of a smaller token withdraws; who sees larger ones alone waits until they have
withdrawn, or one of them, which had looked before, has written the lease. A store must show at once what
was written, in listings too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from phasediag.storage.folder import Entry, Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease_file import LeaseState, NamedLease, is_free

WAIT_S: Final = 0.5
"""Between two looks at the other claims."""


@dataclass(slots=True, kw_only=True)
class LeaseByClaims(NamedLease):
    """One file, which is written by who has made sure that nobody else is about to."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    alive: set[str] = field(default_factory=set)
    """Tokens of takers that ran when their claim was read; later its age tells."""

    def take(self, holder: Holder) -> bool:
        """Take the lease where it is free; whether it was."""
        self.token = holder.token
        if not is_free(self.folder, self.name, self.silence_s):
            return False
        try:
            while True:
                begun = self.clock()
                self._claims.write(self.token, holder.text)
                others = self._others()
                if not is_free(self.folder, self.name, self.silence_s):
                    return False
                if others is None or self.clock() - begun > self.silence_s / 2:
                    continue  # by now others may take this one for dead
                if any(token < self.token for token in others):
                    return False
                if not others:
                    self.folder.write(self.name, holder.text)
                    return True
                self.sleep(WAIT_S)
        finally:
            self._claims.delete(self.token)

    def renew(self, holder: Holder) -> bool:
        """Write the heartbeat, also where the file was deleted; False where somebody else holds the lease."""
        if self.folder.entry(self.name) is None or self._is_mine():
            self.folder.write(self.name, holder.text)
        return self._is_mine()

    @property
    def _claims(self) -> Folder:
        return self.folder / f"{self.name}.claims"

    def _others(self) -> list[str] | None:
        """The tokens of others that are about to take it; None where the claim of this one is gone.

        Claims of takers that no longer run are deleted.
        """
        entries = {entry.name: entry for entry in self._claims.entries()}
        mine = entries.pop(self.token, None)
        if mine is None:
            return None
        others = []
        for entry in entries.values():
            if self._is_dead(entry, mine):
                self._claims.delete(entry.name)
            else:
                others.append(entry.name)
        return others

    def _is_dead(self, entry: Entry, mine: Entry) -> bool:
        if (mine.mtime_ns - entry.mtime_ns) / 1e9 > self.silence_s:
            return True
        if entry.name in self.alive:
            return False
        self.alive.add(entry.name)
        holder = LeaseState.of(self._claims, entry.name).holder
        return holder is not None and holder.dead
