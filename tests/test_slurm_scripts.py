"""The scripts of Slurm in jobs/: what they start, when they end, and when they queue themselves again.

Slurm and Ray are stand-ins here; tests/test_slurm.py runs the scripts on a real Slurm.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from phasediag.executors.drain import ONE_SIGNAL

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "jobs" / "phasediag.sbatch"
ARRAY = ROOT / "jobs" / "phasediag-array.sbatch"

FAKE = {
    "scontrol": 'echo "scontrol $*" >>"$CALLS"; [ "$2" = hostnames ] && printf "n1\\nn2\\n"; exit 0',
    "srun": 'while [[ $1 == --* ]]; do shift; done; "$@"',
    "getent": "echo 127.0.0.1 STREAM n1",
    "squeue": '[[ $* == *--steps* ]] && printf "$SLURM_JOB_ID.0\\n$SLURM_JOB_ID.batch\\n" || cat "$STATE"',
    "scancel": 'echo "scancel $*" >>"$CALLS"',
    "python3": 'if [ "$1" = - ]; then cat "$NEWEST"; elif [ "$4" = start ]; then shift 2; exec "$@"; fi',
    "ray": """echo "ray $*" >>"$CALLS"
case "$*" in *--head*)
    exec "$PYTHON" -c 'import socket, time
server = socket.create_server(("127.0.0.1", 20000 + int("'$SLURM_JOB_ID'"))); time.sleep(600)' ;;
esac""",
}
"""Slurm and Ray, as far as the script sees them."""
ENDS_S = 240
"""Within which a script ends, on a machine that is busy."""


def job_of_its_own() -> str:
    """The number of a job whose port, which the script makes of it, nobody has."""
    for number in range(os.getpid() % 10_000, 10_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", 20_000 + number)):
            return str(number)
    raise AssertionError("no port from 20000 to 29999 is free")


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which the script finds a scheduler; what it asked for is in $CALLS."""
    for name, body in FAKE.items():
        write_command(tmp_path, name, body)
    (tmp_path / "newest").write_text("1\n")
    (tmp_path / "state").write_text("RUNNING\n")
    return {
        "PATH": f"{tmp_path}:{os.defpath}",
        "CALLS": str(tmp_path / "calls"),
        "NEWEST": str(tmp_path / "newest"),
        "STATE": str(tmp_path / "state"),
        "PYTHON": sys.executable,
        "SLURM_JOB_ID": job_of_its_own(),
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_ON_NODE": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }


def write_command(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
    (folder / name).chmod(0o755)


@contextmanager
def submitted(slurm: dict[str, str], script: Path, phasediag: str) -> Iterator[subprocess.Popen[str]]:
    """A script of Slurm's, whose launch runs this."""
    write_command(Path(slurm["CALLS"]).parent, "phasediag", f'echo "phasediag $*" >>"$CALLS"\n{phasediag}')
    command = ["bash", script, "g.yaml", "/shared", "--compile", "off"]
    with subprocess.Popen(command, env=slurm, start_new_session=True) as job:  # type: ignore[call-overload]
        try:
            yield job
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)


def wait_for(path: Path, job: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert job.poll() is None, "the script ended before its launch"
        time.sleep(0.02)


def calls(slurm: dict[str, str]) -> list[str]:
    return Path(slurm["CALLS"]).read_text().splitlines()


FURTHER = 'echo 2 >"$NEWEST"; '


def itself(script: Path, slurm: dict[str, str]) -> str:
    """What a job, and a task of an array, queue again: the number of an array's first task is that of all."""
    return "7_3" if script == ARRAY else slurm["SLURM_JOB_ID"]


BOTH = pytest.mark.parametrize("script", [SCRIPT, ARRAY], ids=["ray", "array"])


@BOTH
@pytest.mark.parametrize(
    ("body", "code", "requeued"),
    [
        ("exit 0", 0, False),
        (f"{FURTHER}exit 1", 1, False),
        (f"{FURTHER}exit 130", 130, True),
        (f"{FURTHER}exit 3", 3, True),
        ("exit 130", 130, False),
        (f'{FURTHER}echo COMPLETING >"$STATE"; exit 130', 130, False),
    ],
)
def test_slurm_queues_again_only_what_was_interrupted_and_went_further(
    slurm: dict[str, str], script: Path, body: str, code: int, requeued: bool
) -> None:
    with submitted(slurm, script, body) as job:
        assert job.wait(timeout=ENDS_S) == code
    assert (f"scontrol requeue {itself(script, slurm)}" in calls(slurm)) is requeued


def test_slurm_starts_one_head_and_joins_the_other_nodes(slurm: dict[str, str]) -> None:
    with submitted(slurm, SCRIPT, "exit 0") as job:
        assert job.wait(timeout=ENDS_S) == 0
    address = f"127.0.0.1:{20_000 + int(slurm['SLURM_JOB_ID'])}"
    starts = sorted((c for c in calls(slurm) if c.startswith("ray start")), key=len)
    assert [("--head" in c, f"--address={address}" in c) for c in starts] == [
        (False, True),
        (True, False),
    ]
    assert all("--num-cpus=8 --num-gpus=1" in c for c in starts)
    options = f"--address {address} --wait 3m --compile off"
    assert f"phasediag launch g.yaml --storage /shared {options}" in calls(slurm)
    assert f"scancel --signal=KILL {slurm['SLURM_JOB_ID']}.0" in calls(slurm)


def test_slurm_ends_where_the_head_does_not_start(slurm: dict[str, str], tmp_path: Path) -> None:
    write_command(tmp_path, "ray", '[ "$1" != start ]')
    with submitted(slurm, SCRIPT, "exit 0") as job:
        assert job.wait(timeout=ENDS_S) == 3
    assert not any(c.startswith("phasediag") for c in calls(slurm))


@BOTH
def test_slurm_hands_the_warning_on_and_waits_for_the_drain(
    slurm: dict[str, str], script: Path, tmp_path: Path
) -> None:
    drained, ready = tmp_path / "drained", tmp_path / "ready"
    drain = f"trap '{FURTHER}sleep 0.5; touch {drained}; exit 130' USR2"
    body = f"{drain}\ntouch {ready}\nwhile :; do sleep 0.05; done"
    with submitted(slurm, script, body) as job:
        wait_for(ready, job)
        job.terminate()
        assert job.wait(timeout=ENDS_S) == 130
    assert drained.exists()
    assert f"scontrol requeue {itself(script, slurm)}" in calls(slurm)


AT_ONCE = """
set -o functrace
started() { [[ $2 == 'launch=$!' || ($2 == 'child=$!' && $1 == phasediag) ]]; }
trap 'started "${1:-}" "$BASH_COMMAND" && kill -TERM $$' DEBUG
"""
"""Lets a shell be warned when it has started its launch, and does not know its number yet."""


@BOTH
def test_slurm_hands_a_warning_on_that_comes_as_the_launch_starts(
    slurm: dict[str, str], script: Path, tmp_path: Path
) -> None:
    (tmp_path / "at-once").write_text(AT_ONCE)
    with submitted({**slurm, "BASH_ENV": str(tmp_path / "at-once")}, script, "exec sleep 600") as job:
        assert job.wait(timeout=ENDS_S) == 128 + signal.SIGUSR2


HEARS = """
import os, signal, sys
from pathlib import Path
from phasediag.executors.drain import Drain, draining_on_signals

folder, (heard, told) = Path(sys.argv[0]).parent, os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
with draining_on_signals(Drain()):
    (folder / "pid.new").write_text(str(os.getpid()))
    (folder / "pid.new").rename(folder / "pid")
    os.read(heard, 1)
    (folder / "draining").touch()
    os.read(heard, 1)
    (folder / "drained").touch()
sys.exit(130)
"""
"""A launch that has drained when it has heard of it twice."""


@BOTH
def test_slurm_cancels_a_launch_twice_and_it_drains(
    slurm: dict[str, str], script: Path, tmp_path: Path
) -> None:
    """Slurm signals all that runs in a job; its script, on a busy machine much later, hands that on."""
    (tmp_path / "hears.py").write_text(HEARS)
    environment = {**slurm, "PYTHONPATH": str(ROOT)}
    with submitted(environment, script, f'exec "$PYTHON" {tmp_path / "hears.py"}') as job:
        wait_for(tmp_path / "pid", job)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        wait_for(tmp_path / "draining", job)
        time.sleep(2 * ONE_SIGNAL)
        (tmp_path / "state").write_text("COMPLETING\n")
        job.terminate()
        assert job.wait(timeout=ENDS_S) == 130
    assert (tmp_path / "drained").exists()
    assert not any(c.startswith("scontrol requeue") for c in calls(slurm))
