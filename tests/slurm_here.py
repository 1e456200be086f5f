"""A Slurm on this machine, of Debian's packages, with a munge, a folder and ports of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray_heads import end_with_all, environment_at, free_ports

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
START_SECONDS = 60
REQUEUE_SECONDS = 20
"""That Slurm waits before it starts a job again (`cred_expire`); by default 120."""


def missing() -> str:
    """Why there can be no Slurm here; empty where there can."""
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    absent = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started as root here"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmHere:
    """A Slurm that runs."""

    environment: dict[str, str]
    folder: Path

    def run(self, *words: str | Path) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(
            [*map(str, words)], env=self.environment, cwd=self.folder, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.strip()

    def submit(self, *words: str | Path) -> str:
        """The id of a new job."""
        return self.run("sbatch", "--parsable", *words).partition(";")[0]

    def value(self, job: str, name: str) -> str:
        """What Slurm knows of a job under this name."""
        for word in self.run("scontrol", "--oneliner", "show", "job", job).splitlines()[0].split():
            key, _, value = word.partition("=")
            if key == name:
                return value
        raise AssertionError(f"Slurm tells no {name} of job {job}")

    def state(self, job: str) -> str:
        """RUNNING, PENDING, COMPLETED ..."""
        return self.value(job, "JobState")

    def ended(self, job: str, within: float) -> str:
        """The state of a job once it has ended."""
        deadline = time.monotonic() + within
        while (state := self.state(job)) in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"):
            assert time.monotonic() < deadline, f"job {job} is {state}\n{self.log(job)}"
            time.sleep(0.5)
        return state

    def log(self, job: str) -> str:
        """What a job has said."""
        paths = sorted(self.folder.glob(f"phasediag-{job}*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in paths)


@contextmanager
def slurm_here(folder: Path, nodes: int, cpus: int = 2) -> Iterator[SlurmHere]:
    """A Slurm with so many nodes, all of them this machine, for the time of a block.

    Parameters
    ----------
    folder
        Whose path is short enough for sockets.
    """
    for name in ("state", "home/.ray", *(f"spool-n{i + 1}" for i in range(nodes))):
        (folder / name).mkdir(parents=True)
    environment = environment_at(folder / "home", SLURM_CONF=str(folder / "slurm.conf"))
    environment["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    (folder / "slurm.conf").write_text(configuration(folder, nodes, cpus))
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    for path in (folder, *folder.parents):  # munged looks at who may write on the way to its socket
        assert not path.stat().st_mode & 0o002 or path.stat().st_mode & 0o1000, path
    daemons = [
        [
            "munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        ],
        ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
        *(["slurmd", "-D", "-N", f"n{i + 1}", "-f", f"{folder}/slurm.conf"] for i in range(nodes)),
    ]  # fmt: skip
    with ExitStack() as running:
        for i, command in enumerate(daemons):
            said = running.enter_context((folder / f"{command[0]}-{i}.said").open("wb"))
            process = subprocess.Popen(
                command, env=environment, stdout=said, stderr=said, cwd=folder, start_new_session=True
            )
            running.callback(end_with_all, process)
            if command[0] == "munged":
                _await(folder / "munge.socket")
        slurm = SlurmHere(environment=environment, folder=folder)
        running.callback(_end_jobs, slurm)
        _await_nodes(slurm, nodes)
        yield slurm


def configuration(folder: Path, nodes: int, cpus: int) -> str:
    """A slurm.conf; the second node on the same machine is what `slurmd -N` is for."""
    controller, *ports = free_ports(1 + nodes)
    lines = [
        "ClusterName=here", f"SlurmctldHost={socket.gethostname()}(127.0.0.1)", "SlurmUser=root",
        "AuthType=auth/munge", f"AuthInfo=socket={folder}/munge.socket,cred_expire={REQUEUE_SECONDS}",
        "CryptoType=crypto/munge", f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool-%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid", f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log", f"SlurmdLogFile={folder}/slurmd-%n.log",
        f"SlurmctldPort={controller}", "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none",
        "SelectType=select/cons_tres", "SelectTypeParameters=CR_CPU", "ReturnToService=2", "MpiDefault=none",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5",
        "SlurmdParameters=config_overrides",
        "JobAcctGatherType=jobacct_gather/none", "InactiveLimit=0", "KillWait=30",
    ]  # fmt: skip
    here = f"NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 CPUs={cpus}"
    lines += [f"NodeName=n{i + 1} {here} Port={port}" for i, port in enumerate(ports)]
    lines.append("PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"


def _await(path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.1)


def _await_nodes(slurm: SlurmHere, nodes: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    idle = ""
    while idle.split() != nodes * ["idle"]:
        said = "\n".join(path.read_text() for path in sorted(slurm.folder.glob("*.said")))
        assert time.monotonic() < deadline, (idle, said)
        time.sleep(0.5)
        asked = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"], env=slurm.environment, capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip
        idle = asked.stdout


def _end_jobs(slurm: SlurmHere) -> None:
    """Let no process of a job stay behind."""
    kill = ["scancel", "--signal=KILL", "--full", f"--user={os.environ.get('USER') or 'root'}"]
    for command in (kill, ["scancel", "--state=PENDING", "--user=root"]):
        subprocess.run(command, env=slurm.environment, capture_output=True, timeout=30, check=False)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        left = subprocess.run(
            ["squeue", "--noheader"],
            env=slurm.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if not left.stdout.strip():
            return
        time.sleep(0.5)


def main() -> None:
    """Start one by hand: `python tests/slurm_here.py FOLDER NODES`, to be ended by Ctrl-C."""
    with slurm_here(Path(sys.argv[1]), int(sys.argv[2])) as slurm:
        print(f"export SLURM_CONF={slurm.environment['SLURM_CONF']}", flush=True)
        time.sleep(86400)


if __name__ == "__main__":
    main()
