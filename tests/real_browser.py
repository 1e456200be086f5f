"""A headless Chromium, and pages in it: one is looked at once it is there, however slow the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
MISSING = "no chromium with chromedriver: apt-get install chromium chromium-driver"
ARGUMENTS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage",
)  # fmt: skip
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
BLANK = "data:text/html,<title>blank</title>"


def started(profile: Path, preferences: Mapping[str, Any] | None = None) -> Any:
    """A browser of its own, with the logs of console and network."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (*ARGUMENTS, f"user-data-dir={profile}"):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", dict(preferences or {}))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    loaded(driver, BLANK)  # the browser's own first page asks for much
    return driver


def awaited(browser: Any, condition: Callable[[Any], object], seconds: float = 120) -> Any:
    """What the condition gives once that is true; while a page is exchanged, asking it may fail."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, seconds, 0.05, ignored_exceptions=[WebDriverException])
    return wait.until(condition)


def loaded(browser: Any, address: str) -> None:
    """Go to an address, and return when its document is there and whole.

    `get` may return while the document before still stands, or while the new one is empty: seen with
    scripts off on a busy machine. A blank page between tells the old document from the new one where
    both have one address.
    """
    there = "return [document.URL, document.readyState]"
    for each in (BLANK, address):
        browser.get(each)
        awaited(browser, lambda driver, each=each: driver.execute_script(there) == [each, "complete"])


def opened(browser: Any, page: Path, size: str, query: str = "") -> None:
    """Open a file, as wide and high as a phone or a desktop is."""
    width, height = SIZES[size]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone",
    })  # fmt: skip
    browser.execute_cdp_cmd("Network.enable", {})
    loaded(browser, page.as_uri() + query)
