"""The command line: `phasediag COMMAND`, its exit codes, and errors without a traceback."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

import click

from phasediag.commands.encoding import write_what_can_be_written
from phasediag.commands.options import say, telling
from phasediag.commands.versions import print_version
from phasediag.errors import INTERRUPTED, PhasediagError, in_words
from phasediag.executors.signals import STOPPING, handled

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Begin": {
        "quickstart": "quickstart", "init": "init", "parameters": "reference", "completion": "completion",
    },
    "Train": {
        "plan": "launching", "launch": "launching", "submit": "submit", "status": "launching",
        "refine": "refine", "rerun": "launching",
    },
    "Look": {
        "diagram": "results", "scaling": "results", "hysteresis": "hysteresis", "times": "times",
        "distribution": "distribution", "report": "report",
    },
    "Keep": {
        "list": "listing", "explain": "explain", "remove": "remove", "merge": "merge", "export": "export",
        "compact": "launching", "verify": "verify", "cache": "cache", "cite": "cite",
    },
    "Trust": {"calibrate": "calibrate", "measure": "measure"},
}  # fmt: skip
"""All commands, as the help lists them, each with its module of `phasediag.commands`."""
WIDEST_HELP: Final = 120
"""Letters of a line of help on a terminal that has more."""
ALLOCATIONS: Final = 100_000
"""Objects between two collections of garbage."""


class GroupedCommands(click.Group):
    """A group that loads the module of a command when it is asked for; its help lists commands by purpose."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, as the help lists them."""
        return [name for members in GROUPS.values() for name in members]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        module = next((members[cmd_name] for members in GROUPS.values() if cmd_name in members), None)
        if module is None:
            return None
        everything = vars(import_module(f"phasediag.commands.{module}")).values()
        return next(each for each in everything if isinstance(each, click.Command) and each.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each group of commands."""
        width = max(map(len, self.list_commands(ctx)))
        for title, members in GROUPS.items():
            with formatter.section(title):
                limit = formatter.width - width - 6
                loaded = [(name, self.get_command(ctx, name)) for name in members]
                rows = [(f"{name:<{width}}", each.get_short_help_str(limit)) for name, each in loaded if each]
                formatter.write_dl(rows)


@click.group(
    cls=GroupedCommands, invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST_HELP},
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; print what the user can act on without a traceback."""
    if arguments is None:
        _hardly_collect_garbage()
    given = list(sys.argv[1:] if arguments is None else arguments)
    write_what_can_be_written()
    try:
        with (
            handled(_stop, [number for number in STOPPING if number != signal.SIGINT]),
            telling(),
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
    finally:
        if arguments is None:
            _leave_output_alone()


def _leave_output_alone() -> None:
    """Let standard output end with the result: what a user's code prints at the end is none of it."""
    with suppress(AttributeError, OSError, ValueError):  # then Python itself tells, as it ends
        sys.stdout.flush()
        sys.stdout = sys.stderr


def _refuse(sentence: str, exit_code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    say(f"error: {sentence}")
    sys.exit(exit_code)


def _hardly_collect_garbage() -> None:
    """Collect garbage seldom, and not at the end: what a command holds are modules above all, no garbage."""
    gc.set_threshold(ALLOCATIONS)
    atexit.register(_collect_no_more)


def _collect_no_more() -> None:
    """Leave out the last collection, but where a library counts its objects that are left.

    Those made with nanobind, such as triton 3.9, print a page of them as leaks.
    """
    if not any(each.__module__ == "nanobind" for each in type.__subclasses__(type)):
        gc.freeze()


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)
