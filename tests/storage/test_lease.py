from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from phasediag.errors import LeaseHeldError, StoreError
from phasediag.storage import lease as lease_module
from phasediag.storage import lease_on_disk
from phasediag.storage.folder import Folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease import Lease, held_by, take
from phasediag.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path, "sweep")


@pytest.fixture
def remote() -> Iterator[Store]:
    memory = MemoryFileSystem()
    folder = Folder(
        filesystem=fs.PyFileSystem(fs.FSSpecHandler(memory)), path="bucket/s", uri="memory://bucket/s"
    )
    yield Store(folder=folder)
    memory.store.clear()


def elsewhere(**changes: object) -> Holder:
    """A holder on another machine."""
    holder = replace(Holder.this_process("launch"), host="node7", machine="another", user="ada", pid=4321)
    return replace(holder, **changes)  # type: ignore[arg-type]


def plant(store: Store, holder: Holder, silent_s: float = 0.0) -> Path:
    store.folder.write("lease", json.dumps(asdict(holder)).encode())
    file = Path(store.folder.path) / "lease"
    os.utime(file, (time.time() - silent_s,) * 2)
    return file


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(6000):  # machines of tests are busy
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")


def test_a_second_taker_is_told_who_holds_it(store: Store) -> None:
    plant(store, elsewhere(since="2026-01-01T00:00:00+00:00"), silent_s=60)
    with pytest.raises(LeaseHeldError) as caught:
        take(store)
    message = str(caught.value)
    for part in (
        "ada",
        "node7",
        "4321",
        "2026-01-01T00:00:00",
        "120 s of silence",
        store.folder.uri,
    ):
        assert part in message
    (silent_s,) = re.findall(r"last heartbeat (\d+) s ago", message)
    assert 60 <= int(silent_s) < 120
    assert caught.value.exit_code == 2


def test_it_is_free_after_its_release(store: Store) -> None:
    with take(store) as lease:
        with pytest.raises(LeaseHeldError):
            take(store)
        assert not lease.lost
    lease.release()
    with take(store):
        pass
    assert store.folder.entries(hidden=True) == []


def test_leases_of_other_names_are_apart(store: Store) -> None:
    with take(store), take(store, name="compact.lease"):
        pass


@pytest.mark.parametrize(("silent_s", "free"), [(60.0, False), (121.0, True)])
def test_silence_frees_it(store: Store, silent_s: float, free: bool) -> None:
    plant(store, elsewhere(), silent_s)
    if not free:
        with pytest.raises(LeaseHeldError):
            take(store)
        return
    with take(store) as lease:
        assert json.loads(store.folder.read("lease"))["token"] == lease.holder.token


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "x"}'])
def test_an_unreadable_lease_is_held_until_it_is_silent(store: Store, content: bytes) -> None:
    file = plant(store, elsewhere())
    file.write_bytes(content)
    with pytest.raises(LeaseHeldError, match="just taking it"):
        take(store)
    os.utime(file, (time.time() - 130,) * 2)
    take(store).release()


HOLDER = """
import sys, time
from phasediag.storage.lease import take
from phasediag.storage.store import Store
lease = take(Store.at(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_killed_holder_of_this_host_frees_it_at_once(store: Store) -> None:
    command = [sys.executable, "-c", HOLDER, store.folder.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LeaseHeldError, match=f"process {child.pid}"):
            take(store)
        child.kill()
        wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z")
        take(store).release()  # the child is a zombie still
        child.wait()


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"started": 1.0}, False),  # the clock was set: what counts is when it started since the machine did
        ({"ticks": 1}, True),  # its process id was given to another process
        ({"started": 1.0, "ticks": None}, True),  # of a version that knew no ticks
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "machine": "another"}, False),
    ],
)
def test_only_a_process_of_this_machine_can_be_known_dead(changes: dict, dead: bool) -> None:
    assert replace(Holder.this_process("launch"), **changes).dead is dead


def test_of_many_takers_one_wins(store: Store) -> None:
    """Also where all of them find a stale lease."""
    for stale in (False, True):
        if stale:
            plant(store, elsewhere(), silent_s=500)
        barrier, won = threading.Barrier(8), []

        def race(barrier: threading.Barrier = barrier, won: list[Lease] = won) -> None:
            barrier.wait()
            try:
                won.append(take(store))
            except LeaseHeldError:
                return

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert json.loads(store.folder.read("lease"))["token"] == won[0].holder.token
        won[0].release()


def test_a_taker_that_comes_late_leaves_a_fresh_lease_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding the lease stale and taking it over, another taker takes it over."""
    plant(store, elsewhere(), silent_s=500)
    marked, first = lease_on_disk.LeaseOnDisk._marked, []

    def late(*args: object) -> bool:
        if not first:
            first.append(None)
            first[0] = take(store)
        return marked(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(lease_on_disk.LeaseOnDisk, "_marked", late)
    with pytest.raises(LeaseHeldError):
        take(store)
    assert json.loads(store.folder.read("lease"))["token"] == first[0].holder.token
    first[0].release()
    assert store.folder.entries() == []


def test_a_taker_killed_while_it_writes_holds_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(handle: int) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(lease_on_disk.os, "fsync", killed)
        with pytest.raises(SystemExit):
            take(store)
    take(store).release()


def test_a_taker_killed_in_a_takeover_does_not_block_the_next(store: Store) -> None:
    plant(store, elsewhere(), silent_s=500)
    dead = replace(Holder.this_process("launch"), pid=2**22 + 1)
    store.folder.write("lease.takeover", json.dumps(asdict(dead)).encode())
    take(store).release()
    assert store.folder.entries() == []


def test_a_marker_that_another_taker_has_made_since_is_left_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = (
        lease_on_disk.LeaseOnDisk(folder=store.folder, name="lease", silence_s=90.0) for _ in range(2)
    )
    judge, marker = lease_on_disk.is_free, Path(store.folder.path) / "lease.takeover"
    plant(store, elsewhere(token="killed"), silent_s=3600).rename(marker)

    def judged_before_the_other_came(*asked: Any) -> bool:
        free = judge(*asked)
        monkeypatch.setattr(lease_on_disk, "is_free", judge)
        assert other._marked(marker, b"the other's")
        return free

    monkeypatch.setattr(lease_on_disk, "is_free", judged_before_the_other_came)
    assert not own._marked(marker, b"own")
    assert marker.read_bytes() == b"the other's"


@pytest.mark.parametrize("links", [True, False])
def test_a_lease_is_never_seen_before_it_is_written(
    store: Store, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen, opened = Path(store.folder.path) / "lease", [], os.open

    def looking(*asked: Any, **options: Any) -> int:
        handle = opened(*asked, **options)
        seen.append(path.exists())
        return handle

    def refused(*asked: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "open", looking)
    lease = lease_on_disk.LeaseOnDisk(folder=store.folder, name="lease", silence_s=90.0)
    assert lease.take(elsewhere(token="first"))
    assert any(seen) is not links
    assert not lease.take(elsewhere(token="second"))
    assert [file.name for file in path.parent.iterdir() if "lease" in file.name] == ["lease"]


def test_a_taker_waits_for_a_takeover_under_way(store: Store) -> None:
    plant(store, elsewhere(), silent_s=500)
    store.folder.write("lease.takeover", json.dumps(asdict(elsewhere())).encode())
    with pytest.raises(LeaseHeldError):
        take(store)


def test_the_heartbeat_keeps_it(store: Store) -> None:
    with take(store, heartbeat_s=0.02):
        file = Path(store.folder.path) / "lease"
        os.utime(file, (time.time() - 500,) * 2)
        wait_until(lambda: time.time() - file.stat().st_mtime < 100)
        with pytest.raises(LeaseHeldError):
            take(store)


@pytest.mark.parametrize("kind", ["store", "remote"])
def test_a_lost_lease_is_noticed_and_left_to_its_new_holder(
    kind: str, request: pytest.FixtureRequest
) -> None:
    store: Store = request.getfixturevalue(kind)
    with take(store, heartbeat_s=0.02) as lease:
        other = json.dumps(asdict(elsewhere())).encode()
        # again and again: a heartbeat that had begun before writes over it
        wait_until(lambda: lease.lost or store.folder.write("lease", other))
    assert store.folder.read("lease") == other


def test_a_deleted_lease_is_taken_again(store: Store) -> None:
    with take(store, heartbeat_s=0.02) as lease:
        store.folder.delete("lease")
        wait_until(lambda: held_by(store) is not None)  # the file is made before it is written
        assert reader(store).token == lease.holder.token
        assert not lease.lost


def test_a_sweep_that_was_moved_is_told_and_not_made_again(store: Store, tmp_path: Path) -> None:
    causes: list[str] = []
    with take(store, heartbeat_s=0.02, on_lost=causes.append):
        Path(store.folder.path).rename(tmp_path / "elsewhere")
        wait_until(lambda: bool(causes))
    assert causes == [
        f"the folder of the sweep {store.folder.uri} is gone: it was moved or removed while the launch ran"
    ]
    assert not Path(store.folder.path).exists()


GOOD = asdict(replace(Holder.this_process("launch"), host="node7", machine="another"))
MALFORMED = [
    b"", b"{", b"[]", b"\xff\xfe\x00", b"[" * 100_000, b'{"host": "x"}',
    *(
        json.dumps({**GOOD, **changes}).encode()
        for changes in (
            {"pid": "4"}, {"pid": -4}, {"pid": 4.5}, {"pid": True}, {"started": "now"}, {"started": None},
            {"since": "garbage"}, {"since": "2026-01-01T00:00:00"}, {"since": None}, {"since": 7},
            {"user": 3}, {"news": []}, {"news": {"rate": "fast"}}, {"ticks": "x"}, {"sweep": 5},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("content", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_lease_is_told_as_such(store: Store, content: bytes) -> None:
    plant(store, elsewhere()).write_bytes(content)
    assert held_by(store) is None
    with pytest.raises(LeaseHeldError, match=r"or by nobody: .*/lease is no lease \("):
        take(store)


def test_what_a_later_version_adds_to_a_lease_is_passed_over(store: Store) -> None:
    plant(store, elsewhere()).write_bytes(json.dumps({**GOOD, "colour": "red"}).encode())
    assert reader(store).host == "node7"


def test_a_lease_from_the_future_and_one_of_another_sweep_are_told(store: Store) -> None:
    plant(store, elsewhere(), silent_s=-7250)
    with pytest.raises(LeaseHeldError, match=r"7[12]\d\d s in the future.*if nobody trains there, delete"):
        take(store)
    plant(store, elsewhere(sweep="/somewhere/else"))
    with pytest.raises(LeaseHeldError, match="taken of the sweep /somewhere/else"):
        take(store)


def test_a_folder_in_place_of_the_lease_is_told(store: Store) -> None:
    (Path(store.folder.path) / "lease").mkdir(parents=True)
    assert held_by(store) is None
    with pytest.raises(LeaseHeldError, match="is a folder, where the lease of the sweep should lie"):
        take(store)


def test_who_holds_a_lease_is_looked_up_without_writing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(store, elsewhere())
    monkeypatch.setattr(Folder, "write", None)
    assert reader(store).host == "node7"


def test_a_storage_that_stays_silent_loses_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hiccup is borne; after as long as another taker would wait, the lease counts as lost."""

    now, failed = [0.0], list[float]()

    def unreachable(*_: object) -> bytes:
        failed.append(now[0])
        raise StoreError("unreachable")

    monkeypatch.setattr(lease_module.time, "monotonic", lambda: now[0])
    with take(store, heartbeat_s=0.01, silence_s=120) as lease:
        monkeypatch.setattr(Folder, "read", unreachable)
        for now[0] in (0.0, 119.0):
            heard = len(failed)
            wait_until(lambda heard=heard: len(failed) > heard + 2)
            assert not lease.lost
        now[0] = 121.0
        wait_until(lambda: lease.lost)
        monkeypatch.undo()


def test_in_a_bucket_one_of_many_takers_wins(remote: Store) -> None:
    with take(remote), pytest.raises(LeaseHeldError):
        take(remote)
    take(remote).release()
    won: list[Lease] = []
    barrier = threading.Barrier(4)

    def race() -> None:
        barrier.wait()
        try:
            won.append(take(remote))
        except LeaseHeldError:
            return

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()
    assert remote.folder.files() == []


def test_an_unwritable_place_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which not even the lease fits leaves nothing behind that looks like one."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lease_on_disk.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; see to it that you may write"):
        take(store)
    assert store.folder.entry("lease") is None


def test_a_heartbeat_tells_how_far_its_holder_is(store: Store) -> None:
    with take(store, heartbeat_s=0.02) as lease:
        lease.tell(lambda: {"in_training": 7.5, "rate": None})
        wait_until(lambda: dict(reader(store).news) == {"in_training": 7.5, "rate": None})


def test_an_error_in_the_news_is_told_once_and_stops_no_heart(store: Store) -> None:
    """What changes under it in another thread is none: before, no error was told at all."""
    faults = list[str]()
    changed, wrong = RuntimeError("dictionary changed size during iteration"), KeyError("cpu")
    errors = cycle([changed, wrong])

    def news() -> dict[str, float | None]:
        raise next(errors)

    with take(store, heartbeat_s=0.02) as lease:
        lease.tell(news, faults.append)
        wait_until(lambda: bool(faults))
        beats = reader(store).beats
        wait_until(lambda: reader(store).beats > beats + 4)
        assert not lease.lost
    assert faults == ["`status` cannot be told how far this launch is (KeyError: 'cpu')"]


def test_a_heart_that_cannot_beat_for_whatever_reason_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, its thread ended by what no storage should raise; another launch came in, and both trained."""
    causes = list[str]()

    def renew(*_: object) -> bool:
        raise TypeError("unforeseen")

    with take(store, heartbeat_s=0.02, silence_s=0.1, on_lost=causes.append) as lease:
        monkeypatch.setattr(type(lease._file), "renew", renew)
        wait_until(lambda: lease.lost)
    assert len(causes) == 1
    assert causes[0].startswith("TypeError: unforeseen (for ")


def test_news_come_before_the_next_heartbeat(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "NEWS_S", 0.01)
    with take(store, heartbeat_s=3600) as lease:
        lease.tell(lambda: {"in_training": 1.0})
        lease.refresh()
        wait_until(lambda: bool(reader(store).news))


def reader(store: Store) -> Holder:
    """The holder as another process sees it."""
    holder = held_by(store)
    assert holder is not None
    return holder


def test_a_clock_that_is_set_does_not_free_the_lease_of_a_process_that_runs(store: Store) -> None:
    """By three hours: its last heartbeat then seems to be as old."""
    with take(store, heartbeat_s=3600) as lease:
        os.utime(Path(store.folder.path) / "lease", (time.time() - 10_800,) * 2)
        with pytest.raises(LeaseHeldError, match=f"process {os.getpid()}"):
            take(store)
        assert reader(store).token == lease.holder.token
