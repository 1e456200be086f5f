"""The scripts of jobs/ on a real Slurm of Debian's packages, on this machine: `make check-slurm`."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phasediag
from phasediag.storage.lease import held_by
from phasediag.storage.store import Store
from slurm_here import SlurmHere, missing, slurm_here
from small_sweeps import assert_same_rows, fragments, grid_text, launched, write

pytestmark = [
    pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]  # fmt: skip

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "jobs" / "phasediag.sbatch"
ARRAY = ROOT / "jobs" / "phasediag-array.sbatch"
AXES = {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}
SHORT = grid_text(AXES, {"steps": 500}, replicates=2, resources="{trials_per_pack: 2}")
STEPS = 6000
LONG = grid_text(AXES, {"steps": STEPS}, replicates=2, resources="{trials_per_pack: 2}")
"""6 packs, each of more seconds than a slice between two results: a drain finds packs in training."""
WINDOWS_SECONDS = 260
"""Of training by one worker: more than two workers do in two times of at most 90 s, less the start of Ray."""
COMPILE = ("--compile", "off")


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmHere]:
    """Two nodes; a job on one of them is as on a cluster of one."""
    with (
        tempfile.TemporaryDirectory(prefix="pd-", ignore_cleanup_errors=True) as folder,
        slurm_here(Path(folder), nodes=2) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The sweep of a grid that nothing disturbed."""
    made: dict[str, Path] = {}

    def sweep(text: str) -> Path:
        if text not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            assert launched(folder, text).exit_code == 0
            made[text] = folder / "g"
        return made[text]

    return sweep


def wait_for(condition: Callable[[], object], within: float = 240) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.2)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_as_shipped_trains_all_on_all_of_its_nodes(
    slurm: SlurmHere, undisturbed: Callable[[str], Path], tmp_path: Path, nodes: int
) -> None:
    grid = write(tmp_path, LONG)
    job = slurm.submit(f"--nodes={nodes}", SCRIPT, grid, tmp_path, *COMPILE)
    assert slurm.ended(job, within=300) == "COMPLETED", slurm.log(job)
    assert "12 of 12 trials done (0 diverged), 0 failed, 0 missing; 12 trained" in slurm.log(job)
    assert "joined in time" not in slurm.log(job)
    assert_same_rows(tmp_path / "g", undisturbed(LONG))


def test_a_faulty_grid_ends_before_anything_starts(slurm: SlurmHere, tmp_path: Path) -> None:
    grid = write(tmp_path, LONG.replace(f"steps: {STEPS}", "steps: many"))
    job = slurm.submit("--nodes=1", SCRIPT, grid, tmp_path)
    assert slurm.ended(job, within=60) == "FAILED"
    assert slurm.value(job, "ExitCode") == "2:0"
    assert f"{grid}:" in slurm.log(job)
    assert "fixed.steps" in slurm.log(job)


def test_a_head_that_cannot_start_ends_the_job(slurm: SlurmHere, tmp_path: Path) -> None:
    """Its port is taken; before, the job waited for it to the end of its time."""
    grid = write(tmp_path, SHORT)
    job = slurm.submit("--nodes=1", "--hold", SCRIPT, grid, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 20000 + int(job) % 10000))
        slurm.run("scontrol", "release", job)
        assert slurm.ended(job, within=120) == "FAILED", slurm.log(job)
    assert slurm.value(job, "ExitCode") == "3:0"
    assert "Ray did not start on n1" in slurm.log(job)


def test_a_cancelled_job_keeps_what_it_has_reached(
    slurm: SlurmHere, undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    grid, sweep = write(tmp_path, LONG), tmp_path / "g"
    job = slurm.submit("--nodes=1", SCRIPT, grid, tmp_path, *COMPILE)
    wait_for(lambda: fragments(sweep))
    slurm.run("scancel", job)
    assert slurm.ended(job, within=120) == "CANCELLED"
    assert "the job was cancelled; what was recorded is kept" in slurm.log(job)
    unfinished = {path.name for path in (sweep / "checkpoints").iterdir()}
    assert unfinished
    assert held_by(Store.at(sweep)) is None
    before, resumed = fragments(sweep), time.time()
    again = slurm.submit("--nodes=1", SCRIPT, grid, tmp_path, *COMPILE)
    assert slurm.ended(again, within=240) == "COMPLETED", slurm.log(again)
    assert {pack: at for pack, at in fragments(sweep).items() if pack in before} == before
    rows = phasediag.load_trials(str(sweep)).groupby("pack_id")["started_at"].min()
    assert all(rows[pack].timestamp() < resumed for pack in unfinished if pack in rows)
    assert_same_rows(sweep, undisturbed(LONG))


def test_a_time_limit_queues_a_job_again_until_all_is_done(
    slurm: SlurmHere, undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    """Slurm (22.05) warns up to a minute before it should: after 30 to 90 s."""
    spent = phasediag.load_trials(str(undisturbed(LONG)))["wall_s"].sum()
    steps = int(STEPS * WINDOWS_SECONDS / spent)
    text = LONG.replace(f"steps: {STEPS}", f"steps: {steps}")
    grid, sweep = write(tmp_path, text), tmp_path / "g"
    job = slurm.submit(
        "--nodes=1", "--time=2", "--signal=B:TERM@30", SCRIPT, grid, tmp_path, *COMPILE
    )  # fmt: skip
    assert slurm.ended(job, within=840) == "COMPLETED", slurm.log(job)
    assert int(slurm.value(job, "Restarts")) >= 2, slurm.log(job)
    rows = phasediag.load_trials(str(sweep))
    assert len(rows) == 12
    assert not rows["trial_id"].duplicated().any()
    assert not list((sweep / "checkpoints").glob("*"))


def test_a_job_that_gets_nowhere_is_not_queued_again(slurm: SlurmHere, tmp_path: Path) -> None:
    """Its warning comes before it has trained anything."""
    grid = write(tmp_path, LONG)
    job = slurm.submit("--nodes=1", SCRIPT, grid, tmp_path, *COMPILE)
    wait_for(lambda: "starting workers" in slurm.log(job))
    slurm.run("scancel", "--batch", "--signal=TERM", job)
    assert slurm.ended(job, within=60) == "FAILED", slurm.log(job)
    assert slurm.value(job, "ExitCode") == "130:0"
    assert int(slurm.value(job, "Restarts")) == 0
    assert "it is not queued again" in slurm.log(job)


def test_the_tasks_of_an_array_share_one_sweep(
    slurm: SlurmHere, undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    grid = write(tmp_path, LONG)
    job = slurm.submit("--array=1-3", ARRAY, grid, tmp_path, *COMPILE)
    for task in (1, 2, 3):
        assert slurm.ended(f"{job}_{task}", within=300) == "COMPLETED", slurm.log(job)
    rows = phasediag.load_trials(str(tmp_path / "g"))
    assert len(rows) == 12
    assert_same_rows(tmp_path / "g", undisturbed(LONG))


def test_an_array_goes_on_without_a_task_that_is_killed(
    slurm: SlurmHere, undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    grid, sweep = write(tmp_path, LONG), tmp_path / "g"
    job = slurm.submit("--array=1-3", ARRAY, grid, tmp_path, *COMPILE)
    wait_for(lambda: fragments(sweep))
    slurm.run("scancel", "--signal=KILL", "--full", f"{job}_2")
    for task in (1, 3):
        assert slurm.ended(f"{job}_{task}", within=400) == "COMPLETED", slurm.log(job)
    assert_same_rows(sweep, undisturbed(LONG))
