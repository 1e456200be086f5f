"""The quick tests with the oldest and newest versions that `pyproject.toml` admits: `make check-versions`.

Each environment is a folder with a Python of its own, made by uv and kept for the next time. What cannot be
installed is an environment that failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
"""As `pyproject.toml` declares them."""
SHOWN = ("torch", "ray", "numpy", "pandas", "pyarrow", "scipy", "pydantic", "matplotlib", "click")
TELLING = f"""
import sys
from importlib.metadata import version
print("Python", sys.version.split()[0], *(name + " " + version(name) for name in {SHOWN}))
"""


@dataclass(frozen=True)
class Environment:
    """What is installed where."""

    folder: Path
    python: str
    resolution: str
    """Of uv: `lowest-direct` takes the oldest of what phasediag names itself."""

    warnings: tuple[str, ...] = ()
    """Options of pytest for warnings that are no errors."""
    pins: tuple[str, ...] = ()
    """Versions that are asked for besides, such as `torch==2.14.1`."""

    @property
    def binary(self) -> Path:
        return self.folder / "bin" / "python"

    def build(self, uv: Path) -> None:
        if not self.binary.exists():
            run(uv, "venv", "--quiet", "--python", interpreter(self.python), self.folder)
        options = ("--python", self.binary, "--resolution", self.resolution)
        run(uv, "pip", "install", "--quiet", *options, "--editable", f"{ROOT}[test]", *self.pins)

    def test(self, arguments: list[str]) -> bool:
        run(self.binary, "-c", TELLING)
        command = [
            str(self.binary),
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--quiet",
            *self.warnings,
            *arguments,
        ]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def interpreter(version: str) -> str:
    """A Python of this version: of the path, or of pyenv."""
    own = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in filter(None, [*map(str, own), shutil.which(f"python{version}")]):
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise SystemExit(f"no Python {version} on this machine: install one, or give --python")


def tool(folder: Path) -> Path:
    """uv, in an environment of its own."""
    uv = folder / "tools" / "bin" / "uv"
    if not uv.exists():
        run(sys.executable, "-m", "venv", folder / "tools")
        run(folder / "tools" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")
    return uv


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/phasediag-versions"))
    parser.add_argument("--only", choices=("oldest", "newest"))
    parser.add_argument("--python", choices=PYTHONS, help="of all environments")
    parser.add_argument("--pin", action="append", default=[], help="NAME==VERSION: an environment of its own")
    parser.add_argument("tests", nargs="*", help="of pytest; all quick ones where none is named")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("UV_CACHE_DIR", str(given.folder / "cache"))  # on the same disk: links, no copies
    oldest, newest = given.python or PYTHONS[0], given.python or PYTHONS[-1]
    # The oldest of what phasediag names meets the newest of what that needs in turn, which warns of its ways.
    deprecated = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
    kinds = {
        "oldest": (oldest, "lowest-direct", (*deprecated, "-W", "ignore::FutureWarning")),
        "newest": (newest, "highest", ()),
    }
    failed = []
    for name, (python, resolution, warnings) in kinds.items():
        if given.only not in (None, name):
            continue
        folder = given.folder / "-".join([name, python, *(pin.replace("==", "-") for pin in given.pin)])
        environment = Environment(folder, python, resolution, warnings, tuple(given.pin))
        try:
            environment.build(tool(given.folder))
            passed = environment.test(given.tests)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", file=sys.stderr)
            passed = False
        print(f"{name} (Python {python}): {'passed' if passed else 'FAILED'}", flush=True)
        failed += [] if passed else [name]
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
