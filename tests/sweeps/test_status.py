"""`status` says the same with and without the ids kept beside the grids, and needs no torch with them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import phasediag
from phasediag.errors import PhasediagError
from phasediag.grids.grid import read_grid
from phasediag.storage.lease import held_by, take
from phasediag.storage.roster import digests_of
from phasediag.storage.store import Store
from phasediag.sweeps.status import status, status_of
from phasediag.trial import TextArray
from small_sweeps import grid_text, launched, write

AXES, FIXED = {"weight_decay": "[0.01, 0.1]"}, {"steps": 10, "model": "net.py:Net"}
NET = "import torch\n\nfrom phasediag.models.mlp import MLP\n\n\nclass Net(MLP):\n    pass\n"
"""A model of the user's: to find out its trials, torch must be loaded."""


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two grids of which the second holds the first, both launched."""
    folder = tmp_path_factory.mktemp("grown")
    write(folder, NET, "net.py")
    launched(folder, grid_text(AXES, FIXED, replicates=2))
    launched(folder, grid_text({"weight_decay": "[0.01, 0.03, 0.1]"}, FIXED, replicates=3))
    return folder


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "g" / "grids").glob("*.ids.parquet"))


def test_a_launch_keeps_the_ids_of_every_grid(grown: Path) -> None:
    assert [path.name for path in kept(grown)] == ["0001.ids.parquet", "0002.ids.parquet"]


@pytest.mark.parametrize("damage", ["gone", "cut", "nonsense", "of another grid"])
def test_status_is_the_same_without_them(grown: Path, damage: str) -> None:
    contents = {path: path.read_bytes() for path in kept(grown)}
    counts = status(grown / "g")
    assert (counts.total, counts.done, counts.missing) == (9, 9, 0)
    first, second = contents
    try:
        for path in contents:
            if damage == "gone":
                path.unlink()
            else:
                other = contents[second if path == first else first]
                path.write_bytes({"cut": contents[path][:-9], "nonsense": b"?"}.get(damage, other))
        assert status(grown / "g") == counts
    finally:
        for path, content in contents.items():
            path.write_bytes(content)


def printed(*arguments: str | Path) -> tuple[str, bool]:
    """What a command prints, and whether it loaded torch."""
    code = (
        "import sys; from phasediag.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, torch = done.stdout.strip().splitlines()
    return "\n".join(said), torch == "True"


@pytest.mark.parametrize("option", [[], ["--json"], ["--watch"]])
def test_status_loads_no_torch(grown: Path, option: list[str]) -> None:
    said, torch = printed("status", grown / "g", *option)
    assert "9" in said
    assert not torch


def test_without_ids_it_must_load_torch_and_says_the_same(grown: Path, tmp_path: Path) -> None:
    """What makes the test before this one mean something."""
    write(tmp_path, NET, "net.py")
    launched(tmp_path, grid_text(AXES, FIXED))
    for path in kept(tmp_path):
        path.unlink()
    for option in ("--json", "--watch"):
        before, loaded = printed("status", tmp_path / "g", option)
        assert loaded
        launched(tmp_path, grid_text(AXES, FIXED))
        assert kept(tmp_path), "a launch of a recorded grid keeps what was missing"
        assert printed("status", tmp_path / "g", option) == (before, False)
        kept(tmp_path)[0].unlink()


def test_a_plan_of_an_old_store_is_the_same(grown: Path) -> None:
    grid = write(grown, grid_text({"weight_decay": "[0.01, 0.1, 1]"}, FIXED, replicates=2), "wider.yaml")
    survey = phasediag.plan(grid, str(grown)).survey
    assert (survey.done, survey.failed, len(survey.missing)) == (4, 0, 2)


RANK = "{observables: [permutation, rank]}"


def test_measurements_are_read_only_where_trials_leave_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("measurements were read")

    for folder in (tmp_path, tmp_path / "plain"):
        write(folder, NET, "net.py")
    launched(tmp_path, grid_text(AXES, FIXED, measure=RANK))
    plain, rank = (
        write(tmp_path, grid_text(AXES, FIXED, **more), f"{number}.yaml")
        for number, more in enumerate(({}, {"measure": RANK}))
    )
    with monkeypatch.context() as patched:
        patched.setattr(Store, "measured", never)
        for grid in (plain, rank):
            assert phasediag.plan(grid, str(tmp_path)).survey.done == 2
    launched(tmp_path / "plain", grid_text(AXES, FIXED))
    with pytest.raises(PhasediagError, match=r"2 committed trials .*--remeasure"):
        phasediag.plan(rank, str(tmp_path / "plain"))


def test_json_has_every_field(grown: Path) -> None:
    said, _ = printed("status", grown / "g", "--json")
    assert {"total", "done", "ok", "diverged", "failed", "missing", "rate", "eta_s"} <= set(json.loads(said))


def test_during_a_launch_it_says_what_the_launch_says(grown: Path) -> None:
    """What is in packs that are still training is no missing trial like others."""
    store = Store.at(grown / "g")
    more = trials_of(grown, {"weight_decay": "[0.01, 0.1, 0.2]"}, replicates=6)
    with take(store, heartbeat_s=0.02) as lease:
        lease.tell(lambda: {"in_training": 4.25, "rate": 2.0, "eta_s": 3.5})
        wait_for_news(store)
        counts = status_of([digests_of(more)], store)
        assert (counts.done, counts.missing, counts.in_training) == (6, 12, 4.25)
        assert (counts.rate, counts.eta_s) == (2.0, 3.5)
    assert status_of([digests_of(more)], store).in_training == 0


def test_a_launch_that_tells_more_than_is_missing_is_not_believed(grown: Path) -> None:
    store = Store.at(grown / "g")
    with take(store, heartbeat_s=0.02) as lease:
        lease.tell(lambda: {"in_training": 400.0, "rate": None, "eta_s": None})
        wait_for_news(store)
        counts = status(grown / "g")
        assert (counts.missing, counts.in_training) == (0, 0.0)


def trials_of(folder: Path, axes: dict[str, str], **top: object) -> TextArray:
    """The ids of a grid of the same model."""
    return read_grid(write(folder, grid_text(axes, FIXED, **top), "more.yaml")).trials().trial_id


def wait_for_news(store: Store) -> None:
    deadline = time.monotonic() + 120
    while not (holder := held_by(store)) or not holder.news:
        assert time.monotonic() < deadline
        time.sleep(0.01)
