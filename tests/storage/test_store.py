from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from phasediag.columns import RESULT_COLUMNS
from phasediag.errors import LeaseHeldError, StoreError, SweepGoneError
from phasediag.parameters import TRAINING
from phasediag.storage import schema_arrow, snapshots
from phasediag.storage.compaction import compact
from phasediag.storage.damage import DamageWarning
from phasediag.storage.folder import Folder
from phasediag.storage.lease import take
from phasediag.storage.manifest import expect, read_manifest
from phasediag.storage.schema_arrow import measurements_schema, promoted, table, trials_schema
from phasediag.storage.store import Store
from phasediag.trial import REQUIRED, Parameter, Role
from properties import examples
from s3_servers import moto
from synthetic_sweep import measured_rows, pack_name, trial_id, trial_rows, write_pack


def parameter(name: str, kind: object) -> Parameter:
    return Parameter(
        name=name, type=kind, default=REQUIRED, neutral=REQUIRED, role=Role.BATCHED, meaning="For a test."
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "with space %20", "sweep")


@pytest.fixture
def remote() -> Iterator[Store]:
    """A store on a filesystem that is not local and knows neither moves nor links."""
    memory = MemoryFileSystem()
    folder = Folder(
        filesystem=fs.PyFileSystem(fs.FSSpecHandler(memory)), path="bucket/sweep", uri="memory://bucket/sweep"
    )
    yield Store(folder=folder)
    memory.store.clear()


def rows(store: Store) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    return store.trials_table().to_pylist(), store.measurements_table().to_pylist()


# Schema


@settings(max_examples=examples(10))
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(width=64),
            st.one_of(st.none(), st.text()),
            st.booleans(),
            st.lists(st.floats(allow_nan=False, width=64), max_size=4).map(tuple),
        ),
        max_size=8,
    )
)
def test_written_rows_are_read_back(tmp_path_factory: pytest.TempPathFactory, values: list[tuple]) -> None:
    kinds = {"count": int, "scale": float, "label": str, "flag": bool, "weights": tuple[float, ...]}
    parameters = [parameter(name, kind) for name, kind in kinds.items()]
    store = Store.open(tmp_path_factory.mktemp("round"), "trip")
    numbers = range(len(values))
    columns = {name: [value[i] for value in values] for i, name in enumerate(kinds)}
    written = trial_rows(pack_name(1), numbers, parameters=[*TRAINING, *parameters], **columns)
    store.write_fragment(pack_name(1), written, measured_rows(pack_name(1), numbers))
    trials = store.trials_table()
    assert trials.schema.names == written.schema.names if len(values) else True
    for name in kinds:
        expected = [list(v) if isinstance(v, tuple) else v for v in columns[name]]
        assert str(trials[name].to_pylist() if name in trials.schema.names else []) == str(expected)
    assert store.measurements_table().drop_columns("distances").to_pylist() == (
        measured_rows(pack_name(1), numbers).drop_columns("distances").to_pylist()
    )


def test_every_kind_of_parameter_has_its_type_and_results_stay_apart() -> None:
    schema = trials_schema(TRAINING)
    recorded = [p.name for p in TRAINING if p.role is not Role.SHORTHAND]
    assert [name for name in schema.names if name not in RESULT_COLUMNS] == recorded
    assert schema.field("data_seed").type == pa.int64()
    assert schema.field("weight_decay").type == pa.float64()
    assert schema.field("optimizer").type == pa.string()


def test_a_parameter_may_not_shadow_a_result() -> None:
    with pytest.raises(StoreError, match="'rank' has the name of a result column; rename it"):
        trials_schema([parameter("rank", int)])


def test_a_table_refuses_unknown_and_ragged_columns() -> None:
    with pytest.raises(ValueError, match="no column 'width'"):
        table(measurements_schema(), {"width": [1]}, 1)
    with pytest.raises(ValueError, match="'step' has 2 rows, not 1"):
        table(measurements_schema(), {"step": [1, 2]}, 1)


def test_matrices_become_lists_row_by_row() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1]
    lists = table(measurements_schema(), {"distances": values}, 2)["distances"].to_pylist()
    assert lists == values.tolist()


def test_files_state_the_version_of_the_schema(store: Store) -> None:
    pack = write_pack(store, 1, [0])
    for kind in ("trials", "measurements"):
        metadata = pq.read_schema(Path(store.folder.path) / kind / f"{pack}.parquet").metadata
        assert metadata[b"phasediag_schema"] == str(schema_arrow.SCHEMA_VERSION).encode()


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (pa.array([1]), pa.array([0.5]), [1.0, 0.5]),
        (pa.array([2**60 + 1]), pa.array([0.5]), [float(2**60 + 1), 0.5]),
        (pa.array([1], pa.int32()), pa.array([2**40]), [1, 2**40]),
        (pa.nulls(1), pa.array(["a"]), [None, "a"]),
        (pa.array([True]), pa.array(["a"]), ["true", "a"]),
        (pa.array([1.5]), pa.array(["a"]), ["1.5", "a"]),
        (pa.array([[1.5]]), pa.array(["a"]), ["[1.5]", "a"]),
        (pa.array([[1.5]], pa.list_(pa.float32())), pa.array([[0.1]]), [[1.5], [0.1]]),
    ],
)
def test_columns_of_different_types_are_reconciled(one: pa.Array, other: pa.Array, together: list) -> None:
    joined = promoted([pa.table({"x": one}), pa.table({"x": other})])
    assert joined["x"].to_pylist() == together
    assert promoted([pa.table({"x": other}), pa.table({"x": one})])["x"].type == joined["x"].type


def test_old_and_new_columns_are_read_together(store: Store) -> None:
    new = [*TRAINING, parameter("momentum_of_teacher", float)]
    old = trial_rows(pack_name(1), [1]).drop_columns(["rank", TRAINING[-1].name])
    store.write_fragment(pack_name(1), old, measured_rows(pack_name(1), [1]))
    fresh = trial_rows(pack_name(2), [2], parameters=new, momentum_of_teacher=[0.5], rank=[7])
    store.write_fragment(pack_name(2), fresh, measured_rows(pack_name(2), [2]))
    trials = store.trials_table()
    assert trials["momentum_of_teacher"].to_pylist() == [None, 0.5]
    assert trials["rank"].to_pylist() == [None, 7]
    assert trials.schema.names == trials_schema(new).names
    assert store.trials_table(["rank", "trial_id"]).schema.names == ["rank", "trial_id"]


def test_an_unknown_column_is_refused_with_the_nearest(store: Store) -> None:
    write_pack(store, 1, [1])
    with pytest.raises(StoreError, match=r"'weight_decy'; did you mean 'weight_decay'\?"):
        store.trials_table(["weight_decy"])


# Places


@pytest.mark.parametrize("place", ["plain", "with space", "per%20cent", "ümlaut", "what?now", "a#b"])
def test_any_local_name_works(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(Store.open(tmp_path / place, "s"), 1, [1])
    assert (tmp_path / place / "s" / "trials" / f"{pack_name(1)}.parquet").is_file()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for same in (Store.open(place, "s"), Store.at(f"~/{place}/s"), Store.at(tmp_path / place / "s/")):
        assert len(same.committed()) == 1
    assert len(Store.at((tmp_path / place / "s").as_uri()).committed()) == 1


def test_uris_keep_their_query_and_split_at_the_sweep() -> None:
    query = "?endpoint_override=localhost:1&scheme=http&region=x&allow_bucket_creation=true"
    address = f"s3://bucket/pre{query}"
    folder = Store.open(address, "sweep").folder
    assert folder.path == "bucket/pre/sweep"
    assert folder.uri == f"s3://bucket/pre/sweep{query}"
    assert folder.address("lease") == f"s3://bucket/pre/sweep/lease{query}"
    assert Store.at(folder.uri).folder.path == folder.path
    assert (folder.parent.path, folder.parent.uri, folder.name) == ("bucket/pre", address, "sweep")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match=r"'ftp://host/x' cannot be opened.*give a local path"):
        Store.at("ftp://host/x")


def test_a_missing_sweep_names_those_that_exist(tmp_path: Path) -> None:
    write_pack(Store.open(tmp_path, "decay"), 1, [1])
    (tmp_path / "no-sweep").mkdir()
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path, "decai").required()
    assert f"{tmp_path} holds decay (did you mean 'decay'?)" in str(caught.value)
    assert "phasediag launch" in str(caught.value)
    with pytest.raises(StoreError, match="holds no sweep"):
        Store.open(tmp_path / "nowhere", "x").required()


def test_a_sweep_that_is_named_without_the_folder_of_launches_is_found(tmp_path: Path) -> None:
    """`phasediag status mine` where `phasediag launch` has written sweeps/mine."""
    Store.open(tmp_path / "sweeps", "mine").save_grid("name: mine\n")
    with pytest.raises(StoreError, match=r"no sweep at .*/mine; give .*/sweeps/mine, where there is one"):
        Store.at(tmp_path / "mine").required()


def test_a_store_can_be_sent_to_another_process(store: Store) -> None:
    write_pack(store, 1, [1])
    assert rows(pickle.loads(pickle.dumps(store))) == rows(store)


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"is no folder: give the folder of a sweep"):
        write_pack(Store.open(tmp_path / "file", "s"), 1, [1])


# Grids and checkpoints


@pytest.mark.parametrize("kind", ["store", "remote"])
def test_a_grid_is_recorded_once(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    sources = {"net.py": b"a", "../shared/task.py": b"b", "/abs/x.py": b"c", "nets/net.py": b"d"}
    assert store.save_grid("a: 1", sources) == "0001.yaml"
    assert store.save_grid("a: 1", sources) == "0001.yaml"
    assert store.save_grid("a: 1", {**sources, "net.py": b"changed"}) == "0002.yaml"
    assert store.save_grid("a: 2") == "0003.yaml"
    assert store.grids() == [("0001.yaml", "a: 1"), ("0002.yaml", "a: 1"), ("0003.yaml", "a: 2")]
    assert store.grid_sources("0001.yaml") == sources
    assert store.grid_sources("0003.yaml") == {}
    inside = (store.folder / "grids").files()
    assert all(name.startswith("000") for name in inside)
    assert "0001/net.py" in inside


@pytest.mark.parametrize("kind", ["store", "remote"])
@settings(max_examples=examples(10))
@given(files=st.dictionaries(st.text(min_size=1), st.binary(max_size=50)))
def test_a_checkpoint_is_read_as_written(
    kind: str, request: pytest.FixtureRequest, files: dict[str, bytes]
) -> None:
    store: Store = request.getfixturevalue(kind)
    pack = pack_name(7)
    store.write_checkpoint(pack, {"stale": b"1" * 60})
    store.write_checkpoint(pack, files)
    assert store.checkpoints() == [pack]
    assert store.read_checkpoint(pack) == files
    store.drop_checkpoint(pack)
    store.drop_checkpoint(pack)
    assert store.checkpoints() == []
    assert store.read_checkpoint(pack) is None


def test_a_damaged_checkpoint_counts_as_none(store: Store) -> None:
    store.write_checkpoint("a", {"weights": b"12345"})
    file = Path(store.folder.path) / "checkpoints" / "a" / "state"
    intact = file.read_bytes()
    for size in range(len(intact)):
        file.write_bytes(intact[:size])
        assert store.read_checkpoint("a") is None


# Which row counts


@pytest.mark.parametrize("kind", ["store", "remote"])
def test_committed_tells_the_status_of_each_trial(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    assert store.committed().counts == {"ok": 0, "diverged": 0, "failed": 0}
    write_pack(store, 1, [0, 1, 2], ["ok", "diverged", "failed"])
    committed = store.committed()
    asked = np.array([trial_id(i) for i in (2, 9, 0, 1)], dtype=object)
    assert committed.status_of(asked).tolist() == ["failed", "", "ok", "diverged"]
    assert committed.counts == {"ok": 1, "diverged": 1, "failed": 1}
    assert committed.status_of(np.array([], dtype=object)).tolist() == []


ATTEMPTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["ok", "diverged", "failed"]), st.integers(0, 2)),
    max_size=7,
)


@settings(max_examples=examples(12))
@given(attempts=ATTEMPTS, compact_after=st.sets(st.integers(0, 6), max_size=2))
def test_one_row_a_trial_and_its_measurements(
    tmp_path_factory: pytest.TempPathFactory,
    attempts: list[tuple[int, str, int]],
    compact_after: set[int],
) -> None:
    """Ok or diverged before failed, then the latest, then the smallest pack; compaction changes nothing."""
    store = Store.open(tmp_path_factory.mktemp("choice"), "s")
    for number, (trial, status, started) in enumerate(attempts):
        write_pack(store, number, [trial], status, started)
        if number in compact_after:
            compact(store.folder, rows_per_file=3)
    best: dict[int, tuple] = {}
    for number, (trial, status, started) in enumerate(attempts):
        key = (status == "failed", -started, number)
        best[trial] = min(best.get(trial, key), key)
    expected = {trial_id(trial): float(key[2]) for trial, key in best.items()}
    trials = store.trials_table()
    assert dict(zip(trials["trial_id"].to_pylist(), trials["wall_s"].to_pylist(), strict=True)) == expected
    assert len(trials) == len(expected)
    measured = store.measurements_table().select(["trial_id", "pack_id", "step"]).to_pylist()
    assert measured == [
        {"trial_id": trial, "pack_id": pack_name(int(pack)), "step": step}
        for trial, pack in sorted(expected.items())
        for step in (0, 10)
    ]


def test_writing_a_pack_twice_leaves_the_same_rows(store: Store) -> None:
    write_pack(store, 1, [1, 2])
    before = rows(store)
    write_pack(store, 1, [1, 2])
    assert rows(store) == before
    compact(store.folder)
    write_pack(store, 1, [1, 2])
    assert rows(store) == before


def test_a_pack_written_again_after_compaction_replaces_its_rows(store: Store) -> None:
    write_pack(store, 1, [1, 2], "failed")
    write_pack(store, 2, [3])
    compact(store.folder)
    write_pack(store, 1, [1, 2], "ok")
    for _ in range(3):
        assert store.committed().counts == {"ok": 3, "diverged": 0, "failed": 0}
        assert len(store.measurements_table()) == 6
        compact(store.folder)


def test_rows_of_another_pack_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="another pack_id"):
        store.write_fragment(pack_name(1), trial_rows(pack_name(2), [1]), measured_rows(pack_name(1), [1]))


def test_measurements_can_be_narrowed(store: Store) -> None:
    pack = pack_name(1)
    parts = [
        measured_rows(pack, [1], steps, observable=[name] * len(steps), layer=[layer] * len(steps))
        for name, layer, steps in (
            ("permutation", "hidden.1", (0, 10)),
            ("rank", "hidden.1", (0, 10)),
            ("rank", "hidden.2", (0, 10)),
        )
    ]
    store.write_fragment(pack, trial_rows(pack, [1]), pa.concat_tables(parts))
    assert len(store.measurements_table()) == 6
    assert len(store.measurements_table("rank")) == 4
    assert len(store.measurements_table(["rank", "permutation"], "hidden.1")) == 4
    last = store.measurements_table("rank", "hidden.2", last=True, columns=["step", "layer"])
    assert last.to_pylist() == [{"step": 10, "layer": "hidden.2"}]


def test_what_asking_a_store_takes_of_python_does_not_grow_with_its_trials(tmp_path: Path) -> None:
    calls = []
    for count in (200, 200, 20_000):  # the first one loads what is loaded once
        store = Store.open(tmp_path, f"{len(calls)}")
        ids = np.array([trial_id(i) for i in range(count)], dtype=object)
        for number, part in enumerate(np.array_split(np.arange(count), 20)):
            pack = pack_name(number)
            store.write_fragment(pack, trial_rows(pack, part.tolist()), measurements_schema().empty_table())
        with counted_calls() as made:
            status = store.committed().status_of(ids)
        calls.append(made.total())
        assert (status == "ok").all()
    assert calls[2] < 1.1 * calls[1]


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """How often this thread calls functions of Python, and from them those written in C, within a block."""
    calls = Counter[str]()

    def count(frame: object, event: str, argument: object) -> None:
        calls[event] += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


# Fragments appear whole or not at all

WRITER = """
import sys
sys.path.insert(0, {tests!r})
from synthetic_sweep import write_pack
from phasediag.storage.store import Store
store = Store.at({sweep!r})
print("ready", flush=True)
number = 0
while True:
    write_pack(store, number, range(4 * number, 4 * number + 4))
    print("written", flush=True)
    number += 1
"""


def test_a_killed_writer_leaves_no_part_of_a_fragment(store: Store) -> None:
    script = WRITER.format(tests=str(Path(__file__).parents[1]), sweep=store.folder.path)
    command = [sys.executable, "-c", script]
    for wait in np.random.default_rng(0).uniform(0.05, 0.3, size=2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            assert child.stdout.readline() == b"written\n"
            time.sleep(wait)
            child.kill()
        committed, measured = store.committed(), store.measurements_table()
        assert len(committed) > 0
        assert len(committed) % 4 == 0
        assert len(measured) == 2 * len(committed)
        assert measured["distances"].null_count == 0


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    store: Store, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(store, 1, [1], "failed")
    before = rows(store)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr(Path, "open", broken)
    else:
        monkeypatch.setattr(os, step, broken)
    with pytest.raises(StoreError, match="No space left"):
        write_pack(store, 1, [1], "ok")
    monkeypatch.undo()
    assert rows(store) == before
    assert [e.name for e in (store.folder / "trials").entries(hidden=True)] == [f"{pack_name(1)}.parquet"]


@pytest.mark.parametrize("last", ["trials", "measurements"])
def test_a_pack_killed_between_its_files_is_not_committed(
    store: Store, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    write = Folder.write

    def killed(folder: Folder, name: str, *parts: bytes) -> None:
        if folder.name == last:
            raise KeyboardInterrupt
        write(folder, name, *parts)

    monkeypatch.setattr(Folder, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        write_pack(store, 1, [1])
    monkeypatch.undo()
    assert rows(store) == ([], [])
    compact(store.folder)
    write_pack(store, 1, [1])
    assert [len(part) for part in rows(store)] == [1, 2]


# Compaction


@pytest.mark.parametrize("kind", ["store", "remote"])
def test_compacting_changes_no_row(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    for number in range(6):
        write_pack(store, number, range(5 * number, 5 * number + 6), "failed" if number % 2 else "ok")
    before = rows(store)
    files = len((store.folder / "trials").entries())
    first = compact(store.folder)
    assert (first.merged, first.deleted) == (12, 0)
    assert len((store.folder / "trials").entries()) == files + 1
    assert rows(store) == before
    second = compact(store.folder)
    assert (second.merged, second.deleted) == (0, 12)
    assert [e.name for e in (store.folder / "trials").entries()] == ["merged-000001-0000.parquet"]
    assert rows(store) == before


def test_merged_files_are_bounded_and_full_ones_stay(store: Store) -> None:
    for number in range(4):
        write_pack(store, number, range(4 * number, 4 * number + 4))
    compact(store.folder, rows_per_file=8)
    first = [(m.name, m.rows) for m in read_manifest(store.folder).manifest.merged["trials"]]
    assert [count for _, count in first] == [8, 8]
    write_pack(store, 9, [100])
    compact(store.folder, rows_per_file=8)
    again = [(m.name, m.rows) for m in read_manifest(store.folder).manifest.merged["trials"]]
    assert again[:2] == first
    assert again[2][1] == 1


def test_new_fragments_are_read_beside_the_manifest(store: Store) -> None:
    write_pack(store, 1, [1])
    compact(store.folder)
    write_pack(store, 2, [2])
    assert store.committed().counts["ok"] == 2
    assert len(store.measurements_table()) == 4


class Killed(BaseException):
    """Stands for the end of the process at one step."""


class Fuse:
    """Ends the process at the n-th operation, before or after it is done."""

    def __init__(self, fatal: int, after: bool) -> None:
        self.fatal = fatal
        self.after = after
        self.count = 0

    def guarded(self, operation: Callable[..., object]) -> Callable[..., object]:
        def guard(*args: object) -> object:
            self.count += 1
            mine = self.count
            if mine == self.fatal and not self.after:
                raise Killed
            result = operation(*args)
            if mine == self.fatal:
                raise Killed
            return result

        return guard


@pytest.mark.parametrize("after", [False, True])
def test_compaction_killed_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Let the n-th move, write or deletion be the last, for every n until none is left."""
    for fatal in range(1, 100):
        store = Store.open(tmp_path, f"s{fatal}")
        write_pack(store, 1, [1, 2])
        compact(store.folder)
        write_pack(store, 2, [2, 3])
        write_pack(store, 1, [1, 2], "diverged")
        before = rows(store)
        fuse = Fuse(fatal, after)
        for owner, name in ((os, "replace"), (Folder, "delete"), (Folder, "write")):
            monkeypatch.setattr(owner, name, fuse.guarded(getattr(owner, name)))
        try:
            compact(store.folder)
            compact(store.folder)
            blown = False
        except Killed:
            blown = True
        monkeypatch.undo()
        assert rows(store) == before
        compact(store.folder)
        assert rows(store) == before
        if not blown:
            break
    assert not blown
    assert fatal > 10


def test_readers_go_on_during_a_launch_and_compactions(store: Store) -> None:
    """Committed trials are never missing, with all their measurements, whatever runs beside."""
    write_pack(store, 0, [0])
    done = threading.Event()
    faults: list[BaseException] = []

    def launch_and_compact() -> None:
        try:
            for number in range(1, 25):
                write_pack(store, number, [number])
                if number % 3 == 0:
                    store.compact()
        except BaseException as error:
            faults.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=launch_and_compact)
    thread.start()
    seen = 1
    while not done.is_set():
        committed = len(store.committed())
        assert committed >= seen
        seen = committed
        assert len(store.measurements_table()) >= 2 * seen
    thread.join()
    assert not faults
    assert len(store.committed()) == 25


def test_where_compactions_delete_what_is_read_it_is_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often; where none has deleted it, that is told."""
    write_pack(store, 1, [1])
    views, genuine = list[snapshots.Snapshot](), snapshots.snapshot
    for _ in range(3):
        views.append(genuine(store.folder))
        write_pack(store, 1, [1])
        compact(store.folder)
        compact(store.folder)
    stale = views[0]
    monkeypatch.setattr(snapshots, "snapshot", lambda folder: views.pop(0) if views else genuine(folder))
    assert len(store.committed()) == 1
    assert not views
    monkeypatch.setattr(snapshots, "snapshot", lambda folder: stale)
    with pytest.raises(StoreError, match="disappeared"):
        store.committed()


def test_a_listing_across_a_compaction_is_taken_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that read the manifest before two compactions and lists after them misses nothing."""
    write_pack(store, 1, [1])
    entries, once = Folder.entries, [True]

    def late(folder: Folder, hidden: bool = False) -> list:
        if once:
            once.clear()
            compact(store.folder)
            compact(store.folder)
        return entries(folder, hidden)

    monkeypatch.setattr(Folder, "entries", late)
    assert len(store.committed()) == 1


def test_only_one_compaction_runs(store: Store) -> None:
    write_pack(store, 1, [1])
    held = take(store, name="compact.lease", purpose="compaction")
    with held, pytest.raises(LeaseHeldError, match="a compaction"):
        store.compact()
    assert store.compact().merged == 2


def test_damage_is_told(store: Store) -> None:
    pack = write_pack(store, 1, [1])
    file = Path(store.folder.path) / "trials" / f"{pack}.parquet"
    intact = file.read_bytes()
    file.write_bytes(intact[:-20])
    with pytest.warns(
        DamageWarning, match=rf"trials/{pack}.parquet is damaged .*the next launch trains it again"
    ):
        assert len(store.committed()) == 0
    file.write_bytes(intact)
    (Path(store.folder.path) / "manifest.json").write_text(json.dumps({"generation": 1}))
    with pytest.warns(DamageWarning, match=r"manifest.json is damaged .*its copy is taken"):
        assert len(store.committed()) == 1
    (Path(store.folder.path) / "manifest-copy.json").write_text("")
    with pytest.raises(StoreError, match=r"manifest.json is damaged .*restore it from a backup"):
        store.committed()


@pytest.mark.parametrize("last", [False, True])
def test_unordered_measurements_are_the_same_rows(store: Store, last: bool) -> None:
    write_pack(store, 2, [3, 4, 5])
    write_pack(store, 1, [1, 2, 3], started=5.0)
    compact(store.folder, rows_per_file=4)  # a pack's rows lie in several files
    write_pack(store, 3, [6, 1], started=9.0)
    ordered = store.measurements_table(last=last).to_pylist()
    unordered = store.measurements_table(last=last, ordered=False).to_pylist()
    assert sorted(unordered, key=lambda row: (row["trial_id"], row["step"])) == ordered
    steps = [10] if last else [0, 10]
    every = [(trial_id(i), step) for i in range(1, 7) for step in steps]
    assert [(row["trial_id"], row["step"]) for row in ordered] == every
    packs = {row["trial_id"]: row["pack_id"] for row in ordered}
    assert [packs[trial_id(i)] for i in range(1, 7)] == [pack_name(n) for n in (3, 1, 1, 2, 2, 3)]


def test_old_temporary_files_are_cleared(store: Store) -> None:
    write_pack(store, 1, [1])
    places = [Path(store.folder.path) / name for name in ("", "trials", "grids", "places", "checkpoints/ab")]
    for folder in places:
        folder.mkdir(parents=True, exist_ok=True)
        for name, age in (("old", 200_000), ("new", 10)):
            (folder / f".{name}.tmp").write_bytes(b"x")
            os.utime(folder / f".{name}.tmp", (time.time() - age,) * 2)
    compact(store.folder)
    assert [[p.name for p in folder.glob(".*")] for folder in places] == [[".new.tmp"]] * 5


def test_a_sweep_that_is_gone_is_not_made_again(store: Store, tmp_path: Path) -> None:
    sweep_id = store.identity()
    expect(store.folder, sweep_id)
    Path(store.folder.path).rename(tmp_path / "elsewhere")
    with pytest.raises(SweepGoneError, match="was moved, removed or replaced meanwhile") as caught:
        expect(store.folder, sweep_id)
    assert caught.value.exit_code == 3
    assert not Path(store.folder.path).exists()


def test_a_sweep_keeps_its_id_through_every_loss(store: Store) -> None:
    """Of its manifests, and of all but one of its fragments."""
    sweep_id = store.identity()
    for number in range(3):
        write_pack(store, number, [number])
    for name in ("manifest.json", "manifest-copy.json"):
        (Path(store.folder.path) / name).unlink()
        assert store.identity() == sweep_id
    assert len(store.committed()) == 3


# Object storage


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    with moto(tmp_path) as server:
        yield server.uri("sweeps")


def test_a_sweep_lives_on_s3(s3: str) -> None:
    store = Store.open(s3, "sweep")
    with pytest.raises(StoreError, match="holds no sweep"):
        store.required()
    store.save_grid("a: 1", {"net.py": b"x"})
    for number in range(3):
        write_pack(store, number, range(2 * number, 2 * number + 2))
    before = rows(store)
    store.compact()
    store.compact()
    assert rows(store) == before
    assert [len(part) for part in before] == [6, 12]
    store.write_checkpoint("a", {"x": b"1"})
    assert Store.at(store.folder.uri).read_checkpoint("a") == {"x": b"1"}
    store.drop_checkpoint("a")
    assert store.checkpoints() == []
    with take(store), pytest.raises(LeaseHeldError):
        take(store)
