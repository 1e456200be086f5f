"""submit: a launch on a cluster from afar."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from phasediag.commands.options import (
    COMPILE,
    MAX_FAILURES,
    REMEASURE,
    RETRY,
    SET,
    TIME_LIMIT,
    say,
    seconds,
    together,
)
from phasediag.errors import INTERRUPTED

_PASSED: Final = together("passed", {
    "max_failures": MAX_FAILURES,
    "retry_failed": RETRY,
    "remeasure": REMEASURE,
    "time_limit": TIME_LIMIT,
    "compile_mode": COMPILE,
})  # fmt: skip
"""Options of the launch on the cluster."""


@click.command(short_help="Send a launch to a Ray cluster, as a job that outlives this machine.")
@click.argument("grid", type=click.Path())
@click.option("--address", metavar="URL", required=True, envvar="RAY_API_SERVER_ADDRESS",
              help="The cluster's dashboard, http://HOST:8265; default: RAY_API_SERVER_ADDRESS.")  # fmt: skip
@click.option("--storage", metavar="URI", required=True,
              help="Where the sweeps lie, as the cluster reaches it: a URI or an absolute path.")  # fmt: skip
@SET
@_PASSED
@click.option("--no-wait", is_flag=True, help="Print the id of the job, and leave it.")
@click.option("--stop", is_flag=True, help="Let the launch of GRID that runs there drain.")
def submit(
    grid: str, address: str, storage: str, settings: Sequence[str], passed: Mapping[str, Any], no_wait: bool,
    stop: bool,
) -> None:  # fmt: skip
    """Send a launch of GRID to a Ray cluster, and follow its log; it goes on without this command.

    GRID is checked here first. What travels is the grid and those of your files that it reaches. Given again
    while the job runs, the command follows it; given after it has ended, it sends what is missing. It ends
    with the exit code of the launch.
    """
    from phasediag.grids.grid import read_grid
    from phasediag.grids.settings import parse_setting
    from phasediag.submission import sending
    from phasediag.submission.jobs import JobServer
    from phasediag.submission.parcel import Parcel, check_storage
    from phasediag.sweeps.sweep import completed

    if stop and no_wait:
        raise click.UsageError("--stop waits for the drain: leave --no-wait out")
    if passed["time_limit"] is not None:
        seconds(passed["time_limit"])
    read = read_grid(grid, list(map(parse_setting, settings)))
    if stop:
        sending.stop(sending.sweep_in(check_storage(storage), read.name), JobServer.at(address), say)
        return
    read = completed(read)
    given = dict(passed)
    compiled = given.pop("compile_mode")
    options = launch_options(**given, compile=None if compiled == "auto" else compiled)
    launch = sending.Sending(parcel=Parcel.of(read), storage=check_storage(storage), options=options)
    server = JobServer.at(address)
    for path in read.outside:
        say(f"note: your code opens {path}, which does not travel: every node needs it at that place")
    job = sending.send(launch, server, say)
    if no_wait:
        say(job, err=False)
        return
    try:
        sent = sending.follow(job, server, say)
    except KeyboardInterrupt:
        say(f"job {job} goes on; the same command follows it again, with --stop it drains")
        sys.exit(INTERRUPTED)
    code = sending.ending(sent, server)
    say(launch.sweep, err=False)
    sys.exit(code)


def launch_options(**given: str | int | bool | None) -> tuple[str, ...]:
    """Options of `phasediag launch` as words of a command line, without those that are not given."""
    words: list[str] = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return tuple(words)
