"""Messages speak the words of the field and of a grid: hints help or are silent, lines fit 80 columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasediag.commands.reference import parameters
from phasediag.errors import OTHERS_WORDS, GridError, nearest
from phasediag.grids.grid import parse_grid
from phasediag.grids.schema import described, parameter_table
from phasediag.registry import built_in
from phasediag.trial import KINDS

PARAMETERS = sorted({row.name for row in parameter_table()})


def faults(fixed: str) -> str:
    """What is said of a grid with these fixed values."""
    with pytest.raises(GridError) as caught:
        parse_grid(f"name: g\nfixed: {fixed}\n", Path("grid.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr", "learning_rate"), ("wd", "weight_decay"), ("epochs", "steps"), ("layers", "depth"),
        ("hidden_size", "width"), ("batch", "batch_size"), ("scheduler", "schedule"), ("Width", "width"),
        ("widht", "width"), ("weight-decay", "weight_decay"), ("init_scal", "init_scale"),
        ("noise_level", "noise"), ("activatoin", "activation"),
    ],
)  # fmt: skip
def test_a_word_of_the_field_is_known(word: str, meant: str) -> None:
    assert nearest(word, PARAMETERS) == f"did you mean '{meant}'?"
    assert f"did you mean '{meant}'?" in faults(f"{{task: teacher_student, {word}: 3}}")


@pytest.mark.parametrize("word", ["dropout", "xyzzy", "thermostat", "sweep", "q", ""])
def test_where_nothing_is_near_nothing_is_said(word: str) -> None:
    assert nearest(word, PARAMETERS) == ""


def test_tasks_choices_and_replicates_are_meant_too() -> None:
    assert "did you mean 'mnist'?" in faults("{task: MNIST}")
    assert "did you mean 'fashion_mnist'?" in faults("{task: fmnist}")
    assert "did you mean 'swish'?" in faults("{task: teacher_student, activation: silu}")
    assert "did you mean 'replicates', at the top level of the grid?" in faults(
        "{task: teacher_student, seeds: 3}"
    )


def test_every_other_word_leads_to_one_name() -> None:
    words = [word for theirs in OTHERS_WORDS.values() for word in theirs]
    shared = {word for word in words if words.count(word) > 1}
    assert shared <= {"neurons"}  # a parameter's and a column's, which never stand among the same names
    assert not set(words) & set(PARAMETERS)


@pytest.mark.parametrize("value", ["true", "null", "'many'", "1.5"])
def test_values_are_told_as_a_grid_spells_them(value: str) -> None:
    said = faults(f"{{task: teacher_student, width: {value}}}")
    assert f"fixed.width: {value} is not allowed" in said
    assert not {"True", "None", "Input"} & set(said.split())


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_reference_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = CliRunner().invoke(parameters, []).stdout
    assert max(map(len, printed.splitlines())) <= min(columns, 100)
    assert all(f"  {row.name}: " in printed for row in parameter_table())
    rows = json.loads(CliRunner().invoke(parameters, ["--json"]).stdout)
    assert [row["name"] for row in rows] == [row.name for row in parameter_table()]


@pytest.mark.parametrize("name", [name for kind in KINDS for name in built_in(kind)])
def test_what_a_grid_may_name_describes_itself(name: str) -> None:
    kind = next(kind for kind in KINDS if name in built_in(kind))
    text = described(f"{kind} {name}")
    assert len(text) > 20
    assert "---" not in text
    outcome = CliRunner().invoke(parameters, [name])
    assert outcome.exit_code == 0
    assert text[:30] in " ".join(outcome.stdout.split())
