"""Places for workers: the processor cores that this process may use, and shares of GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Final

SLURM: Final = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""Where Slurm writes how many cores a task has; without the first, a job's step has those of its node."""


def workers_on(devices: float, gpus: float) -> int:
    """How many workers have room on so many GPUs; one that takes a share has all of it on one GPU."""
    return int(devices) * int(1 / gpus) if gpus < 1 else int(devices / gpus)


def allowed_cores(environment: Mapping[str, str] | None = None, root: Path = Path("/")) -> int:
    """Processor cores that this process may use: the least of what its machine, Slurm and cgroup allow.

    Parameters
    ----------
    environment
        Where Slurm tells; None: that of this process.
    root
        Of the files in which Linux tells the quota of a cgroup.

    Returns
    -------
    At least 1; a quota of two and a half cores counts as three.
    """
    variables = os.environ if environment is None else environment
    bounds = [*_of_affinity(), *_of_slurm(variables), *(ceil(quota) for quota in _quotas(root))]
    return max(1, min(bounds))


def _of_affinity() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return [len(os.sched_getaffinity(0))]
    return [os.cpu_count() or 1]


def _of_slurm(environment: Mapping[str, str]) -> list[int]:
    texts = [environment.get(name, "") for name in SLURM]
    return [int(text) for text in texts if text.isdecimal()][:1]


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time that this process's cgroup, and those around it, may take."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for mount in (controllers, "cpu") if controllers else ("", "unified"):
            for level in dict.fromkeys((inside, *inside.parents)):
                yield from _quota(root / "sys/fs/cgroup" / mount / level)


def _quota(group: Path) -> Iterator[float]:
    """The quota of one cgroup, of version 2 or 1; none where it has none."""
    both = _text(group / "cpu.max").split() or [
        _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
    ]  # fmt: skip
    if len(both) == 2 and all(text.isdecimal() for text in both) and int(both[1]):
        yield int(both[0]) / int(both[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
