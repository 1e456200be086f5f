"""Sweeps in buckets of two S3 servers: `make check-storage` installs and runs them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

import phasediag
from phasediag.errors import LeaseHeldError
from phasediag.storage.conditional import conditional_folder
from phasediag.storage.holder import Holder
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from s3_servers import S3Server, juicefs, moto
from small_sweeps import assert_same_rows, command, grid_text, launched, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVERS: Final = {"moto": moto, "juicefs": juicefs}
AXES: Final = {"weight_decay": "[0.01, 0.1]", "width": "[8, 16]"}
SMALL: Final = {"steps": 6, "samples": 16, "test_samples": 8}
GRID: Final = grid_text(AXES, SMALL, replicates=2, resources="{trials_per_pack: 2}")
MORE: Final = GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 1.0]")
INLINE: Final = {"executor": "inline", "compile": "off"}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep in a folder, extended."""
    folder = tmp_path_factory.mktemp("local")
    launched(folder, MORE)
    return folder / "g"


def sweep_of(server: S3Server, name: str) -> str:
    return Store.open(server.uri(name), "g").folder.uri


def put(server: S3Server, name: str, tmp_path: Path, text: str = GRID) -> Any:
    return phasediag.launch(write(tmp_path, text), server.uri(name), **INLINE)


def said(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False)


def test_the_rows_are_those_of_a_folder(server: S3Server, local: Path, tmp_path: Path) -> None:
    """After a launch, an extension, a launch of nothing, and two compactions: the second deletes."""
    sweep = sweep_of(server, "rows")
    assert put(server, "rows", tmp_path).trained == 8
    assert put(server, "rows", tmp_path, MORE).trained == 4
    assert put(server, "rows", tmp_path, MORE).trained == 0
    assert_same_rows(sweep, local)
    for _ in range(2):
        Store.at(sweep).compact()
        assert_same_rows(sweep, local)
    assert said("verify", sweep).returncode == 0
    status = said("status", sweep)
    assert status.returncode == 0
    assert "12" in status.stdout
    drawn = said("diagram", sweep, "--x", "weight_decay", "--y", "width", "--output", tmp_path / "d.png")
    assert (drawn.returncode, (tmp_path / "d.png").exists()) == (0, True), drawn.stderr


@pytest.mark.parametrize("compacted", [False, True])
def test_a_damaged_file_is_told_set_aside_and_trained_again(
    server: S3Server, local: Path, tmp_path: Path, compacted: bool
) -> None:
    name = f"damaged-{compacted}"
    sweep = sweep_of(server, name)
    put(server, name, tmp_path, MORE)
    store = Store.at(sweep)
    if compacted:
        store.compact()
        store.compact()
    folder = store.folder / "measurements"
    file = folder.entries()[0].name
    content = bytearray(folder.read(file))
    content[len(content) // 3] ^= 1
    folder.write(file, bytes(content))
    verdict = said("verify", sweep)
    assert verdict.returncode == 1
    assert f"measurements/{file}: damaged" in verdict.stdout
    assert said("verify", sweep, "--repair").returncode == 0
    assert put(server, name, tmp_path, MORE).trained > 0
    assert_same_rows(sweep, local)
    assert said("verify", sweep).returncode == 0
    assert "quarantine/" in said("verify", sweep, "--json").stdout


def test_conditions_are_used_where_the_server_keeps_them(
    server: S3Server, request: pytest.FixtureRequest
) -> None:
    store = Store.at(server.uri("conditions"))
    store.folder.write("file", b"x")
    knows = "moto" in request.node.name
    assert (conditional_folder(store.folder) is not None) is knows
    with take(store), pytest.raises(LeaseHeldError, match="running since"):
        take(store)
    take(store).release()
    assert ([entry.name for entry in store.folder.entries(hidden=True)] == ["file", "lease"]) is knows


def test_the_command_of_the_page_runs(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "storage.md").read_text()
    [line] = [line for line in page.splitlines() if line.startswith("phasediag launch")]
    write(tmp_path, GRID)
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line.replace(":9000", f":{server.port}"))[1:]
    done = said(*arguments, "--executor", "inline", "--compile", "off")
    assert done.returncode == 0, done.stderr
    assert "8 of 8 trials done" in done.stderr


SLOW: Final = GRID.replace("steps: 6", "steps: 2500")
"""Packs of some seconds."""
AWAY_S: Final = 10.0


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slow")
    launched(folder, SLOW)
    return folder / "g"


def launching(server: S3Server, name: str, folder: Path, executor: str) -> subprocess.Popen[str]:
    words = ("launch", write(folder, SLOW), "--storage", server.uri(name), "--executor", executor)
    return subprocess.Popen(command(*words, "--compile", "off"), stderr=subprocess.PIPE, text=True)


def wait_for_fragments(store: Store) -> None:
    deadline = time.monotonic() + 120
    while not (store.folder / "trials").entries():
        assert time.monotonic() < deadline, "no pack was committed"
        time.sleep(0.2)


def test_a_server_that_does_not_answer_for_a_while_loses_nothing(
    server: S3Server, slow: Path, tmp_path: Path
) -> None:
    store = Store.at(sweep_of(server, "away"))
    launch = launching(server, "away", tmp_path, "inline")
    wait_for_fragments(store)
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(AWAY_S)
    os.kill(server.pid, signal.SIGCONT)
    printed = launch.communicate(timeout=240)[1]
    assert launch.returncode == 0, printed
    assert_same_rows(store.folder.uri, slow)


def test_an_array_meets_in_a_bucket_and_goes_on_without_the_one_that_led(
    server: S3Server, slow: Path, tmp_path: Path
) -> None:
    store = Store.at(sweep_of(server, "array"))
    places = [launching(server, "array", tmp_path, "array") for _ in range(2)]
    wait_for_fragments(store)
    leader = next(each for each in places if each.pid == Holder.parse(store.folder.read("lease")).pid)
    leader.kill()
    printed = {each: each.communicate(timeout=240)[1] for each in places}
    assert [each.returncode for each in places if each is not leader] == [0], printed
    assert_same_rows(store.folder.uri, slow)
    assert store.checkpoints() == []
    assert (store.folder / "places").entries() == []


RACER: Final = """
import sys, time
from phasediag.errors import LeaseHeldError
from phasediag.storage.lease import take
from phasediag.storage.store import Store
store, end = Store.at(sys.argv[1]), time.monotonic() + 8.0
while time.monotonic() < end:
    try:
        lease = take(store)
    except LeaseHeldError:
        continue
    begun = time.monotonic()
    time.sleep(0.02)
    print(begun, time.monotonic(), flush=True)
    lease.release()
"""


def test_of_processes_that_race_one_holds_the_lease(server: S3Server) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, server.uri("race")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    held = [line.split() for racer in racers for line in racer.communicate(timeout=120)[0].splitlines()]
    spans = sorted((float(begun), float(ended)) for begun, ended in held)
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(spans) > 4
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(spans))


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "SWEEP"], ["report", "SWEEP"], ["diagram", "SWEEP", "--x", "width"], ["list", "STORAGE"],
        ["plan", "GRID", "--storage", "STORAGE"], ["compact", "SWEEP"], ["verify", "SWEEP"],
        ["launch", "GRID", "--storage", "STORAGE", "--executor", "inline"], ["explain", "SWEEP", "ab"],
        ["export", "SWEEP", "--csv", "x.csv"], ["remove", "SWEEP", "--where", "width=8"],
        ["explain", "GRID", "--storage", "STORAGE"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_bucket_that_is_missing_is_told(server: S3Server, arguments: list[str], tmp_path: Path) -> None:
    storage = server.uri("sweeps").replace("//bucket/", "//nowhere/")
    places = {"SWEEP": storage, "STORAGE": storage, "GRID": str(write(tmp_path, GRID))}
    done = said(*(places.get(each, each) for each in arguments))
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1
    assert "there is no bucket 'nowhere'; create it" in done.stderr


def test_wrong_keys_are_told(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if not server.asks_for_keys:
        pytest.skip("moto takes every key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = said("status", server.uri("sweeps"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "AWS_ACCESS_KEY_ID" in done.stderr


COUNTED: Final[dict[str, Callable[[Path, str, str], Any]]] = {
    "status": lambda grid, storage, sweep: said("status", sweep),
    "plan": lambda grid, storage, sweep: said("plan", grid, "--storage", storage),
    "diagram": lambda grid, storage, sweep: said(
        "diagram", sweep, "--x", "learning_rate", "--output", grid.with_name("d.png")
    ),
    "launch of nothing": lambda grid, storage, sweep: phasediag.launch(grid, storage, **INLINE),
    "list": lambda grid, storage, sweep: said("list", storage),
    "compact": lambda grid, storage, sweep: said("compact", sweep),
    "status, compacted": lambda grid, storage, sweep: said("status", sweep),
}


def test_requests_do_not_grow_with_the_trials(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They grow with the packs: 2 of 100 trials here, and 2 of 10,000."""
    counts: dict[int, dict[str, Counter[str]]] = {}
    with moto(tmp_path_factory.mktemp("counted")) as server:
        for trials in (100, 10_000):
            axes = {"learning_rate": f"{{linspace: [0.01, 0.1], num: {trials}}}"}
            small = {"steps": 1, "samples": 4, "test_samples": 2, "inputs": 2, "outputs": 1, "width": 2,
                     "teacher_width": 1, "batch_size": 2}  # fmt: skip
            text = grid_text(axes, small, resources=f"{{trials_per_pack: {trials // 2}}}")
            grid, storage = write(tmp_path / str(trials), text), server.uri(f"counted-{trials}")
            sweep = Store.open(storage, "g").folder.uri
            server.requests()
            launches = {"launch": lambda *_: phasediag.launch(_[0], _[1], **INLINE)}
            for name, work in (launches | COUNTED).items():
                work(grid, storage, sweep)
                methods = Counter(line.split()[0] for line in server.requests())
                counts.setdefault(trials, {})[name] = methods
    few, many = counts[100], counts[10_000]
    for name in few:
        print(f"{name:20} {dict(few[name])} {dict(many[name])}")
    totals = {name: (few[name].total(), many[name].total()) for name in few}
    assert all(more <= 1.2 * less + 4 for less, more in totals.values()), totals
