"""From which kept weights trials are trained on; known without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasediag.trial import Codes, IntArray, TextArray, objects


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """Shorter trials of one length, from whose kept weights as many longer ones are trained on."""

    step: int
    """The steps of the shorter ones."""
    trial_id: TextArray
    """The shorter trial of each, shape (trials,)."""
    pack_id: TextArray
    """The pack under whose id its weights are kept, shape (trials,)."""

    def take(self, rows: Codes | IntArray) -> Origin:
        """The origin of some of the trials."""
        return Origin(step=self.step, trial_id=self.trial_id[rows], pack_id=self.pack_id[rows])

    @property
    def plain(self) -> dict[str, Any]:
        """What fits JSON."""
        return {
            "step": self.step, "trial_id": self.trial_id.tolist(), "pack_id": self.pack_id.tolist()
        }  # fmt: skip

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Origin | None:
        """What `plain` gave, once more."""
        if plain is None:
            return None
        ids, packs = objects(plain["trial_id"]), objects(plain["pack_id"])
        return cls(step=int(plain["step"]), trial_id=ids, pack_id=packs)
