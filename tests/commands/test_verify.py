"""verify tells of every file whether it is as it was written, and repairs what can be repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasediag.cli import main
from phasediag.commands.options import shown
from phasediag.storage.holder import Holder
from phasediag.storage.store import Store
from small_sweeps import grid_text, write
from synthetic_sweep import write_pack


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    store = Store.at(tmp_path / "s")
    store.save_grid(grid_text({"width": "[8, 16]"}, name="s"), {"net.py": b"x = 1\n"})
    for number in range(3):
        write_pack(store, number, [2 * number, 2 * number + 1])
    store.write_checkpoint("ab" * 16, {"pack.json": b"{}"})
    return tmp_path / "s"


def verified(sweep: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict]:
    """The exit code, and the state of each file."""
    code = 0
    try:
        main(["verify", str(sweep), "--json", *options])
    except SystemExit as end:
        code = end.code
    said = json.loads(capsys.readouterr().out)
    assert said["sound"] is (code == 0)
    return code, {file["path"]: file["state"] for file in said["files"]}


def flip(path: Path, place: int = 100) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 4
    path.write_bytes(content)


def test_every_file_of_a_whole_sweep_is_intact(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, states = verified(sweep, capsys)
    there = {str(path.relative_to(sweep)) for path in sweep.rglob("*") if path.is_file()}
    assert (code, states) == (0, dict.fromkeys(there, "intact"))


def damages(sweep: Path) -> Iterator[tuple[str, str]]:
    pack, other = (f"{number:032x}.parquet" for number in (0, 1))
    flip(sweep / "measurements" / pack)
    yield f"measurements/{pack}", "damaged"
    shutil.copy(sweep / "trials" / other, sweep / "trials" / f"{'f' * 32}.parquet")
    yield f"trials/{'f' * 32}.parquet", "foreign"
    flip(sweep / "grids" / "0001.yaml")
    yield "grids/0001.yaml", "damaged"
    flip(sweep / "checkpoints" / ("ab" * 16) / "state")
    yield f"checkpoints/{'ab' * 16}/state", "damaged"
    flip(sweep / "manifest.json")
    yield "manifest.json", "damaged"


def test_what_is_wrong_is_told_and_repaired(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = dict(damages(sweep))
    code, states = verified(sweep, capsys)
    assert code == 1
    assert {path: state for path, state in states.items() if path in wrong} == wrong
    code, states = verified(sweep, capsys, "--repair")
    assert code == 0
    kept = sorted(path.partition("-")[2] for path, state in states.items() if state == "set aside")
    pack = f"{0:032x}.parquet"
    assert kept == [f"measurements-{pack}", f"trials-{pack}", f"trials-{'f' * 32}.parquet"]
    store = Store.at(sweep)
    assert len(store.committed()) == 4
    assert len(store.grids()) == 1
    assert store.checkpoints() == []


def test_a_changed_file_of_the_users_is_told(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep / "grids" / "0001" / "net.py").write_text("x = 2\n")
    code, states = verified(sweep, capsys, "--repair")
    assert (code, states["grids/0001/net.py"]) == (1, "damaged")
    text = Store.at(sweep).grids()[0][1]
    Store.at(sweep).save_grid(text, {"net.py": b"x = 1\n"})
    assert verified(sweep, capsys)[0] == 0


def test_a_sweep_of_an_earlier_version_is_sealed_by_compact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(Path(__file__).parents[1] / "recorded" / "sweeps" / "recorded", tmp_path / "s")
    code, states = verified(tmp_path / "s", capsys)
    assert code == 0
    assert set(states.values()) == {"unsealed"}
    before = Store.at(tmp_path / "s").trials_table().to_pylist()
    for _ in range(2):
        main(["compact", str(tmp_path / "s")])
    capsys.readouterr()
    code, states = verified(tmp_path / "s", capsys)
    assert {path for path, state in states.items() if state != "intact"} == set()
    assert str(Store.at(tmp_path / "s").trials_table().to_pylist()) == str(before)


def test_damage_is_said_once_on_the_command_line(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(sweep / "manifest.json")
    main(["compact", str(sweep)])
    said = capsys.readouterr().err
    assert said.count("warning: ") <= 1
    assert "Traceback" not in said


def test_what_steers_a_terminal_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("a\x1b[31mb\u202ec\x07\nd\te\u00a0") == "a\\x1b[31mb\\u202ec\\x07\nd\te\u00a0"
    grid = write(tmp_path, grid_text({"width": "[8]"}))
    holder = Holder.this_process("launch")
    content = {**{name: getattr(holder, name) for name in holder.__slots__}, "machine": "x",
               "user": "ev\x1b]0;owned\x07il"}  # fmt: skip
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "lease").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        main(["launch", str(grid), "--storage", str(tmp_path), "--executor", "inline"])
    said = capsys.readouterr().err
    assert "ev\\x1b]0;owned\\x07il" in said
    assert "\x1b" not in said
