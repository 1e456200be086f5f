"""`--set`: what is set is what is read, and the text of the grid says it; faults name the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.errors import GridError, PhasediagError
from phasediag.grids.grid import parse_grid, read_grid
from phasediag.grids.nodes import Report, parse_mapping
from phasediag.grids.settings import parse_setting, with_settings

TEXT = """\
# A comment that stays.
name: g
fixed:
  task: teacher_student
  steps: 10
  width: 8
axes:
  weight_decay: {logspace: [1e-2, 1], num: 3}
replicates: 2
"""


def content(*settings: str, text: str = TEXT) -> dict[str, Any]:
    """The plain content of a grid with settings."""
    changed = with_settings(text, Report("grid.yaml"), [parse_setting(each) for each in settings])
    plain: dict[str, Any] = parse_mapping(changed.text, Report("changed")).plain
    return plain


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("steps=40", {"fixed": {"steps": 40}}),
        ("weight_decay=0.5", {"axes": {"weight_decay": [0.5]}}),
        ("weight_decay=[0.5, 1e-3]", {"axes": {"weight_decay": [0.5, 1e-3]}}),
        ("weight_decay={arange: [1, 3, 1]}", {"axes": {"weight_decay": {"arange": [1, 3, 1]}}}),
        ("replicates=5", {"replicates": 5}),
        ("name=other", {"name": "other"}),
        ("measure.every=7", {"measure": {"every": 7}}),
        ("label_noise=0.1", {"fixed": {"label_noise": 0.1}}),
    ],
)  # fmt: skip
def test_a_key_is_set_where_it_stands(setting: str, expected: dict[str, Any]) -> None:
    plain, before = content(setting), parse_mapping(TEXT, Report("grid")).plain
    for key, value in expected.items():
        if isinstance(value, dict):
            assert plain[key].items() >= value.items()
            assert {k: v for k, v in plain[key].items() if k not in value} == {
                k: v for k, v in before.get(key, {}).items() if k not in value
            }
        else:
            assert plain[key] == value
    assert {k: v for k, v in plain.items() if k not in expected} == {
        k: v for k, v in before.items() if k not in expected
    }


def test_a_parameter_moves_between_fixed_and_axes_and_can_be_taken_out() -> None:
    moved = content("axes.width=[8, 16]")
    assert moved["axes"]["width"] == [8, 16]
    assert "width" not in moved["fixed"]
    fixed = content("fixed.weight_decay=0.1")
    assert "axes" not in fixed
    assert fixed["fixed"]["weight_decay"] == 0.1
    longer = content("steps=", "learning_time=3")
    assert "steps" not in longer["fixed"]
    assert longer["fixed"]["learning_time"] == 3


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=5, unique=True), st.integers(-(10**15), 10**15))
def test_numbers_come_back_exactly(values: list[float], seed: int) -> None:
    plain = content(f"weight_decay={values!r}", f"seed={seed}")
    assert plain["axes"]["weight_decay"] == values
    assert plain["seed"] == seed


def test_trials_are_those_of_a_file_that_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(TEXT)
    said = TEXT.replace("steps: 10", "steps: 40").replace("replicates: 2", "replicates: 3")
    settings = [parse_setting(each) for each in ("steps=40", "replicates=3")]
    grid = read_grid(tmp_path / "grid.yaml", settings)
    written = parse_grid(said, tmp_path / "other.yaml")
    assert grid.trials().trial_id.tolist() == written.trials().trial_id.tolist()
    again = parse_grid(grid.text, tmp_path / "kept.yaml")
    assert again.trials().trial_id.tolist() == written.trials().trial_id.tolist()
    assert grid.text.startswith("# A comment that stays.\n# --set steps=40 --set replicates=3\n")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("steps", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
        ("steps=[1", "'[1' is no value"),
        ("steps=1\nname: other", "is no value"),
        ("mesure.every=3", "did you mean 'measure'?"),
        ("fixed.steps.more=3", "steps is no mapping"),
        ("label_noise=", "the grid has no fixed.label_noise"),
    ],
)
def test_what_is_no_setting_is_refused(setting: str, said: str) -> None:
    with pytest.raises(PhasediagError, match="--set ") as caught:
        content(setting)
    assert said in str(caught.value)


def test_faults_name_the_setting_or_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(TEXT.replace("width: 8", "widht: 8"))
    with pytest.raises(GridError) as caught:
        read_grid(path, [parse_setting("steps=many"), parse_setting("batch_size=16")])
    places = [(fault.where, fault.key) for fault in caught.value.faults]
    assert places == [("--set steps=many", "fixed.steps"), (f"{path}:6", "fixed.widht")] or places == [
        (f"{path}:6", "fixed.widht"), ("--set steps=many", "fixed.steps"),
    ]  # fmt: skip
