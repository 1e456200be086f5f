"""Who trains what next: claims, machines that fail, workers that die."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phasediag.executors import dispatch as dispatching
from phasediag.executors.commits import Commits
from phasediag.executors.dispatch import NODE_LOSSES, STRIKES, WORKER_DEATHS, Dispatch
from phasediag.executors.ledger import Ledger
from phasediag.executors.watch import Watch
from phasediag.grids.grid import Grid, parse_grid
from phasediag.packing.machine import CPU, GPU, Machine
from phasediag.packing.pack import Pack
from phasediag.packing.stock import PACK_SECONDS, Conditions, stocks_of
from phasediag.running import pack_run
from phasediag.running.job import Breakdown, Job, PackClaim, Progress, WorkerPlace, WorkerReport
from phasediag.running.pack_run import PackRun
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, grid_text
from trained_tiles import grid_of

WIDE: dict[str, Any] = {"task": "teacher_student", "width": 256, "batch_size": 8, "steps": 1500}
MACHINES = {
    "processor": CPU, "card": GPU, "small card": replace(GPU, tile_bytes=GPU.tile_bytes / 8),
    "slow": replace(CPU, seconds_per_flop=10 * CPU.seconds_per_flop),
}  # fmt: skip


def grid(trials: int = 200, widths: tuple[int, ...] = (256,), replicates: int = 1) -> Grid:
    axes = {"weight_decay": {"linspace": [0.1, 1], "num": trials}, "width": list(widths)}
    return grid_of({k: v for k, v in WIDE.items() if k != "width"}, axes, replicates=replicates)


def ledger_of(asked: Grid, workers: int = 2, per_pack: int | None = None) -> Ledger:
    conditions = Conditions(workers=workers, compile_mode="off", trials_per_pack=per_pack)
    return Ledger(stocks_of(asked.trials(), asked.parameters, Path(), conditions), [], CPU)


class Interrupted(dict[str, Any]):
    """Something is done in another thread just before what is in it is looked up first."""

    def __init__(self, known: dict[str, Any], act: Callable[[], object]) -> None:
        super().__init__(known)
        self.other = threading.Thread(target=act)

    def __contains__(self, key: object) -> bool:
        there = super().__contains__(key)
        if self.other.ident is None:
            self.other.start()
            self.other.join(0.1)  # it may have to wait until this one is through
        return there


@pytest.mark.parametrize("changes", ["staff", "claim"])
def test_what_waits_may_be_asked_for_while_packs_are_given_out(changes: str) -> None:
    """By the threads that tell how a launch goes: before, they could end by a KeyError."""
    ledger = ledger_of(grid(100))
    (before,), (stock,) = ledger.waiting(), ledger.stocks
    ways = Interrupted(stock._ways, lambda: ledger.staff(3) if changes == "staff" else ledger.claim("a", CPU))
    stock._ways = ways
    assert ledger.waiting() == [before]
    ways.other.join()


class Launch:
    """A dispatch, and places that tell it of themselves."""

    def __init__(self, folder: Path, asked: Grid, *, per_pack: int | None = 10, **options: Any) -> None:
        store = Store.at(folder)
        job = Job(sweep=store.folder.uri, measure=asked.measure, parameters=asked.parameters)
        ledger, watch = ledger_of(asked, per_pack=per_pack), Watch(total=len(asked.trials()))
        self.dispatch = Dispatch(
            ledger=ledger,
            watch=watch,
            job=job,
            store=store,
            commits=Commits(store=store),
            **{"strikes": STRIKES, "grows": True, **options},
        )

    def place(self, name: str, machine: Machine = CPU) -> WorkerPlace:
        return WorkerPlace(host=f"host {name[0]}", node=name[0], machine=machine)

    def idle(self, name: str, machine: str = "processor") -> PackClaim | None:
        return self.dispatch.answer(name, WorkerReport(place=self.place(name, MACHINES[machine])))

    def done(self, name: str, claim: PackClaim, failed: int = 0, error: str = "") -> PackClaim | None:
        progress = Progress(
            trials_done=len(claim.pack.trials), failed=failed, diverged=0, error=error, done=True,
            spent={"training": claim.pack.projected_seconds},
        )  # fmt: skip
        return self.dispatch.answer(name, WorkerReport(place=self.place(name), progress=progress))

    def resumed(self, name: str, trials: float) -> None:
        progress = Progress(trials_done=trials, resumed=trials, failed=0, diverged=0, error="", done=False)
        self.dispatch.answer(name, WorkerReport(place=self.place(name), progress=progress))

    def device_breaks(self, name: str) -> None:
        """And Tune ends the process."""
        breakdown = Breakdown(error="CUDA error", of_machine=True, of_process=True)
        assert self.dispatch.answer(name, WorkerReport(place=self.place(name), breakdown=breakdown)) is None
        self.dispatch.lost(name, "CUDA error")

    def broke(self, name: str, error: str = "CUDA error", of_tile: bool = True) -> PackClaim | None:
        breakdown = Breakdown(error=error, of_machine=True, of_tile=of_tile)
        return self.dispatch.answer(name, WorkerReport(place=self.place(name), breakdown=breakdown))


@given(
    st.lists(st.sampled_from(sorted(MACHINES)), min_size=1, max_size=5), st.integers(1, 3),
    st.floats(0.1, 30), st.sampled_from([None, 7]), st.integers(0, 2**32),
)  # fmt: skip
def test_whoever_claims_every_trial_is_claimed_once(
    kinds: list[str], replicates: int, pace: float, per_pack: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    asked = grid(40, (8, 32), replicates)
    ledger, claimed = ledger_of(asked, len(kinds), per_pack), list[str]()
    while not ledger.over:
        name = int(rng.integers(len(kinds)))
        if ledger.held(str(name)) is None:
            ledger.claim(str(name), MACHINES[kinds[name]], pace)
        elif rng.random() < 0.2:
            given_back = ledger.end(str(name))
            assert given_back is not None
            ledger.offer([given_back])
        else:
            pack = ledger.held(str(name))
            assert pack is not None
            claimed += pack.trials.trial_id.tolist()
            worlds = [set(tile.replicate) for tile in pack.tiles()]
            assert not pack.shared or all(len(world) == 1 for world in worlds)
            ledger.finish(str(name))
    assert sorted(claimed) == sorted(asked.trials().trial_id.tolist())


def test_packs_are_cut_for_the_place_that_trains_them() -> None:
    """A place ten times as slow as projected gets far less: what it trains in the same time."""
    sizes = {}
    for name, machine, pace in (("as told", CPU, 1.0), ("slow", CPU, 10.0), ("card", GPU, 1.0)):
        pack = ledger_of(grid(20_000)).claim("here", machine, pace)
        assert pack is not None
        sizes[name] = len(pack.trials)
        tile = pace * pack.projected_seconds * pack.tile_size / len(pack.trials)
        assert pace * pack.projected_seconds <= PACK_SECONDS + tile
    assert sizes["slow"] < sizes["as told"] / 4 < sizes["as told"] < sizes["card"]


def test_packs_are_cut_for_the_places_that_there_are_when_they_are_claimed(tmp_path: Path) -> None:
    """A launch that was begun on an empty cluster cuts as one that was begun on the cluster that it gets."""
    sizes = []
    for present in (1, 4):
        launch = Launch(tmp_path, grid(240), per_pack=None, least=1)
        launch.dispatch.wanted(present)
        claim = launch.idle("a")
        assert claim is not None
        sizes.append(len(claim.pack.trials))
    assert sizes[1] <= 240 / 4 < sizes[0]
    late = Launch(tmp_path, grid(20_000), per_pack=None)
    before = late.dispatch.ledger.useful(CPU)
    assert late.idle("a", "slow") is not None
    assert late.dispatch.ledger.stocks[0].conditions.workers > before


def test_a_machine_that_gives_back_two_packs_gets_no_more(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(100), expected=2)
    bad, good = launch.idle("a"), launch.idle("b")
    assert bad is not None
    assert good is not None
    again = launch.broke("a")
    assert again is not None
    assert again.pack is not bad.pack
    assert not bad.final
    assert not again.final
    assert launch.broke("a") is None
    taken = [launch.done("b", good)]
    while taken[-1] is not None:
        taken.append(launch.done("b", taken[-1]))
    assert {bad.pack.pack_id, again.pack.pack_id} == {each.pack.pack_id for each in taken[:2] if each}
    assert all(each.final for each in taken[:2] if each)
    assert launch.dispatch.ledger.over
    assert launch.dispatch.watch.trained == 100
    assert launch.idle("a") is None
    assert any("host a trains nothing more: CUDA error" in each for each in launch.dispatch.watch.sentences)


def test_a_storage_that_is_away_now_and_then_benches_nobody(tmp_path: Path) -> None:
    """In a night it may refuse more than two packs of a machine, with many committed in between."""
    launch = Launch(tmp_path, grid(100))
    refused = WorkerReport(place=launch.place("a"), breakdown=Breakdown(error="stale", of_machine=False))
    claim = launch.idle("a")
    for _ in range(5):
        assert claim is not None
        again = launch.dispatch.answer("a", refused)
        assert again is not None
        claim = launch.done("a", again)
    launch.dispatch.answer("a", refused)
    assert launch.dispatch.answer("a", refused) is None
    assert launch.dispatch.over


def test_errors_that_come_again_elsewhere_are_the_trials_own(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(100))
    launch.idle("b")
    claim = launch.idle("a")
    assert claim is not None
    launch.broke("a", "ValueError: no good")
    other = launch.done("b", PackClaim(pack=launch.dispatch.ledger.held("b")))  # type: ignore[arg-type]
    assert other is not None
    assert (other.pack, other.final) == (claim.pack, True)
    following = launch.done("b", other, failed=10, error="ValueError: no good")
    assert following is not None
    assert following.accepted == {"ValueError: no good"}
    assert launch.broke("a", "something else") is not None  # its first one is forgiven


def test_where_no_machine_is_left_the_launch_ends(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(100), strikes=1)
    launch.idle("a")
    assert launch.broke("a", "No space left on device", of_tile=False) is None
    assert launch.dispatch.over
    breakdown = launch.dispatch.watch.ending.breakdown
    assert breakdown is not None
    assert breakdown.error == "No space left on device"


def test_a_machine_alone_that_gives_back_the_same_pack_again_ends_the_launch(tmp_path: Path) -> None:
    """It has nobody to leave it to: on a full disk it would train the same pack for ever."""
    launch = Launch(tmp_path, grid(100))
    first = launch.idle("a")
    again = launch.broke("a", "No space left on device", of_tile=False)
    assert first is not None
    assert again is not None
    assert again.pack is first.pack
    assert launch.broke("a", "No space left on device", of_tile=False) is None
    assert launch.dispatch.over
    breakdown = launch.dispatch.watch.ending.breakdown
    assert breakdown is not None
    assert breakdown.error == "No space left on device"


def test_those_that_do_not_come_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two has no phasediag, say, and never starts: the other one has the last word after a while."""
    now = [100.0]
    monkeypatch.setattr(dispatching.time, "monotonic", lambda: now[0])
    launch = Launch(tmp_path, grid(10), expected=2)
    assert launch.idle("a") is not None
    assert launch.broke("a") is None  # another machine is to try
    now[0] += dispatching.GATHERING_SECONDS + 1
    claim = launch.idle("a")
    assert claim is not None
    assert claim.final
    benched = Launch(tmp_path, grid(100), expected=2, strikes=1)
    benched.idle("a")
    benched.broke("a", "CUDA error")
    assert not benched.dispatch.over
    now[0] += dispatching.GATHERING_SECONDS + 1
    benched.idle("a")
    assert benched.dispatch.over


def test_a_machine_with_other_software_trains_nothing(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(100))
    assert launch.idle("b") is not None
    refused = replace(launch.place("a"), refusal="it has engine 0 instead of 1")
    assert launch.dispatch.answer("a", WorkerReport(place=refused)) is None
    assert "the machine host a trains nothing: it has engine 0 instead of 1" in launch.dispatch.watch.notice
    assert not launch.dispatch.over


@pytest.mark.parametrize("of_node", [False, True])
def test_a_pack_that_gets_further_each_time_is_never_given_up(tmp_path: Path, of_node: bool) -> None:
    launch = Launch(tmp_path, grid(10))
    for number in range(30):
        claim = launch.idle("a")
        assert claim is not None
        launch.resumed("a", 0.1 * number)
        launch.dispatch.lost("a", "killed", of_node=of_node)
    claim = launch.idle("a")
    assert claim is not None
    assert len(claim.pack.trials) == 10


@pytest.mark.parametrize(("of_node", "most"), [(False, WORKER_DEATHS), (True, NODE_LOSSES)])
def test_a_pack_that_gets_no_further_is_split(tmp_path: Path, of_node: bool, most: int) -> None:
    launch = Launch(tmp_path, grid(10))
    for _ in range(most + 1):
        claim = launch.idle("a")
        assert claim is not None
        assert len(claim.pack.trials) == 10
        launch.dispatch.lost("a", "killed", of_node=of_node)
    claim = launch.idle("a")
    assert claim is not None
    assert len(claim.pack.trials) == 5
    assert "is split: 5 and 5 to train" in launch.dispatch.watch.notice


def test_lost_machines_and_dead_workers_are_counted_apart(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(10))
    for of_node in [*[True] * NODE_LOSSES, *[False] * WORKER_DEATHS]:
        claim = launch.idle("a")
        assert claim is not None
        assert len(claim.pack.trials) == 10
        launch.dispatch.lost("a", "killed", of_node=of_node)


def test_a_broken_device_is_the_fault_of_its_machine_or_of_the_pack(tmp_path: Path) -> None:
    """The pack goes elsewhere; where it breaks another one's device as well, neither machine is to blame."""
    launch = Launch(tmp_path, grid(100), expected=2)
    first, good = launch.idle("a"), launch.idle("b")
    assert first is not None
    assert good is not None
    launch.device_breaks("a")
    second = launch.idle("a")
    assert second is not None
    assert second.pack is not first.pack
    again = launch.done("b", good)
    assert again is not None
    assert again.pack is first.pack
    launch.device_breaks("b")
    assert not any(launch.dispatch._given_back.values())
    launch.device_breaks("a")
    assert launch.idle("b") is not None
    assert launch.idle("a") is not None
    launch.device_breaks("a")
    assert launch.idle("a") is None
    assert "host a trains nothing more: CUDA error" in " ".join(launch.dispatch.watch.sentences)


def test_a_broken_device_of_the_only_machine_ends_no_launch(tmp_path: Path) -> None:
    """Another process may be able to go on."""
    launch = Launch(tmp_path, grid(10), grows=False, strikes=1)
    for _ in range(WORKER_DEATHS + 1):
        claim = launch.idle("a")
        assert claim is not None
        launch.device_breaks("a")
    assert not launch.dispatch.over
    claim = launch.idle("a")
    assert claim is not None
    assert len(claim.pack.trials) == 5


def test_workers_that_never_start_end_the_launch(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(10))
    for number in range(6):
        assert not launch.dispatch.over
        launch.dispatch.lost(f"a{number}", "ModuleNotFoundError: No module named 'phasediag'")
    breakdown = launch.dispatch.watch.ending.breakdown
    assert breakdown is not None
    assert breakdown.error == "no worker could start: ModuleNotFoundError: No module named 'phasediag'"


def test_places_are_asked_for_where_they_would_find_work(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(20_000), per_pack=None)
    seconds = sum(each.seconds for each in launch.dispatch.ledger.waiting())
    useful = round(seconds / PACK_SECONDS)
    assert 4 < useful < 100
    assert launch.dispatch.wanted(0) == useful
    tiles = launch.dispatch.ledger.places(1000)
    assert launch.dispatch.wanted(200) == tiles
    assert useful < tiles < 200  # none of more places would find a tile
    assert replace(launch.dispatch, most=3).wanted(200) == 3
    assert replace(launch.dispatch, grows=False).wanted(2) == 2
    few = Launch(tmp_path, grid(30), per_pack=10)
    assert few.dispatch.wanted(8) == 3
    assert few.idle("a") is not None
    assert few.dispatch.wanted(8) == 3


def test_what_a_watch_holds_does_not_grow_with_the_packs(tmp_path: Path) -> None:
    launch = Launch(tmp_path, grid(2000), per_pack=2)
    claim, packs = launch.idle("a"), 0
    while claim is not None:
        claim, packs = launch.done("a", claim), packs + 1
        watch = launch.dispatch.watch
        assert len(watch.reports) + len(watch.forecast.courses) <= 2
    assert packs == 1000
    assert watch.trained == watch.trials_done == 2000
    assert len(watch.forecast.past) == 1
    assert not launch.dispatch._losses


TRAINED = grid_text(
    {"weight_decay": "[0.01, 0.1, 1]", "learning_rate": "[0.01, 0.02, 0.03]"}, {"steps": 120}, replicates=2
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "split")


def test_what_a_pack_has_reached_survives_a_split(store: Store, tmp_path: Path) -> None:
    """Finished tiles are committed, the one in training goes on, and the rows are the same."""
    asked = parse_grid(TRAINED, Path("grid.yaml"))
    undivided = Launch(tmp_path / "whole", asked, per_pack=None).dispatch
    launch = Launch(tmp_path / "split", asked, per_pack=None)
    claim = launch.idle("a")
    assert claim is not None
    pack = replace(claim.pack, tile_size=3)
    assert len(pack.trials) > 6
    launch.dispatch.ledger._held["a"] = pack  # as a smaller machine would have it
    device = torch.device("cpu")
    run = PackRun(pack, launch.dispatch.job, store, device)
    while len(run.finished) < 1:
        run.advance(0.01)
    work = run.current.work if run.current else run.queue.popleft()
    run.current = pack_run.TileRun(pack, run.job, device, work)
    run.current.advance_to(60)
    run.checkpoint()
    for _ in range(WORKER_DEATHS + 1):
        launch.dispatch.lost("a", "killed")
        launch.idle("a")
    assert launch.dispatch.watch.trained == 3
    alone = launch.dispatch.ledger.held("a")
    assert alone is not None
    assert len(alone.trials) == 3
    resumed = PackRun(alone, launch.dispatch.job, store, device)
    assert resumed.progress().resumed == pytest.approx(1.5)
    while not resumed.done:
        resumed.advance(60)
    launch.dispatch.ledger.finish("a")
    for each, dispatch in ((store, launch.dispatch), (undivided.store, undivided)):
        while (left := dispatch.ledger.claim("a", CPU)) is not None:
            train(left, dispatch.job, each)
            dispatch.ledger.finish("a")
    assert store.checkpoints() == []
    assert_same_rows(tmp_path / "whole", tmp_path / "split")


def train(pack: Pack, job: Job, store: Store) -> None:
    run = PackRun(pack, job, store, torch.device("cpu"))
    while not run.done:
        run.advance(60)


def test_a_tile_that_raises_as_a_whole_is_left_to_another_machine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is recorded; where the claim is final, or the error known, its trials have failed."""
    asked = parse_grid(TRAINED, Path("grid.yaml"))
    launch = Launch(tmp_path / "split", asked, per_pack=None)
    claim = launch.idle("a")
    assert claim is not None
    pack, device, advance = replace(claim.pack, tile_size=3), torch.device("cpu"), pack_run.TileRun.advance
    bad = set(pack.trials.trial_id[3:6].tolist())

    def raising(run: pack_run.TileRun, deadline: float) -> None:
        if bad & set(run.trials.trial_id.tolist()):
            raise RuntimeError("sick")
        advance(run, deadline)

    monkeypatch.setattr(pack_run.TileRun, "advance", raising)
    run = PackRun(pack, launch.dispatch.job, store, device, final=False)
    with pytest.raises(pack_run.TileRaisedError, match="RuntimeError: sick"):
        run.advance(600)
    assert (run.progress().failed, len(run.finished)) == (0, 1)
    run.checkpoint()
    for options in ({"final": True}, {"final": False, "accepted": frozenset({"RuntimeError: sick"})}):
        again = PackRun(pack, launch.dispatch.job, store, device, **options)  # type: ignore[arg-type]
        while len(again.finished) < 4:
            again._work(0.0)
        assert again.progress().failed == 3
    monkeypatch.undo()
    healthy = PackRun(pack, launch.dispatch.job, store, device)
    assert healthy.progress().resumed == 3
    while not healthy.done:
        healthy.advance(60)
    assert healthy.progress().failed == 0
    assert np.isin(pack.trials.trial_id, store.trials_table(["trial_id"])["trial_id"].to_pylist()).all()
