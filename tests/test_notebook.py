"""phasediag in a notebook of Jupyter: what TAB offers, what a cell shows, and a diagram that fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import phasediag
from phasediag.errors import PhasediagError
from phasediag.notebook import LiveDiagram
from phasediag.storage.store import Store
from phasediag.sweeps.filling import filling
from small_sweeps import SIXTEENS, grid_text, launched

GRID = {
    "name": "g",
    "fixed": {**SIXTEENS, "steps": 4},
    "axes": {"weight_decay": [1e-3, 0.03, 1.0], "init_scale": [0.1, 1.0]},
    "replicates": 3,
    "resources": {"trials_per_pack": 9},
}
CELLS = (
    "import phasediag, json\nfrom IPython.core.completer import provisionalcompleter",
    """
def offered(text):
    completer = get_ipython().Completer
    with provisionalcompleter():
        return sorted({each.text for each in completer.completions(text, len(text))} - {"__version__"})

print(json.dumps(offered("phasediag.")))
""",
    "live = phasediag.LiveDiagram('g', x='weight_decay', y='init_scale', title='filling')\nlive.show();",
    f"""
outcome = phasediag.launch({GRID!r}, storage=".", executor="inline", compile="off", observer=live)
""",
    "live.follow()",
    """
trials = phasediag.load_trials("g")
diagram = phasediag.phase_diagram(trials, x="weight_decay", y="init_scale")
diagram
""",
    'print(json.dumps([name for name in offered("diagram.") if name.startswith(("_", "figure"))]))',
)


def test_a_notebook_of_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, public, live, _, followed, shown, private = (cell.outputs for cell in notebook.cells)
    assert public[0]["text"].strip() == str(sorted(phasediag.__all__)).replace("'", '"')
    (filled,) = live
    assert filled["data"]["text/plain"].startswith("18/18 trials, 0 failed, complete")
    assert "data:image/png;base64,iVBORw0KGgo" in filled["data"]["text/html"]
    assert not [output for output in followed if output.output_type == "execute_result"]
    (result,) = shown
    trials = phasediag.load_trials(str(tmp_path / "g"))
    summary = phasediag.phase_diagram(trials, x="weight_decay", y="init_scale").summary()
    assert result["data"]["text/plain"] == summary
    assert "<img" in result["data"]["text/html"]
    assert private[0]["text"].strip() == "[]"


class Screen:
    """What was shown in one place."""

    def __init__(self) -> None:
        self.contents: list[dict[str, str]] = []

    def display(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Screen:
        assert raw
        assert display_id
        self.contents.append(content)
        return self

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        self.contents.append(content)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    shown = Screen()
    monkeypatch.setattr("IPython.display.display", shown.display)
    monkeypatch.setattr("IPython.get_ipython", object)
    return shown


def test_cells_to_come_are_missing_until_they_are_trained(tmp_path: Path, screen: Screen) -> None:
    live = LiveDiagram(tmp_path / "g", x="weight_decay", y="width")
    assert live.show() is None
    assert "was not launched yet" in screen.contents[-1]["text/plain"]
    axes = {"weight_decay": "[0.001, 0.1]", "width": "[16]"}
    launched(tmp_path, grid_text(axes, {"steps": 4}, replicates=3))
    store = Store.at(tmp_path / "g")
    wider = grid_text(axes | {"width": "[16, 32]"}, {"steps": 4}, replicates=3)
    store.save_grid(wider)
    status = live.show()
    assert status is not None
    assert (status.done, status.missing) == (6, 6)
    assert screen.contents[-1]["text/plain"].startswith("6/12 trials, 0 failed, no launch is running")
    assert "<img" in screen.contents[-1]["text/html"]
    trials = filling(store, ("weight_decay", "width", "degree_normalized")).trials
    cells = phasediag.phase_diagram(trials, x="weight_decay", y="width").cells
    assert set(cells.loc[cells["width"] == 32, "phase"]) == {"missing"}
    assert "missing" not in set(cells.loc[cells["width"] == 16, "phase"])
    launched(tmp_path, wider, observer=live)
    assert screen.contents[-1]["text/plain"].startswith("12/12 trials, 0 failed, complete")


def test_what_cannot_be_drawn_is_said_and_does_not_end_a_launch(tmp_path: Path, screen: Screen) -> None:
    live = LiveDiagram(tmp_path / "g", x="weight_dcay")
    text = grid_text({"weight_decay": "[0.001, 0.1]"}, {"steps": 4})
    assert launched(tmp_path, text, observer=live).exit_code == 0
    assert "did you mean 'weight_decay'?" in screen.contents[-1]["text/plain"]
    assert "<img" not in screen.contents[-1]["text/html"]


def test_outside_of_a_notebook_it_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LiveDiagram(tmp_path / "g", x="weight_decay").show()
    assert capsys.readouterr().err == f"{tmp_path / 'g'} was not launched yet\n"


def test_without_ipython_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasediag.notebook.find_spec", lambda name: None)
    with pytest.raises(PhasediagError, match=r"pip install 'phasediag\[notebooks\]'"):
        LiveDiagram("g", x="weight_decay")


def test_names_of_the_package_are_those_that_it_exports() -> None:
    assert dir(phasediag) == sorted([*phasediag.__all__, "__version__"])
