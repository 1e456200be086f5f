"""Law 2 by launches that something happens to, whatever it is: `make chaos`.

Each round is a sweep that is launched until it is complete, and drawn by its number;
PHASEDIAG_CHAOS=50:100 takes the rounds from 50 to 99.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import chaos_on_ray
from chaos import GRID, OTHER, Round, Undisturbed, small_disk
from damaged_stores import Damager, Reading, Templates
from phasediag.errors import LeaseHeldError
from phasediag.storage.store import Store
from small_sweeps import assert_same_rows, command, fragments, launched, write
from traps import Order, started

ROUNDS: Final = range(*map(int, os.environ.get("PHASEDIAG_CHAOS", "0:200").split(":")))
MODES: Final = ("off", "off", "off", "on")
"""Of compilation; a round takes one of them."""
MET: Final = Counter[str]()


Disk = tuple[Path, Callable[[int], None] | None]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    folder = tmp_path_factory.mktemp("chaos") / "disk"
    with small_disk(folder) as full:
        yield folder, full


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Trained in processes that nothing happens to."""
    place = tmp_path_factory.mktemp("undisturbed")

    @cache
    def sweep(mode: str, text: str = GRID) -> Path:
        folder = place / f"{mode}-{len(text)}-{text == GRID}"
        words = ("launch", str(write(folder, text)), "--storage", str(folder), "--executor", "inline")
        order = Order(arguments=(*words, "--compile", mode), folder=str(folder),
                      said=str(folder / "said"), log=str(folder / "log"))  # fmt: skip
        process = started(order)
        process.join(900)
        assert process.exitcode == 0, (folder / "said").read_text()
        return folder / "g"

    @cache
    def templates() -> Templates:
        store = Store.at(sweep("off"))
        return Templates(
            folders={}, other=sweep("off", OTHER), trials=store.trials_table(),
            measurements=store.measurements_table(), reference=Reading.of(store),
        )  # fmt: skip

    return Undisturbed(sweep=sweep, damager=lambda rng: Damager(templates(), rng))


def survived(number: int, undisturbed: Undisturbed, disk: Disk, folder: Path) -> None:
    """Go through a round; its storage is kept where something does not hold."""
    place, full = disk
    made = Round(number, folder, place / "storage", undisturbed, compiled=MODES, full=full)
    made.run()
    if made.faults:
        shutil.copytree(made.storage, folder / "kept")
    shutil.rmtree(made.storage)
    MET.update(made.met)
    assert not made.faults, "\n".join([*made.faults, f"all of it lies in {folder}"])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", ROUNDS)
def test_whatever_happens_a_sweep_is_completed(
    number: int, undisturbed: Undisturbed, disk: Disk, tmp_path: Path
) -> None:
    survived(number, undisturbed, disk, tmp_path)
    print(f"{MET.total()} launches were disturbed until now: {dict(MET)}")


FAKETIME: Final = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="no libfaketime: apt-get install faketime")
@pytest.mark.parametrize("step", ["+10800", "-18000", "+100"])
def test_a_clock_that_is_set_under_a_launch_changes_nothing(step: str, tmp_path: Path) -> None:
    """That of its process, and not of the disk; meanwhile others are refused, as before."""
    text = GRID.replace("steps: 60", "steps: 1200").replace("every: 20", "every: 400")
    assert launched(tmp_path / "calm", text).exit_code == 0
    grid, clock = write(tmp_path / "set", text), tmp_path / "clock"
    clock.write_text("+0")
    names = ("FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT")
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), **dict.fromkeys(names, "1")}
    words = ("--storage", grid.parent, "--executor", "inline", "--compile", "off")
    with subprocess.Popen(
        command("launch", grid, *words), env={**os.environ, **faked}, stderr=subprocess.PIPE, text=True
    ) as launch:
        while not fragments(grid.parent / "g"):
            assert launch.poll() is None
            time.sleep(0.05)
        clock.write_text(step)
        with pytest.raises(LeaseHeldError, match="is held by"):
            launched(grid.parent, text)
        _, said = launch.communicate(timeout=200)
    assert launch.returncode == 0, said
    assert "0 failed, 0 missing; 12 trained" in said
    assert_same_rows(grid.parent / "g", tmp_path / "calm" / "g")


@pytest.fixture(scope="module")
def undisturbed_on_ray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed-on-ray")
    write(folder, chaos_on_ray.TASK, "my_task.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PD_LOG", os.devnull)
        assert launched(folder, chaos_on_ray.GRID).exit_code == 0
    return folder / "g"


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", ROUNDS[::20])
def test_whatever_dies_of_ray_a_sweep_is_completed(
    number: int, undisturbed_on_ray: Path, tmp_path: Path
) -> None:
    made = chaos_on_ray.RayRound(number, tmp_path)
    made.run(undisturbed_on_ray)
    MET.update({f"ray: {name}": count for name, count in made.met.items()})
    assert not made.faults, "\n".join(made.faults)
    print(f"{MET.total()} launches were disturbed until now: {dict(MET)}")
