"""What the code cites is in the repository, and the pages of reference say what is declared."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from phasediag.grids.ready import ready_grid

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if DOCS / "notebooks" not in path.parents]
SOURCES = sorted((ROOT / "phasediag").rglob("*.py"))


def module(name: str) -> ModuleType:
    """A script of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """docs/write_reference.py."""
    return module("write_reference")


def test_the_reference_is_that_of_the_declarations(writer: ModuleType) -> None:
    for name, text in writer.pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text()
        assert written == text, f"docs/reference/{name} is out of date: make docs"


def test_what_a_command_says_of_itself_is_text_and_no_code(writer: ModuleType) -> None:
    """An indented paragraph is code to Markdown: one line, cut at the edge of a phone."""
    outside = re.sub(r"^```text\n.*?^```$", "", writer.pages()["commands.md"], flags=re.M | re.S)
    assert "TEMPLATE is any ready grid" not in outside  # laid out by its author
    assert "An editor that knows YAML schemas" in outside
    assert not re.findall(r"^(?: {4}|.*\x08).*$", outside, flags=re.M)


NUMBERED = re.compile(r"\b(Eq|Theorem)s?\.? (\d+)(?:(?:-| to |, )(\d+))?")
"""Equations and theorems of the paper: `Eq. 3`, `Eqs. 1, 2`, `Eqs. 10-13`, `Theorem 4`."""


def numbered(text: str) -> set[tuple[str, int]]:
    """The equations and theorems that a text names, those between two of them too."""
    return {
        (kind, number)
        for kind, first, last in NUMBERED.findall(text)
        for number in range(int(first), int(last or first) + 1)
    }


def test_exact_results_and_equations_that_are_cited_are_explained() -> None:
    physics, code = (ROOT / "docs" / "physics.md").read_text(), "".join(path.read_text() for path in SOURCES)
    cited = set(re.findall(r"\bE[1-9]\d?\b", code))
    explained = set(re.findall(r"^\*\*(E\d+)\.", physics, flags=re.M))
    assert len(cited) > 10
    assert cited <= explained
    pages = "".join(page.read_text() for page in PAGES if page.name != "physics.md")
    assert numbered("Eqs. 10-12, Eq. 5, Theorem 4") == {*(("Eq", n) for n in (5, 10, 11, 12)), ("Theorem", 4)}
    assert numbered(code)
    assert numbered(code + pages) - numbered(physics) == set()


def test_no_document_is_cited_that_is_not_there() -> None:
    missing = []
    for path in [*PAGES, *SOURCES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"[\w./-]*\w\.md\b", re.sub(r"https?://\S+", "", path.read_text())):
            if not any((folder / name).is_file() for folder in (path.parent, ROOT, ROOT / "docs")):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = set(re.findall(r"`((?:phasediag|tests|jobs|docs|benchmarks)/[\w./-]+)", page.read_text()))
    examples = {name for name in named if "NAME" in name}
    gone = [name for name in sorted(named - examples) if not (ROOT / name.rstrip("/.")).exists()]
    assert not gone, f"{page.name} names {gone}"


def test_the_commands_of_the_gallery_run_where_there_is_no_clone() -> None:
    """`init` writes each grid; nothing is launched from `jobs/`, which a wheel has not."""
    lines = (DOCS / "gallery.md").read_text().splitlines()
    begun = [line.removeprefix("phasediag init ") for line in lines if line.startswith("phasediag init ")]
    grids = [ready_grid(name) for name in begun]
    assert len(grids) == len(module("make_gallery").PICTURES)
    launched = [line for line in lines if line.startswith("phasediag launch ")]
    assert launched == [f"phasediag launch {grid.path.stem}.yaml" for grid in grids]
    drawn = [picture.drawn_by.split()[2] for picture in module("make_gallery").PICTURES]
    assert drawn == [f"sweeps/{grid.path.stem}" for grid in grids]


def test_the_gallery_is_that_of_its_record_and_its_pictures_are_there() -> None:
    gallery = module("make_gallery")
    written = (DOCS / "gallery.md").read_text()
    assert written == gallery.page(json.loads(gallery.RECORD.read_text())), (
        "python docs/make_gallery.py --page"
    )
    drawn = {path.stem for path in (DOCS / "gallery").glob("*.png")}
    rasters = {Path(picture.raster_file).stem for picture in gallery.PICTURES if picture.raster}
    assert drawn == {picture.name for picture in gallery.PICTURES} | rasters


def test_every_page_stands_in_the_contents_of_the_site() -> None:
    trees = [
        tree
        for page in PAGES
        for tree in re.findall(r"^```{toctree}\n(.*?)```", page.read_text(), re.M | re.S)
    ]
    listed = {line for tree in trees for line in tree.split() if not line.startswith(":")}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES} - {"index"}
    assert pages - listed == set(), "a page that no list of docs/index.md names: add it to one"
    kept = ROOT / "analysis"
    notebooks = {f"notebooks/{path.relative_to(kept).with_suffix('')}" for path in kept.rglob("*.ipynb")}
    assert {name for name in listed if name.startswith("notebooks/")} == notebooks


def anchors(page: Path) -> set[str]:
    """The places of a page that a link may name: its headings, as GitHub and the site call them."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """What a page links to and shows, outside of its code."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", page.read_text(), flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"https?://|mailto:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if DOCS / "notebooks" in target.parents:
            target = ROOT / "analysis" / target.relative_to(DOCS / "notebooks")
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_what_programs_read_of_the_site_is_there() -> None:
    text = (DOCS / "llms.txt").read_text()
    assert text.startswith("# phasediag\n\n> ")
    pages = re.findall(r"\]\((?:_sources/)?([\w/-]+)\.(?:md\.txt|html)\)", text)
    assert len(pages) == text.count("](")
    assert [name for name in pages if not (DOCS / f"{name}.md").is_file()] == []


FOR_USERS = [
    page for page in PAGES if page.name.startswith("own-") or page.name in ("tutorial.md", "notebook.md")
]


@pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: page.name)
def test_the_examples_of_a_page_for_users_are_run(page: Path) -> None:
    """By a test that reads them from the page: it names the page, and there is one for each."""
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if f'"{page.name}"' in path.read_text()]
    assert tests, f"no test reads {page.name}"
