"""Carries the ready grids of `jobs/` into the wheel, as `phasediag/jobs`; all else: pyproject.toml."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithGrids(build_py):
    """The package with the ready grids in it; a checkout has them beside it."""

    def run(self) -> None:
        """Build, and copy the grids where the package is not used in place."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "phasediag" / "jobs"
            copytree("jobs", target, dirs_exist_ok=True, ignore=ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithGrids})
