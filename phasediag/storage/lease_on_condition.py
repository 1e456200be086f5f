"""A lease in a bucket whose store writes on a condition: it decides which of several takers is first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from phasediag.storage.conditional import ConditionalFolder, Held, Version
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease_file import LeaseState


@dataclass(slots=True, kw_only=True)
class LeaseOnCondition:
    """One file, created only where there is none, and replaced only by who knows its last version.

    A store deletes without asking who was last, so the file stays, and says that it was released.
    """

    folder: Folder
    conditional: ConditionalFolder
    name: str
    silence_s: float
    held: tuple[Holder, Version] | None = None
    """As this process wrote it last; None where it holds nothing."""

    def take(self, holder: Holder) -> bool:
        """Take the lease where it is free; whether it was."""
        there = self.conditional.get(self.name)
        if there is not None and not self._is_free(there):
            return False
        return self._written(holder, there.version if there else None)

    def renew(self, holder: Holder) -> bool:
        """Write the heartbeat, also where the file was deleted; False where somebody else holds the lease."""
        return self.held is not None and (
            self._written(holder, self.held[1]) or (self._is_gone() and self._written(holder, None))
        )

    def release(self) -> None:
        """Write into the file that the lease is free, unless somebody else holds it."""
        if self.held is not None:
            holder, version = self.held
            last = replace(holder, beats=holder.beats + 1, released=True, news={})
            self.conditional.replace(self.name, last.text, version)
            self.held = None

    def _written(self, holder: Holder, known: Version | None) -> bool:
        """Write the file where it is still the version that is known; where none is, where there is none."""
        if known is None:
            version = self.conditional.create(self.name, holder.text)
        else:
            version = self.conditional.replace(self.name, holder.text, known)
        if version is None:  # or it was written, the answer was lost, and the request was sent again
            there = self.conditional.get(self.name)
            if there is None or not LeaseState.parse(there.content).of_token(holder.token):
                return False
            version = there.version
        self.held = holder, version
        return True

    def _is_gone(self) -> bool:
        return self.conditional.get(self.name) is None

    def _is_free(self, there: Held) -> bool:
        state = LeaseState.parse(there.content)
        if state.free(0.0, self.silence_s):
            return True
        now = self.folder.now_ns()
        return now is not None and state.free((now - there.mtime_ns) / 1e9, self.silence_s)
