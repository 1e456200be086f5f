"""The command line: `phasediag COMMAND`, its exit codes, and errors without a traceback."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Final, NoReturn

import click

from phasediag.commands.calibrate import calibrate
from phasediag.commands.distribution import distribution
from phasediag.commands.hysteresis import hysteresis
from phasediag.commands.launching import compact, launch, plan, rerun, status
from phasediag.commands.measure import measure
from phasediag.commands.options import say, telling_of_damage
from phasediag.commands.reference import parameters
from phasediag.commands.refine import refine
from phasediag.commands.report import report
from phasediag.commands.results import diagram, scaling
from phasediag.commands.times import times
from phasediag.commands.verify import verify
from phasediag.errors import INTERRUPTED, PhasediagError, in_words
from phasediag.executors.signals import STOPPING, handled
from phasediag.version import VERSION

ALLOCATIONS: Final = 100_000
"""Objects between two collections of garbage."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="phasediag")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def commands(debug: bool) -> None:
    """Phase diagrams of parameter symmetry: write a grid, launch it, look at the boundary."""


for command in (
    plan, launch, status, diagram, distribution, hysteresis, times, scaling, refine, report, rerun, calibrate,
    measure, parameters, compact, verify,
):  # fmt: skip
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; print what the user can act on without a traceback."""
    if arguments is None:
        _hardly_collect_garbage()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with (
            handled(_stop, [number for number in STOPPING if number != signal.SIGINT]),
            telling_of_damage(),
        ):
            commands.main(given, prog_name="phasediag", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(PhasediagError.exit_code)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except PhasediagError as error:
        _refuse(str(error), error.exit_code, "--debug" in given)
    except OSError as error:  # of a file that a command reads or writes
        _refuse(in_words(error), PhasediagError.exit_code, "--debug" in given)


def _refuse(sentence: str, exit_code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    say(f"error: {sentence}")
    sys.exit(exit_code)


def _hardly_collect_garbage() -> None:
    """Modules are most of what a command holds: looking through them takes time at the start and the end."""
    gc.set_threshold(ALLOCATIONS)
    atexit.register(gc.freeze)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)
