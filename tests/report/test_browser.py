"""The report in a real browser: offline, on a phone, with scripts off and on."""

import base64
import shutil
import time

import pytest

from phasediag.report.page import report

from .test_report import planted, sweep

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium with chromedriver: apt-get install chromium chromium-driver"
)
ARGUMENTS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage",
)  # fmt: skip
COLOURS = """[...document.querySelectorAll('p,li,td,th,a,summary,pre,h1,h2,caption,figcaption')].map(e => {
    let ground = e;
    while (ground && getComputedStyle(ground).backgroundColor == 'rgba(0, 0, 0, 0)')
        ground = ground.parentElement;
    const below = getComputedStyle(ground || document.body).backgroundColor;
    return [getComputedStyle(e).color, below];
})"""
"""Of every text: its colour, and that of what it stands on."""
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(sweep(planted())), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["scripts on", "scripts off"])
def browser(request, tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (*ARGUMENTS, f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{argument}")
    settings = {"download.default_directory": str(folder), "download.prompt_for_download": False}
    if request.param == "scripts off":
        settings["profile.managed_default_content_settings.javascript"] = 2
    options.add_experimental_option("prefs", settings)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.downloads = folder
    yield driver
    driver.quit()


def opened(browser, file, size):
    width, height = SIZES[size]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone",
    })  # fmt: skip
    browser.execute_cdp_cmd("Network.enable", {})
    browser.get(file.as_uri())


def test_scripts_are_as_they_are_said_to_be(browser, request):
    browser.get("data:text/html,<title>off</title><script>document.title = 'on'</script>")
    assert browser.title == request.node.callspec.params["browser"].removeprefix("scripts ")


def measured(browser, expression):
    """A value read by the driver, which may look even where the page's own scripts are off."""
    return browser.execute_script(f"return {expression}")


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_the_screen_and_shows_every_figure(browser, file, size):
    opened(browser, file, size)
    assert measured(browser, "document.documentElement.scrollWidth") <= SIZES[size][0]
    images = "[...document.images]"
    assert measured(browser, f"{images}.length") >= 3
    assert measured(browser, f"{images}.every(i => i.complete && i.naturalWidth > 100)")
    assert measured(browser, f"{images}.every(i => i.alt.length > 40)")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_nothing_is_asked_of_a_network(browser, file):
    browser.get_log("performance")
    opened(browser, file, "desktop")
    log = " ".join(entry["message"] for entry in browser.get_log("performance"))
    assert '"url":"file://' in log
    assert '"url":"http' not in log


def test_details_open_and_tables_download(browser, file):
    opened(browser, file, "desktop")
    closed = browser.find_elements("css selector", "details:not([open]) > summary")
    assert closed
    closed[0].click()
    assert closed[0].find_element("xpath", "..").get_attribute("open") is not None
    link = next(a for a in browser.find_elements("css selector", "a[download$='exponents.csv']"))
    link.find_element("xpath", "ancestor::section").location_once_scrolled_into_view  # noqa: B018
    link.click()
    target = browser.downloads / link.get_attribute("download")
    for _ in range(100):
        if target.exists():
            break
        time.sleep(0.1)
    _, _, content = link.get_attribute("href").partition(",")
    assert target.read_bytes() == base64.b64decode(content)
    target.unlink()


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)`, by WCAG 2.1."""
    values = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_ground(browser, file):
    """At least 4.5 to 1, as WCAG 2.1 AA asks."""
    opened(browser, file, "desktop")
    pairs = measured(browser, COLOURS)
    assert len(pairs) > 50
    for text, ground in {tuple(pair) for pair in pairs}:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
