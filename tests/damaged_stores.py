"""Sweeps with a damaged file, and what must hold of whatever reads them.

From one sweep that was trained, damage of every kind is done to copies: to any of its files, anywhere.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasediag.errors import PhasediagError
from phasediag.storage import fragments
from phasediag.storage.damage import DamageWarning
from phasediag.storage.examination import examine
from phasediag.storage.store import Store
from phasediag.sweeps.mending import mended
from phasediag.sweeps.status import status
from small_sweeps import grid_text, launched

GRID: Final = grid_text(
    {"weight_decay": "{logspace: [0.01, 1], num: 3}"}, {"steps": 4}, replicates=2,
    resources="{trials_per_pack: 2}",
)  # fmt: skip
OTHER: Final = GRID.replace("[0.01, 1]", "[0.01, 2]")
"""Of another sweep, some of whose trials are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Sweeps that are whole."""

    folders: Mapping[str, Path]
    """`fresh` was never compacted, `compacted` was and has grown since, `cleaned` was twice."""
    other: Path
    """Another sweep of the same form."""
    trials: pa.Table
    measurements: pa.Table
    reference: Reading

    @classmethod
    def made(cls, folder: Path) -> Templates:
        """Train the sweeps."""
        places = {name: folder / name for name in ("fresh", "compacted", "cleaned", "other")}
        launched(folder / "launch", GRID)
        shutil.copytree(folder / "launch" / "g", places["fresh"])
        _write_alike(Store.at(places["fresh"]), Store.at(places["other"]))
        for name, times in (("compacted", 1), ("cleaned", 2)):
            shutil.copytree(places["fresh"], places[name])
            store = Store.at(places[name])
            last = sorted((places[name] / "trials").iterdir())[-1].stem
            kept = {kind: (places[name] / kind / f"{last}.parquet") for kind in ("trials", "measurements")}
            contents = {kind: path.read_bytes() for kind, path in kept.items()}
            for path in kept.values():
                path.unlink()
            for _ in range(times):
                store.compact()
            for kind, path in kept.items():
                path.write_bytes(contents[kind])
        for place in places.values():
            Store.at(place).write_checkpoint("ab" * 16, {"pack.json": b"{}", "tile": bytes(range(200))})
        sound = Store.at(places["fresh"])
        return cls(
            folders={name: places[name] for name in ("fresh", "compacted", "cleaned")},
            other=places["other"], trials=sound.trials_table(), measurements=sound.measurements_table(),
            reference=Reading.of(sound),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a sweep gives, in texts that are the same where all values are."""

    trials: Mapping[str, str]
    measurements: Mapping[str, str]
    """All of a trial's, by its id."""

    @classmethod
    def of(cls, store: Store) -> Reading:
        """All rows of a sweep."""
        trials = {row.pop("trial_id"): row for row in store.trials_table().to_pylist()}
        measured: dict[str, list[Any]] = {}
        for row in store.measurements_table().to_pylist():
            del row["pack_id"]
            measured.setdefault(row["trial_id"], []).append(row)
        for row in trials.values():
            del row["pack_id"]
        return cls(
            trials={name: repr(row) for name, row in trials.items()},
            measurements={name: repr(rows) for name, rows in measured.items()},
        )  # fmt: skip

    def strange(self, reference: Reading) -> list[str]:
        """What is here and not in another reading."""
        return [
            f"{kind} of {name}"
            for kind in ("trials", "measurements")
            for name, text in getattr(self, kind).items()
            if getattr(reference, kind).get(name) != text
        ]

    def lost(self, reference: Reading) -> set[str]:
        """The trials of another reading that are not here with all that is of them."""
        return {
            name
            for name in reference.trials
            if name not in self.trials or self.measurements.get(name) != reference.measurements.get(name)
        }


def _write_alike(store: Store, other: Store) -> None:
    """Write another sweep of the same form: half of its trials are the same, none of their numbers."""
    other.save_grid(OTHER)
    for pack in sorted((Path(store.folder.path) / "trials").iterdir()):
        of = pc.field("pack_id") == pack.stem
        rows = []
        for table in (store.trials_table(), store.measurements_table()):
            own = table.filter(of)
            ids = [f"{'f' * 4}{name[4:]}" if name < "8" else name for name in own["trial_id"].to_pylist()]
            own = own.set_column(own.schema.get_field_index("trial_id"), "trial_id", pa.array(ids))
            at = own.schema.get_field_index("train_loss")
            rows.append(own.set_column(at, "train_loss", pa.array([123.0] * len(own))))
        other.write_fragment(pack.stem, *rows)


def _flip(content: bytearray, rng: np.random.Generator) -> None:
    if content:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))


def _garble(content: bytearray, rng: np.random.Generator) -> None:
    if content:
        start = int(rng.integers(len(content)))
        count = min(len(content) - start, int(rng.integers(1, 600)))
        content[start : start + count] = rng.bytes(count)


def _zero(content: bytearray, rng: np.random.Generator) -> None:
    if content:
        start = int(rng.integers(len(content)))
        count = min(len(content) - start, 512)
        content[start : start + count] = bytes(count)


def _cut(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(len(content) + 1)) :]


def _lose(content: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(content) + 1))
    del content[start : start + int(rng.integers(1, 200))]


def _lengthen(content: bytearray, rng: np.random.Generator) -> None:
    content += rng.bytes(int(rng.integers(1, 100)))


CONTENT: Final[Mapping[str, Callable[[bytearray, np.random.Generator], None]]] = {
    "flip": _flip, "garble": _garble, "zero": _zero, "cut": _cut, "lose": _lose, "lengthen": _lengthen,
}  # fmt: skip
PLACES: Final = ("delete", "swap", "of another sweep", "foreign", "unsealed", "lease")
KINDS: Final = (*["flip"] * 6, *CONTENT, *PLACES)
"""Half of all are bits."""


@dataclass(slots=True)
class Damager:
    """Damages a copy of a sweep."""

    templates: Templates
    rng: np.random.Generator
    done: list[str] = field(default_factory=list)

    def damage(self, sweep: Path, kinds: Sequence[str] = KINDS) -> str:
        """One file of a sweep; what was done."""
        kind = str(self.rng.choice(kinds))
        files = sorted(path for path in sweep.rglob("*") if path.is_file())
        file = files[self.rng.integers(len(files))]
        if kind in CONTENT:
            content = bytearray(file.read_bytes())
            CONTENT[kind](content, self.rng)
            file.write_bytes(content)
        elif kind == "delete":
            file.unlink()
        elif kind == "swap":
            another = files[self.rng.integers(len(files))]
            one, other = file.read_bytes(), another.read_bytes()
            file.write_bytes(other)
            another.write_bytes(one)
        elif kind == "of another sweep":
            self._exchange(file, sweep)
        elif kind == "lease":
            junk = (b"", b"{", b"[]", b'{"pid": "x"}', b"\xff\xfe", b"[" * 100_000, self.rng.bytes(64))
            (sweep / "lease").write_bytes(junk[self.rng.integers(len(junk))])
            os.utime(sweep / "lease", (0, 0))
        else:
            self._planted(sweep, stated=kind == "unsealed")
        return f"{kind} {file.relative_to(sweep)}"

    def _exchange(self, file: Path, sweep: Path) -> None:
        """Take a file of the same kind from the other sweep, under the name it has there or here."""
        folder = self.templates.other / file.parent.relative_to(sweep)
        like = sorted(p for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []
        if not like:
            return
        taken = next((p for p in like if p.name == file.name), like[self.rng.integers(len(like))])
        named = file if self.rng.random() < 0.7 else file.with_name(taken.name)
        named.write_bytes(taken.read_bytes())

    def _planted(self, sweep: Path, stated: bool) -> None:
        """A Parquet file that phasediag did not write, or that it wrote before there were seals."""
        of = str(self.rng.choice(("trials", "measurements")))
        rows = getattr(self.templates, of)
        if not stated:
            rows = pa.table({"x": [1, 2, 3]}) if self.rng.random() < 0.5 else rows
        metadata = {b"phasediag_schema": b"1"} if stated else None
        pq.write_table(rows.replace_schema_metadata(metadata), sweep / of / f"{'0' * 30}ff.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a damaged sweep; `faults` must be empty."""

    faults: tuple[str, ...]
    fate: str
    """`same`, `told` by a warning, or `refused` with an error."""


def judged(sweep: Path, templates: Templates, *, compacting: bool, launching: bool) -> Verdict:
    """Read a damaged sweep in every way; merge it, and launch it again with a stub in place of training."""
    reference, faults, fates = templates.reference, [], []
    store = Store.at(sweep)
    missing = [0]

    def read() -> None:
        seen = Reading.of(store)
        faults.extend(f"wrong {each}" for each in seen.strange(reference))
        lost = seen.lost(reference)
        if lost and not warned and missing[0] < len(lost):
            faults.append(f"{len(lost)} trials lost in silence")

    def count() -> None:
        missing[0] = status(sweep).missing

    for number in range(1 + compacting):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for work in (count, read):
                fates.append(_tried(work, faults))
        faults.extend(f"warned: {w.message}" for w in warned if not issubclass(w.category, DamageWarning))
        fates.append("told" if warned else "same")
        if compacting and not number:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamageWarning)
                _tried(store.compact, faults)
    if launching:
        faults.extend(_relaunched(store, templates))
    fate = next((fate for fate in ("refused", "told") if fate in fates), "same")
    return Verdict(faults=tuple(faults), fate=fate)


def _tried(work: Callable[[], Any], faults: list[str]) -> str:
    try:
        work()
    except PhasediagError as error:
        if "g" not in str(error):
            faults.append(f"an error names nothing: {error}")
        return "refused"
    except Exception as error:  # the very thing that must not be
        faults.append(f"{type(error).__name__} in {getattr(work, '__name__', work)}: {error}")
    return "same"


def _relaunched(store: Store, templates: Templates) -> Iterator[str]:
    """What is wrong after a launch, which takes the rows of what is missing from the reference."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamageWarning)
            store.identity()
            mended(store)
            done = store.committed().trial_id
            rest = [name for name in templates.reference.trials if name not in set(done.to_pylist())]
            if rest:
                _write(store, rest, templates)
            if not store.grids():
                store.save_grid(GRID)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen = Reading.of(store)
            store.grids()
    except Exception as error:
        yield f"{type(error).__name__} after a launch: {error}"
        return
    yield from (f"wrong {each} after a launch" for each in seen.strange(templates.reference))
    yield from (f"{name} lost after a launch" for name in seen.lost(templates.reference))
    states = Counter(s.state for s in examine(store.folder) if not s.sound and s.path != "lease")
    if states:
        yield f"not sound after a launch: {states}"


def _write(store: Store, names: list[str], templates: Templates) -> None:
    pack = blake2b("".join(names).encode(), digest_size=16).hexdigest()
    rows = []
    for table in (templates.trials, templates.measurements):
        own = table.filter(pc.is_in(table["trial_id"], pa.array(names)))
        at = own.schema.get_field_index("pack_id")
        rows.append(own.set_column(at, "pack_id", pa.array([pack] * len(own))))
    store.write_fragment(pack, *rows)


class Alone:
    """One after the other in place of threads, whose start takes most of the time of a small sweep."""

    def __init__(self, threads: int) -> None:
        assert threads

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        return map(work, items)


def judged_many(templates: Templates, count: int, seed: int, folder: Path) -> tuple[list[str], Counter[str]]:
    """The faults of so many damaged sweeps, and how many met which fate."""
    with patch.object(fragments, "ThreadPoolExecutor", Alone):
        return _judged_many(templates, count, seed, folder)


def _judged_many(templates: Templates, count: int, seed: int, folder: Path) -> tuple[list[str], Counter[str]]:
    damager = Damager(templates, np.random.default_rng(seed))
    faults, fates = [], Counter[str]()
    for number in range(count):
        name = str(damager.rng.choice(sorted(templates.folders)))
        sweep = folder / "g"
        shutil.copytree(templates.folders[name], sweep)
        what = damager.damage(sweep)
        verdict = judged(sweep, templates, compacting=number % 3 == 0, launching=number % 2 == 0)
        faults += [f"{number}: {name}, {what}: {fault}" for fault in verdict.faults]
        fates[verdict.fate] += 1
        shutil.rmtree(sweep)
    return faults, fates
