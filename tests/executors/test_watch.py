"""What a launch tells of its time: the ETA counts work, not trials; the split adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasediag.executors import watch as watching
from phasediag.executors.watch import Watch
from phasediag.training.pack import Pack, pack_trials
from phasediag.training.worker import Progress
from trained_tiles import grid_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the watch reads; a test moves them."""
    now = [0.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    return now


def packs() -> list[Pack]:
    """Two structures, the wide one of which costs far more a trial."""
    fixed = {"task": "teacher_student", "batch_size": 32, "steps": 50_000}
    grid = grid_of(fixed, {"width": [4, 128], "weight_decay": {"linspace": [0, 1], "num": 400}})
    return pack_trials(grid.trials(), grid.parameters, Path(), workers=1, compile_mode="off")


def progress(pack: Pack, share: float, spent: float = 0.0, resumed: float = 0.0) -> Progress:
    return Progress(
        trials_done=share * len(pack.trials), resumed=resumed, failed=0, diverged=0, error="",
        done=share == 1, spent={"training": spent},
    )  # fmt: skip


@pytest.mark.parametrize("slower", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("startup", [0.0, 30.0, 300.0])
def test_the_eta_is_right_after_a_tenth_whatever_start_up_and_machine(
    slower: float, startup: float, clock: list[float]
) -> None:
    watch, all_packs = Watch(total=800, started=0.0), packs()
    watch.packs = {pack.pack_id: pack for pack in all_packs}
    whole = sum(pack.projected_seconds for pack in all_packs)
    clock[0], worked = startup, 0.0
    watch.report(all_packs[0].pack_id, progress(all_packs[0], 1e-9))
    for pack in all_packs:
        for part in range(1, 11):
            clock[0] += slower * pack.projected_seconds / 10
            worked += pack.projected_seconds / 10
            watch.report(pack.pack_id, progress(pack, part / 10))
            if worked > 0.1 * whole:
                assert watch.eta_s == pytest.approx(slower * (whole - worked), rel=0.02, abs=1e-3)
    assert watch.eta_s == pytest.approx(0, abs=1e-6 * whole * slower)


def test_what_came_with_a_checkpoint_does_not_speed_the_eta_up(clock: list[float]) -> None:
    (pack, *_) = packs()
    watch = Watch(total=len(pack.trials), started=0.0, packs={pack.pack_id: pack})
    half = len(pack.trials) / 2
    for second, share in ((1.0, 0.5), (2.0, 0.501), (102.0, 0.601)):
        clock[0] = second
        watch.report(pack.pack_id, progress(pack, share, resumed=half))
    assert watch.eta_s == pytest.approx(399)


def test_there_is_no_eta_before_anything_was_trained(clock: list[float]) -> None:
    (pack, *_) = packs()
    watch = Watch(total=len(pack.trials), started=0.0, packs={pack.pack_id: pack})
    clock[0] = 50.0
    assert watch.eta_s is None
    watch.report(pack.pack_id, progress(pack, 0.0))
    assert watch.eta_s is None


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
