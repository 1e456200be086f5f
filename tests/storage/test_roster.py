"""The trials kept beside a grid are those that the grid expands to, or do not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.grids.grid import Grid, parse_grid
from phasediag.storage import roster
from phasediag.storage.roster import Roster, given_of, key_of, read_roster, roster_file, unpacked
from phasediag.storage.row_choice import one_a_trial, order_of
from phasediag.storage.store import Store
from small_sweeps import grid_text

AXES = grid_text(
    {"width": "[8, 16]", "weight_decay": "{logspace: [0.01, 1], num: 5}", "activation": "[tanh, relu]"},
    {"bias": "true"}, replicates=3,
)  # fmt: skip
POINTS = "name: g\nfixed: {task: scalar_linear, depth: 2, activation: linear}\npoints:\n" + "".join(
    f"- {{weight_decay: {d}, lr_over_batch: {r}}}\n" for d, r in ((0.1, 0.01), (0.3, 0.02), (0.1, 0.05))
)
LISTS = (
    "name: g\nfixed: {task: linear_map}\naxes: {singular_values: {values: [[1, 0.5], [2, 1, 0.1]]}}\n"
    "replicates: 2\n"
)


def grid_of(text: str) -> Grid:
    return parse_grid(text, Path("grid.yaml"))


def packed(grid: Grid) -> Roster:
    return Roster(lot=grid.lot(), parameters=grid.parameters, given=grid.given, sources=grid.sources)


def table_of(grid: Grid) -> pa.Table:
    return unpacked(pa.concat_tables(packed(grid).tables()))


@pytest.mark.parametrize("text", [AXES, POINTS, LISTS])
def test_what_is_kept_is_what_the_grid_expands_to(text: str) -> None:
    grid = grid_of(text)
    trials, key = grid.trials(), key_of(text, {})
    read = read_roster(b"".join(roster_file(packed(grid), key)), key)
    assert read is not None
    assert read.to_pylist() == table_of(grid).to_pylist()
    assert read["trial_id"].to_pylist() == trials.trial_id.tolist()
    for name in trials.columns:
        kept = [tuple(v) if isinstance(v, list) else v for v in read[name].to_pylist()]
        assert kept == trials.values(name).tolist(), name
    assert given_of(read) == grid.given


def test_given_are_the_parameters_of_axes_and_points() -> None:
    assert grid_of(AXES).given == {"width", "weight_decay", "activation"}
    assert grid_of(POINTS).given == {"weight_decay", "lr_over_batch"}


def test_a_trial_takes_sixteen_bytes() -> None:
    axes = {
        "width": "[8, 16, 32]", "weight_decay": "{logspace: [0.01, 1], num: 40}",
        "learning_rate": "{logspace: [0.01, 1], num: 40}",
    }  # fmt: skip
    grid = grid_of(grid_text(axes, replicates=5))
    count = len(grid.trials())
    assert count == 24_000
    assert len(b"".join(roster_file(packed(grid), b"key"))) < 1.02 * roster.ID_BYTES * count + 5_000


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_a_damaged_file_does_not_count(place: int, bit: int) -> None:
    grid, key = grid_of(AXES), b"key"
    content = bytearray(b"".join(roster_file(packed(grid), key)))
    intact = read_roster(bytes(content), key)
    content[place % len(content)] ^= 1 << bit
    damaged = read_roster(bytes(content), key)
    assert damaged is None or damaged.equals(intact, check_metadata=True)
    assert read_roster(bytes(content[: place % len(content)]), key) is None


def test_it_counts_only_for_its_grid_engine_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, grid = Store.at(tmp_path / "g"), grid_of(AXES)
    name = store.save_grid(AXES, {"net.py": b"1"}, packed(grid))
    file = tmp_path / "g" / "grids" / "0001.ids.parquet"
    assert store.roster(name, AXES) is not None
    assert store.roster(name, AXES + "# another") is None
    seal = tmp_path / "g" / "grids" / "0001.seal.json"
    recorded = seal.read_bytes()
    seal.unlink()
    (tmp_path / "g" / "grids" / "0001" / "net.py").write_bytes(b"2")
    assert store.roster(name, AXES) is None
    seal.write_bytes(recorded)
    assert store.roster(name, AXES) is not None, "the file that was launched is known by its hash"
    (tmp_path / "g" / "grids" / "0001" / "net.py").write_bytes(b"1")
    with monkeypatch.context() as changed:
        changed.setattr(roster, "ENGINE", 1 + roster.ENGINE)
        assert store.roster(name, AXES) is None
    written = file.stat().st_mtime_ns
    store.save_grid(AXES, {"net.py": b"1"}, packed(grid))
    assert file.stat().st_mtime_ns == written, "one that counts is not written again"
    file.write_bytes(b"nonsense")
    assert store.roster(name, AXES) is None
    assert store.save_grid(AXES, {"net.py": b"1"}, packed(grid)) == name
    assert store.roster(name, AXES) is not None
    assert [entry for entry, _ in store.grids()] == ["0001.yaml"]


ids = st.text("0123456789abcdef", min_size=32, max_size=32)
alike = st.text("0f", min_size=2, max_size=2).map(lambda end: "0" * 30 + end)


@given(st.lists(st.one_of(ids, alike, st.text("ab", max_size=3)), max_size=30))
def test_ids_are_sorted_and_told_apart_as_text(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    for some in (array, array[1:], array.filter(pc.equal(pc.utf8_length(array), 32))):
        assert some.take(pa.array(order_of(some))).to_pylist() == sorted(some.to_pylist())
        columns = {name: ["x"] * len(some) for name in ("pack_id", "status")}
        rows = pa.table({"trial_id": some, **columns, "started_at": np.zeros(len(some))})
        assert sorted(one_a_trial(rows)["trial_id"].to_pylist()) == sorted(set(some.to_pylist()))
