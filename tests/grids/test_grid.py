from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broken_grids import BROKEN, EXAMPLE, small
from phasediag.errors import Fault, GridError
from phasediag.grids.grid import Grid, parse_grid, read_grid
from phasediag.grids.measure import ObservableRequest
from properties import examples

PATH = Path("grid.yaml")

TOY_MODEL = """\
class Toy:
    {extra}
    def __init__(self, amount: int = 3, mode: str = "a", rows: int = 10): ...
"""


def parse(text: str, folder: Path | None = None) -> Grid:
    return parse_grid(text, PATH, folder)


def faults(text: str, folder: Path | None = None) -> GridError:
    with pytest.raises(GridError) as caught:
        parse(text, folder)
    return caught.value


def rows(grid: Grid, *names: str) -> list[tuple[Any, ...]]:
    trials = grid.trials()
    return [tuple(trials.record(row)[name] for name in names) for row in range(len(trials))]


def test_the_example_of_the_design_is_a_product() -> None:
    grid = parse(EXAMPLE)
    trials = grid.trials()
    assert len(trials) == grid.trial_count == 16 * 12 * 2 * 4
    assert list(grid.axes) == ["weight_decay", "lr_over_batch", "width"]
    assert len(set(trials.point_id)) == 16 * 12 * 2
    assert len(set(trials.trial_id)) == len(trials)
    assert list(trials.columns) == list(grid.parameters)
    record = trials.record(0)
    assert record["lr_over_batch"] == 3e-4
    assert record["learning_rate"] == pytest.approx(3e-4 * 32, rel=1e-12)
    assert record["learning_time"] == pytest.approx(3e-4 * 32 * 20000, rel=1e-12)
    assert record["noise"] == "quenched"
    assert (grid.measure.every, grid.measure.distances, grid.measure.layer) == (5000, "last", "hidden.1")
    assert grid.measure.threshold.absolute == 1e-3
    assert grid.resources.trials_per_pack == "auto"
    assert grid.text == EXAMPLE


def test_defaults_of_a_grid_that_says_almost_nothing() -> None:
    grid = parse("name: g\nfixed: {task: teacher_student}\naxes:\nzip:\nmeasure:\n")
    assert rows(grid, "model", "batch_size", "learning_rate") == [("mlp", 32, 0.05)]
    assert [(o.observable, o.layer) for o in grid.measure.observables] == [
        ("permutation", "hidden.1"), ("sign_flip", "hidden.1"), ("classes", "hidden.1"),
    ]  # fmt: skip
    assert (grid.measure.every, grid.measure.distances) == (None, "last")


def test_observables_of_other_layers_are_added_and_none_is_repeated() -> None:
    observables = "[rank, permutation, {observable: rank, layer: hidden.1}]"
    rest = f"measure:\n  layer: hidden.2\n  observables: {observables}\n"
    measure = parse(small(rest=rest)).measure
    assert len(measure.observables) == len(set(measure.observables)) == 5
    assert ObservableRequest(observable="classes", layer="hidden.2") in measure.observables
    assert set(measure.observables[3:]) == {
        ObservableRequest(observable="rank", layer="hidden.2"),
        ObservableRequest(observable="rank", layer="hidden.1"),
    }


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_grid_is_refused_with_place_key_and_hint(case: str, tmp_path: Path) -> None:
    text, line, key, hint = BROKEN[case]
    error = faults(text, tmp_path)
    matching = [fault for fault in error.faults if hint in str(fault)]
    assert [(fault.where, fault.key) for fault in matching] == [(f"grid.yaml:{line}", key)], str(error)
    assert len(error.faults) == 1, str(error)
    assert matching[0].remedy
    assert error.exit_code == 2


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        "name: G!\nfixed:\n  task: teacher_student\n  stps: 3\n  width: -1\n  momentum: 2\n"
        "axes:\n  depth: [2, 2]\nreplicates: 0\nmeasure: {every: -1, layr: x}\nresources: {gpus: -1}\n"
    )
    error = faults(text)
    keys = [fault.key for fault in error.faults]
    assert keys == [
        "name", "fixed.stps", "fixed.width", "fixed.momentum", "axes.depth", "replicates",
        "measure.every", "measure.layr", "resources.gpus",
    ]  # fmt: skip
    assert len(str(error).splitlines()) == len(keys)


def test_several_impossible_combinations_are_told_at_once() -> None:
    text = small("optimizer: adam\nmomentum: 0.5\nnoise: quenched\nsamples: 0", rest="measure: {every: x}\n")
    assert {f.key for f in faults(text).faults} == {"fixed.momentum", "fixed.noise", "measure.every"}


def test_an_unreadable_file_is_a_fault(tmp_path: Path) -> None:
    for name in ("missing.yaml", "."):
        with pytest.raises(GridError, match="cannot be read"):
            read_grid(tmp_path / name)
    (tmp_path / "latin.yaml").write_bytes(b"name: g\n# \xe9\n")
    with pytest.raises(GridError, match=r"latin\.yaml:2: file: is not UTF-8"):
        read_grid(tmp_path / "latin.yaml")


def test_yaml_is_version_1_2() -> None:
    text = small("learning_rate: 1e-4\nsteps: 1e4\ndata_seed: 012", "bias: [true, FALSE]")
    assert rows(parse(text), "learning_rate", "steps", "data_seed", "bias")[0] == (1e-4, 10000, 12, True)
    assert faults(small("activation: no")).faults[0].problem.startswith("'no' is not allowed")


@settings(max_examples=examples(25))
@given(
    widths=st.sets(st.integers(1, 50), min_size=1, max_size=4),
    decays=st.sets(st.floats(0, 10).map(lambda x: float(f"{x:.6g}")), min_size=1, max_size=4),
    depths=st.sets(st.integers(1, 5), min_size=1, max_size=3),
    replicates=st.integers(1, 4),
)
def test_the_axes_expand_to_their_product(
    widths: set[int], decays: set[float], depths: set[int], replicates: int
) -> None:
    axes = f"width: {list(widths)}\nweight_decay: {list(decays)}\ndepth: {list(depths)}"
    grid = parse(small(axes=axes, rest=f"replicates: {replicates}\n"))
    expected = [point for point in product(widths, decays, depths) for _ in range(replicates)]
    assert rows(grid, "width", "weight_decay", "depth") == expected
    trials = grid.trials()
    assert trials.replicate.tolist() == list(range(replicates)) * (len(expected) // replicates)


def test_replicates_share_their_point_and_have_their_own_seed() -> None:
    trials = parse(small(axes="width: [1, 2, 3]", rest="replicates: 4\n")).trials()
    by_point: dict[str, set[int]] = {}
    for point, seed in zip(trials.point_id, trials.seed.tolist(), strict=True):
        by_point.setdefault(point, set()).add(seed)
    assert len(by_point) == 3
    assert all(len(seeds) == 4 for seeds in by_point.values())
    assert len(set.union(*by_point.values())) == 4


def test_extending_a_grid_keeps_the_old_trials() -> None:
    old = set(parse(small(axes="width: [1, 2]\nweight_decay: {linspace: [0, 1], num: 3}")).trials().trial_id)
    axes = "weight_decay: {linspace: [0, 1], num: 5}\nwidth: [1, 2, 3]"
    new = set(parse(small(axes=axes, rest="replicates: 2\n")).trials().trial_id)
    assert old < new
    assert len(old) == 6
    assert len(new) == 30


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("weight_decay: {values: [0.5, 0.25]}", [0.5, 0.25]),
        ("weight_decay: {linspace: [0, 1], num: 5}", [0, 0.25, 0.5, 0.75, 1]),
        ("weight_decay: {logspace: [0.01, 100], num: 5}", [0.01, 0.1, 1, 10, 100]),
        ("weight_decay: {linspace: [2, 2], num: 1}", [2]),
        ("weight_decay: {arange: [0, 0.3, 0.1]}", [0, 0.1, 0.2]),
        ("weight_decay: {arange: [1, 0, -0.4]}", [1, 0.6, 0.2]),
        ("width: {logspace: [16, 256], num: 5}", [16, 32, 64, 128, 256]),
        ("width: {arange: [1, 6, 2]}", [1, 3, 5]),
        ("weight_decay: [0, -0.0e+1, 1]", None),
        ("activation: [tanh, relu]", ["tanh", "relu"]),
        (
            "layer_rates: {product: [[1, 2], {linspace: [0.1, 0.2], num: 2}]}",
            [(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)],
        ),
    ],
)
def test_forms_of_an_axis(axis: str, expected: list[Any] | None) -> None:
    if expected is None:
        assert "stands twice" in str(faults(small(axes=axis)))
        return
    grid = parse(small(axes=axis))
    name = axis.partition(":")[0]
    assert [row[0] for row in rows(grid, name)] == expected
    assert grid.axes[name] == tuple(expected)
    assert {type(value) for value in grid.axes[name]} == {
        "width": {int}, "activation": {str}, "weight_decay": {float}, "layer_rates": {tuple},
    }[name]  # fmt: skip


def test_a_list_valued_parameter_as_an_axis() -> None:
    text = "name: g\nfixed: {task: linear_map}\naxes:\n  singular_values: {values: [[1, 0.5], [2]]}\n"
    assert rows(parse(text), "singular_values") == [((1.0, 0.5),), ((2.0,),)]


def test_zipped_axes_move_together() -> None:
    text = small(
        axes="width: [1, 2]\nsteps: [7, 8]\nteacher_width: [3, 4]", rest="zip: [[width, teacher_width]]\n"
    )
    assert rows(parse(text), "width", "teacher_width", "steps") == [
        (1, 3, 7),
        (1, 3, 8),
        (2, 4, 7),
        (2, 4, 8),
    ]


def test_exclude_leaves_out_what_holds_and_hides_impossible_combinations() -> None:
    axes = "width: [1, 2, 3]\nteacher_width: [2, 3]"
    text = small(axes=axes, rest='exclude: ["width < teacher_width", "width == 3 and teacher_width == 3"]\n')
    assert rows(parse(text), "width", "teacher_width") == [(2, 2), (3, 2)]
    axes = "optimizer: [sgd, adam]\nmomentum: [0, 0.5]"
    assert "momentum 0.5" in str(faults(small(axes=axes)))
    text = small(axes=axes, rest="exclude: [\"optimizer == 'adam' and momentum > 0\"]\n")
    assert len(parse(text).trials()) == 3


def test_exclude_sees_derived_values() -> None:
    text = small("batch_size: 10", "lr_over_batch: [0.01, 0.1]", 'exclude: ["learning_rate > 0.5"]\n')
    assert rows(parse(text), "learning_rate") == [(0.1,)]


@settings(max_examples=examples(40))
@given(batch=st.integers(1, 5000), rate=st.floats(1e-6, 10).map(lambda x: float(f"{x:.8g}")))
def test_the_record_holds_rate_batch_and_their_ratio_whichever_is_given(batch: int, rate: float) -> None:
    plain = parse(small(f"learning_rate: {rate!r}\nbatch_size: {batch}")).trials()
    ratio = plain.record(0)["lr_over_batch"]
    assert isinstance(ratio, float)
    assert ratio == pytest.approx(rate / batch, rel=1e-11)
    held_batch = parse(small(f"lr_over_batch: {ratio!r}\nbatch_size: {batch}")).trials().record(0)
    assert held_batch["learning_rate"] == pytest.approx(rate, rel=1e-11)
    assert held_batch["lr_over_batch"] == ratio
    held_rate = small(f"lr_over_batch: {{value: {ratio!r}, hold: learning_rate}}\nlearning_rate: {rate!r}")
    assert parse(held_rate).trials().record(0)["batch_size"] == batch
    assert parse(held_rate).trials().trial_id[0] == plain.trial_id[0]


@pytest.mark.parametrize(
    ("fixed", "temperature"),
    [
        ("task: teacher_student, samples: 200, learning_rate: 0.1, batch_size: 0", 0.0005),
        ("task: hermite, model: hermite, learning_rate: 0.1, batch_size: 0", 0.0),
        ("task: hermite, model: hermite, learning_rate: 0.1, batch_size: 5", 0.02),
        ("task: scalar_linear, learning_rate: 0.1, batch_size: 1", 0.1),
    ],
)
def test_temperature_of_a_full_batch(fixed: str, temperature: float) -> None:
    assert rows(parse(f"name: g\nfixed: {{{fixed}}}\n"), "lr_over_batch") == [(temperature,)]


def test_a_full_batch_and_a_temperature_give_the_rate() -> None:
    text = small("batch_size: 0\nsamples: 200", "lr_over_batch: [0.001, 0.002]")
    assert rows(parse(text), "learning_rate", "lr_over_batch") == [(0.2, 0.001), (0.4, 0.002)]


@settings(max_examples=examples(40))
@given(steps=st.integers(1, 10**7), rate=st.floats(1e-5, 1).map(lambda x: float(f"{x:.6g}")))
def test_learning_time_is_the_inverse_of_steps(steps: int, rate: float) -> None:
    time = parse(small(f"steps: {steps}\nlearning_rate: {rate!r}")).trials().record(0)["learning_time"]
    back = parse(small(f"learning_time: {time!r}\nlearning_rate: {rate!r}")).trials().record(0)
    assert back["steps"] == steps
    assert back["learning_time"] == time


def test_a_broken_learning_time_is_rounded_up() -> None:
    text = small("learning_rate: 0.3", "learning_time: [0.2, 1.0, 300.0]")
    expected = [(max(1, math.ceil(time / 0.3 - 1e-9)),) for time in (0.2, 1.0, 300.0)]
    assert rows(parse(text), "steps") == expected == [(1,), (4,), (1000,)]


@pytest.mark.parametrize(
    ("fixed", "noise"),
    [
        ("task: teacher_student", "quenched"),
        ("task: teacher_student, samples: 0", "fresh"),
        ("task: teacher_student, noise: fresh", "fresh"),
        ("task: scalar_linear", "fresh"),
        ("task: digits", "quenched"),
    ],
)
def test_noise_follows_from_the_data(fixed: str, noise: str) -> None:
    assert rows(parse(f"name: g\nfixed: {{{fixed}}}\n"), "noise") == [(noise,)]


def test_tasks_as_an_axis_leave_what_does_not_apply_empty() -> None:
    axes = "axes: {width: [2, 3], task: [digits, scalar_linear]}\n"
    text = f"name: g\nfixed: {{samples: 50, signal: 0.3}}\n{axes}"
    grid = parse(text)
    assert rows(grid, "width", "task", "samples", "signal") == [
        (2, "digits", 50, None), (2, "scalar_linear", None, 0.3),
        (3, "digits", 50, None), (3, "scalar_linear", None, 0.3),
    ]  # fmt: skip
    alone = parse("name: g\nfixed: {samples: 50, task: digits}\naxes:\n  width: [2, 3]\n").trials()
    assert alone.trial_id.tolist() == grid.trials().trial_id[[0, 2]].tolist()


def test_points_stand_instead_of_axes_or_beside_them() -> None:
    points = "points:\n  - {width: 5, steps: 9}\n  - {width: 2, steps: 9}\n  - {width: 7}\n"
    assert rows(parse(small(rest=points)), "width", "steps") == [(5, 9), (2, 9), (7, 10000)]
    points = "points:\n  - {width: 5, steps: 9}\n  - {width: 2, steps: 8}\n"
    both = small(axes="width: [1, 2]\nsteps: [8]", rest=points + "replicates: 2\n")
    grid = parse(both)
    assert rows(grid, "width", "steps") == [(1, 8), (1, 8), (2, 8), (2, 8), (5, 9), (5, 9)]
    assert grid.trials().replicate.tolist() == [0, 1] * 3


def test_points_from_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {"width": [5, 2, None], "weight_decay": [0.1, 0.1, 0.2], "activation": ["tanh", "relu", "tanh"]}
    )
    pq.write_table(table, tmp_path / "points.parquet")
    grid = parse(small(rest="points: points.parquet\n"), tmp_path)
    expected = [(5, 0.1, "tanh"), (2, 0.1, "relu"), (16, 0.2, "tanh")]
    assert rows(grid, "width", "weight_decay", "activation") == expected
    pq.write_table(table.append_column("wdth", pa.array([1, 2, 3])), tmp_path / "points.parquet")
    error = faults(small(rest="points: points.parquet\n"), tmp_path)
    assert {(f.where, f.key) for f in error.faults} == {("grid.yaml:4", "points.wdth")}


def test_lists_in_parquet_points(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"singular_values": [[1.0, 2.0], [1.0], [1.0, 2.0]], "width": [1, 1, 2]}), tmp_path / "p"
    )
    grid = parse("name: g\nfixed: {task: linear_map}\npoints: p\n", tmp_path)
    assert rows(grid, "singular_values", "width") == [((1.0, 2.0), 1), ((1.0,), 1), ((1.0, 2.0), 2)]


@pytest.fixture
def toy(tmp_path: Path) -> Callable[[str], Path]:
    def write(extra: str) -> Path:
        folder = tmp_path / re.sub(r"\W", "", extra)
        folder.mkdir()
        (folder / "toy.py").write_text(TOY_MODEL.format(extra=extra))
        return folder

    return write


def test_a_user_file_gives_parameters_and_its_content_is_part_of_the_identity(
    toy: Callable[[str], Path],
) -> None:
    text = "name: g\nfixed: {task: teacher_student, model: 'toy.py:Toy', mode: b}\naxes: {amount: [1, 2]}\n"
    first, second = parse(text, toy("one = 1")), parse(text, toy("one = 2"))
    assert rows(first, "amount", "mode", "rows") == [(1, "b", 10), (2, "b", 10)]
    assert set(first.trials().trial_id).isdisjoint(second.trials().trial_id)
    assert "did you mean 'amount'?" in str(faults(text.replace("amount", "amont"), toy("one = 3")))


def test_a_user_class_without_annotations_or_that_fails_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("class Bare:\n    def __init__(self, amount): ...\n")
    (tmp_path / "bad.py").write_text("import no_such_module_anywhere\n")
    text = "name: g\nfixed:\n  task: teacher_student\n  model: '{}'\n  amount: 3\n"
    assert "annotate it as int" in str(faults(text.format("bare.py:Bare"), tmp_path))
    assert "cannot be imported" in str(faults(text.format("bad.py:Bad"), tmp_path))
    assert "has no class 'Other'" in str(faults(text.format("bare.py:Other"), tmp_path))


RAISING = """\
from phasediag.models.mlp import MLP
from phasediag.trial import Constraint

class Net(MLP):
    constraints = (Constraint(parameters=("width", "depth"), fault=lambda width, depth: 1 // (width - 2)),)
"""


def test_a_users_constraint_that_raises_is_a_fault_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(RAISING)
    error = faults(small("model: net.py:Net\nwidth: 2"), tmp_path)
    assert [(f.where, f.key) for f in error.faults] == [("grid.yaml:5", "fixed.width")]
    assert "the constraint on width, depth raised ZeroDivisionError" in str(error)


def test_text_cannot_forge_another_line_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("class Net:\n    def __init__(self, label: str): ...\n")
    error = faults(small('model: net.py:Net\nlabel: "a\\nwidth=3"'), tmp_path)
    assert [f.key for f in error.faults] == ["fixed.label"]
    assert "on one line" in str(error)


def test_a_required_parameter_without_a_value_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("class Net:\n    def __init__(self, heads: int): ...\n")
    error = faults(small("model: net.py:Net"), tmp_path)
    assert [(f.where, f.key) for f in error.faults] == [("grid.yaml:4", "fixed.model")]
    assert "give heads under fixed or axes" in str(error)
    assert rows(parse(small("model: net.py:Net\nheads: 3"), tmp_path), "heads") == [(3,)]


def test_a_large_grid_stores_each_distinct_value_once() -> None:
    axes = "weight_decay: {linspace: [0, 1], num: 40}\nlr_over_batch: {logspace: [1e-4, 1e-2], num: 50}"
    trials = parse(small(axes=axes, rest="replicates: 5\n")).trials()
    assert len(trials) == 10_000
    assert len(trials.columns["weight_decay"].pool) == 40
    assert len(trials.columns["learning_rate"].pool) == 50
    assert trials.columns["width"].codes is None
    varying = {name for name, column in trials.columns.items() if column.codes is not None}
    assert varying == {"weight_decay", "lr_over_batch", "learning_rate", "learning_time"}
    assert np.unique(trials.values("learning_time")).size == 50


ODD = [
    "null", "true", "-1", "0", "1.5", ".nan", "1e308", "5e-324", "''", "x", "[]", "{}", "[[]]", "[null, 1]",
    "{values: []}", "{values: [[1], 2]}", "{linspace: [-1e308, 1e308], num: 3}", "{logspace: [1, 2]}",
    "{arange: [0, 1, 0]}", "{arange: [0, 1e308, 1e-5]}", "{a: {b: 1}}", "hermite", "digits", "[hermite, mlp]",
    "nowhere.py:", ":", "{value: 1, hold: [1]}", "[width, depth]", "[[width, weight_decay]]", "['width < 3']",
    "[{width: 3}, {depth: 2, task: digits}]", "[{task: [a]}]", "[{observable: [], layer: 3}]", "2001-01-01",
    "'a: b'", "!!set {a}", "&a [*a]", "[", "@", "100000000000000000000000000000",
]  # fmt: skip


@settings(max_examples=examples(150))
@given(data=st.data())
def test_whatever_stands_in_a_grid_it_is_read_or_refused_with_faults(data: st.DataObject) -> None:
    lines = EXAMPLE.splitlines()
    row = data.draw(st.integers(0, len(lines) - 1))
    key = data.draw(
        st.sampled_from([lines[row].partition(":")[0], "  lr_over_batch", "  task", "points", "zip"])
    )
    lines[row] = f"{key}: {data.draw(st.sampled_from(ODD))}"
    read: Grid | list[Fault]
    try:
        read = parse("\n".join(lines))
    except GridError as error:
        read = error.faults
    if isinstance(read, Grid):
        assert len(read.trials()) == read.trial_count > 0
    else:
        assert read
        assert all(re.fullmatch(r"grid\.yaml:\d+", f.where) and f.key and f.remedy for f in read)


def test_relaxations_stand_for_steps() -> None:
    text = small("relaxations: 20\nlearning_rate: 0.02", "weight_decay: [0.05, 0.3]")
    first, second = parse(text).trials().records()
    assert (first["steps"], second["steps"]) == (20000, 3334)
    assert first["learning_time"] == pytest.approx(400)
    assert "relaxations" not in first
    by_steps = parse(small("steps: 20000\nlearning_rate: 0.02", "weight_decay: [0.05]")).trials()
    assert by_steps.trial_id[0] == parse(text).trials().trial_id[0]


@given(decay=st.floats(1e-4, 10), rate=st.floats(1e-4, 1), relaxations=st.floats(0.5, 1000))
def test_as_many_relaxations_as_asked_for(decay: float, rate: float, relaxations: float) -> None:
    fixed = f"relaxations: {relaxations!r}\nlearning_rate: {rate!r}\nweight_decay: {decay!r}"
    steps = parse(small(fixed)).trials().record(0)["steps"]
    reached = [count * rate * decay for count in (steps - 1, steps)]
    assert reached[0] * (1 - 1e-8) < relaxations <= reached[1] * (1 + 1e-8)


def test_relaxations_may_exclude() -> None:
    text = small("steps: 1000\nlearning_rate: 0.1", "weight_decay: [0.05, 0.1, 0.2]")
    kept = parse(text + 'exclude: ["relaxations < 10"]\n').trials()
    assert kept.values("weight_decay").tolist() == [0.1, 0.2]
    assert "relaxations" not in kept.columns


def test_what_a_missing_file_may_declare_is_not_judged_by_others() -> None:
    """A number of samples that no built-in task takes; the steps are every trial's, and are judged."""
    text = "name: g\nfixed:\n  task: nowhere.py:Task\n  samples: some\n  steps: 0\n"
    with pytest.raises(GridError) as refused:
        parse_grid(text, Path("grid.yaml"))
    assert [fault.key for fault in refused.value.faults] == ["fixed.task", "fixed.steps"]
