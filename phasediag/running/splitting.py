"""What becomes of a pack under which worker after worker dies: what it has reached is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from phasediag.packing.pack import Pack
from phasediag.running import checkpoint
from phasediag.running.checkpoint import Checkpoint, FinishedTile, SavedTile
from phasediag.running.job import Job, Progress, TileWork
from phasediag.running.rows import failed_rows
from phasediag.storage.fragments import in_pack
from phasediag.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """What there is instead of a pack."""

    packs: tuple[Pack, ...]
    """Still to train; some have checkpoints."""
    committed: tuple[tuple[Pack, Progress], ...]
    """Already in the store: the tiles that were finished, or the one trial that has failed by this."""


def split(pack: Pack, job: Job, store: Store, error: str) -> Split:
    """Take a pack apart until the trial is alone that ends its workers.

    What a checkpoint holds is kept: finished tiles are committed, and the tile in training goes on from
    where it was, apart from the tiles that were not begun. A tile that is alone is halved, and begun anew. A
    trial that is alone has failed.

    Parameters
    ----------
    error
        What ended its last worker.
    """
    if len(pack) == 1:
        text = f"its worker died: {error}"
        failed = failed_rows(pack, job, np.arange(1), text)
        store.write_fragment(pack.pack_id, failed.trials, failed.measurements)
        store.drop_checkpoint(pack.pack_id)
        return Split(packs=(), committed=((pack, _done(pack, failed=1, error=text)),))
    kept = checkpoint.read(store, pack.pack_id)
    if kept is None or not kept.header.continues(checkpoint.header_of(pack, job.measure)):
        kept = None
    parts = None if kept is None else _parts(pack, kept, job, store)
    store.drop_checkpoint(pack.pack_id)
    return parts or Split(packs=pack.halves(), committed=())


def _parts(pack: Pack, kept: Checkpoint, job: Job, store: Store) -> Split | None:
    """The parts of a pack that its checkpoint tells apart; None where it is all one part."""
    waiting = [row for work in kept.queue for row in work.rows.tolist()]
    if sum(map(bool, (kept.finished, kept.current, waiting))) < 2:
        return None
    packs, committed = [], []
    if kept.finished:
        committed.append(_commit(pack, kept, job, store))
    if kept.current is not None:
        alone = pack.tile(kept.current.work.rows)
        _keep(alone, kept.current, job, store)
        packs.append(alone)
    if waiting:
        packs.append(pack.of(np.array(waiting)))
    return Split(packs=tuple(packs), committed=tuple(committed))


def _commit(pack: Pack, kept: Checkpoint, job: Job, store: Store) -> tuple[Pack, Progress]:
    """Write the finished tiles of a pack as a fragment of their own."""
    done = FinishedTile.joined(kept.finished)
    ids = set(done.trials["trial_id"].to_pylist())
    own = pack.of(np.flatnonzero([each in ids for each in pack.source.ids()]))
    name = own.pack_id
    store.write_fragment(name, in_pack(done.trials, name), in_pack(done.measurements, name), done.kept)
    status = done.trials["status"].to_pylist()
    failed, diverged = status.count("failed"), status.count("diverged")
    return own, _done(own, failed=failed, diverged=diverged, error=kept.error)


def _keep(pack: Pack, tile: SavedTile, job: Job, store: Store) -> None:
    """Write the checkpoint of a pack that is one tile in training."""
    work = TileWork(rows=np.arange(len(tile.work.rows)), size=tile.work.size)
    header = checkpoint.header_of(pack, job.measure)
    alone = Checkpoint(header=header, error="", queue=(), current=replace(tile, work=work), finished=())
    checkpoint.write(store, pack.pack_id, alone)


def _done(pack: Pack, *, failed: int = 0, diverged: int = 0, error: str = "") -> Progress:
    return Progress(trials_done=len(pack), failed=failed, diverged=diverged, error=error, done=True)
