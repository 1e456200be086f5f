"""What is wrong and what to do about it stay apart, whatever stands in either."""

from __future__ import annotations

from pathlib import Path

import pytest

from broken_grids import small
from odd_grids import NUMBERS, TEXTS
from phasediag.errors import Fault, GridError, RefusedError
from phasediag.grids import axis as axes
from phasediag.grids.catalogue import all_declarations, all_validated, validated
from phasediag.grids.grid import parse_grid

RAISING = "raise RuntimeError('no data; ask for them; at once')\n"
CONSTRAINED = """
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Constraint

def refused(steps):
    return "so many steps; are too many; for me" if steps > 5 else None

class Task(LinearMap):
    registered = ""
    constraints = (Constraint(parameters=("steps",), fault=refused),)

def raising(steps):
    raise RuntimeError("not now; later")

class Raising(Task):
    constraints = (Constraint(parameters=("steps",), fault=raising),)
"""


def of_task(task: str, rest: str = "") -> str:
    return f"name: g\nfixed:\n  task: {task}\n  steps: 10\n{rest}"


CASES = {
    "axis": (
        small(axes="width: {linspace: ['a; b', 2], num: 3}"),
        "['a; b', 2] is not 2 numbers", "write linspace: [a, b]",
    ),
    "exclude": (
        small(axes="width: [1, 2]", rest="exclude: [\"f('a; b') < width\"]\n"),
        "\"f('a; b') < width\": 'f('a; b')' is not allowed here", "allowed",
    ),
    "two models": (
        small("model: hermite"),
        "model hermite takes one input and gives one output; task 'teacher_student' is not made for it",
        "set task: hermite, or exclude it",
    ),
    "a file that raises": (
        of_task("raising.py:Task"),
        "raising.py cannot be imported: RuntimeError: no data; ask for them; at once (", "correct it",
    ),
    "a constraint of the user's": (
        of_task("constrained.py:Task"),
        "so many steps; are too many; for me", "change one of them, or exclude it",
    ),
    "a constraint that raises": (
        of_task("constrained.py:Raising"),
        "the constraint on steps raised RuntimeError: not now; later", "mend it in its file, or exclude it",
    ),
}  # fmt: skip
"""A grid, what its fault must tell in `problem`, and the beginning of its `remedy`."""


def fault_of(text: str, folder: Path) -> Fault:
    (folder / "raising.py").write_text(RAISING)
    (folder / "constrained.py").write_text(CONSTRAINED)
    with pytest.raises(GridError) as caught:
        parse_grid(text, folder / "grid.yaml").trials()
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize("case", CASES)
def test_a_semicolon_in_a_message_cuts_nothing(case: str, tmp_path: Path) -> None:
    text, problem, remedy = CASES[case]
    fault = fault_of(text, tmp_path)
    assert problem in fault.problem
    assert fault.remedy.startswith(remedy)


def test_a_refusal_reads_as_one_sentence() -> None:
    assert str(RefusedError("too wide; by far", "take 3")) == "too wide; by far; take 3"
    assert str(RefusedError("too wide")) == "too wide"
    assert RefusedError.of(ValueError("a; b")).problem == "a; b"


def test_aliases_that_stand_for_more_than_anybody_means_are_refused() -> None:
    """Nine lines of nine aliases each are two billion values."""
    rungs = [f"x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1, 2'}]" for i in range(10)]
    with pytest.raises(GridError) as caught:
        parse_grid("name: g\n" + "\n".join(rungs) + "\n", Path("grid.yaml"))
    [fault] = caught.value.faults
    assert (fault.where, fault.problem) == ("grid.yaml:6", "aliases stand for more than 100,000 values")
    assert parse_grid(small("depth: &two 2", "width: [*two, 3]"), Path("grid.yaml")).trial_count == 2


def test_of_faults_without_end_some_are_told_and_the_rest_is_counted() -> None:
    with pytest.raises(GridError) as caught:
        parse_grid("name: g\n" + "".join(f"k{i}: 1\n" for i in range(5000)), Path("grid.yaml"))
    assert len(caught.value.faults) == 100
    assert str(caught.value).splitlines()[-1].endswith("faults more")


@pytest.mark.parametrize(
    ("axis", "last"),
    [
        ("activation: {arange: [1, 20001, 1]}", "and at least 900 faults more"),
        ("width: {linspace: [1.5, 20000.5], num: 20000}", "and at least 900 faults more"),
        ("weight_decay: {linspace: [0, 1], num: 20000}", ""),
        ("width: {arange: [1, 20001, 1]}", ""),
        ("width: {arange: [20000, -20000, -2]}", "and at least 900 faults more"),
    ],
)
def test_a_long_axis_is_judged_by_blocks(axis: str, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, and with a sentence for each, 300,000 took six seconds, and ten million minutes."""
    judged = list[object]()
    one = axes.validated
    monkeypatch.setattr(axes, "validated", lambda value, *rest: (judged.append(value), one(value, *rest))[1])
    text = small(axes=axis)
    if last:
        with pytest.raises(GridError) as caught:
            parse_grid(text, Path("grid.yaml"))
        assert len(caught.value.faults) == 100
        assert str(caught.value).splitlines()[-1] == last
    else:
        assert parse_grid(text, Path("grid.yaml")).trial_count == 20_000
    assert len(judged) < 3000


def test_many_values_are_judged_as_each_of_them() -> None:
    """For all that a grid may name, whatever it is given: the same values, or a refusal by both ways."""
    values = [*NUMBERS, *TEXTS, True, False, None, [1], []]
    for name, declarations in all_declarations(Path()).items():
        admitted = list[object]()
        for value in values:
            try:
                one = validated(value, declarations)
            except ValueError:
                with pytest.raises(ValueError, match=r"."):
                    all_validated([value], declarations)
                continue
            if not isinstance(value, list):
                admitted.append(value)
                (alike,) = all_validated([value], declarations)
                assert (type(alike), alike) == (type(one), one), (name, value)
        together = all_validated(admitted, declarations)
        assert together == [validated(value, declarations) for value in admitted]


def test_text_that_is_none_is_refused() -> None:
    with pytest.raises(GridError, match=r"points: '\\ud800\\udc00' is no text"):
        parse_grid(small(rest='points: "\\ud800\\udc00"\n'), Path("grid.yaml"))


def test_names_of_files_that_no_file_can_have_are_refused() -> None:
    for line in (f"files: ['{'x' * 300}']", "files: ['~x']", 'files: ["a\\0b"]'):
        with pytest.raises(GridError, match="does not exist"):
            parse_grid(small(rest=f"{line}\n"), Path("grid.yaml"))
    with pytest.raises(GridError, match="does not exist"):
        parse_grid(f"name: g\nfixed: {{task: {'x' * 300}.py:T}}\n", Path("grid.yaml"))


@pytest.mark.parametrize("place", ["/", ".", "/dev/zero"])
def test_points_in_what_is_no_file_are_refused(place: str) -> None:
    """Arrow takes a folder for a data set, and reads all files in it."""
    with pytest.raises(GridError, match=r"points: .* is no file; give a Parquet file"):
        parse_grid(small(rest=f"points: {place}\n"), Path("grid.yaml"))
