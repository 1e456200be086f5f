"""What the code cites is in the repository, and the pages of reference say what is declared."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SOURCES = sorted((ROOT / "phasediag").rglob("*.py"))


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """docs/write_reference.py."""
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "docs" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_that_of_the_declarations(writer: ModuleType) -> None:
    for name, text in writer.pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text()
        assert written == text, f"docs/reference/{name} is out of date: make docs"


def test_exact_results_and_equations_that_are_cited_are_explained() -> None:
    physics = (ROOT / "docs" / "physics.md").read_text()
    cited = {match for path in SOURCES for match in re.findall(r"\bE(?:1[0-4]|[1-9])\b", path.read_text())}
    explained = set(re.findall(r"^\*\*(E\d+)\.", physics, flags=re.M))
    assert cited
    assert cited <= explained


def test_no_document_is_cited_that_is_not_there() -> None:
    missing = []
    for path in [*PAGES, *SOURCES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"[\w./-]*\w\.md\b", path.read_text()):
            if not any((folder / name).is_file() for folder in (path.parent, ROOT, ROOT / "docs")):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"`((?:phasediag|tests|jobs|docs|benchmarks)/[\w./-]+)", page.read_text()))
    examples = {name for name in named if "NAME" in name}
    gone = [name for name in sorted(named - examples) if not (ROOT / name.rstrip("/.")).exists()]
    assert not gone, f"{page.name} names {gone}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name.startswith("own-")], ids=lambda page: page.name)
def test_the_examples_of_a_page_for_users_are_run(page: Path) -> None:
    """By a test that reads them from the page: it names the page, and there is one for each."""
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if f'"{page.name}"' in path.read_text()]
    assert tests, f"no test reads {page.name}"
