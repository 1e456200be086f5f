"""Experiment trackers that hold one run a sweep: every module of this folder is one.

A module has `REQUIRED`, the modules that it imports, and `write(summary, folder)`, which records a summary in
the tracker's own offline form and gives the command that shows it. Its name is that of the option.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from phasediag.errors import PhasediagError, in_words
from phasediag.report.summary import SweepSummary


def check(tracker: str) -> None:
    """Refuse a tracker that is not installed.

    Raises
    ------
    PhasediagError
        With the command that installs it.
    """
    module = import_module(f"{__name__}.{tracker}")
    lacking = [name for name in module.REQUIRED if find_spec(name) is None]
    if lacking:
        raise PhasediagError(f"--{tracker} needs {', '.join(lacking)}: pip install 'phasediag[{tracker}]'")


def track(tracker: str, summary: SweepSummary, folder: Path) -> str:
    """Record a sweep as one run of a tracker, in place of an earlier one of the same sweep.

    Returns
    -------
    The command that shows it.

    Raises
    ------
    PhasediagError
        Where the tracker is not installed, or the folder cannot be written.
    """
    check(tracker)
    module = import_module(f"{__name__}.{tracker}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the tracker itself is built on: nothing to act on
            shown: str = module.write(summary, folder)
    except OSError as error:
        raise PhasediagError(f"--{tracker}: {in_words(error)}; choose another folder") from error
    return shown
