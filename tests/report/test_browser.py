"""The report in a real browser: offline, on a phone, with scripts off and on."""

import base64
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from phasediag.analysis.frames import load_recounted, load_trials
from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.slices import slices
from phasediag.analysis.threshold_range import RANGE, RECORDED
from phasediag.cli import main
from phasediag.report.page import report
from real_browser import BROWSER, DRIVER, MISSING, SIZES, awaited, loaded, opened, started

from .stored_sweep import stored_sweep
from .test_report import planted, sweep

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason=MISSING)
COLOURS = """[...document.querySelectorAll('p,li,td,th,a,summary,pre,h1,h2,caption,figcaption')].map(e => {
    let ground = e;
    while (ground && getComputedStyle(ground).backgroundColor == 'rgba(0, 0, 0, 0)')
        ground = ground.parentElement;
    const below = getComputedStyle(ground || document.body).backgroundColor;
    return [getComputedStyle(e).color, below];
})"""
"""Of every text: its colour, and that of what it stands on."""
SHADES = ["light", "dark"]
LEAST_SEEN = 200
"""Pixels of the diagram, from its top edge on, that the first screen shows."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(sweep(planted())), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A sweep with distances, and its report."""
    folder = tmp_path_factory.mktemp("sweeps")
    stored_sweep(folder / "planted")
    main(["report", str(folder / "planted"), "--output", str(folder / "report.html")])
    return folder / "planted", folder / "report.html"


@pytest.fixture(scope="module")
def grave(tmp_path_factory):
    """The report of a sweep with a long name, of which nearly everything must be warned."""
    trials = planted(2).assign(git_commit="abc-dirty")
    trials["status"] = ["failed", "diverged"] * 4 + ["ok"] * (len(trials) - 8)
    trials["converged"] = ~trials["weight_decay"].between(0.05, 0.2)
    path = tmp_path_factory.mktemp("grave") / "report.html"
    named = "a-sweep-of-a-name-that-says-all-there-is-to-say-of-it"
    path.write_text(report(replace(sweep(trials, 1234), name=named, uri=f"s3://bucket/{named * 3}")))
    return path


@pytest.fixture(scope="module", params=["scripts on", "scripts off"])
def browser(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    settings = {"download.default_directory": str(folder), "download.prompt_for_download": False}
    if request.param == "scripts off":
        settings["profile.managed_default_content_settings.javascript"] = 2
    driver = started(folder / "profile", settings)
    driver.downloads = folder
    yield driver
    driver.quit()


def test_scripts_are_as_they_are_said_to_be(browser, request):
    loaded(browser, "data:text/html,<title>off</title><script>document.title='on'</script>")
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


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_has_the_verdict_the_gravest_warning_and_the_diagram(
    browser, file, stored, grave, size
):
    height = SIZES[size][1]
    for page in (file, stored[1], grave):
        opened(browser, page, size)
        first = "document.querySelector('%s').getBoundingClientRect().%s"
        edges = [
            measured(browser, first % edge)
            for edge in (
                ("h1", "top"),
                (".verdict", "bottom"),
                (".gravest", "bottom"),
                ("figure img", "top"),
            )
        ]
        assert 0 <= edges[0] < edges[1] < edges[2] < edges[3] <= height - LEAST_SEEN, (page, edges)
    said = browser.find_element("css selector", ".gravest").text
    assert "gravest:" in said
    assert "6 of 6 boundary points lie beside unconverged cells" in said


def soon(browser, expression, wanted):
    """A value once it is as wanted, or what it is after ten seconds: keys and links act in their time."""
    for _ in range(200):
        if measured(browser, expression) == wanted:
            break
        time.sleep(0.05)
    return measured(browser, expression)


def test_folded_warnings_open_by_the_keyboard_and_are_printed(browser, grave):
    opened(browser, grave, "phone")
    items = "[...document.querySelectorAll('.warnings li')]"
    seen = f"{items}.filter(e => e.checkVisibility() && e.getBoundingClientRect().height > 10).length"
    count = measured(browser, f"{items}.length")
    assert count >= 6
    assert measured(browser, seen) == 0
    browser.find_element("css selector", ".warnings > summary").send_keys(webdriver.Keys.ENTER)
    assert soon(browser, seen, count) == count
    opened(browser, grave, "desktop")
    browser.find_element("css selector", ".gravest a").send_keys(webdriver.Keys.ENTER)
    assert soon(browser, seen, count) == count
    opened(browser, grave, "phone")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert soon(browser, seen, count) == count
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


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
    for _ in range(1200):
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


@pytest.mark.parametrize("shade", SHADES)
def test_text_stands_out_from_its_ground(browser, stored, shade):
    """At least 4.5 to 1, as WCAG 2.1 AA asks."""
    preferred = {"name": "prefers-color-scheme", "value": shade}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    opened(browser, stored[1], "desktop")
    pairs = measured(browser, COLOURS)
    assert len(pairs) > 50
    for text, ground in {tuple(pair) for pair in pairs}:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


@pytest.fixture
def explored(browser, stored, request):
    """The browser with the report of the stored sweep, its diagram ready and shown; scripts are on."""
    if request.node.callspec.params["browser"] == "scripts off":
        pytest.skip("there is nothing to explore without scripts")
    opened(browser, stored[1], "desktop")
    ready = "return 'ready' in document.querySelector('.explorer').dataset"
    awaited(browser, lambda driver: driver.execute_script(ready))
    browser.execute_script("document.querySelector('.explorer canvas').scrollIntoView({block: 'center'})")
    return browser


def asked(browser, expression):
    """What the page's own objects say; numbers that are not finite come as text."""
    text = browser.execute_script(
        "const page = document.querySelector('.explorer').explorer, {diagram} = page;"
        f"return JSON.stringify({expression}, (_, v) => v?.buffer ? [...v].map(String) : v)"
    )
    return json.loads(text)


def numbers(texts):
    return np.array([float(text) for text in texts])


@pytest.mark.parametrize("order", ["degree_normalized", "neuron_count", "alive_count", "rank"])
def test_the_page_counts_as_the_analysis_does_at_every_threshold(explored, stored, order):
    """Means bit by bit, intervals and crossings to rounding, of all trials of the sweep."""
    trials = load_trials(stored[0])
    names = asked(explored, "diagram.head.orders.map(order => order.name)")
    number = names.index(order)
    for place in (0, 11, RECORDED, 40, len(RANGE) - 1):
        again = load_recounted(stored[0], trials, RANGE[place])
        level = asked(explored, f"diagram.head.orders[{number}].level")
        made = phase_diagram(again, "weight_decay", "learning_rate", order, 0.5 if level is None else level)
        stats = asked(explored, f"diagram.statistics({number}, {place})")
        np.testing.assert_array_equal(numbers(stats["mean"]), made.cells["mean"].to_numpy(float))
        np.testing.assert_array_equal(numbers(stats["count"]), made.cells["replicates"])
        late = made.cells["unconverged_share"]
        if place == RECORDED:
            np.testing.assert_array_equal(numbers(stats["unsettledShare"]), late)
            if level is not None:
                assert stats["phase"] == made.cells["phase"].tolist()
        if level is None:
            continue
        crossings = asked(explored, f"diagram.crossings({number}, diagram.statistics({number}, {place}))")
        position = made.boundary["position"].dropna().to_numpy()
        np.testing.assert_allclose(np.exp([each["position"] for each in crossings]), position, rtol=1e-12)


def test_the_interval_of_a_cell_is_that_of_the_slices(explored, stored):
    trials = load_trials(stored[0])
    rate = trials["learning_rate"].min()
    part = trials[(trials["learning_rate"] == rate) & (trials["width"] == 5)]
    means = slices(part, "weight_decay").means
    stats = asked(explored, f"diagram.statistics(0, {RECORDED})")
    for end in ("low", "high"):
        np.testing.assert_allclose(numbers(stats[end])[: len(means)], means[end], rtol=1e-12)


def over(browser, column, row):
    """Move the pointer onto a cell of the mesh."""
    x, y = asked(browser, f"[page.drawing.toX(diagram.arrays.x_at[{column}]), "
                          f"page.drawing.toY(diagram.arrays.y_at[{row}])]")  # fmt: skip
    canvas = browser.find_element("css selector", ".explorer canvas")
    middle = canvas.size["width"] / 2, canvas.size["height"] / 2
    chain = webdriver.ActionChains(browser)
    return chain.move_to_element_with_offset(canvas, int(x - middle[0]), int(y - middle[1]))


def text(browser, selector):
    return browser.find_element("css selector", f".explorer {selector}").text


def test_a_cell_tells_its_value_its_trials_and_the_command(explored, stored):
    over(explored, 2, 1).perform()
    trials = load_trials(stored[0])
    decays, rates = (np.sort(trials[name].unique()) for name in ("weight_decay", "learning_rate"))
    own = trials[(trials["weight_decay"] == decays[2]) & (trials["learning_rate"] == rates[1])]
    own = own[own["width"] == 5].sort_values("replicate")
    assert text(explored, ".tip").startswith(f"{own['degree_normalized'].mean():.4g} [")
    ids = [each.text for each in explored.find_elements("css selector", ".explorer .id")]
    assert ids == own["trial_id"].tolist()
    assert (
        text(explored, ".command code") == f"phasediag rerun {stored[0]} {ids[0]} --save rerun-{ids[0][:8]}"
    )
    assert "By step, 0: 0, 100: " in text(explored, ".details")
    webdriver.ActionChains(explored).click().perform()
    over(explored, 0, 0).perform()
    assert text(explored, ".command code").split()[3] == ids[0]
    explored.find_elements("css selector", ".explorer .id")[2].click()
    assert text(explored, ".command code").split()[3] == ids[2]


def test_keys_move_hold_zoom_and_let_go(explored):
    canvas = explored.find_element("css selector", ".explorer canvas")
    keys = webdriver.Keys
    canvas.send_keys(keys.ARROW_LEFT)
    first = asked(explored, "page.cursor")
    canvas.send_keys(keys.ARROW_LEFT, keys.ARROW_UP)
    assert asked(explored, "page.cursor") == [first[0] - 1, first[1] + 1]
    canvas.send_keys(keys.ENTER)
    assert asked(explored, "page.pinned") == [first[0] - 1, first[1] + 1]
    canvas.send_keys("+")
    assert asked(explored, "page.drawing.zoomed")
    canvas.send_keys("0", keys.ESCAPE)
    assert not asked(explored, "page.drawing.zoomed")
    assert asked(explored, "[page.cursor, page.pinned]") == [None, None]


def test_a_rectangle_is_zoomed_to_and_all_is_shown_again(explored):
    over(explored, 1, 0).click_and_hold().perform()
    over(explored, 3, 1).release().perform()
    low, high = asked(explored, "page.drawing.view.x.map(Math.exp)")
    decays = asked(explored, "[...diagram.arrays.x]")
    assert decays[0] < low <= decays[2] <= high < decays[4]
    explored.find_element("css selector", ".explorer button[aria-label='Show all of the diagram']").click()
    assert not asked(explored, "page.drawing.zoomed")


def test_the_slider_counts_again_and_goes_back(explored):
    before = asked(explored, "page.statistics.mean")
    slider = explored.find_element("css selector", ".explorer input[type=range]")
    slider.send_keys(webdriver.Keys.END)
    assert asked(explored, "page.place") == len(RANGE) - 1
    assert asked(explored, "page.statistics.mean") != before
    assert "16 times the recorded one" in text(explored, "output")
    explored.find_element(
        "css selector", ".explorer button[aria-label='Back to the recorded threshold']"
    ).click()
    assert asked(explored, "page.statistics.mean") == before


def test_another_order_parameter_and_width_are_shown(explored):
    selects = explored.find_elements("css selector", ".explorer select")
    selects[0].send_keys("distinct")
    assert asked(explored, "page.order.name") == "neuron_count"
    panel = asked(explored, "page.panel")
    selects[1].send_keys("9")
    assert asked(explored, "page.panel") == panel + 1


def test_what_is_said_of_a_cell_is_of_what_is_shown(explored):
    """While the pointer rests on a cell the keyboard may move the slider; another width may be chosen too."""
    over(explored, 1, 1).perform()
    tip = "[page.tip.textContent, page.line(diagram.shown(page.panel, ...page.cursor))]"
    recorded = asked(explored, tip)[0]
    move = "const s = document.querySelector('.explorer input[type=range]'); s.value = s.max;"
    explored.execute_script(f"{move} s.dispatchEvent(new Event('input'))")
    said, is_so = asked(explored, tip)
    assert said == is_so != recorded
    width = "const s = document.querySelectorAll('.explorer select')[1]; s.value = 1 - s.value;"
    explored.execute_script(f"{width} s.dispatchEvent(new Event('change'))")
    said, is_so = asked(explored, tip)
    assert said == is_so
    assert is_so in text(explored, ".details")


def test_printed_tables_are_whole_and_the_bar_of_states_has_its_colours(browser, grave, stored):
    for page in (grave, stored[1]):
        opened(browser, page, "desktop")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": 717, "height": 1000, "deviceScaleFactor": 1, "mobile": False,
        })  # fmt: skip
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        tables = "[...document.querySelectorAll('table')].filter(t => t.checkVisibility())"
        assert soon(browser, f"{tables}.every(t => t.getBoundingClientRect().right <= innerWidth)", True)
        assert (
            measured(browser, "getComputedStyle(document.querySelector('.bar')).printColorAdjust") == "exact"
        )
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_tap_asks_a_cell_on_a_phone(explored, stored):
    opened(explored, stored[1], "phone")
    explored.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    explored.execute_script("document.querySelector('.explorer canvas').scrollIntoView({block: 'center'})")
    time.sleep(0.2)
    canvas = "document.querySelector('.explorer canvas').getBoundingClientRect()"
    x, y = measured(explored, f"(b => [b.left + b.width / 2, b.top + b.height / 2])({canvas})")
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        explored.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    explored.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert asked(explored, "page.pinned") is not None
    assert text(explored, ".command code").startswith("phasediag rerun")
    assert measured(explored, "document.documentElement.scrollWidth") <= SIZES["phone"][0]


def test_the_page_without_scripts_hides_what_needs_them(browser, stored, request):
    opened(browser, stored[1], "desktop")
    if request.node.callspec.params["browser"] == "scripts off":
        assert not browser.find_element("css selector", ".explorer").is_displayed()
        assert "phasediag.load_trials" in browser.find_element("css selector", "noscript").text
