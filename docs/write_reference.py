"""Writes the pages of docs/reference from the declarations: `make docs`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click

from phasediag.cli import commands
from phasediag.columns import (
    DERIVED,
    LEADING,
    MEASUREMENTS,
    NOISE_TEMPERATURE,
    OF_STAGES,
    RESULTS,
    STAGES,
    TEMPERATURE,
    Column,
)
from phasediag.grids.grid import parse_grid
from phasediag.grids.schema import grid_schema, parameter_table
from phasediag.observables.known import ALWAYS, built_in
from phasediag.observables.observable import (
    DistanceObservable,
    NumberObservable,
    Observable,
    SpectrumObservable,
)

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/write_reference.py from the declarations: `make docs`. -->"


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    return {
        "grid.md": page("Keys of grid.yaml", grid()),
        "parameters.md": page("Parameters of trials", parameters()),
        "columns.md": page("Columns of results", columns()),
        "observables.md": page("Observables", observables()),
        "commands.md": page("Commands", of_group(commands)),
    }


def page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([HEAD, f"# {title}", "", *lines]).rstrip() + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield row(headings)
    yield row(["---"] * len(headings))
    yield from map(row, rows)
    yield ""


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


EXAMPLE = """\
name: noise-and-width
fixed: {task: teacher_student, steps: 20000}
axes:
  weight_decay: {logspace: [0.001, 1], num: 7}   # ends counted; also linspace, or a list
  width: [8, 16, 32]
  learning_rate: [0.05, 0.1, 0.2]
  batch_size: [4, 8, 16]
zip: [[learning_rate, batch_size]]               # they move together: 3 pairs, not 9
exclude: ["width > 16 and weight_decay < 0.002"]
replicates: 5
measure: {observables: [permutation, sign_flip, rank], every: 5000}
"""


def grid() -> Iterator[str]:
    """The keys as the JSON schema has them, and a grid that has been read."""
    parse_grid(EXAMPLE, Path("grid.yaml"))
    schema = grid_schema()
    keys = schema["properties"]
    yield "A grid is one YAML file; `phasediag init` writes a commented one, and `phasediag plan` tells all"
    yield "its faults at once."
    yield ""
    yield from ["```yaml", EXAMPLE.rstrip(), "```"]
    yield from table(("key", "what it is", "default"), (_key(*each) for each in keys.items()))
    sections = (("ramp", "RampSection"), ("measure", "MeasureSection"), ("keep", "KeepSection"),
                ("resources", "Resources"))  # fmt: skip
    for key, name in sections:
        yield f"\n## {key}"
        yield from table(
            ("key", "what it is", "default"),
            (_key(*each) for each in schema["$defs"][name]["properties"].items()),
        )


def _key(name: str, schema: dict[str, Any]) -> tuple[str, str, str]:
    meaning = " ".join(schema.get("description", f"A section: see [{name}](#{name}).").split())
    default = schema.get("default")
    return f"`{name}`", meaning, "" if default is None else f"`{json.dumps(default)}`"


def parameters() -> Iterator[str]:
    yield "Every one can stand under `fixed` or be an axis, and is a column of `trials` under its own name."
    yield "A *structural* parameter changes the program, a *batched* one is a number per trial in it; a"
    yield "*derived* one follows from others; a *shorthand* stands instead of another one."
    rows = parameter_table()
    for belongs in dict.fromkeys(each.belongs for each in rows):
        yield f"\n## {belongs}"
        cells = (
            (f"`{r.name}`", r.type, r.unit, r.default, str(r.role), r.meaning)
            for r in rows
            if r.belongs == belongs
        )
        yield from table(["name", "type", "unit", "default", "role", "meaning"], cells)


def columns() -> Iterator[str]:
    yield "\n## `trials`: one row a trial\n"
    yield "The parameters stand between `seed` and `status`."
    yield from column_table((*LEADING, *RESULTS))
    yield "\n## Where there are ramps\n"
    yield f"`{STAGES.name}` stands in `trials`: a list of structs, one a stage, of what stands below, `value`"
    yield "(that of the parameter), `status`, `steps_done` and all results. Frames have a row for each stage."
    yield from column_table(OF_STAGES)
    yield "\n## `measurements`: one row a trial, step, layer and observable"
    yield from column_table(MEASUREMENTS)
    yield "\n## Derived: in the frames, in no file"
    yield from column_table((*DERIVED, TEMPERATURE, NOISE_TEMPERATURE))


def observables() -> Iterator[str]:
    always = ", ".join(f"`{name}`" for name in ALWAYS)
    yield "What `measure: {observables: [...]}` may name besides `my_obs.py:Class`; `docs/measures.md` has"
    yield f"formulas, invariances and costs. {always} are measured on `measure.layer` of every trial."
    yield "Distances are stored and counted afterwards, at any threshold."
    cells = (
        (f"`{name}`", kind_of(one), one.meaning, ", ".join(f"`{column}`" for column in columns_of(one)))
        for name, one in built_in().items()
    )
    yield from table(["name", "kind", "meaning", "columns of `trials`"], cells)
    numbers = [column for one in built_in().values() for column in one.filled]
    yield "## Columns of numbers"
    yield from column_table(numbers)


def kind_of(one: Observable) -> str:
    kinds = {DistanceObservable: "distances", SpectrumObservable: "spectrum", NumberObservable: "numbers"}
    return next(word for kind, word in kinds.items() if isinstance(one, kind))


def columns_of(one: Observable) -> list[str]:
    if isinstance(one, DistanceObservable):
        return [one.column] if one.column else []
    return [column.name for column in one.filled]


def column_table(declared: Iterable[Column]) -> Iterator[str]:
    headings = ["name", "type", "unit", "meaning", "phases below / above, level", "null if diverged"]
    yield from table(headings, map(column_cells, declared))


def column_cells(column: Column) -> tuple[str, ...]:
    named = column.phases != ("below", "above")
    phases = f"{column.below} / {column.above}, {column.level:g}" if named else ""
    null = "yes" if column.null_when_diverged else ""
    return f"`{column.name}`", column.type, column.unit, column.meaning, phases, null


def of_group(group: click.Group) -> Iterator[str]:
    yield "Results go to stdout, progress and messages to stderr. Exit codes: 0 complete, 1 some trials"
    yield "failed, 2 bad input and nothing was run, 3 the machine or the cluster failed, 130 interrupted."
    for name in sorted(group.list_commands(click.Context(group))):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        context = click.Context(command, info_name=f"phasediag {name}")
        yield f"\n## {name}\n"
        yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
        yield from help_text((command.help or "").split("\f")[0])
        records = filter(None, [parameter.get_help_record(context) for parameter in command.params])
        rows = [(f"`{option}`", " ".join(meaning.split())) for option, meaning in records if meaning]
        yield from table(["option", "meaning"], rows) if rows else ()


def help_text(text: str) -> Iterator[str]:
    """What a command says of itself; a block that click leaves as it is becomes one of code."""
    for paragraph in cleandoc(text).split("\n\n"):
        mark, newline, lines = paragraph.partition("\n")
        yield f"```text\n{lines}\n```\n" if newline and mark == "\b" else f"{paragraph}\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
