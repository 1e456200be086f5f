"""verify: whether every file of a sweep is as it was written."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import click

from phasediag.commands.options import JSON, say, shown


@click.command(short_help="Whether every file of SWEEP is as it was written.")
@click.argument("sweep_path", metavar="SWEEP")
@click.option("--repair", "repairing", is_flag=True, help="Set damaged files aside, so that the next launch "
              "trains what they held; drop damaged checkpoints; restore what has a copy.")  # fmt: skip
@JSON
def verify(sweep_path: str, repairing: bool, as_json: bool) -> None:
    """Read every file of SWEEP and tell its state; exit 1 where one is damaged and was not repaired.

    States: intact; unsealed (of a version without checksums: `phasediag compact` adds them); replaced (waits
    for the next compact); set aside (in quarantine); unknown (none of phasediag's); damaged; foreign (of
    another sweep, or moved); missing; newer (of a newer phasediag).
    """
    from phasediag.storage.examination import examine, repair
    from phasediag.storage.lease import take
    from phasediag.storage.store import Store

    store = Store.at(sweep_path).required()
    states = examine(store.folder)
    done: list[str] = []
    if repairing and not all(state.sound for state in states):
        with take(store, purpose="repair"):
            done = repair(store.folder, states)
        states = examine(store.folder)
    wrong = [state for state in states if not state.sound]
    if as_json:
        files = [asdict(state) for state in states]
        click.echo(json.dumps({"sound": not wrong, "files": files, "done": done}))
    else:
        for sentence in done:
            say(sentence)
        for state in wrong:
            click.echo(shown(f"{state.path}: {state.state} ({state.why})"))
        click.echo(shown(f"{sweep_path}: {_counted([state.state for state in states])}"))
        if wrong and not repairing:
            say(f"`phasediag verify {sweep_path} --repair` does what is safe; then launch its grid again")
    if wrong:
        sys.exit(1)


def _counted(states: Sequence[str]) -> str:
    counts = Counter(states)
    return f"{len(states)} files: " + ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
