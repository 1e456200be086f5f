"""The command line: `phasediag COMMAND`, its exit codes, and errors without a traceback."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final, NoReturn

import click

from phasediag.commands.cache import cache
from phasediag.commands.calibrate import calibrate
from phasediag.commands.cite import cite
from phasediag.commands.completion import completion
from phasediag.commands.distribution import distribution
from phasediag.commands.explain import explain
from phasediag.commands.export import export
from phasediag.commands.hysteresis import hysteresis
from phasediag.commands.init import init
from phasediag.commands.launching import compact, launch, plan, rerun, status
from phasediag.commands.listing import list_
from phasediag.commands.measure import measure
from phasediag.commands.merge import merge
from phasediag.commands.options import say, telling_of_damage
from phasediag.commands.quickstart import quickstart
from phasediag.commands.reference import parameters
from phasediag.commands.refine import refine
from phasediag.commands.remove import remove
from phasediag.commands.report import report
from phasediag.commands.results import diagram, scaling
from phasediag.commands.times import times
from phasediag.commands.verify import verify
from phasediag.commands.versions import print_version
from phasediag.errors import INTERRUPTED, PhasediagError, in_words
from phasediag.executors.signals import STOPPING, handled

GROUPS: Final[Mapping[str, Sequence[click.Command]]] = {
    "Begin": (quickstart, init, parameters, completion),
    "Train": (plan, launch, status, refine, rerun),
    "Look": (diagram, scaling, hysteresis, times, distribution, report),
    "Keep": (list_, explain, remove, merge, export, compact, verify, cache, cite),
    "Trust": (calibrate, measure),
}
"""All commands, as the help lists them."""
ALLOCATIONS: Final = 100_000
"""Objects between two collections of garbage."""


class GroupedCommands(click.Group):
    """A group whose help lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each group of commands."""
        width = max(map(len, self.commands))
        for title, members in GROUPS.items():
            with formatter.section(title):
                limit = formatter.width - width - 6
                rows = [(f"{each.name:<{width}}", each.get_short_help_str(limit)) for each in members]
                formatter.write_dl(rows)


@click.group(
    cls=GroupedCommands, context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)  # fmt: skip
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.option("--json", "as_json", is_flag=True, help="With --version: also of the libraries, as JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def commands(context: click.Context, version: bool, as_json: bool, debug: bool) -> None:
    """Phase diagrams of parameter symmetry: write a grid, launch it, look at the boundary."""
    if version:
        print_version(as_json)
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit()


for command in (command for named in GROUPS.values() for command in named):
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
