"""Commands that run a launch where a machine gives it little: no name, folders that are full or read-only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def unprivileged(number: int = 12345) -> list[str]:
    """What runs a command as a user without a name, who may read everything and write nothing of others."""
    kept = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    wrapper = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *kept]
    if not shutil.which("setpriv") or subprocess.run([*wrapper, "true"], check=False).returncode:
        pytest.skip("needs root and setpriv")
    return wrapper


def mounted(*mounts: tuple[Path, str]) -> list[str]:
    """What runs a command with memory mounted at some folders, which only it sees."""
    script = "".join(f"mount -t tmpfs -o {options} tmpfs {place} && " for place, options in mounts)
    filled = "".join(f"dd if=/dev/zero of={p}/fill bs=1k 2>/dev/null; " for p, o in mounts if "size" in o)
    wrapper = ["unshare", "--mount", "sh", "-c", f'{script} {{ {filled} exec "$@"; }}', "sh"]
    if not shutil.which("unshare") or subprocess.run([*wrapper, "true"], check=False).returncode:
        pytest.skip("needs root, unshare and mount")
    return wrapper
