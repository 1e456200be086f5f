"""How long a storage that fails is borne by places that have nothing but it between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from phasediag.errors import StoreError, lasts
from phasediag.executors.drain import Drain

BORNE_SECONDS: Final = 30.0
"""A storage that is away is waited for so long; then somebody else is to try."""
AGAIN_SECONDS: Final = 0.5
"""Between two tries."""

Answered = TypeVar("Answered")


@dataclass(slots=True)
class Patience:
    """With a storage, from its first failure on."""

    since: float | None = None
    """When it failed first, in seconds of this process's clock; None while it works."""

    def ends(self, error: StoreError) -> bool:
        """Take in that it failed; whether to wait no longer: for too long, or nothing will come of it."""
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        return lasts(error) or now - self.since > BORNE_SECONDS


def borne(act: Callable[[], Answered], ending: Drain) -> Answered:
    """What an act on the storage comes to; it is tried again while the storage fails for a while.

    Raises
    ------
    StoreError
        Where it fails for longer, for good, or while the launch ends.
    """
    patience = Patience()
    while True:
        try:
            return act()
        except StoreError as error:
            if ending.due() or patience.ends(error):
                raise
        time.sleep(AGAIN_SECONDS)
