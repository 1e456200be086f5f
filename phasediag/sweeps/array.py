"""A launch that is given to many processes alike: one leads, others follow, and any may take its place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from phasediag.errors import LeaseHeldError, StoreError
from phasediag.executors.watch import Watch
from phasediag.grids.lot import Lot
from phasediag.identity import Ids
from phasediag.running.job import Breakdown, Job
from phasediag.storage.lease import Lease, held_by
from phasediag.storage.roster import digests_of
from phasediag.sweeps.launching import LOG, LaunchOrder, led, log_of

if TYPE_CHECKING:
    from phasediag.executors.array.letters import Ending
    from phasediag.packing.pack import Pack
    from phasediag.running.checkpoint import Header

PURPOSE: Final = "launch by an array"
"""The purpose that the lease of the one that leads states."""


def carried_out_in_array(order: LaunchOrder) -> tuple[Watch, Lot]:
    """Lead, if nobody does, else follow, until nothing is left; then, all trials of the grid."""
    job, trials = order.job(), order.grid.lot()
    resources, log = order.grid.resources, log_of(order.store, LOG)
    followed = Watch(total=len(trials), ending=order.drain, started=order.started)
    while not order.drain.due():
        lease = _taken(order)
        if lease is None:
            ending = _follow(order, job, trials, followed)
            if ending is not None:
                _end(followed, ending)
                break
            continue
        from phasediag.executors.array.executor import ArrayExecutor
        from phasediag.executors.array.leading import close, lead
        from phasediag.executors.array.letters import Leader

        with lease:
            token, grid = lease.holder.token, _hash(trials, job)
            order.notify("this process leads: it trains, and gives work to all that are launched alike")
            lead(order.store, Leader(token=token, grid=grid, software=job.software))
            runner = ArrayExecutor(cpus=resources.cpus, gpus=resources.gpus, tf32=resources.tf32, log=log)
            try:
                return led(order, lease, job, runner)
            finally:
                with suppress(StoreError):  # letters that stay are passed over by whoever leads next
                    if not lease.lost:
                        close(order.store)
    return followed, trials


def _taken(order: LaunchOrder) -> Lease | None:
    """The lease of the sweep; None where another process of the array has it.

    Raises
    ------
    LeaseHeldError
        Where it is held for something else.
    """
    try:
        return order.take(PURPOSE)
    except LeaseHeldError:
        holder = held_by(order.store)
        if holder is not None and holder.purpose != PURPOSE:
            raise
        return None


def _follow(order: LaunchOrder, job: Job, trials: Lot, watch: Watch) -> Ending | None:
    """Train what the one that leads gives; why that ended for all, None where it may go on."""
    from phasediag.executors.array.following import Follower, await_leader
    from phasediag.executors.inline import working
    from phasediag.sweeps.planning import pack_of_header

    resources, known = order.grid.resources, Ids(trials.digests())
    leader = await_leader(order.store, order.drain, _hash(trials, job))
    if leader is None:
        return None

    def packs(header: Header) -> Pack:
        rows = known.find(digests_of(header.trial_ids))
        return pack_of_header(order.grid, header, trials.of(rows))

    order.notify("this process follows another one, which gives it work: `phasediag status` tells of all")
    asked = replace(job, token=leader.token, software=leader.software)
    log = log_of(order.store, LOG)
    with working(asked, resources.cpus, resources.gpus, resources.tf32, log) as worker:
        place = Follower(store=order.store, worker=worker, leader=leader.token, packs=packs, watch=watch)
        return place.run(order.drain)


def _end(watch: Watch, ending: Ending) -> None:
    """Let this process end as the one that leads does."""
    if ending.failures:
        watch.give_up(ending.reason)
    if ending.breakdown:
        watch.ending.fail(Breakdown(error=ending.reason, of_machine=True))


def _hash(trials: Lot, job: Job) -> str:
    """What is the same where the same trials are trained by the same code and measured alike."""
    digest = blake2b(trials.digests().tobytes(), digest_size=16)
    digest.update(repr((job.measure, sorted(job.hashes.items()))).encode())
    return digest.hexdigest()
