"""A grid given as a dictionary is the grid of the file that says the same, with faults told by its keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasediag
from phasediag.errors import GridError
from phasediag.grids.grid import parse_grid, read_grid
from phasediag.grids.settings import parse_setting
from phasediag.storage.store import Store
from small_sweeps import SIXTEENS, grid_text

FIXED = {**SIXTEENS, "steps": 4}
AXES = {"weight_decay": [1e-3, 0.1], "init_scale": [0.5, 1.0]}


def mapping(**more: Any) -> dict[str, Any]:
    """The grid of `grid_text(AXES, FIXED, replicates=2)`, with other keys of the top level."""
    return {"name": "g", "fixed": FIXED, "axes": AXES, "replicates": 2, **more}


def test_it_means_what_the_file_means_in_the_same_order() -> None:
    asked = read_grid(mapping())
    written = parse_grid(grid_text(AXES, FIXED, replicates=2), Path("grid.yaml"))
    assert asked.trials().trial_id.tolist() == written.trials().trial_id.tolist()
    assert list(asked.axes) == list(AXES)
    again = parse_grid(asked.text, Path("kept.yaml"))
    assert again.trials().trial_id.tolist() == written.trials().trial_id.tolist()


def test_settings_leave_axes_in_their_order(tmp_path: Path) -> None:
    changed = read_grid(mapping(), [parse_setting("steps=5")])
    assert list(changed.axes) == list(AXES)
    assert changed.fixed["steps"] == 5
    (tmp_path / "grid.yaml").write_text(grid_text(AXES, FIXED, replicates=2))
    of_file = read_grid(tmp_path / "grid.yaml", [parse_setting("steps=5")])
    assert list(of_file.axes) == list(AXES)


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=5, unique=True), st.integers(-(10**15), 10**15))
def test_numbers_come_through_exactly(values: list[float], seed: int) -> None:
    rounded = tuple(float(f"{value:.12g}") for value in values)
    if len(set(rounded)) < len(rounded):
        return
    for given_values in (values, tuple(values), np.array(values)):
        grid = read_grid(mapping(axes={"weight_decay": given_values}, seed=np.int64(seed)))
        assert grid.axes["weight_decay"] == rounded
        assert grid.seed == seed


def test_text_stays_text() -> None:
    with pytest.raises(GridError, match="'1e-3'"):
        read_grid(mapping(axes={"weight_decay": ["1e-3"]}))
    with pytest.raises(GridError, match="'true'"):
        read_grid(mapping(replicates="true"))


@pytest.mark.parametrize(
    ("grid", "faults"),
    [
        (mapping(fixed={**FIXED, "widht": 8}), {"fixed.widht": "did you mean 'width'?"}),
        (mapping(axes={"depth": [2, 0]}), {"axes.depth": "0 is not allowed"}),
        (mapping(mesure={}), {"mesure": "did you mean 'measure'?"}),
        (mapping(axes={"width": [8, 16]}), {"axes.width": "stands in fixed and in axes;"}),
        (mapping(fixed={**FIXED, "model": Path}), {"fixed.model": "my_file.py:Class"}),
        (
            mapping(axes={"width": {8, 16}}, exclude=[b"x"]),
            {"axes.width": "is nothing", "exclude[0]": "is n"},
        ),
        (mapping(axes={"weight_decay": [np.nan]}), {"axes.weight_decay": "nan"}),
        ({"name": "g", 3: 4}, {"grid": "3 is no key"}),
        ({}, {"name": "is missing", "fixed.task": "is missing"}),
    ],
)
def test_faults_name_their_keys_and_no_lines(grid: dict[Any, Any], faults: dict[str, str]) -> None:
    with pytest.raises(GridError) as caught:
        read_grid(grid)
    sentences = {fault.key: str(fault) for fault in caught.value.faults}
    assert sentences.keys() == faults.keys()
    for key, words in faults.items():
        assert sentences[key].startswith(f"grid: {key}: ")
        assert words in sentences[key]
        assert not re.search(r"\blines? \d|yaml:", sentences[key])


def test_a_fault_of_a_setting_of_a_dictionary_names_the_setting_or_the_key() -> None:
    with pytest.raises(GridError) as caught:
        read_grid(mapping(fixed={**FIXED, "widht": 8}), [parse_setting("steps=many")])
    places = {(fault.where, fault.key) for fault in caught.value.faults}
    assert places == {("--set steps=many", "fixed.steps"), ("grid", "fixed.widht")}


def test_it_is_planned_launched_and_kept(tmp_path: Path) -> None:
    storage = str(tmp_path)
    planned = phasediag.plan(mapping(), storage)
    assert len(planned.survey.missing) == 8
    counts, warning, note = repr(planned).splitlines()
    assert counts.startswith("g: 8 trials at 4 points; 0 done, 0 failed, 8 missing; about ")
    assert warning.startswith("warning: 8 of 8 trials train for fewer than 10 relaxation times")
    assert note.startswith("note: within these steps 10 of them take weight_decay >= ")
    outcome = phasediag.launch(mapping(), storage, executor="inline", compile="off")
    assert repr(outcome).startswith("8 of 8 trials done (0 diverged), 0 failed, 0 missing; 8 trained in ")
    assert (outcome.trained, outcome.exit_code) == (8, 0)
    again = phasediag.launch(mapping(), storage, executor="inline", compile="off")
    assert again.trained == 0
    ((_, text),) = Store.at(tmp_path / "g").grids()
    assert text.startswith("# Given in Python.\n")
    more = mapping(replicates=3)
    assert phasediag.launch(more, storage, executor="inline", compile="off").trained == 4
