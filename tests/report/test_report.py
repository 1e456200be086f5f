"""The report tells what the rows say, warns of what they hide, and needs nothing but itself."""

import base64
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.axes import axes_of
from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.sensitivity import Recounts
from phasediag.errors import AnalysisError
from phasediag.report.choice import MOST_PANELS, choose
from phasediag.report.facts import duration
from phasediag.report.page import ReportedSweep, report
from phasediag.report.warnings import Gravity, Warned, Warnings, about_trials
from phasediag.storage.launches import LAUNCHES, Launches

GRID = "name: planted\nfixed:\n  task: <script>alert(1)</script> & more\n"


def planted(replicates=5, **columns):
    """A boundary at weight decay 0.1, and a neuron count that falls as its square root."""
    index = pd.MultiIndex.from_product(
        [np.geomspace(0.01, 1, 8), np.geomspace(1e-3, 1e-2, 3), [16, 32], range(replicates)],
        names=["weight_decay", "lr_over_batch", "width", "replicate"],
    )
    frame = index.to_frame(index=False)
    away = np.log(frame["weight_decay"] / 0.1) + 0.2 * (frame["replicate"] - (replicates - 1) / 2)
    frame["degree_normalized"] = 1 / (1 + np.exp(-6 * away))
    frame["neuron_count"] = np.round(8 * frame["weight_decay"] ** -0.5 + frame["replicate"] % 3)
    frame["learning_rate"] = 32 * frame["lr_over_batch"]
    return frame.assign(
        trial_id=[f"{i:032x}" for i in range(len(frame))], pack_id="p", status="ok", error=None,
        converged=True, optimizer="sgd", batch_size=32, wall_s=0.5, steps_done=1000, device="cpu",
        torch_version="2.13.0", phasediag_version="0.1.0", git_commit="abc",
        started_at=pd.Timestamp("2026-01-01", tz="UTC"), **columns,
    )  # fmt: skip


def sweep(trials, planned=None):
    return ReportedSweep(
        name="planted", uri="/sweeps/planted", trials=trials, planned=planned or len(trials),
        grids=(("0001.yaml", GRID),), recounts=Recounts(frames={}, reason="not computed"),
    )  # fmt: skip


class Page(HTMLParser):
    """What a browser would find in a page."""

    VOID = frozenset(("meta", "link", "img", "br"))

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def csv(self, ending):
        (link,) = (a for a in self.of("a") if a.get("download", "").endswith(ending))
        kind, _, content = link["href"].partition(",")
        assert kind == "data:text/csv;charset=utf-8;base64"
        return pd.read_csv(io.BytesIO(base64.b64decode(content)))


@pytest.fixture(scope="module")
def page():
    return Page(report(sweep(planted()), made=datetime(2026, 1, 2, tzinfo=UTC)))


def test_the_page_is_whole_and_refers_to_nothing_outside(page):
    assert not page.open
    assert page.of("html") == [{"lang": "en"}]
    assert not page.of("script")
    links = [a.get("href") or a.get("src") for tag in ("a", "img", "link") for a in page.of(tag)]
    assert all(link.startswith(("data:", "#")) for link in links)
    names = {a["id"] for _, a in page.tags if "id" in a}
    assert {link[1:] for link in links if link.startswith("#")} <= names
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_every_figure_is_told_in_words(page):
    images = page.of("img")
    assert len(images) >= 3
    for image in images:
        assert len(image["alt"]) > 40
        kind, _, content = image["src"].partition(",")
        assert kind in ("data:image/svg+xml;base64", "data:image/png;base64")
        drawn = base64.b64decode(content)
        named = rb'xmlns\S*="[^"]*"|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>'
        assert b"http://" not in re.sub(named, b"", drawn, flags=re.S)
    assert "2 panels" in images[0]["alt"]


def test_tables_have_captions_and_heads(page):
    assert len(page.of("table")) == len(page.of("caption"))
    assert all(head.get("scope") == "col" for head in page.of("th"))


def test_the_boundary_of_the_page_is_that_of_the_analysis(page):
    diagram = phase_diagram(planted(), "weight_decay", "lr_over_batch")
    pd.testing.assert_frame_equal(page.csv("boundary.csv"), diagram.boundary, check_dtype=False)
    assert len(page.csv("cells.csv")) == len(diagram.cells)
    assert "crosses 6 of 6 rows" in page.text
    exponents = page.csv("exponents.csv")
    assert exponents["exponent"].between(-0.6, -0.4).all()


def test_what_was_run_is_told(page):
    axes = page.csv("axes.csv").set_index("parameter")["values"].to_dict()
    assert axes == {"weight_decay": 8, "lr_over_batch": 3, "width": 2, "replicate": 5}
    fixed = page.csv("fixed.csv").set_index("parameter")["value"]
    assert fixed["batch_size"] == "32"
    assert fixed["learning_rate"].startswith("follows from the axes")
    machines = page.csv("machines.csv")
    assert machines[["device", "trials", "seconds"]].to_numpy().tolist() == [["cpu", 240, 120.0]]
    assert "240 of 240 planned trials are recorded: all ok." in page.text
    assert "/sweeps/planted: 2 min of training." in page.text
    assert "<script>alert(1)</script> & more" in page.text


def test_a_sound_sweep_has_no_warnings_but_that_of_its_replicates():
    assert about_trials(planted(10), 480) == []


@pytest.mark.parametrize(
    ("changed", "planned", "message"),
    [
        ({}, 300, "60 of 300 planned trials are missing"),
        ({"status": "failed"}, 240, "240 of 240 trials failed"),
        ({"status": "diverged"}, 240, "240 of 240 trials diverged"),
        ({"converged": False}, 240, "240 of 240 trials (100.0%) have not converged"),
        ({"converged": pd.NA}, 240, "Whether 240 trials have converged is not known"),
        ({"optimizer": "adamw"}, 240, "must not be compared with a threshold γ_c"),
        ({"git_commit": "abc-dirty"}, 240, "uncommitted changes"),
    ],
)  # fmt: skip
def test_warnings_name_what_is_wrong(changed, planned, message):
    frame = planted(5).assign(**changed)
    frame["converged"] = frame["converged"].astype("boolean")
    assert any(message in warning.text for warning in about_trials(frame, planned))


@pytest.mark.parametrize(
    ("replicates", "message"), [(2, "too few for an interval"), (4, "Only 4 replicates")]
)
def test_few_replicates_are_warned_of(replicates, message):
    (warning,) = about_trials(planted(replicates), 0)
    assert message in warning.text


def test_a_front_of_training_time_is_told_from_a_boundary():
    frame = planted()
    frame["converged"] = ~frame["weight_decay"].between(0.05, 0.2)
    text = Page(report(sweep(frame))).text
    assert "6 of 6 boundary points lie beside unconverged cells" in text
    assert "6 of 6 boundary points" not in Page(report(sweep(planted()))).text


def front():
    """Trials that have not converged on both sides of the boundary."""
    frame = planted(4)
    frame["converged"] = ~frame["weight_decay"].between(0.05, 0.2)
    return frame


@pytest.mark.parametrize(
    ("trials", "planned", "gravest"),
    [
        (planted(4), 192, "gravest: Only 4 replicates"),
        (planted(2).assign(git_commit="abc-dirty"), 96, "gravest: 2 replicates: too few for an interval"),
        (planted(4).assign(git_commit="abc-dirty"), 200, "gravest: 8 of 200 planned trials are missing"),
        (planted(2).assign(status=["failed"] + 95 * ["ok"]), 96, "gravest: 1 of 96 trials failed"),
        (front(), 200, "6 of 6 boundary points lie beside unconverged cells"),
        (front().assign(degree_normalized=np.nan), 200, "No trial has a value of degree of symmetry"),
        (front().assign(degree_normalized=np.nan, neuron_count=np.nan), 200, "There is no diagram and no"),
    ],
)  # fmt: skip
def test_the_gravest_warning_stands_in_what_is_never_folded(trials, planned, gravest):
    page = report(sweep(trials, planned))
    (shown,) = re.findall(r'<p class="gravest">(.*?)</p>', page)
    assert gravest in re.sub(r"<.*?>", "", shown)
    listed = page[page.index('id="warnings"') :].partition("</details>")[0].count("<li>")
    assert f">{listed} warnings</a>" in shown


def test_the_verdict_tells_states_boundary_and_how_sure_it_is():
    trials = planted().assign(status=3 * ["failed"] + 2 * ["diverged"] + 235 * ["ok"])
    recounts = Recounts(frames={"halved": planted(), "doubled": planted()})
    page = report(replace(sweep(trials, 250), recounts=recounts))
    (verdict,) = re.findall(r'<p class="verdict" id="verdict">(.*?)</p>', page)
    verdict = re.sub(r"</?strong>", "", verdict)
    assert verdict.startswith(
        "240 of 250 planned trials are recorded: 235 ok, 2 diverged, 3 failed. The boundary degree of "
        "symmetry / maximum = 0.5 crosses 6 of 6 rows, at weight decay"
    )
    assert "95\u00a0% interval typically ±" in verdict
    assert "table against the threshold ε, the level" in verdict
    assert verdict.endswith("Whether longer training moves it was not tried.")


def test_the_verdict_knows_that_trials_were_trained_for_longer():
    last = planted(4).assign(steps=2000)
    every = pd.concat([planted(4).assign(steps=1000), last], ignore_index=True)
    launches = Launches(sources={}, lengths=[("steps", 1000.0)], factors=[2.0]).plain()
    every.attrs[LAUNCHES] = launches
    page = report(replace(sweep(every[every["steps"] == 2000]), shorter=every))
    (verdict,) = re.findall(r'<p class="verdict" id="verdict">(.*?)</p>', page)
    assert re.search(r"[^T] [Ss]table against [\w ,]*the length of training\.", verdict)
    assert "was not tried" not in verdict


def counts(axes):
    return {name: len(values) for name, values in axes.items()}


def test_axes_are_what_varies_on_its_own():
    assert counts(axes_of(planted())) == {"weight_decay": 8, "lr_over_batch": 3, "width": 2}


def test_what_was_measured_is_no_axis():
    """`load_trials` adds columns that are in no file; they vary from cell to cell as an axis does."""
    frame = planted()
    frame["degree_per_neuron"] = frame["degree_normalized"] * 15 / 16
    frame["degree_of_breaking"] = np.round(15 * (1 - frame["degree_normalized"]))
    frame["breaking_normalized"] = 1 - frame["degree_normalized"]
    frame.loc[0, ["degree_per_neuron", "degree_of_breaking", "breaking_normalized"]] = np.nan
    assert counts(axes_of(frame)) == {"weight_decay": 8, "lr_over_batch": 3, "width": 2}
    assert set(Page(report(sweep(frame))).csv("fixed.csv")["parameter"]).isdisjoint(
        ("degree_per_neuron", "degree_of_breaking", "breaking_normalized")
    )


def test_a_count_that_allows_no_fit_is_told_with_the_reason():
    page = Page(report(sweep(planted().assign(neuron_count=15.0))))
    assert "Scaling: distinct living neurons against weight decay" in page.text
    assert "no fit could be made; a table tells why" in page.text
    assert page.csv("refusals.csv")["reason"].str.contains("a fit needs 3").all()


def test_no_law_is_fitted_unasked_to_less_than_a_decade():
    """Nobody asked for it, and of it nothing could be learned: no fit, no warnings of one."""
    frame = planted()
    near = frame[frame["weight_decay"].between(0.0099, 0.09)]
    assert 3 <= near["weight_decay"].nunique() < frame["weight_decay"].nunique()
    near = near.assign(neuron_count=np.round(1 / near["weight_decay"] ** 0.5))
    page = Page(report(sweep(near)))
    assert "no fit could be made; a table tells why" in page.text
    assert (
        page.csv("refusals.csv")["reason"].str.contains("below one an exponent says little about a law").all()
    )
    assert "left out of the fit" not in page.text


def test_what_two_parts_say_alike_is_told_once():
    one, other = Warned("Of both."), Warned("Of the second.", Gravity.UNSURE)
    given = Warnings.of({"a": [one], "b": [one, other], "c": [one]})
    assert given.parts == {"a": (one,), "b": (other,)}
    assert given.count == 2


def test_the_diagram_spans_the_axes_of_most_values_and_stays_small():
    choice = choose(planted())
    assert (choice.x, choice.y, choice.facets, choice.held) == (
        "weight_decay",
        "lr_over_batch",
        ("width",),
        {},
    )
    choice = choose(planted(), x="width")
    assert (choice.x, choice.y, choice.facets) == ("width", "weight_decay", ("lr_over_batch",))
    together = planted().assign(init_scale=lambda f: 2 * f["weight_decay"])
    choice = choose(together, x="init_scale")
    assert (choice.x, choice.y, choice.facets) == ("init_scale", "lr_over_batch", ("width",))
    frames = [planted(1).assign(label_noise=n, init_scale=s) for n in range(5) for s in range(7)]
    many = pd.concat(frames)
    choice = choose(many)
    assert {choice.x, choice.y} == {"weight_decay", "init_scale"}
    assert many.groupby(list(choice.facets)).ngroups <= MOST_PANELS
    shown = choice.of(many)
    assert 0 < len(shown) < len(many)
    assert all(shown[name].nunique() == 1 for name in choice.held)


@pytest.mark.parametrize("axis", [["weight_decay"], []])
def test_sweeps_of_fewer_axes_have_a_report(axis):
    frame = planted()
    keep = {"weight_decay": 0.01, "lr_over_batch": 1e-3, "width": 16}
    for name, value in keep.items():
        if name not in axis:
            frame = frame[np.isclose(frame[name], value)]
    page = Page(report(sweep(frame)))
    assert not page.open
    assert bool(page.of("img")) == bool(axis)


def test_failed_trials_are_told_with_their_errors():
    frame = planted().assign(status="failed", error="RuntimeError: <b>boom</b>", degree_normalized=np.nan)
    page = Page(report(sweep(frame)))
    errors = page.csv("errors.csv")
    assert errors[["error", "trials"]].to_numpy().tolist() == [["RuntimeError: <b>boom</b>", 240]]
    assert not page.of("b")


@pytest.mark.parametrize(
    ("options", "message"), [({"x": "weigt_decay"}, "weight_decay"), ({"order": "rnk"}, "rnk")]
)
def test_unknown_columns_are_refused(options, message):
    with pytest.raises(AnalysisError, match=message):
        report(sweep(planted()), **options)


def test_an_empty_sweep_is_refused():
    with pytest.raises(AnalysisError, match="no trials"):
        report(sweep(planted().head(0)))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0042, "4.2 ms"), (1, "1 s"), (90, "90 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_durations_are_told_in_their_unit(seconds, text):
    assert duration(seconds) == text
