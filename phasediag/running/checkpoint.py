"""What is kept of an unfinished pack: written and read here alone, and known without torch.

A checkpoint carries the `VERSION` of its format. One of another version, older or newer, is never read beyond
the trials that it holds: it is left aside, and its pack is trained from the start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import safetensors
import safetensors.numpy

from phasediag.grids.measure import Measure
from phasediag.running.job import TileWork
from phasediag.storage.kept_weights import Kept
from phasediag.storage.schema_arrow import promoted
from phasediag.storage.seal import UnsoundError
from phasediag.storage.store import Store
from phasediag.trial import Value

if TYPE_CHECKING:
    from phasediag.packing.pack import Pack

VERSION: Final = 4
"""The version of the format, and of what a tile keeps of its training; raised whenever either changes. Those
that were written before there were versions have 0."""
READABLE: Final = (3, VERSION)
"""Versions that can be continued: those of 3 hold trials that begin at step 0."""

_PLAIN, _TILE = "pack.json", "tile.safetensors"
_ROWS, _MEASURED, _KEPT, _CARRIED = ".trials.arrow", ".measurements.arrow", ".kept", "carried.arrow"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedTile:
    """What is recorded of the trials of a tile."""

    trials: pa.Table
    """Rows of `trials`."""
    measurements: pa.Table
    """Rows of `measurements`."""
    kept: Kept = field(default_factory=Kept)
    """The last weights of those of which they are kept."""

    @classmethod
    def joined(cls, tiles: Sequence[FinishedTile]) -> FinishedTile:
        """What is recorded of the trials of all of them; those of an earlier release may lack columns."""
        return cls(
            trials=promoted([tile.trials for tile in tiles]),
            measurements=promoted([tile.measurements for tile in tiles]),
            kept=Kept.joined([tile.kept for tile in tiles]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which trials a checkpoint holds, and how they are trained and measured."""

    version: int = VERSION
    """The version of the checkpoint; of one that is not `READABLE`, only the trials are known."""
    trial_ids: tuple[str, ...]
    """In the order in which they are trained."""
    tile_size: int = 0
    compiled: bool = False
    shared: bool = False
    envelope: Mapping[str, Value] = field(default_factory=dict)
    measure: str = ""
    """`Measure.words`."""
    origin: Mapping[str, Any] | None = None
    """`Origin.plain`; None where the trials begin at step 0."""

    @property
    def readable(self) -> bool:
        """Whether this phasediag can continue from it."""
        return self.version in READABLE

    def continues(self, other: Header) -> bool:
        """Whether a checkpoint with this header serves a pack with the other one."""
        return (
            self.readable
            and self.trial_ids == other.trial_ids
            and self.envelope == other.envelope
            and self.measure == other.measure
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedTile:
    """A tile in the middle of its training."""

    work: TileWork
    step: int
    wall_s: float
    """Seconds that it took so far."""
    started_at: datetime
    blocks: Sequence[Any]
    """For each of its parts: what was measured so far, but for the arrays; it fits JSON."""
    arrays: Mapping[str, np.ndarray]
    """The state of its training under `state/NAME`, the arrays of what was measured under `PART/NAME`."""
    carried: pa.Table | None = None
    """The measurements that its trials take over from shorter ones; None where they began at step 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """All that is needed to continue a pack."""

    header: Header
    error: str
    """The error of the first trial that failed; empty where none did."""
    queue: tuple[TileWork, ...]
    """Tiles that are not begun."""
    current: SavedTile | None
    """The tile in training; None between two tiles."""
    finished: tuple[FinishedTile, ...]


def header_of(pack: Pack, measure: Measure) -> Header:
    """The header of a pack's checkpoints."""
    return Header(
        trial_ids=tuple(pack.source.ids()), tile_size=pack.tile_size, compiled=pack.compiled,
        shared=pack.shared, envelope=dict(pack.structure.envelope), measure=measure.words,
        origin=None if pack.origin is None else pack.origin.plain,
    )  # fmt: skip


def write(store: Store, pack_id: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a pack.

    Raises
    ------
    StoreError
        Where it cannot be written; the one before it stays.
    """
    header = checkpoint.header
    state: dict[str, Any] = {
        "version": header.version, "trial_ids": header.trial_ids, "tile_size": header.tile_size,
        "compiled": header.compiled, "shared": header.shared, "envelope": dict(header.envelope),
        "measure": header.measure, "origin": header.origin, "error": checkpoint.error,
        "queue": [_plain_work(work) for work in checkpoint.queue],
    }  # fmt: skip
    files: dict[str, bytes] = {}
    if checkpoint.current is not None:
        tile = checkpoint.current
        state["current"] = _plain_work(tile.work) | {
            "step": tile.step, "wall_s": tile.wall_s, "started_at": tile.started_at.isoformat(),
            "blocks": tile.blocks,
        }  # fmt: skip
        files[_TILE] = safetensors.numpy.save(dict(tile.arrays))
        if tile.carried is not None:
            files[_CARRIED] = _packed(tile.carried)
    for number, done in enumerate(checkpoint.finished):
        files[f"{number}{_ROWS}"], files[f"{number}{_MEASURED}"] = (
            _packed(done.trials),
            _packed(done.measurements),
        )
        if done.kept.trial_ids:
            files[f"{number}{_KEPT}"] = done.kept.content()
    files[_PLAIN] = json.dumps(state).encode()
    store.write_checkpoint(pack_id, files)


def read(store: Store, pack_id: str) -> Checkpoint | None:
    """The checkpoint of a pack; None where there is none, where it is damaged or of another version."""
    files = store.read_checkpoint(pack_id)
    state, header = _opened(files)
    if files is None or state is None or header is None or not header.readable:
        return None
    try:
        count = sum(name.endswith(_ROWS) for name in files)
        return Checkpoint(
            header=header, error=state["error"], queue=tuple(_work(each) for each in state["queue"]),
            current=_tile(state["current"], files) if "current" in state else None,
            finished=tuple(_finished(files, number) for number in range(count)),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError, UnsoundError):
        return None


def read_header(store: Store, pack_id: str) -> Header | None:
    """The header of a pack's checkpoint; None where there is none, or where it is damaged."""
    return _opened(store.read_checkpoint(pack_id))[1]


def left_aside(count: int) -> str:
    """The notice before a launch of so many checkpoints of another version."""
    if count == 1:
        return "a checkpoint of another version of phasediag is left aside: its trials begin anew"
    return f"{count} checkpoints of another version of phasediag are left aside: their trials begin anew"


def _opened(files: Mapping[str, bytes] | None) -> tuple[dict[str, Any] | None, Header | None]:
    """What fits JSON of a checkpoint, and its header."""
    try:
        state: dict[str, Any] = json.loads((files or {})[_PLAIN])
        version, trial_ids = state.get("version", 0), tuple(state["trial_ids"])
        if version not in READABLE:
            return state, Header(version=version, trial_ids=trial_ids)
        names = ("tile_size", "compiled", "shared", "envelope", "measure")
        known = {name: state[name] for name in names} | {"origin": state.get("origin")}
        return state, Header(version=version, trial_ids=trial_ids, **known)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, None


def _plain_work(work: TileWork) -> dict[str, Any]:
    return {"rows": work.rows.tolist(), "size": work.size}


def _work(plain: Mapping[str, Any]) -> TileWork:
    return TileWork(rows=np.array(plain["rows"], dtype=np.int64), size=plain["size"])


def _tile(plain: Mapping[str, Any], files: Mapping[str, bytes]) -> SavedTile:
    return SavedTile(
        work=_work(plain), step=plain["step"], wall_s=plain["wall_s"], blocks=plain["blocks"],
        started_at=datetime.fromisoformat(plain["started_at"]), arrays=safetensors.numpy.load(files[_TILE]),
        carried=_unpacked(files[_CARRIED]) if _CARRIED in files else None,
    )  # fmt: skip


def _finished(files: Mapping[str, bytes], number: int) -> FinishedTile:
    held = files.get(f"{number}{_KEPT}")
    return FinishedTile(
        trials=_unpacked(files[f"{number}{_ROWS}"]), measurements=_unpacked(files[f"{number}{_MEASURED}"]),
        kept=Kept() if held is None else Kept.parse(held),
    )  # fmt: skip


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _unpacked(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
