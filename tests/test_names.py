"""Names say what a thing is, and one name means one thing."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EMPTY = {"found", "told", "whole"}
"""What any result was: looked for, said, complete. The name of a result says what it is of."""

LEANING = re.compile(r"(Of|That of|Those (of|at)|The same,|Before the|As in|Likewise)\b")
"""How a sentence begins that cannot be read without the one before."""

MOST_WORDS = 20
"""Of the glossary."""


def defined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module gives to something, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name


@cache
def modules(folder: str = "phasediag") -> dict[str, ast.Module]:
    """The syntax trees below a folder by path."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def names_of(folder: str) -> list[tuple[str, str]]:
    """Every name that is given below a folder, with its place."""
    trees = modules(folder)
    return [(f"{path}:{line}", name) for path, tree in trees.items() for line, name in defined(tree)]


@pytest.mark.parametrize("folder", ["phasediag", "tests", "benchmarks", "docs"])
def test_a_name_says_what_a_thing_is(folder: str) -> None:
    """But for tests, whose names are sentences, and classes of theirs: whole numbers are whole."""
    names = names_of(folder)
    assert len(names) > (1000 if folder == "phasediag" else 100)
    if folder != "phasediag":
        names = [each for each in names if not re.match("test_|[A-Z]", each[1])]
    empty = {name for name in {name for _, name in names} if EMPTY & set(words_of(name))}
    assert not [place for place, name in names if name in empty]


def test_a_name_in_a_script_of_a_page_says_what_a_thing_is() -> None:
    """Of names alone: what stands in quotation marks or behind // is said to readers."""
    scripts = sorted((ROOT / "phasediag").rglob("*.js"))
    assert len(scripts) > 2
    for path in scripts:
        code = re.sub(r"//.*|`[^`]*`|\"[^\"\n]*\"", "", path.read_text(encoding="utf-8"))
        names = {name for name in re.findall(r"[A-Za-z_]\w*", code) if EMPTY & set(words_of(name))}
        assert not names, path


def explained(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What is said of each module, class, function, attribute and constant, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield from (
                (each.lineno, each.value.value.strip())
                for each in node.body
                if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
                if isinstance(each.value.value, str)
            )


def test_what_is_said_of_a_thing_can_be_read_alone() -> None:
    said = [(f"{path}:{line}", text) for path, tree in modules().items() for line, text in explained(tree)]
    assert len(said) > 1000
    assert not [place for place, text in said if LEANING.match(text)]


def test_a_row_of_the_reference_can_be_read_alone() -> None:
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    cells = [
        cell.strip() for page in pages for row in page.read_text().splitlines() for cell in row.split("|")
    ]
    assert len(cells) > 1000
    assert not [cell for cell in cells if LEANING.match(cell) or cell.startswith("Its ")]


def types_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names of classes and of other types that a module makes, each with what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name, f"class of line {node.lineno}"
    for node in tree.body:
        name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
        if isinstance(node, ast.Assign) and re.match("_?[A-Z][a-z]", name):
            yield name, ast.unparse(node.value)


def test_a_name_of_a_type_means_one_thing() -> None:
    """Of a class, whether it is a module's own (`_Tile`) or not: both are read as a tile."""
    meanings = defaultdict(set)
    for path, tree in modules().items():
        for name, meaning in types_of(tree):
            of_class = meaning.startswith("class")
            meanings[name.lstrip("_") if of_class else name].add(
                f"{path}: {meaning}" if of_class else meaning
            )
    assert len(meanings) > 500
    assert not {name: where for name, where in meanings.items() if len(where) > 1}


ACTING = ("commands", "figures", "report/sections", "calibration")
"""Folders that work on what lower ones are of, and call a file as that one: `figures/scaling.py` draws
`analysis/scaling.py`."""
NAMED_BY_GRIDS = (
    "tasks", "models", "optimizers", "schedules", "observables", "symmetry/groups", "analysis/laws"
)  # fmt: skip
"""Folders whose files are called as grids and fits name them."""
MENTIONING = {
    "phasediag": ("py", "js", "html"), "tests": ("py",), "benchmarks": ("py",), "docs": ("py", "md"),
    "analysis": ("ipynb",), "jobs": ("py",),
}  # fmt: skip
"""Folders in which a thing may be used, and the kinds of their files."""
ALIKE = {"executor"}
"""A protocol, and what keeps it."""


def test_a_file_s_name_means_one_thing() -> None:
    """Which of two files of a name is meant would have to be said each time."""
    places = defaultdict(list)
    for path in modules():
        folder, _, name = path.removeprefix("phasediag/").rpartition("/")
        if folder not in (*ACTING, *NAMED_BY_GRIDS) and name != "__init__.py":
            places[name.removesuffix(".py")].append(path)
    assert len(places) > 200
    assert not {name: where for name, where in places.items() if len(where) > 1 and name not in ALIKE}


def test_a_file_that_acts_on_another_is_called_as_that_one() -> None:
    """`noise` of two folders was two things."""
    known = defaultdict(set)
    for path in modules():
        folder, _, name = path.removeprefix("phasediag/").rpartition("/")
        known[name.removesuffix(".py")].add(folder)
    both = {name for name, where in known.items() if "calibration" in where and len(where) > 1} - {"__init__"}
    assert both == {"calibrate", "control", "permutation", "ramps"}


def test_the_glossary_is_short_and_its_words_are_those_of_the_code() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Words")[1].split("## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")][1:]
    words = [word.strip() for row in rows for word in row.split(",")]
    assert 10 <= len(words) <= MOST_WORDS
    used = {word for tree in modules().values() for _, name in defined(tree) for word in words_of(name)}
    for word in (part for term in words for part in term.split()):
        assert {word, f"{word}s", f"{word[:-1]}ies"} & used, f"nothing in the code is called {word}"


def owned(tree: ast.Module) -> Iterator[str]:
    """The functions, classes, constants and methods of a module.

    Methods of a class that has bases are left out, for these may call them, and what Python calls itself.
    """
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from (name for _, name in defined(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from (each.name for each in node.body if isinstance(each, ast.FunctionDef))


def test_nothing_is_defined_that_nobody_names() -> None:
    """A type of states, a residual and a loss of a row were left when what had used them was gone."""
    by_place = tuple(f"phasediag/{folder}/" for folder in NAMED_BY_GRIDS)
    trees = [tree for path, tree in modules().items() if not path.startswith(by_place)]
    names = {name for tree in trees for name in owned(tree) if not name.startswith("__")}
    assert len(names) > 3000
    patterns = [(folder, f"*.{kind}") for folder, kinds in MENTIONING.items() for kind in kinds]
    paths = [path for folder, pattern in patterns for path in (ROOT / folder).rglob(pattern)]
    uses = Counter(word for path in paths for word in re.findall(r"\w+", path.read_text(encoding="utf-8")))
    assert not {name for name in names if uses[name] < 2}


def words_of(name: str) -> list[str]:
    """The words of a name: of `PhaseDiagram`, `phase_diagram` and `PHASE_DIAGRAM` the same two."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
