"""Runs the steps of the Dockerfile in fresh roots of Debian, where no builder runs: `make check-image`.

What differs from a build: the base is Debian's own Python instead of `python:3.13-slim`, and pip takes
packages from where this machine takes them, torch too (TORCH_INDEX is left out).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[1]
INCLUDED = "python3,python3-pip,python3-dev,ca-certificates"
"""What the base image has besides a minimal Debian."""
TRIALS = (
    "phasediag --version",
    "phasediag init two-axes",
    "phasediag launch two-axes.yaml",
    "phasediag diagram sweeps/two-axes --x weight_decay --y lr_over_batch",
    "ray --version",
    "python3 -c 'import aiohttp'",
)
"""What an image must be able to do, in the folder that it starts in."""


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile and what they are given."""
    joined = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in joined.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def left_out(context: Path) -> Callable[[str, list[str]], set[str]]:
    """What `.dockerignore` leaves out of a folder, as `shutil.copytree` asks for it.

    A pattern means a place from the top on, as Docker reads it; with `**/` before it a name anywhere.
    """
    file = context / ".dockerignore"
    patterns = file.read_text().split() if file.exists() else []
    if any("/" in pattern.removeprefix("**/") for pattern in patterns):
        raise SystemExit(f"{file}: a pattern that is not read here")

    def ignored(folder: str, names: list[str]) -> set[str]:
        top = Path(folder) == context
        here = [each.removeprefix("**/") for each in patterns if top or each.startswith("**/")]
        return {name for name in names for pattern in here if fnmatchcase(name, pattern)}

    return ignored


class Stage:
    """A root in which the steps of one stage are run."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, Path("/")
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("PIP_") and name != "PIP_CERT"
        }
        self.variables |= {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
            "PIP_BREAK_SYSTEM_PACKAGES": "1", "DEBIAN_FRONTEND": "noninteractive",
        }  # fmt: skip

    def run(self, command: str) -> None:
        """Run a command of a shell."""
        print(f"+ {command}", flush=True)
        inside = ["chroot", self.root, "/bin/sh", "-c", f"cd {self.folder} && {command}"]
        subprocess.run(inside, env=self.variables, check=True)

    def copy(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds."""
        there = self.root / target.removeprefix("/") if target.startswith("/") else self._here() / target
        print(f"+ copy {source} to {target}", flush=True)
        if source.is_dir():
            shutil.copytree(source, there, dirs_exist_ok=True, ignore=left_out(source))
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, there)

    def enter(self, folder: str) -> None:
        """Go to a folder, which is made where it is not there."""
        self.folder = Path(folder)
        self._here().mkdir(parents=True, exist_ok=True)

    def _here(self) -> Path:
        return self.root / str(self.folder).removeprefix("/")


def base(folder: Path) -> Path:
    """A minimal Debian of this machine's release, with what a base image has."""
    root = folder / "base"
    release = next(
        line.partition("=")[2] for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("VERSION_CODENAME=")
    )  # fmt: skip
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", release, root], check=True)
    for path in (
        "/etc/resolv.conf",
        "/etc/ssl/certs/ca-certificates.crt",
        *map(str, Path("/etc/xdg/pip").glob("*")),
    ):
        if Path(path).is_file():
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path[1:])
    for places in (Path("/etc/apt").glob("apt.conf.d/*"), Path("/etc/apt/sources.list.d").glob("*")):
        for path in places:
            shutil.copy(path, root / str(path)[1:])
    (root / "usr/bin/python").unlink(missing_ok=True)
    (root / "usr/bin/python").symlink_to("python3")
    return root


@contextmanager
def mounted(root: Path) -> Iterator[None]:
    """What processes look at, and where pip finds packages, for the time of a block."""
    places = [place for place in ("/proc", "/dev", "/dev/shm", "/opt") if Path(place).is_dir()]
    done = []
    try:
        for place in places:
            (root / place[1:]).mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", place, root / place[1:]], check=True)
            done.append(place)
        yield
    finally:
        for place in reversed(done):
            subprocess.run(["umount", "--lazy", root / place[1:]], check=False)


def build(folder: Path) -> Stage:
    """Run all steps; the last stage."""
    fresh, stages, named = base(folder), [], {}
    for word, rest in instructions((ROOT / "Dockerfile").read_text()):
        if word == "FROM":
            root = folder / f"stage-{len(stages)}"
            subprocess.run(["cp", "--archive", "--reflink=auto", fresh, root], check=True)
            stages.append(Stage(root))
            if " AS " in rest:
                named[rest.partition(" AS ")[2]] = stages[-1]
        elif word == "RUN":
            command = rest.replace("--extra-index-url ${TORCH_INDEX}", "")
            with mounted(stages[-1].root):
                stages[-1].run(command)
        elif word == "COPY" and rest.startswith("--from="):
            stage, source, target = rest.removeprefix("--from=").split()
            stages[-1].copy(named[stage].root / source[1:], target)
        elif word == "COPY":
            source, target = rest.split()
            stages[-1].copy(ROOT / source, target)
        elif word == "WORKDIR":
            stages[-1].enter(rest)
        elif word not in ("ARG", "ENTRYPOINT", "CMD"):
            raise SystemExit(f"{word}: an instruction that is not run here")
    return stages[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="An empty folder with some 5 GB of room.")
    folder = parser.parse_args().folder.resolve()
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        sys.exit("skipped: it takes debootstrap (apt-get install debootstrap), and root")
    folder.mkdir(parents=True)
    image = build(folder)
    with mounted(image.root):
        for command in TRIALS:
            image.run(command)


if __name__ == "__main__":
    main()
