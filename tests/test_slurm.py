"""The scripts of jobs/ on a real Slurm of Debian's packages, on this machine: `make check-slurm`."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import phasediag
from phasediag.storage.lease import held_by
from phasediag.storage.store import Store
from slurm_here import SlurmHere, missing, slurm_here
from small_sweeps import SLOW, assert_same_rows, fragments, grid_text, launched, write

pytestmark = [
    pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]  # fmt: skip

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "jobs" / "phasediag.sbatch"
ARRAY = ROOT / "jobs" / "phasediag-array.sbatch"
STEPS = 200
GRID = grid_text(
    {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]"}, {"steps": STEPS}, replicates=2,
    resources="{trials_per_pack: 2}", measure="{every: 20, observables: [permutation, 'slow.py:Slow']}",
)  # fmt: skip
"""6 packs of next to no training, each of which is measured 11 times."""
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
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write(folder, SLOW, "slow.py")
    assert launched(folder, GRID).exit_code == 0
    return folder / "g"


@dataclass(frozen=True, slots=True)
class Batch:
    """The grid in a folder, and jobs that train it there."""

    slurm: SlurmHere
    folder: Path
    text: str = GRID

    def __post_init__(self) -> None:
        write(self.folder, self.text)
        write(self.folder, SLOW, "slow.py")
        self.slow.touch()

    @property
    def sweep(self) -> Path:
        return self.folder / "g"

    @property
    def slow(self) -> Path:
        """As long as this file is there, a training takes its time."""
        return self.folder / "slow"

    def submit(self, script: Path, *options: str, pause_s: float = 1.0) -> str:
        """A job whose trainings pause for so long at each measurement."""
        exported = f"--export=ALL,PD_PAUSE={pause_s},PD_SLOW={self.slow}"
        return self.slurm.submit(
            exported, *options, script, self.folder / "grid.yaml", self.folder, *COMPILE
        )  # fmt: skip


def wait_for(condition: Callable[[], object], within: float = 240) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.2)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_as_shipped_trains_all_on_all_of_its_nodes(
    slurm: SlurmHere, undisturbed: Path, tmp_path: Path, nodes: int
) -> None:
    batch = Batch(slurm, tmp_path)
    job = batch.submit(SCRIPT, f"--nodes={nodes}")
    assert slurm.ended(job, within=300) == "COMPLETED", slurm.log(job)
    assert "12 of 12 trials done (0 diverged), 0 failed, 0 missing; 12 trained" in slurm.log(job)
    assert "joined in time" not in slurm.log(job)
    assert_same_rows(batch.sweep, undisturbed)


def test_a_faulty_grid_ends_before_anything_starts(slurm: SlurmHere, tmp_path: Path) -> None:
    batch = Batch(slurm, tmp_path, GRID.replace(f"steps: {STEPS}", "steps: many"))
    job = batch.submit(SCRIPT, "--nodes=1")
    assert slurm.ended(job, within=60) == "FAILED"
    assert slurm.value(job, "ExitCode") == "2:0"
    assert f"{tmp_path / 'grid.yaml'}:" in slurm.log(job)
    assert "fixed.steps" in slurm.log(job)


def test_a_head_that_cannot_start_ends_the_job(slurm: SlurmHere, tmp_path: Path) -> None:
    """Its port is taken; before, the job waited for it to the end of its time."""
    job = Batch(slurm, tmp_path).submit(SCRIPT, "--nodes=1", "--hold")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 20000 + int(job) % 10000))
        slurm.run("scontrol", "release", job)
        assert slurm.ended(job, within=120) == "FAILED", slurm.log(job)
    assert slurm.value(job, "ExitCode") == "3:0"
    assert "Ray did not start on n1" in slurm.log(job)


def test_a_cancelled_job_keeps_what_it_has_reached(
    slurm: SlurmHere, undisturbed: Path, tmp_path: Path
) -> None:
    batch = Batch(slurm, tmp_path)
    sweep, job = batch.sweep, batch.submit(SCRIPT, "--nodes=1")
    wait_for(lambda: fragments(sweep))
    slurm.run("scancel", job)
    assert slurm.ended(job, within=120) == "CANCELLED"
    assert "the job was cancelled; what was recorded is kept" in slurm.log(job)
    unfinished = {path.name for path in (sweep / "checkpoints").iterdir()}
    assert unfinished
    assert held_by(Store.at(sweep)) is None
    before, resumed = fragments(sweep), time.time()
    batch.slow.unlink()
    again = batch.submit(SCRIPT, "--nodes=1")
    assert slurm.ended(again, within=240) == "COMPLETED", slurm.log(again)
    assert {pack: at for pack, at in fragments(sweep).items() if pack in before} == before
    rows = phasediag.load_trials(str(sweep)).groupby("pack_id")["started_at"].min()
    assert all(rows[pack].timestamp() < resumed for pack in unfinished if pack in rows)
    assert_same_rows(sweep, undisturbed)


def newest(sweep: Path) -> float:
    """When a fragment or a checkpoint was written last, in seconds; 0.0 where there is none."""
    times = [0.0]
    for path in (*(sweep / "trials").glob("*.parquet"), *(sweep / "checkpoints").glob("*/*")):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


@pytest.mark.timeout(1800)
def test_a_time_limit_queues_a_job_again_until_all_is_done(
    slurm: SlurmHere, undisturbed: Path, tmp_path: Path
) -> None:
    """It is set, twice, to end soon once the job has kept something, however long that took to start.

    Slurm (22.05) warns up to a minute before it should.
    """
    batch = Batch(slurm, tmp_path)
    job = batch.submit(SCRIPT, "--nodes=1", "--time=60", "--signal=B:TERM@60", pause_s=12)
    for restarts in (1, 2):
        started = time.time()
        wait_for(lambda since=started: newest(batch.sweep) > since, within=600)
        hours, minutes, _ = map(int, slurm.value(job, "RunTime").split(":"))
        slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={60 * hours + minutes + 2}")
        wait_for(lambda least=restarts: int(slurm.value(job, "Restarts")) >= least, within=600)
        slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    batch.slow.unlink()
    assert slurm.ended(job, within=600) == "COMPLETED", slurm.log(job)
    assert int(slurm.value(job, "Restarts")) == 2, slurm.log(job)
    assert not list((batch.sweep / "checkpoints").glob("*"))
    assert_same_rows(batch.sweep, undisturbed)


def test_a_job_that_gets_nowhere_is_not_queued_again(slurm: SlurmHere, tmp_path: Path) -> None:
    """Its warning comes before it has trained anything."""
    job = Batch(slurm, tmp_path).submit(SCRIPT, "--nodes=1")
    wait_for(lambda: "starting workers" in slurm.log(job))
    slurm.run("scancel", "--batch", "--signal=TERM", job)
    assert slurm.ended(job, within=60) == "FAILED", slurm.log(job)
    assert slurm.value(job, "ExitCode") == "130:0"
    assert int(slurm.value(job, "Restarts")) == 0
    assert "it is not queued again" in slurm.log(job)


def test_the_tasks_of_an_array_share_one_sweep(slurm: SlurmHere, undisturbed: Path, tmp_path: Path) -> None:
    batch = Batch(slurm, tmp_path)
    job = batch.submit(ARRAY, "--array=1-3")
    for task in (1, 2, 3):
        assert slurm.ended(f"{job}_{task}", within=300) == "COMPLETED", slurm.log(job)
    assert_same_rows(batch.sweep, undisturbed)


def test_an_array_goes_on_without_a_task_that_is_killed(
    slurm: SlurmHere, undisturbed: Path, tmp_path: Path
) -> None:
    batch = Batch(slurm, tmp_path)
    job = batch.submit(ARRAY, "--array=1-3")
    wait_for(lambda: fragments(batch.sweep))
    slurm.run("scancel", "--signal=KILL", "--full", f"{job}_2")
    for task in (1, 3):
        assert slurm.ended(f"{job}_{task}", within=400) == "COMPLETED", slurm.log(job)
    assert_same_rows(batch.sweep, undisturbed)
