"""A pack that is in the store is trained, whoever had it and whatever became of them."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phasediag.errors import StoreError
from phasediag.executors.commits import Commits
from phasediag.executors.dispatch import STRIKES, WORKER_DEATHS, Dispatch
from phasediag.executors.ledger import Ledger
from phasediag.executors.watch import Watch
from phasediag.grids.grid import parse_grid
from phasediag.packing.machine import CPU
from phasediag.packing.pack import Pack
from phasediag.packing.stock import Conditions, stocks_of
from phasediag.running.job import Breakdown, Job, PackClaim, WorkerPlace, WorkerReport
from phasediag.running.rows import failed_rows
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, grid_text, launched, write
from traps import STEPS, Order, Trap, started

GRID = grid_text({"weight_decay": "[0.01, 0.1, 1]"}, {"steps": 20})
PLACE = WorkerPlace(host="host", node="node", machine=CPU)


class Launch:
    """A dispatch of three packs of a trial, or of one of three."""

    def __init__(self, folder: Path, *, per_pack: int = 1, commits: Commits | None = None) -> None:
        asked, self.store = parse_grid(GRID, Path("grid.yaml")), Store.at(folder)
        conditions = Conditions(workers=1, compile_mode="off", trials_per_pack=per_pack)
        stocks = stocks_of(asked.trials(), asked.parameters, Path(), conditions)
        self.job = Job(sweep=str(folder), measure=asked.measure, parameters=asked.parameters)
        self.dispatch = Dispatch(
            ledger=Ledger(stocks, [], CPU), watch=Watch(total=3), job=self.job, store=self.store,
            commits=commits or Commits(store=self.store), strikes=STRIKES, grows=True,
        )  # fmt: skip

    def idle(self, name: str) -> PackClaim | None:
        return self.dispatch.answer(name, WorkerReport(place=replace(PLACE, node=name)))

    def claimed(self, name: str) -> Pack:
        claim = self.idle(name)
        assert claim is not None
        return claim.pack

    def commit(self, pack: Pack, status: str = "ok") -> None:
        rows = failed_rows(pack, self.job, np.arange(len(pack)), "ValueError: no")
        at, count = rows.trials.column_names.index("status"), len(rows.trials)
        field, error = rows.trials.schema.field(at), "" if status == "ok" else "ValueError: no"
        trials = rows.trials.set_column(at, field, [[status] * count])
        at = trials.column_names.index("error")
        trials = trials.set_column(at, trials.schema.field(at), [[error] * count])
        self.store.write_fragment(pack.pack_id, trials, rows.measurements)

    def goes(self, name: str, how: str) -> None:
        """A place, without a word of what it has committed."""
        if how in ("lost", "lost with its machine"):
            self.dispatch.lost(name, "killed", of_node=how != "lost")
        elif how == "left":
            self.dispatch.leave(name)
        else:
            breakdown = Breakdown(error="full", of_machine=False, of_process=how == "broken")
            report = WorkerReport(place=replace(PLACE, node=name), breakdown=breakdown)
            self.dispatch.answer(name, report)


@pytest.mark.parametrize("how", ["lost", "lost with its machine", "left", "refused", "broken"])
@pytest.mark.parametrize("status", ["ok", "failed"])
def test_what_a_place_has_committed_is_trained_whether_it_has_told_so_or_not(
    tmp_path: Path, how: str, status: str
) -> None:
    """Before, its pack was trained once more."""
    launch = Launch(tmp_path)
    pack = launch.claimed("a")
    launch.commit(pack, status)
    launch.store.write_checkpoint(pack.pack_id, {"a": b""})
    launch.goes("a", how)
    for name in "bc":
        launch.idle(name)
    held = [other for name in "abc" if (other := launch.dispatch.ledger.held(name)) is not None]
    assert len(held) == 2
    assert pack.pack_id not in [other.pack_id for other in held]
    watch = launch.dispatch.watch
    assert (watch.trained, watch.failed) == (1, int(status == "failed"))
    assert watch.first_error == ("" if status == "ok" else "ValueError: no")
    assert launch.store.checkpoints() == []


@pytest.mark.parametrize("how", ["lost", "left"])
def test_what_turns_up_in_the_store_is_not_handed_out_again(tmp_path: Path, how: str) -> None:
    """A place that was given up, or is slow to be seen, may have committed after all."""
    launch = Launch(tmp_path, per_pack=3)
    pack = launch.claimed("a")
    launch.goes("a", how)
    assert launch.dispatch.ledger.left
    launch.commit(pack)
    assert launch.idle("b") is None
    assert launch.dispatch.over
    assert launch.dispatch.watch.trained == 3


def test_a_trial_that_was_committed_has_not_failed_by_its_worker(tmp_path: Path) -> None:
    """Before, its row was written over by one that says so."""
    launch = Launch(tmp_path)
    for _ in range(WORKER_DEATHS + 1):
        pack = launch.claimed("a")
        if launch.dispatch._losses[pack.pack_id].workers == WORKER_DEATHS:
            launch.commit(pack)
        launch.dispatch.lost("a", "killed")
    known = launch.store.committed()
    assert (known.trial_id.to_pylist(), known.status.to_pylist()) == (list(pack.source.ids()), ["ok"])
    assert launch.dispatch.watch.failed == 0


def test_what_was_recorded_before_the_launch_is_no_commit_of_it(tmp_path: Path) -> None:
    """With --retry-failed and --remeasure, packs are trained of whose name rows are there."""
    before = Launch(tmp_path)
    packs = [before.claimed(name) for name in "abc"]
    for pack in packs[:2]:
        before.commit(pack, "failed")
    before.store.compact()
    before.commit(packs[2], "failed")
    launch = Launch(tmp_path, commits=Commits.since_now(before.store))
    for _ in packs:
        pack = launch.claimed("a")
        launch.dispatch.lost("a", "killed")
        assert launch.claimed("a").pack_id == pack.pack_id
        launch.commit(pack)
        launch.dispatch.lost("a", "killed")
    assert launch.dispatch.over
    assert launch.dispatch.watch.trained == 3


def test_merged_meanwhile_a_new_pack_counts(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    pack = launch.claimed("a")
    launch.commit(pack)
    launch.store.compact()
    launch.dispatch.lost("a", "killed")
    assert launch.dispatch.watch.trained == 1


def test_a_pack_that_cannot_be_split_now_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, its claim had ended, and nobody trained it in this launch; on Ray the error ended it."""
    launch = Launch(tmp_path)

    def refused(*_: object) -> None:
        raise StoreError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_fragment", refused)
        for _ in range(WORKER_DEATHS + 1):
            pack = launch.claimed("a")
            launch.dispatch.lost("a", "killed")
    assert launch.dispatch.watch.sentences[-1].endswith("its pack of 1 trials goes on whole: it is away")
    assert launch.claimed("a").pack_id == pack.pack_id
    launch.dispatch.lost("a", "killed")
    assert launch.dispatch.watch.failed == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("killed", ["leads", "follows"])
def test_killed_at_any_step_of_a_commit_nothing_is_trained_twice(
    killed: str, step: str, tmp_path: Path
) -> None:
    text = grid_text(
        {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}, {"steps": 60}, replicates=2,
        resources="{trials_per_pack: 2}", measure="{every: 20, distances: all}",
    )  # fmt: skip
    assert launched(tmp_path / "calm", text).exit_code == 0
    grid, sweep, log = write(tmp_path, text), tmp_path / "g", tmp_path / "begun"
    words = ("launch", str(grid), "--storage", str(tmp_path), "--executor", "array", "--compile", "off")
    traps = [Trap(kind="kill", at=1, step=step), None]
    processes = []
    for place, trap in enumerate(traps if killed == "leads" else traps[::-1]):
        order = Order(
            arguments=words,
            folder=str(tmp_path),
            said=str(tmp_path / f"said-{place}"),
            log=str(log),
            trap=trap,
        )
        processes.append(started(order))
        deadline = time.monotonic() + 60
        while not (sweep / "lease").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
    for process in processes:
        process.join(300)
    said = "".join((tmp_path / f"said-{place}").read_text() for place in range(2))
    assert sorted(process.exitcode or 0 for process in processes) == [-signal.SIGKILL, 0], said
    assert "again" not in log.read_text(), log.read_text()
    assert_same_rows(sweep, tmp_path / "calm" / "g")
