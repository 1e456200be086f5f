"""cite: what a text that shows a sweep should name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import pyarrow as pa
import pyarrow.compute as pc

from phasediag.commands.options import SWEEP, say
from phasediag.version import VERSION

REFERENCES: Final = Path(__file__).with_name("references.bib")
ALWAYS: Final = ("phasediag", "parameter-symmetry")
_COLUMNS: Final = ("phasediag_version", "torch_version", "git_commit", "task", "device")


@click.command(short_help="What SWEEP rests on, as BibTeX.")
@SWEEP
def cite(sweep_path: str) -> None:
    """Print what SWEEP rests on as BibTeX: phasediag, torch, Ray, data; the versions stand in its rows."""
    from phasediag.storage.store import Store

    store = Store.at(sweep_path).required()
    rows = store.trials_table(ordered=False)
    values = {name: _distinct(rows, name) for name in _COLUMNS}
    say(sentence(store.folder.name, len(rows), values))
    known = entries()
    versions = {"phasediag": values["phasediag_version"] or [VERSION], "torch": values["torch_version"]}
    for key in (*ALWAYS, "torch", "ray", *(task for task in values["task"] if task in known)):
        version = ", ".join(versions.get(key, []))
        click.echo(known[key].replace("VERSION", version or "unknown") + "\n")


def entries() -> dict[str, str]:
    """Every reference that phasediag knows as BibTeX, by its key."""
    texts = re.split(r"\n(?=@)", REFERENCES.read_text(encoding="utf-8").strip())
    keys = [re.match(r"@\w+\{([^,]+),", text) for text in texts]
    return {key[1]: text.strip() for key, text in zip(keys, texts, strict=True) if key is not None}


def sentence(name: str, trials: int, values: Mapping[str, Sequence[str]]) -> str:
    """What was trained by what, for a paragraph on methods."""
    commits = [commit for commit in values["git_commit"] if commit]
    parts = [
        f"{name}: {trials:,} networks, trained with phasediag {_listed(values['phasediag_version'])}",
        f"torch {_listed(values['torch_version'])}",
        f"on {_listed(values['device'])}",
    ]
    if commits:
        parts.append(f"from a folder at commit {_listed(commits)}")
    return ", ".join(parts)


def _listed(values: Sequence[str]) -> str:
    return " and ".join(values) or "an unknown version"


def _distinct(rows: pa.Table, name: str) -> list[str]:
    """The distinct values of a column of text, sorted; none where there is no such column."""
    if name not in rows.column_names:
        return []
    return sorted(value for value in pc.unique(rows[name].combine_chunks()).to_pylist() if value)
