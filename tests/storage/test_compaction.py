"""What a compaction has checked is what it merges: held since then, or read and checked again."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from phasediag.storage import compaction, opening
from phasediag.storage.damage import DamagedError, DamageWarning
from phasediag.storage.manifest import KINDS, read_manifest
from phasediag.storage.store import Store
from synthetic_sweep import pack_name, write_pack


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three fragments of trials and three of measurements."""
    store = Store.at(tmp_path / "s")
    for number in range(3):
        write_pack(store, number, range(5 * number, 5 * number + 5))
    return store


def rows(store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return store.trials_table().to_pylist(), store.measurements_table().to_pylist()


def damaged_after_the_look(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Let a disk damage the fragments of the second pack between the look-over and the merge."""
    look = compaction._Merging.sound

    def sound(work: Any) -> Any:
        packs = look(work)
        for kind in KINDS:
            file = Path(store.folder.path) / kind / f"{pack_name(1)}.parquet"
            content, written = bytearray(file.read_bytes()), file.stat().st_mtime_ns
            content[40] ^= 1
            file.write_bytes(content)
            os.utime(file, ns=(written, written))
        return packs

    monkeypatch.setattr(compaction._Merging, "sound", sound)


def test_a_fragment_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    times: Counter[str] = Counter()
    read = opening.bytes_of

    def counted(raw: Any, start: int, end: int, where: str) -> bytes:
        times[where] += 1
        return read(raw, start, end, where)

    monkeypatch.setattr(opening, "bytes_of", counted)
    assert store.compact().merged == 6
    assert set(times.values()) == {1}
    assert len(times) == 6


def test_what_was_checked_is_merged_whatever_becomes_of_the_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(store)
    damaged_after_the_look(monkeypatch, store)
    assert store.compact().merged == 6
    assert rows(store) == before


def test_what_is_read_again_is_checked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be held: the damage ends this compaction, and the next one leaves the pack out."""
    before = rows(store)
    monkeypatch.setattr(compaction, "HELD_BYTES", 0)
    damaged_after_the_look(monkeypatch, store)
    with pytest.raises(DamagedError, match=f"{pack_name(1)}"):
        store.compact()
    assert read_manifest(store.folder).manifest.generation == 0
    monkeypatch.undo()
    with pytest.warns(DamageWarning, match=f"{pack_name(1)}"):
        assert store.compact().merged == 4
    kept = [[row for row in table if row["pack_id"] != pack_name(1)] for table in before]
    with pytest.warns(DamageWarning):
        assert list(rows(store)) == kept


def test_what_is_held_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fragments that fit; merged files are not held."""
    before = rows(store)
    sizes = [entry.size for entry in (store.folder / "trials").entries()]
    monkeypatch.setattr(compaction, "HELD_BYTES", sum(sizes[:2]))
    held: list[frozenset[str]] = []
    look = compaction._Merging.sound

    def sound(work: Any) -> Any:
        packs = look(work)
        held.append(frozenset(path for path, seen in work.seen.items() if seen.content is not None))
        return packs

    monkeypatch.setattr(compaction._Merging, "sound", sound)
    store.compact()
    store.compact()
    assert held == [{f"trials/{pack_name(number)}.parquet" for number in (0, 1)}, frozenset()]
    assert rows(store) == before
