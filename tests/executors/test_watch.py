"""What a launch tells of its time: the ETA counts work, not trials; the split adds up."""

from __future__ import annotations

import ast
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phasediag
from phasediag.executors import drain as draining
from phasediag.executors import watch as watching
from phasediag.executors.drain import Drain, draining_on_signals
from phasediag.executors.forecast import makespan
from phasediag.executors.ledger import Waiting
from phasediag.executors.watch import Watch
from phasediag.grids.grid import Grid
from phasediag.packing.pack import Pack
from phasediag.running.job import Progress
from small_packs import pack_trials
from trained_tiles import grid_of

WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128)
SLICE = 1.5
"""Seconds between two reports of a simulated worker."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the watch reads; a test moves them."""
    now = [0.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    return now


def grid(widths: Sequence[int], steps: int = 50_000) -> Grid:
    fixed = {"task": "teacher_student", "batch_size": 32, "steps": steps}
    return grid_of(fixed, {"width": list(widths), "weight_decay": {"linspace": [0, 1], "num": 400}})


def packs(widths: Sequence[int] = (4, 128)) -> list[Pack]:
    """Structures of which the wide ones cost far more a trial."""
    asked = grid(widths)
    return pack_trials(asked.trials(), asked.parameters, Path(), workers=1, compile_mode="off")


def waiting(pack: Pack) -> Waiting:
    seconds = pack.projected_seconds
    return Waiting(structure=pack.structure, seconds=seconds, each=seconds, compiled=pack.compiled)


class Expecting:
    """A watch of packs that begin with their first report."""

    def __init__(self, packs: Sequence[Pack], total: int, **options: Any) -> None:
        self.watch = Watch(total=total, started=0.0, **options)
        self.left = {pack.pack_id: pack for pack in packs}
        self.watch.expect(lambda: map(waiting, self.left.values()))

    def report(self, pack_id: str, progress: Progress) -> None:
        if pack_id in self.left:
            self.watch.begin(self.left.pop(pack_id))
        self.watch.report(pack_id, progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.watch, name)


def watch_of(pack: Pack) -> Expecting:
    return Expecting([pack], len(pack.trials))


def wrong(pack: Pack, seed: int) -> float:
    """By what the projection of a pack's program errs, apart from the machine: at most 15 %."""
    width = pack.trials.record(0)["width"]
    assert isinstance(width, int)
    return float(1.15 ** np.random.default_rng([seed, width]).uniform(-1, 1))


def simulated(
    watch: Expecting, queue: Sequence[Pack], pace: dict[str, float], workers: int, clock: list[float],
    rng: np.random.Generator,
) -> tuple[list[tuple[float, float]], float, float]:  # fmt: skip
    """Workers that train packs in order, with 5 % of noise on every slice, and report to the watch.

    Returns
    -------
    Times at which it told what is left and what it told; the time of the end; seconds of all workers.
    """
    waiting, forecasts, busy = list(queue), [], 0.0
    running: list[tuple[float, int, Pack, float, float]] = []
    for worker in range(workers):
        running.append((20.0 + worker, worker, waiting.pop(0), 0.0, 0.0))
    while running:
        now, worker, pack, share, spent = min(running, key=lambda state: state[:2])
        running.remove((now, worker, pack, share, spent))
        seconds = pace[pack.pack_id] * pack.projected_seconds
        if share >= 1 and not waiting:
            continue
        if share >= 1:
            pack, share, spent = waiting.pop(0), 0.0, 0.0
            seconds = pace[pack.pack_id] * pack.projected_seconds
        step = min(SLICE, (1 - share) * seconds)
        taken = step * float(rng.uniform(0.95, 1.05))
        after = 1.0 if step < SLICE else share + step / seconds
        running.append((now + taken, worker, pack, after, spent + taken))
        busy += taken
        clock[0] = max(clock[0], now + taken)
        watch.report(pack.pack_id, progress(pack, after, spent=spent + taken))
        if watch.eta_s is not None:
            forecasts.append((clock[0], watch.eta_s))
    return forecasts, clock[0], busy


def progress_of(pack: Pack, share: float, spent: Mapping[str, float], resumed: float = 0.0) -> Progress:
    return Progress(
        trials_done=share * len(pack.trials), resumed=resumed, failed=0, diverged=0, error="",
        done=share == 1, spent=dict(spent),
    )  # fmt: skip


def progress(pack: Pack, share: float, spent: float = 0.0, resumed: float = 0.0) -> Progress:
    return progress_of(pack, share, {"training": spent}, resumed)


@pytest.mark.parametrize("slower", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("startup", [0.0, 30.0, 300.0])
def test_the_eta_is_right_after_a_tenth_whatever_start_up_and_machine(
    slower: float, startup: float, clock: list[float]
) -> None:
    all_packs = packs()
    watch = Expecting(all_packs, 800)
    total = sum(pack.projected_seconds for pack in all_packs)
    clock[0], worked = startup, 0.0
    watch.report(all_packs[0].pack_id, progress(all_packs[0], 1e-9))
    for pack in all_packs:
        for part in range(1, 11):
            taken = slower * pack.projected_seconds / 10
            clock[0] += taken
            worked += pack.projected_seconds / 10
            watch.report(pack.pack_id, progress(pack, part / 10, spent=part * taken))
            if worked > 0.1 * total:
                assert watch.eta_s == pytest.approx(slower * (total - worked), rel=0.02, abs=1e-3)
    assert watch.eta_s == pytest.approx(0, abs=1e-6 * total * slower)


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("seed", range(5))
def test_the_eta_is_right_within_a_fifth_after_a_tenth_where_projections_err_by_program(
    seed: int, workers: int, clock: list[float]
) -> None:
    """Simulated: workers take packs in order on a machine that is three times as slow as projected."""
    rng = np.random.default_rng(seed)
    asked = grid(WIDTHS, steps=4_000)
    all_packs = pack_trials(asked.trials(), asked.parameters, Path(), workers=workers, compile_mode="off")
    pace = {pack.pack_id: 3.0 * wrong(pack, seed) for pack in all_packs}
    watch = Expecting(all_packs, sum(len(pack.trials) for pack in all_packs), workers=workers)
    forecasts, end, busy = simulated(watch, all_packs, pace, workers, clock, rng)
    assert watch.eta_s == 0
    late = [(at, left) for at, left in forecasts if at > 20 + 0.1 * (end - 20)]
    assert len(late) > 50
    assert all(abs(at + left - end) < 0.2 * (end - at) + SLICE for at, left in late)
    assert busy > 0.9 * workers * (end - 20)


def test_a_program_that_is_slower_than_projected_is_not_taken_for_all(clock: list[float]) -> None:
    """Half of each program is done; the wide one took three times its projection, the narrow one once."""
    wide, narrow = (next(p for p in packs() if p.structure.values["width"] == width) for width in (128, 4))
    watch = Expecting([wide, narrow], 800, workers=2)
    seconds = {wide.pack_id: 3 * wide.projected_seconds, narrow.pack_id: narrow.projected_seconds}
    clock[0] = 1000.0
    for pack in (wide, narrow):
        watch.report(pack.pack_id, progress(pack, 0.5, spent=seconds[pack.pack_id] / 2))
    assert watch.eta_s == pytest.approx(seconds[wide.pack_id] / 2, rel=0.1)
    clock[0] += seconds[wide.pack_id] / 2
    watch.report(wide.pack_id, progress(wide, 1.0, spent=seconds[wide.pack_id]))
    assert watch.eta_s is not None
    assert watch.eta_s < 0.2 * narrow.projected_seconds


def test_the_last_pack_is_waited_for() -> None:
    """Two workers do not halve the time of one pack."""
    assert makespan([30.0], [], 2) == 30
    assert makespan([30.0, 10.0], [25.0, 1.0], 2) == 35
    assert makespan([], [5.0, 4.0, 3.0], 2) == 7
    assert makespan([], [], 2) == 0


def test_what_came_with_a_checkpoint_does_not_speed_the_eta_up(clock: list[float]) -> None:
    (pack, *_) = packs()
    watch = watch_of(pack)
    half = len(pack.trials) / 2
    for second, share in ((1.0, 0.5), (2.0, 0.501), (102.0, 0.601)):
        clock[0] = second
        watch.report(pack.pack_id, progress(pack, share, resumed=half))
    assert watch.eta_s == pytest.approx(399)


def test_there_is_neither_rate_nor_eta_before_anything_was_trained(clock: list[float]) -> None:
    (pack, *_) = packs()
    watch = watch_of(pack)
    clock[0] = 50.0
    assert (watch.rate, watch.eta_s) == (None, None)
    watch.report(pack.pack_id, progress(pack, 0.0))
    assert (watch.rate, watch.eta_s) == (None, None)
    watch.report(pack.pack_id, progress(pack, 0.5, resumed=0.5 * len(pack.trials)))
    assert (watch.rate, watch.eta_s) == (None, None)


def test_what_lost_packs_had_trained_leaves_nothing(clock: list[float]) -> None:
    """Sums of floats would: a line said `-0/16 trials`, and that training had begun."""
    first, second, *_ = packs()
    watch = Expecting([first, second], 800)
    for share in (0.1, 0.7, 0.3):
        watch.report(first.pack_id, progress(first, share / 3))
        watch.report(second.pack_id, progress(second, share / 7))
        watch.forget(first.pack_id)
        watch.forget(second.pack_id)
        assert str(watch.trials_done) == "0.0"
        assert not watch.training


def test_the_rate_counts_from_the_first_trained_step_on(clock: list[float]) -> None:
    """Neither start-up nor compilation is training: 4 s of 100 were."""
    (pack, *_) = packs()
    watch = watch_of(pack)
    clock[0] = 100.0
    spent = {"compilation": 11.0, "training": 4.0}
    watch.report(pack.pack_id, progress_of(pack, 0.25, spent))
    assert watch.rate == pytest.approx(0.25 * len(pack.trials) / 4)
    clock[0] = 104.0
    assert watch.rate == pytest.approx(0.25 * len(pack.trials) / 8)


def test_what_was_told_at_a_tenth_is_kept(clock: list[float]) -> None:
    (pack, *_) = packs()
    watch = watch_of(pack)
    for second in range(0, 101, 5):
        clock[0] = float(second)
        watch.report(pack.pack_id, progress(pack, second / 100))
    assert watch.foretold_and_taken == pytest.approx((90, 90))


def test_a_lost_pack_is_not_waited_for(clock: list[float]) -> None:
    one, two, *_ = packs()
    watch = Expecting([one, two], 800)
    for pack in (one, two):
        clock[0] += 10
        watch.report(pack.pack_id, progress(pack, 0.5, spent=10.0))
    watch.forget(one.pack_id)
    assert watch.trials_done == len(two.trials) / 2
    assert watch.eta_s == pytest.approx(10)


def test_the_split_adds_up_to_the_time_of_all_workers(clock: list[float]) -> None:
    one, two, *_ = packs()
    watch = Watch(total=800, started=0.0, workers=2)
    clock[0] = 12.0
    watch.report(one.pack_id, progress(one, 0.1, spent=2.0))
    clock[0] = 40.0
    watch.report(one.pack_id, progress(one, 1.0, spent=29.0))
    watch.report(two.pack_id, progress(two, 1.0, spent=25.0))
    split = watch.split()
    assert split["start-up"] == pytest.approx(20)
    assert split["training"] == pytest.approx(54)
    assert split["idle"] == pytest.approx(6)
    assert sum(split.values()) == pytest.approx(80)


def test_two_signals_at_once_drain_and_a_later_one_ends(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GNU timeout signals its child and then the group the child is in."""
    ended: list[int] = []
    monkeypatch.setattr(draining.os, "_exit", ended.append)
    drain = Drain()
    with draining_on_signals(drain):
        for now in (0.0, 0.001, 0.1):
            clock[0] = now
            signal.raise_signal(signal.SIGTERM)
        assert (drain.due(), ended) == (True, [])
        clock[0] = 0.3
        signal.raise_signal(signal.SIGINT)
    assert ended == [130]


def test_nobody_sets_what_a_watch_or_a_lease_knows() -> None:
    """They change by their own methods alone."""
    for path in Path(phasediag.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                owner = ast.unparse(node.value).rpartition(".")[2]
                assert owner not in ("watch", "lease", "forecast"), f"{path}:{node.lineno}"
