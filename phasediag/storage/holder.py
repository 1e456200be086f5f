"""Who holds a lease, as its file says; whatever else such a file holds is no lease."""

from __future__ import annotations

import getpass
import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    token: str
    """Unique to one taking of the lease."""
    host: str
    machine: str
    """This boot of this machine, and the namespace of its process ids."""
    pid: int
    started: float
    """When the process started, seconds since 1970 by its own host's clock, which may be set anew."""
    user: str
    purpose: str
    since: str
    """When the lease was taken, ISO 8601 in UTC."""
    sweep: str = ""
    """Where the sweep lay when it was taken; empty in those of earlier versions."""
    ticks: int | None = None
    """When the process started by the clock of its machine that nobody sets; None where there is none."""
    news: Mapping[str, float | None] = field(default_factory=dict)
    """Numbers of its last heartbeat: how far it is."""
    beats: int = 0
    """Heartbeats until now: no two contents of a lease are the same."""
    released: bool = False
    """Whether it was given back; where nothing is deleted on a condition, the file stays."""

    @property
    def text(self) -> bytes:
        """As JSON, which `parse` reads."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def this_process(cls, purpose: str, sweep: str = "") -> Self:
        """The process that asks."""
        return cls(
            token=uuid4().hex, host=socket.gethostname(), machine=_machine(), pid=os.getpid(),
            started=psutil.Process().create_time(), user=_user(), purpose=purpose,
            since=datetime.now(UTC).isoformat(timespec="seconds"), sweep=sweep, ticks=_ticks(os.getpid()),
        )  # fmt: skip

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The holder in a lease.

        Raises
        ------
        ValueError
            Where it is none; says why.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("it is no JSON") from None
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
        known = {name: content[name] for name in (each.name for each in fields(cls)) if name in content}
        for name in ("token", "host", "machine", "user", "purpose", "since"):
            if not isinstance(known.get(name), str):
                raise ValueError(f"its {name} is no text")
        if not _is_count(known.get("pid")) or not _is_number(known.get("started")):
            raise ValueError("it names no process")
        if not isinstance(known.get("sweep", ""), str) or not _is_count(known.get("ticks") or 0):
            raise ValueError("it names no sweep or no start")
        try:
            if datetime.fromisoformat(known["since"]).tzinfo is None:
                raise ValueError("its since has no time zone")
        except ValueError:
            raise ValueError("its since is no time in UTC") from None
        if not _is_count(known.get("beats", 0)) or not isinstance(known.get("released", False), bool):
            raise ValueError("its beats are no count, or it is neither released nor held")
        news = known.get("news", {})
        if not isinstance(news, dict) or not all(v is None or _is_number(v) for v in news.values()):
            raise ValueError("its news are no numbers")
        return cls(**known)

    @property
    def running(self) -> bool | None:
        """Whether its process runs; None where that cannot be known from this machine."""
        if self.machine != _machine():
            return None
        try:
            process, ticks = psutil.Process(self.pid), _ticks(self.pid)
            if self.ticks is not None and ticks is not None:
                reused = ticks != self.ticks
            else:
                reused = abs(process.create_time() - self.started) > 1.0
            return not (reused or process.status() == psutil.STATUS_ZOMBIE)
        except (psutil.NoSuchProcess, OverflowError):
            return False
        except psutil.Error:
            return None

    @property
    def dead(self) -> bool:
        """Whether it was a process of this machine that no longer runs."""
        return self.running is False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ticks(pid: int) -> int | None:
    """When a process started, in ticks since its machine did; None where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _machine() -> str:
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and namespace.exists():
        return f"{boot.read_text(encoding='utf-8').strip()} {os.readlink(namespace)}"
    return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
