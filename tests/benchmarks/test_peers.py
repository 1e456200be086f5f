"""The peers of the benchmark do the same work as phasediag, and a peer that does not is noticed."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import peer_loops
import peers
import pytest
from peer_engines import Batched, Engine, Loop, Phasediag, jax_on
from peer_jobs import CHAIN, JOBS, MLP, RESNET, TRANSFORMER, Job, trials_of, work_of
from peer_work import Work, load

from phasediag.trial import Trials

SMALL = {
    "width-16": MLP.format(width=3, steps=64),
    "chain": CHAIN.format(steps=64, replicates=3),
    "resnet": RESNET.format(inputs=48, channels=2, steps=8),
    "transformer": TRANSFORMER.format(length=3, steps=64),
}
TILES = {"width-16": 6, "chain": 64, "resnet": 3, "transformer": 3}
CHAINS = ("width-16", "chain")


@pytest.fixture(params=list(SMALL))
def job(request: pytest.FixtureRequest) -> Job:
    (kind,) = (job for job in JOBS if job.name == request.param)
    steps = 8 if kind.name == "resnet" else 64
    return replace(kind, grid=SMALL[kind.name], tiles=(TILES[kind.name],), timed_steps=steps)


@pytest.fixture
def trials(job: Job) -> Trials:
    return trials_of(job.grid)


@pytest.fixture
def work(job: Job, trials: Trials) -> Work:
    return work_of(trials, job.timed_steps)


@pytest.fixture
def start(job: Job, work: Work) -> Any:
    return by_hand(work).losses(job.tiles[0], 0)


def by_hand(work: Work) -> Batched | Loop:
    """The loop that phasediag is compared with."""
    return Batched(work) if work.model == "chain" else Loop(work)


def alone(path: Path, count: int, steps: int) -> Any:
    return np.array([peer_loops.train(str(path), trial, steps) for trial in range(count)])


def test_every_peer_ends_at_phasediags_losses(
    job: Job, trials: Trials, work: Work, start: Any, tmp_path: Path
) -> None:
    ours = Phasediag(trials, job.timed_steps, compiled=False)
    losses = peers.compared(job, {peers.OURS: ours, peers.BATCHED: by_hand(work)}, start)
    losses["alone"] = alone(work.save(tmp_path / "work.npz"), 3, job.compared_steps)
    assert peers.agreed(job, losses, start)["alone"] < job.tolerance


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX belongs to the extra `bench`")
def test_jax_ends_at_the_losses_of_the_loop(job: Job, work: Work, start: Any, tmp_path: Path) -> None:
    with jax_on(work.save(tmp_path / "work.npz")) as jax:
        engines: dict[str, Engine] = {peers.OURS: by_hand(work), peers.JAX: jax}
        losses = peers.compared(job, engines, start)
        assert len(losses[peers.JAX]) == job.tiles[0]
        assert jax.seconds(job.tiles[0], 1e-3) > 0


@pytest.mark.parametrize("job", CHAINS, indirect=True)
@pytest.mark.parametrize("rate", ["learning_rate", "weight_decay", "label_noise"])
def test_other_work_is_refused(job: Job, work: Work, start: Any, rate: str) -> None:
    other = replace(work, **{rate: 0.99 * getattr(work, rate)})
    engines: dict[str, Engine] = {peers.OURS: Batched(work), peers.BATCHED: Batched(other)}
    with pytest.raises(peers.OtherWorkError, match="not the same work"):
        peers.compared(job, engines, start)


def test_a_tile_is_the_work_of_its_trials(job: Job, work: Work, tmp_path: Path) -> None:
    size = job.tiles[0]
    part = load(work.first(size).save(tmp_path / "part.npz"))
    assert part.trials == size
    steps = min(20, work.steps)
    assert np.array_equal(by_hand(part).losses(size, steps), by_hand(work).losses(size, steps))
    assert work.fresh == (job.name == "chain")


def test_a_tile_holds_whole_replicates(work: Work) -> None:
    if work.replicates > 1:
        with pytest.raises(ValueError, match="points"):
            work.first(work.trials // work.replicates + 1)
