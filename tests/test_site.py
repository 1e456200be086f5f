"""The site: built without a warning, opened from the disk in a real browser, on a desk and on a phone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from real_browser import BROWSER, DRIVER, MISSING, SIZES, awaited, opened, started

for module in ("sphinx", "furo", "myst_nb", "latex2mathml"):
    pytest.importorskip(module, reason="needs the extra docs")
pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SEEN = ["index", "tutorial", "gallery", "faq", "physics", "api", "reference/commands", "notebooks/quickstart"]
"""Pages that are opened."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; a warning of the build is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going", "docs", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


def test_no_page_takes_anything_from_elsewhere(site: Path) -> None:
    loading = r"""<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)=["'](?:https?:)?//[^"']+"""
    for page in site.rglob("*.html"):
        assert not re.findall(loading, page.read_text()), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text()), sheet


def test_every_link_inside_leads_to_a_page_and_a_place(site: Path) -> None:
    places: dict[Path, set[str]] = {}
    for page in site.rglob("*.html"):
        places[page] = set(re.findall(r"""\bid=["']([^"']+)""", page.read_text()))
    broken = []
    for page in places:
        if page.name in ("genindex.html", "search.html", "py-modindex.html"):
            continue
        for link in re.findall(r"""<a\b[^>]*?href=["']([^"'#]*)#?([^"']*)""", page.read_text()):
            path, place = link
            if re.match(r"\w+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (place and target in places and place not in places[target]):
                broken.append((page.name, path, place))
    assert not broken


def test_programs_find_the_sources(site: Path) -> None:
    for name in re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text()):
        assert (site / name).is_file(), name


def test_options_are_as_they_are_typed(site: Path) -> None:
    """Two hyphens are no dash."""
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "commands.html").read_text())
    assert "With --remove: also" in text
    assert not re.findall(r"[\u2013\u2014]\w+", text)


def test_no_line_of_code_is_cut_on_paper(site: Path, browser: Any) -> None:
    opened(browser, site / "gallery.html", "desktop")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cut = browser.execute_script(
        "const all = [...document.querySelectorAll('article pre')];"
        "return all.filter(e => e.scrollWidth > e.clientWidth).length"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert cut == 0


def test_formulas_are_drawn_by_the_browser_itself(site: Path) -> None:
    assert (site / "tutorial.html").read_text().count("<math") >= 5


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (BROWSER and DRIVER):
        pytest.skip(MISSING)
    driver = started(tmp_path_factory.mktemp("chromium") / "profile")
    yield driver
    driver.quit()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SEEN)
def test_a_page_opens_offline_and_fits(site: Path, browser: Any, name: str, size: str) -> None:
    browser.get_log("performance")
    browser.get_log("browser")
    opened(browser, site / f"{name}.html", size)
    asked = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name} is {wide} pixels wider than a {size}"


def test_the_search_finds_pages_from_the_disk(site: Path, browser: Any) -> None:
    opened(browser, site / "search.html", "desktop", "?q=unconverged")
    awaited(browser, lambda driver: driver.find_elements("css selector", "ul.search li a"))
    links = [each.get_attribute("href") for each in browser.find_elements("css selector", "ul.search li a")]
    assert any("faq.html" in link for link in links)


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_text_is_readable_in_both_shades(site: Path, browser: Any, shade: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": shade}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    opened(browser, site / "faq.html", "desktop")
    colours = browser.execute_script(
        "return [document.querySelector('article p'), document.body].map((e, i) => "
        "getComputedStyle(e)[i ? 'backgroundColor' : 'color'])"
    )
    text, ground = (luminance(colour) for colour in colours)
    assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5
    assert (ground < 0.2) == (shade == "dark")


def luminance(colour: str) -> float:
    """Of a colour as CSS computes it, by WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
