"""Places that meet in the store alone: letters, and launches of several processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import phasediag
from phasediag.errors import LeaseHeldError, PhasediagError, StoreError, SweepGoneError
from phasediag.executors.array import following, leading, letters, patience
from phasediag.executors.array.leading import Correspondence
from phasediag.executors.array.letters import Answer, Ending, Leader, Letter, WrittenClaim
from phasediag.executors.array.patience import BORNE_SECONDS, borne
from phasediag.executors.commits import Commits
from phasediag.executors.dispatch import Dispatch
from phasediag.executors.drain import Drain
from phasediag.executors.ledger import Ledger
from phasediag.executors.watch import Watch
from phasediag.grids.grid import parse_grid
from phasediag.packing.machine import CPU, GPU
from phasediag.packing.stock import Conditions, stocks_of
from phasediag.running.checkpoint import Header
from phasediag.running.job import Breakdown, Job, Progress, WorkerPlace, WorkerReport
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from phasediag.sweeps import array as array_launch
from small_sweeps import assert_same_rows, command, fragments, grid_text, launched, trials, write

PLACE = WorkerPlace(host="host", node="node", machine=replace(GPU, tile_bytes=1.5e9))
REPORTS = (
    WorkerReport(place=PLACE),
    WorkerReport(place=replace(PLACE, machine=CPU, refusal="it is another one")),
    WorkerReport(
        place=PLACE,
        progress=Progress(
            trials_done=2.5, resumed=1.0, failed=1, diverged=2, error="no", done=False, notice="smaller",
            spent={"training": 1.5},
        ),
    ),
    WorkerReport(place=PLACE, breakdown=Breakdown(error="no", of_machine=True, of_tile=True)),
)  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_a_letter_says_what_was_written(tmp_path: Path, report: WorkerReport) -> None:
    folder, holder = Folder.at(tmp_path / "places"), Holder.this_process("place", str(tmp_path))
    letter = Letter(number=3, leader="token", holder=holder, report=report)
    letters.write_letter(folder, "a", letter)
    assert letters.read_letter(folder, "a") == letter
    assert [entry.name for entry in letters.reports_in(folder)] == ["a.report"]


def test_an_answer_says_what_was_written(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path / "places")
    header = Header(trial_ids=("one", "two"), tile_size=2, compiled=True, envelope={"width": 8}, measure="m")
    claim = WrittenClaim(header=header, final=False, accepted=frozenset({"ValueError: no"}))
    for answer in (
        Answer(number=1, leader="token", claim=claim),
        Answer(number=2, leader="token", ending=Ending(reason="full", breakdown=True)),
    ):
        letters.write_answer(folder, "a", answer)
        assert letters.read_answer(folder, "a") == answer
    leader = Leader(token="token", grid="hash", software={"torch": "2"})
    letters.write_leader(folder, leader)
    assert letters.read_leader(folder) == leader


def test_no_letter_is_written_where_the_storage_is_away(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path / "sweep" / "places")
    with pytest.raises(SweepGoneError, match="is gone"):
        letters.write_leader(folder, Leader(token="token", grid="hash", software={}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{}", b'{"place": 1}', b"[" * 100_000])
def test_what_is_no_letter_is_none(tmp_path: Path, content: bytes) -> None:
    folder = Folder.at(tmp_path / "places")
    for name in ("a.report", "a.claim", "leader"):
        folder.write(name, content)
    assert letters.read_letter(folder, "a") is None
    assert letters.read_answer(folder, "a") is None
    assert letters.read_leader(folder) is None


GRID = grid_text({"weight_decay": "{linspace: [0.01, 1], num: 12}"}, {"steps": 20})


@pytest.fixture
def places(tmp_path: Path) -> Correspondence:
    """Those of a launch that this process leads, with 6 packs to train."""
    asked = parse_grid(GRID, Path("grid.yaml"))
    store = Store.at(tmp_path / "sweep")
    (tmp_path / "sweep").mkdir()
    job = Job(sweep=store.folder.uri, measure=asked.measure, parameters=asked.parameters, token="token")
    conditions = Conditions(workers=2, compile_mode="off", trials_per_pack=2)
    ledger = Ledger(stocks_of(asked.trials(), asked.parameters, Path(), conditions), [], CPU)
    dispatch = Dispatch(
        ledger=ledger,
        watch=Watch(total=12),
        job=job,
        store=store,
        commits=Commits(store=store),
        strikes=2,
        grows=True,
    )
    return Correspondence(dispatch=dispatch, job=job, store=store)


def tells_that_it_waits(places: Correspondence, name: str, number: int = 0, pid: int = os.getpid()) -> None:
    letter = Letter(
        number=number, leader="token", holder=replace(Holder.this_process("place"), pid=pid),
        report=WorkerReport(place=replace(PLACE, node=name)),
    )  # fmt: skip
    letters.write_letter(letters.folder_of(places.store), name, letter)


def refused(number: int) -> StoreError:
    error = StoreError(f"cannot write it: {os.strerror(number)}")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


class Refusing:
    """An act on the storage that is refused so often, or always."""

    def __init__(self, number: int, times: float = float("inf")) -> None:
        self.number, self.left = number, times

    def __call__(self, *_: object) -> str:
        self.left -= 1
        if self.left >= 0:
            raise refused(self.number)
        return "done"


def test_what_could_not_be_written_to_a_place_is_written_later(
    places: Correspondence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, its pack was claimed for ever, and nobody trained it."""
    tells_that_it_waits(places, "a")
    with monkeypatch.context() as patch:
        patch.setattr(leading, "write_answer", Refusing(errno.EIO))
        with pytest.raises(StoreError):
            places.look()
    tells_that_it_waits(places, "a", number=1)
    places.look()
    answer, held = letters.read_answer(letters.folder_of(places.store), "a"), places.dispatch.ledger.held("a")
    assert answer is not None
    assert answer.claim is not None
    assert held is not None
    assert set(answer.claim.header.trial_ids) == set(held.trials.trial_id.tolist())


@pytest.mark.parametrize("how", ["killed", "left"])
def test_a_place_that_is_gone_loses_its_pack_though_its_letters_stay(
    places: Correspondence, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    tells_that_it_waits(places, "a", pid=ended.pid if how == "killed" else os.getpid())
    places.look()
    assert places.dispatch.ledger.held("a") is not None
    if how == "left":
        letters.forget(letters.folder_of(places.store), "a")
    with monkeypatch.context() as patch:
        patch.setattr(leading, "forget", Refusing(errno.EIO))
        for _ in range(2):
            with pytest.raises(StoreError):
                places.look()
            assert places.dispatch.ledger.held("a") is None
    places.look()
    assert letters.reports_in(letters.folder_of(places.store)) == []
    assert places.dispatch.ledger.claimed == 0
    assert len(places.dispatch.watch.sentences) == 1


@pytest.mark.parametrize(("number", "borne_s"), [(errno.EFBIG, 0.0), (errno.EIO, BORNE_SECONDS)])
def test_one_that_cannot_write_leads_no_longer(
    places: Correspondence, number: int, borne_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where that will not pass, else after a while; the others are left to themselves."""
    now = [100.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    tells_that_it_waits(places, "a")
    monkeypatch.setattr(leading, "write_answer", Refusing(number))
    if borne_s:
        assert places._keep()
        now[0] += borne_s - 1
        assert places._keep()
        assert not places.over()
        now[0] += 2
    assert not places._keep()
    assert places.over()
    breakdown = places.dispatch.watch.ending.breakdown
    assert breakdown is not None
    assert f"cannot lead the others any more: cannot write it: {os.strerror(number)}" in breakdown.error
    places.end()
    assert letters.read_answer(letters.folder_of(places.store), "a") is None


def test_whoever_follows_ends_as_the_one_that_leads(
    places: Correspondence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a place whose own trials had not failed ended like one that was interrupted: queued again."""
    watch, folder = places.dispatch.watch, letters.folder_of(places.store)
    tells_that_it_waits(places, "a")
    with take(places.store) as lease:
        places.job = replace(places.job, token=lease.holder.token)
        places.look()
        watch.max_failures = 2
        failed = Progress(trials_done=2.0, failed=2, diverged=0, error="no", done=True)
        watch.report("pack", failed)
        monkeypatch.setattr(leading, "reports_in", lambda folder: [])
        monkeypatch.setattr(leading, "close", lambda store, over: None)  # so that the letters stay
        places.end()
    answer = letters.read_answer(folder, "a")
    assert answer is not None
    monkeypatch.setattr(array_launch, "_taken", lambda order: None)
    monkeypatch.setattr(array_launch, "_follow", lambda *asked: answer.ending)
    outcome = launched(tmp_path / "follower", GRID, executor="array")
    assert outcome.drained == "2 trials failed (--max-failures 2)"
    assert outcome.exit_code == 1


def test_a_storage_that_is_away_is_no_place_that_left(places: Correspondence) -> None:
    tells_that_it_waits(places, "a")
    places.look()
    sweep = Path(places.store.folder.path)
    away = sweep.rename(sweep.with_name("away"))
    with pytest.raises(SweepGoneError):
        places.look()
    assert places.dispatch.ledger.held("a") is not None
    away.rename(sweep)
    places.look()
    assert places.dispatch.ledger.held("a") is not None


def test_a_storage_that_fails_for_a_while_is_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: None)
    assert borne(Refusing(errno.EIO, times=3), Drain()) == "done"
    for number, reason in ((errno.EROFS, ""), (errno.EIO, "SIGTERM")):
        act = Refusing(number, times=3)
        with pytest.raises(StoreError):
            borne(act, Drain(reason=reason))
        assert act.left == 2


class Held:
    """A worker that has trained a pack when it is asked first, and nothing later."""

    def __init__(self) -> None:
        self.asked, self.busy = 0, False

    def step(self, seconds: float) -> WorkerReport:
        self.asked += 1
        done = Progress(trials_done=2.0, failed=0, diverged=0, error="", done=True)
        return WorkerReport(place=PLACE, progress=done if self.asked == 1 else None)

    def set_aside(self) -> None:
        pass


def test_what_came_of_a_pack_stays_until_the_one_that_leads_has_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it was written over after 20 s, and a launch that had stood still for so long never ended."""
    for name, seconds in (("ANSWERED_SECONDS", 0.0), ("FIRST_IDLE", 0.01), ("LEASE_SECONDS", 0.0)):
        monkeypatch.setattr(following, name, seconds)
    store, worker, ending = Store.open(tmp_path, "g"), Held(), Drain()
    with take(store, purpose="launch by an array") as lease:
        place = following.Follower(
            store=store, worker=worker, leader=lease.holder.token, packs=None, watch=Watch(total=2), name="a"
        )  # type: ignore[arg-type]
        read, folder, looks = following.read_answer, letters.folder_of(store), threading.Semaphore(0)
        monkeypatch.setattr(following, "read_answer", lambda *asked: (looks.release(), read(*asked))[1])
        thread = threading.Thread(target=place.run, args=(ending,))
        thread.start()
        for _ in range(5):
            assert looks.acquire(timeout=120)
        letter = letters.read_letter(folder, "a")
        letters.write_answer(folder, "a", Answer(number=0, leader=lease.holder.token))
        while worker.asked < 3:
            assert looks.acquire(timeout=120)
        ending.begin("SIGTERM")
        thread.join()
    assert letter is not None
    assert letter.closing


def test_one_process_alone_is_an_array_of_one(tmp_path: Path) -> None:
    outcome = launched(tmp_path / "array", GRID, executor="array")
    assert (outcome.exit_code, outcome.trained) == (0, 12)
    launched(tmp_path / "inline", GRID)
    assert_same_rows(tmp_path / "inline" / "g", tmp_path / "array" / "g")
    assert launched(tmp_path / "array", GRID, executor="array").trained == 0
    assert list((tmp_path / "array" / "g" / "places").iterdir()) == []


def test_two_that_are_launched_alike_share_the_work(tmp_path: Path) -> None:
    """In threads of this process, which train in turns; each trial is trained once."""
    text = GRID + "resources: {trials_per_pack: 2}\n"
    grid, trained = write(tmp_path / "array", text), list[int]()

    def launch() -> None:
        outcome = phasediag.launch(grid, str(grid.parent), executor="array", compile="off")
        trained.append(outcome.trained)

    other = threading.Thread(target=launch)
    other.start()
    launch()
    other.join()
    launched(tmp_path / "inline", text)
    assert_same_rows(tmp_path / "inline" / "g", tmp_path / "array" / "g")
    assert max(trained) >= 12  # the one that leads counts all
    assert len(fragments(tmp_path / "array" / "g")) == 6


def test_other_launches_are_refused_while_an_array_trains(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "g")
    with take(store), pytest.raises(LeaseHeldError, match="a launch running since"):
        launched(tmp_path, GRID, executor="array")
    held = take(store, purpose="launch by an array")
    with held, pytest.raises(LeaseHeldError, match="a launch by an array running since"):
        launched(tmp_path, GRID)


def test_another_grid_is_refused(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "g")
    with take(store, purpose="launch by an array") as lease:
        leader = Leader(token=lease.holder.token, grid="another", software={})
        letters.write_leader(letters.folder_of(store), leader)
        with pytest.raises(PhasediagError, match="give all places the same grid"):
            launched(tmp_path, GRID, executor="array")


def test_another_version_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(str(tmp_path), "g")
    monkeypatch.setattr(array_launch, "_hash", lambda trials, job: "same")
    with take(store, purpose="launch by an array") as lease:
        leader = Leader(token=lease.holder.token, grid="same", software={"engine": "0"})
        letters.write_leader(letters.folder_of(store), leader)
        with pytest.raises(PhasediagError, match="cannot train: it has engine 1 instead of 0"):
            launched(tmp_path, GRID, executor="array")
    assert letters.reports_in(letters.folder_of(store)) == []


TASK = """
import inspect
import os
import time

from phasediag.tasks.linear_map import LinearMap


class Task(LinearMap):
    def train_set(self):
        if not any("rehearsal" in frame.filename for frame in inspect.stack()):
            with open(os.environ["PD_LOG"], "a") as log:
                log.write(f"{os.getpid()}\\n")
            time.sleep(float(os.environ["PD_SLEEP"]))
        return super().train_set()
"""
"""Takes time without taking a core, and tells where."""


class Array:
    """Processes that are launched alike."""

    def __init__(self, folder: Path, packs: int, sleep: float) -> None:
        self.folder, self.log = folder, folder / "log"
        write(folder, TASK, "my_task.py")
        fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 20}
        axes = {"weight_decay": f"{{linspace: [0.01, 1], num: {2 * packs}}}"}
        text = grid_text(axes, fixed, resources="{cpus: 1, trials_per_pack: 2}")
        self.grid = write(folder, text.replace("  teacher_width: 4\n", ""))
        self.environment = {**os.environ, "PD_LOG": str(self.log), "PD_SLEEP": str(sleep)}
        self.processes = list[subprocess.Popen[str]]()

    def start(self, *options: str) -> subprocess.Popen[str]:
        arguments = command("launch", self.grid, "--storage", self.folder, "--compile", "off")
        process = subprocess.Popen(
            [*arguments, "--executor", "array", *options], env=self.environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        return process

    @property
    def sweep(self) -> Path:
        return self.folder / "g"

    @property
    def begun(self) -> Counter[int]:
        """How many packs each process has begun."""
        return Counter(map(int, self.log.read_text().split())) if self.log.exists() else Counter()

    def wait_for(self, packs: int, places: int) -> None:
        deadline = time.monotonic() + 120
        while sum(self.begun.values()) < packs or len(self.begun) < places:
            assert time.monotonic() < deadline, self.begun
            time.sleep(0.05)

    @property
    def leader(self) -> subprocess.Popen[str]:
        pid = Holder.parse((self.sweep / "lease").read_bytes()).pid
        return next(process for process in self.processes if process.pid == pid)

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        said = process.communicate(timeout=200)[1]
        return process.returncode, said


@contextmanager
def array(folder: Path, packs: int, *, sleep: float = 1.0, processes: int = 3) -> Iterator[Array]:
    made = Array(folder, packs, sleep)
    try:
        for _ in range(processes):
            made.start()
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def assert_complete(made: Array) -> None:
    assert dict(Counter(trials(made.sweep)["status"])) == {"ok": len(trials(made.sweep))}
    assert list((made.sweep / "places").iterdir()) == []
    assert Store.at(made.sweep).checkpoints() == []
    assert not (made.sweep / "lease").exists()


@pytest.mark.slow
def test_three_processes_train_each_trial_once(tmp_path: Path) -> None:
    with array(tmp_path, 18) as made:
        codes = [made.end(process)[0] for process in made.processes]
    assert codes == [0, 0, 0]
    assert sum(made.begun.values()) == 18
    assert len(made.begun) == 3
    assert_complete(made)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_ends_the_others_go_on(tmp_path: Path, who: str, number: signal.Signals) -> None:
    with array(tmp_path, 18) as made:
        made.wait_for(6, 3)
        leader = made.leader
        others = [process for process in made.processes if process is not leader]
        ended = leader if who == "leader" else others[0]
        ended.send_signal(number)
        said = {process: made.end(process) for process in made.processes}
    assert said[ended][0] == (130 if number == signal.SIGTERM else -number)
    assert all(said[process][0] == 0 for process in made.processes if process is not ended), said
    assert len(trials(made.sweep)) == 36
    assert sum(made.begun.values()) <= 18 + (3 if who == "leader" else 1)
    assert_complete(made)
    if who == "follower":
        what = "died (its process is gone)" if number == signal.SIGKILL else "ends early"
        assert what in said[leader][1]


def cannot_write(process: subprocess.Popen[str], size: int) -> None:
    """Let no file of a process be larger from now on."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
def test_where_the_leader_cannot_write_to_the_others_they_go_on(tmp_path: Path) -> None:
    with array(tmp_path, 18) as made:
        made.wait_for(6, 3)
        leader = made.leader
        cannot_write(leader, 100)
        code, said = made.end(leader)
        others = [made.end(process) for process in made.processes if process is not leader]
    assert code == 3, said
    assert "File too large" in said
    assert [code for code, _ in others] == [0, 0], others
    assert_complete(made)


@pytest.mark.slow
def test_a_machine_that_cannot_keep_what_it_trains_ends_the_launch(tmp_path: Path) -> None:
    """The one that leads writes letters, but no fragment."""
    with array(tmp_path, 18) as made:
        made.wait_for(6, 3)
        cannot_write(made.leader, 2000)
        ended = [made.end(process) for process in made.processes]
        for code, said in ended:
            assert code in (2, 3), said
            assert "File too large" in said
        assert made.end(made.start())[0] == 0
    assert sum(made.begun.values()) <= 18 + 3 + 3
    assert_complete(made)


@pytest.mark.slow
def test_one_that_comes_late_joins_and_failures_end_all(tmp_path: Path) -> None:
    with array(tmp_path, 12, processes=1) as made:
        made.wait_for(2, 1)
        late = made.start()
        assert made.end(late)[0] == 0
        assert made.begun[late.pid] >= 2
        assert made.end(made.processes[0])[0] == 0
    assert_complete(made)
    write(tmp_path, TASK.replace("time.sleep(", "1 / 0 if self else time.sleep("), "my_task.py")
    with array_again(made, "--max-failures", "2") as processes:
        said = [made.end(process) for process in processes]
    assert [code for code, _ in said] == [1, 1], said


@contextmanager
def array_again(made: Array, *options: str) -> Iterator[list[subprocess.Popen[str]]]:
    made.processes = []
    processes = [made.start(*options) for _ in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
