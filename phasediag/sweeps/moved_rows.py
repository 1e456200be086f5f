"""Rows that come into a sweep from its trash or from another sweep; the trial that a text names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from phasediag.errors import PhasediagError
from phasediag.identity import pack_id
from phasediag.storage.folder import Folder
from phasediag.storage.fragments import in_pack
from phasediag.storage.kept_weights import Kept, read_kept
from phasediag.storage.store import Store
from phasediag.sweeps.status import rosters

SHORTEST: Final = 4
"""Digits of an id that stand for it, where no other one begins so."""
LOSS_TOLERANCE: Final = 1e-4
"""Relative difference of losses that law 1 allows between kernels."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedRows:
    """Trials and their measurements, with the weights that are kept of them."""

    trials: pa.Table
    measurements: pa.Table
    folder: Folder
    """Where their weights lie, by pack."""
    kept_as: Mapping[str, str] = field(default_factory=dict)
    """Under which pack the weights of a pack lie, where that is another one."""

    @classmethod
    def of(cls, store: Store) -> MovedRows:
        """All that a sweep holds, one row a trial."""
        return cls(
            trials=store.trials_table(ordered=False), measurements=store.measurements_table(ordered=False),
            folder=store.folder,
        )  # fmt: skip

    def kept(self, name: str) -> Kept:
        """The weights that are kept of the trials of a pack, of those that are among these."""
        kept = read_kept(self.folder, self.kept_as.get(name, name))
        return kept.of(self.trials["trial_id"].to_pylist())

    def only(self, trial_ids: pa.Array) -> MovedRows:
        """The rows of some trials."""
        return replace(
            self,
            trials=self.trials.filter(pc.is_in(self.trials["trial_id"], value_set=trial_ids)),
            measurements=self.measurements.filter(
                pc.is_in(self.measurements["trial_id"], value_set=trial_ids)
            ),
        )

    def packs(self) -> Iterator[tuple[str, MovedRows]]:
        """The rows of each pack."""
        for name in pc.unique(self.trials["pack_id"]).to_pylist():
            of = pc.field("pack_id") == name
            rows = replace(self, trials=self.trials.filter(of), measurements=self.measurements.filter(of))
            yield name, rows

    def in_pack(self, name: str) -> MovedRows:
        """The rows, as those of another pack."""
        was = self.trials["pack_id"][0].as_py()
        return replace(
            self, trials=in_pack(self.trials, name), measurements=in_pack(self.measurements, name),
            kept_as={name: was},
        )  # fmt: skip


def add_rows(store: Store, rows: MovedRows) -> None:
    """Write rows of trials that a sweep does not hold; a pack of which it holds some gets another id.

    Whoever calls holds the lease of the sweep. Rows of each pack appear together; who is killed meanwhile
    has added some packs and lost nothing.
    """
    held = pc.unique(store.trials_table(("pack_id",), ordered=False)["pack_id"])
    for name, pack in rows.packs():
        if pc.is_in(pa.scalar(name), value_set=held.cast(pa.string())).as_py():
            name = pack_id(pack.trials["trial_id"].to_pylist())
            pack = pack.in_pack(name)
        store.write_fragment(name, pack.trials, pack.measurements, pack.kept(name))


def trial_named(store: Store, text: str) -> str:
    """The id of a trial that a grid of the sweep asks for, or that it holds, from its first digits.

    Raises
    ------
    PhasediagError
        Where no trial begins so, or several do.
    """
    begin = text.strip().lower()
    known = [roster["trial_id"] for _, roster in rosters(store)]
    known.append(store.trials_table(("trial_id",), ordered=False)["trial_id"])
    chunks = [chunk for column in known for chunk in column.chunks]
    ids = pc.unique(pa.chunked_array(chunks, pa.string()))
    matching = ids.filter(pc.starts_with(ids, begin))
    if len(matching) == 1 and len(begin) >= SHORTEST:
        name: str = matching[0].as_py()
        return name
    if len(matching) > 1 and len(begin) >= SHORTEST:
        some = ", ".join(sorted(matching.to_pylist())[:_SHOWN])
        raise PhasediagError(f"{len(matching):,} trials begin with '{text}' ({some} ...); give more digits")
    raise PhasediagError(
        f"the sweep {store.folder.uri} has no trial '{text}'; a trial_id is 32 hexadecimal digits, of which "
        f"the first {SHORTEST} or more will do: the column trial_id of phasediag.load_trials(...)"
    )
