"""A sealed file gives the rows that were written, or an error; whichever bit of it has flipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.errors import StoreError
from phasediag.storage import opening
from phasediag.storage.damage import DamagedError, DamageWarning
from phasediag.storage.fragments import parquet, read, write_rows
from phasediag.storage.opening import Source
from phasediag.storage.seal import (
    BLOCK,
    UnsoundError,
    bundled,
    seal_of,
    sealed,
    sealed_text,
    unbundled,
    unsealed_text,
)
from phasediag.storage.store import Store
from synthetic_sweep import measured_rows, pack_name, write_pack

ROWS = measured_rows(pack_name(1), range(40))
NUMBERS = np.random.default_rng(0).normal(size=(12_000, 12)).astype(np.float32)
FILE = f"measurements/{pack_name(1)}.parquet"


def content() -> bytes:
    return b"".join(sealed(parquet(ROWS), sweep="s", file=FILE, schema=2))


def checked(file: bytes) -> None:
    seal, _ = seal_of(memoryview(file), len(file))
    assert seal is not None
    seal.check(memoryview(file)[: seal.end])


def test_another_reader_finds_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(content())
    assert pq.read_table(tmp_path / "x.parquet").equals(ROWS)


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    intact = content()
    checked(intact)
    for place in range(len(intact)):
        damaged = bytearray(intact)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(UnsoundError):
            checked(bytes(damaged))
        if place % 7 == 0:
            with pytest.raises(UnsoundError):
                checked(intact[:place])


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a file of several blocks, of which only what is asked for is read."""
    monkeypatch.setattr(opening, "AT_ONCE", 0)
    store = Store.at(tmp_path / "s")
    rows = measured_rows(pack_name(1), range(6000), distances=NUMBERS)
    write_rows(store.folder, "measurements", pack_name(1), rows, store.identity())
    assert (tmp_path / "s" / FILE).stat().st_size > 3 * BLOCK
    return store


@pytest.mark.parametrize("columns", [None, ("trial_id",), ("distances", "step")])
def test_a_large_file_is_read_by_blocks(large: Store, columns: tuple[str, ...] | None) -> None:
    expected = pq.read_table(Path(large.folder.path) / FILE)
    rows = read(large.folder, [Source(path=FILE, sweep_id=large.identity())], columns)
    assert set(rows.column_names) == set(expected.column_names if columns is None else columns)
    assert rows.equals(expected.select(rows.column_names))


def test_only_the_blocks_that_are_read_are_checked(large: Store) -> None:
    file, source = Path(large.folder.path) / FILE, Source(path=FILE)
    place = pq.read_metadata(file).row_group(0)
    columns = {place.column(i).path_in_schema: place.column(i) for i in range(place.num_columns)}
    damaged = bytearray(file.read_bytes())
    damaged[columns["distances.list.element"].data_page_offset + 2 * BLOCK] ^= 1
    file.write_bytes(damaged)
    assert len(read(large.folder, [source], ("trial_id",))) == 12_000
    with pytest.raises(DamagedError, match="checksum of its block"):
        read(large.folder, [source], ("distances",))
    with pytest.raises(DamagedError):
        opening.examined(large.folder, source)


def test_a_file_stands_for_its_place_alone(tmp_path: Path) -> None:
    store, other = Store.at(tmp_path / "s"), Store.at(tmp_path / "other")
    for each in (store, other):
        write_pack(each, 1, [1])
    ours, theirs = (Path(each.folder.path) / "trials" / f"{pack_name(1)}.parquet" for each in (store, other))
    intact = ours.read_bytes()
    ours.write_bytes(theirs.read_bytes())
    with pytest.warns(DamageWarning, match="is foreign .it is of another sweep"):
        assert len(store.committed()) == 0
    ours.write_bytes(intact)
    for file in (ours, ours.parents[1] / "measurements" / ours.name):
        file.with_name(f"{pack_name(2)}.parquet").write_bytes(file.read_bytes())
    with pytest.warns(DamageWarning, match=f"it was written as trials/{pack_name(1)}.parquet"):
        assert len(store.committed()) == 1


def test_what_a_newer_version_wrote_stops_every_reader(tmp_path: Path) -> None:
    """Were it set aside, an old phasediag would train all anew."""
    store = Store.at(tmp_path / "s")
    write_pack(store, 1, [1])
    file = f"trials/{pack_name(1)}.parquet"
    rows = store.trials_table()
    parts = sealed(parquet(rows), sweep=store.identity(), file=file, schema=3)
    (tmp_path / "s" / file).write_bytes(b"".join(parts))
    with pytest.raises(StoreError, match="a newer phasediag wrote it"):
        store.committed()


def test_trials_without_their_measurements_count_as_missing(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "s")
    for number in range(4):
        write_pack(store, number, [number])
    (tmp_path / "s" / "measurements" / f"{pack_name(1)}.parquet").unlink()
    with pytest.warns(DamageWarning, match=f"measurements/{pack_name(1)}.parquet is missing"):
        assert len(store.committed()) == 3
    with pytest.warns(DamageWarning):
        store.compact()
    (merged,) = (tmp_path / "s" / "measurements").glob("merged-*")
    merged.unlink()
    with pytest.warns(DamageWarning, match=f"measurements/{merged.name} is missing"):
        assert len(store.committed()) == 0


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats(allow_nan=False))), st.data())
def test_a_sealed_text_is_read_as_written_or_not_at_all(values: dict, data: st.DataObject) -> None:
    plain = {name: value for name, value in values.items() if name != "seal"} | {"version": 2}
    text = bytearray(sealed_text(plain))
    assert unsealed_text(bytes(text)) == (plain, True)
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        _, is_sealed = unsealed_text(bytes(text))
    except UnsoundError:
        return
    assert not is_sealed


def test_a_bundle_is_read_as_written_or_not_at_all() -> None:
    files = {"a": b"12345", "b": b"", "c": bytes(range(256))}
    intact = b"".join(bundled(files, pack="p", sweep="s"))
    assert unbundled(intact, pack="p", sweep="s") == unbundled(intact, pack="p", sweep="") == files
    for place in range(len(intact)):
        damaged = bytearray(intact)
        damaged[place] ^= 1 << place % 8
        for each in (bytes(damaged), intact[:place]):
            with pytest.raises(UnsoundError):
                unbundled(each, pack="p", sweep="s")
    for stated in ({"pack": "q"}, {"sweep": "t"}):
        with pytest.raises(UnsoundError, match="another"):
            unbundled(intact, **stated)
