"""Who reads a sweep during a launch need not be able to write it, and sees no text that steers a terminal."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest

from phasediag.cli import main
from phasediag.storage.holder import Holder
from phasediag.storage.lease import take
from phasediag.storage.store import Store
from small_sweeps import command, grid_text, launched, rewrite

pytestmark = pytest.mark.slow

EVIL = "\x1b]0;owned\x07\x1b[2J\u202etxt"
GRID = grid_text({"weight_decay": "[0.01, 0.1]", "width": "[8, 16]"}, {"steps": 4}, replicates=2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    launched(folder, GRID)
    return folder / "g"


def readings(sweep: Path, out: Path) -> Iterator[list[str | Path]]:
    """Every command that reads a sweep."""
    trial = Store.at(sweep).committed().trial_id[0].as_py()
    axes = ["--x", "weight_decay", "--y", "width"]
    yield ["status", sweep]
    yield ["status", sweep, "--json"]
    yield ["list", sweep.parent]
    yield ["explain", sweep, trial[:8]]
    yield ["verify", sweep]
    yield ["plan", sweep.parent / "grid.yaml", "--storage", sweep.parent]
    yield ["export", sweep, "--csv", out / "trials.csv"]
    yield ["diagram", sweep, *axes, "--output", out / "diagram.png"]
    yield ["times", sweep, "--output", out / "times.png"]
    yield ["distribution", sweep, "--x", "weight_decay", "--output", out / "distribution.png"]
    yield ["scaling", sweep, "--x", "width", "--output", out / "scaling.png"]
    yield ["report", sweep, "--output", out / "report.html"]


def test_a_mount_that_is_read_only_is_read(sweep: Path, tmp_path: Path) -> None:
    """Each command sees the sweep through a bind mount of its own, while a launch holds the lease."""
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" "$0" && exec "$@"'
    outside = ["unshare", "--mount", "sh", "-c", script, str(sweep.parent)]
    probe = [*outside, "sh", "-c", f"! touch {sweep}/probe"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here: `unshare --mount` asks for root")
    before = sorted(sweep.rglob("*"))
    with take(Store.at(sweep)):
        for arguments in readings(sweep, tmp_path):
            done = subprocess.run(
                [*outside, *command(*arguments)], capture_output=True, text=True, timeout=120, check=False
            )
            allowed = (0, 2) if arguments[0] in ("scaling", "times", "distribution") else (0,)
            assert done.returncode in allowed, (arguments, done.stderr)
            assert "cannot write" not in done.stderr + done.stdout
            assert "Read-only" not in done.stderr + done.stdout
    assert sorted(sweep.rglob("*")) == before


def test_what_would_steer_a_terminal_is_shown(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the lease, in errors, in names of files and in texts of rows; of every command."""
    shutil.copytree(sweep.parent, tmp_path / "s")
    copy = tmp_path / "s" / "g"
    arguments = [*readings(copy, tmp_path), ["launch", copy.parent / "grid.yaml", "--storage", copy.parent,
                                             "--executor", "inline"], ["compact", copy]]  # fmt: skip

    def spoilt(rows: pa.Table) -> pa.Table:
        for name in ("error", "device", "git_commit", "torch_version", "phasediag_version"):
            texts = pa.array([EVIL] * len(rows), pa.string())
            rows = rows.set_column(rows.schema.get_field_index(name), name, texts)
        failed = pa.array(["failed", *["ok"] * (len(rows) - 1)])
        return rows.set_column(rows.schema.get_field_index("status"), "status", failed)

    rewrite(copy, spoilt)
    holder = replace(
        Holder.this_process(EVIL),
        host=f"h{EVIL}",
        user=EVIL,
        machine="another",
        sweep=f"/s{EVIL}",
        ticks=None,
    )
    (copy / "lease").write_text(json.dumps(asdict(holder)))
    (copy / "trials" / f"x{EVIL}.parquet").write_bytes(b"PAR1" + b"x" * 40 + b"PAR1")
    (copy / f"y{EVIL}").write_text("")
    for each in arguments:
        with suppress(SystemExit):
            main([*map(str, each)])
        said = "".join(capsys.readouterr())
        assert not set(said) & set("\x1b\x07\u202e"), each
        if each[0] == "launch":
            assert "\\x1b" in said
