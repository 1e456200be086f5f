"""Whether trials have converged, at another threshold: as if they had been recorded at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import phasediag
from phasediag.analysis.frames import CarriedWarning
from phasediag.analysis.rejudged import FLAGS, _alike
from small_sweeps import grid_text, launched

CUT = {"absolute": 0.01, "relative": 0.4}
AXES = {"weight_decay": [0.0, 0.3, 0.6, 2.0], "width": [16, 1]}
FIXED = {"steps": 350, "learning_rate": 0.1, "outputs": 2, "inputs": 2}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trials recorded at the default threshold (`one`) and at another (`other`)."""
    folder = tmp_path_factory.mktemp("rejudged")
    for name, threshold in (("one", {}), ("other", {"threshold": CUT})):
        measure = {"observables": ["rank", "double_rotation"], **threshold}
        launched(folder, grid_text(AXES, FIXED, name=name, replicates=2, measure=measure))
    return folder


def test_the_flags_at_another_threshold_are_those_recorded_at_it(swept: Path) -> None:
    """Before, all were null, so that a fit refused every trial and a diagram took every trial."""
    trials = phasediag.load_trials(swept / "one", threshold=CUT)
    expected = phasediag.load_trials(swept / "other")
    columns = ["drift", *FLAGS]
    pd.testing.assert_frame_equal(trials[columns], expected[columns])
    as_recorded = phasediag.load_trials(swept / "one")
    assert (as_recorded["unsettled"] != trials["unsettled"]).any()
    assert trials["converged"].any()
    assert not trials["converged"].all()
    back = phasediag.load_trials(swept / "other", threshold={"absolute": 1e-3, "relative": 0.05})
    pd.testing.assert_frame_equal(back[columns], as_recorded[columns])


def test_what_a_diagram_says_of_convergence_survives_another_threshold(swept: Path) -> None:
    trials = phasediag.load_trials(swept / "one", threshold=CUT)
    wide = trials[trials["width"] > 1]
    diagram = phasediag.phase_diagram(wide, x="weight_decay", y="replicate")
    assert 0 < (~wide["converged"]).sum() == (diagram.cells["unconverged_share"] > 0).sum()
    assert diagram.convergence_unknown == 0


def test_a_sweep_recorded_before_keeps_its_flags_and_says_so() -> None:
    sweep = Path(__file__).parents[1] / "recorded" / "sweeps" / "recorded"
    with pytest.warns(CarriedWarning, match="is what was recorded, at their own threshold"):
        trials = phasediag.load_trials(sweep, threshold=CUT)
    recorded = phasediag.load_trials(sweep)
    assert recorded["converged"].notna().any()
    pd.testing.assert_series_equal(trials["converged"], recorded["converged"])
    assert trials["count_converged"].isna().all()


def test_flags_do_not_depend_on_how_many_are_judged_at_once(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = phasediag.load_trials(swept / "one", threshold=CUT)
    monkeypatch.setattr("phasediag.analysis.rejudged.AT_ONCE", 1)
    pd.testing.assert_frame_equal(phasediag.load_trials(swept / "one", threshold=CUT), together)


def test_trials_of_equal_layers_are_judged_together_and_no_others() -> None:
    lengths = np.random.default_rng(0).integers(-1, 3, (60, 4))
    lengths[:, 2] = -1
    rows = np.arange(0, 60, 2)
    together = [tuple(part) for part in _alike(lengths, rows)]
    expected: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        expected.setdefault(tuple(lengths[row]), []).append(row)
    assert sorted(together) == sorted(map(tuple, expected.values()))
    assert not list(_alike(lengths, rows[:0]))
