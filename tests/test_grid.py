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

from phasediag.errors import GridError
from phasediag.grid import Grid, parse_grid, read_grid
from phasediag.sections import ObservableRequest

EXAMPLE = """\
name: decay-and-noise           # folder of the sweep; [a-z0-9][a-z0-9_-]*
fixed:
  task: teacher_student
  teacher_width: 4
  model: mlp
  depth: 2                      # weight layers
  activation: tanh
  optimizer: sgd
  batch_size: 32
  steps: 20000
axes:
  weight_decay:  {logspace: [1e-2, 1], num: 16}
  lr_over_batch: {logspace: [3e-4, 3e-3], num: 12}
  width: [16, 64]
zip: []
exclude: []
replicates: 4
seed: 0
measure:
  observables: [permutation, sign_flip]
  every: 5000
  distances: last               # last | all | none
  threshold: {absolute: 1e-3, relative: 0.05}
  layer: hidden.1
resources: {cpus: 1, gpus: 0, trials_per_pack: auto}
"""
PATH = Path("grid.yaml")

TOY_TASK = """\
class Toy:
    {extra}
    def __init__(self, amount: int = 3, mode: str = "a", samples: int = 10): ...
"""


def parse(text: str, folder: Path | None = None) -> Grid:
    return parse_grid(text, PATH, folder)


def small(fixed: str = "", axes: str = "", rest: str = "") -> str:
    """A grid whose fixed keys start on line 4, after name, `fixed:` and the task."""
    text = "name: g\nfixed:\n  task: teacher_student\n"
    text += "".join(f"  {line}\n" for line in fixed.split("\n") if line)
    if axes:
        text += "axes:\n" + "".join(f"  {line}\n" for line in axes.split("\n"))
    return text + rest


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
    assert rows(grid, "model", "batch_size", "replicate" if False else "learning_rate") == [("mlp", 32, 0.05)]
    assert [(o.observable, o.layer) for o in grid.measure.observables] == [
        ("permutation", "hidden.1"), ("sign_flip", "hidden.1"), ("classes", "hidden.1"),
    ]  # fmt: skip
    assert (grid.measure.every, grid.measure.distances) == (None, "last")


def test_observables_of_other_layers_are_added_and_none_is_repeated() -> None:
    rest = (
        "measure:\n  layer: hidden.2\n  observables: [rank, permutation, {observable: rank, layer: hidden.1}]\n"
    )
    measure = parse(small(rest=rest)).measure
    assert len(measure.observables) == len(set(measure.observables)) == 5
    assert ObservableRequest(observable="classes", layer="hidden.2") in measure.observables
    assert set(measure.observables[3:]) == {
        ObservableRequest(observable="rank", layer="hidden.2"),
        ObservableRequest(observable="rank", layer="hidden.1"),
    }


# Each case: the grid, line and key of the fault, and what its message must contain.
BROKEN: dict[str, tuple[str, int, str, str]] = {
    "no yaml": ("name: g\nfixed: [1,\n", 3, "file", "flow sequence"),
    "empty": ("# nothing\n", 1, "file", "is empty"),
    "a list": ("- name\n", 1, "file", "not a mapping"),
    "two documents": ("name: g\n---\nname: h\n", 2, "file", "single document"),
    "contains itself": (small(rest="points: &a [*a]\n"), 4, "points[0]", "contains itself"),
    "odd tag": (small(rest="seed: !!binary 12\n"), 4, "seed", "write a plain value"),
    "deep": ("name: " + "[" * 4000, 1, "file", "nested too deeply"),
    "duplicate key": (small("steps: 10\nsteps: 20"), 5, "fixed.steps", "given twice, first on line 4"),
    "duplicate top key": (small(rest="name: h\n"), 4, "name", "first on line 1"),
    "unknown top key": (small(rest="replicate: 3\n"), 4, "replicate", "did you mean 'replicates'?"),
    "parameter at the top": (small(rest="width: 3\n"), 4, "width", "move it under fixed or axes"),
    "top key under fixed": (small("seed: 3"), 4, "fixed.seed", "'seed' stands at the top level"),
    "unknown fixed key": (small("weight_deca: 0.1"), 4, "fixed.weight_deca", "did you mean 'weight_decay'?"),
    "unknown axis": (small(axes="widht: [1, 2]"), 5, "axes.widht", "did you mean 'width'?"),
    "another task's key": (small("signal: 1"), 4, "fixed.signal", "it belongs to task 'scalar_linear'"),
    "wrong type": (small("steps: many"), 4, "fixed.steps", "'many' is not allowed"),
    "wrong type, allowed": (small("steps: many"), 4, "fixed.steps", "allowed: a whole number >= 1"),
    "fraction of a step": (small("steps: 1.5"), 4, "fixed.steps", "whole number"),
    "truth for a number": (small("learning_rate: true"), 4, "fixed.learning_rate", "a number > 0"),
    "text for a truth": (small("bias: no"), 4, "fixed.bias", "'no' is not allowed"),
    "out of range": (small("momentum: 1"), 4, "fixed.momentum", "a number >= 0 and < 1"),
    "null": (small("weight_decay: null"), 4, "fixed.weight_decay", "a number >= 0"),
    "not a choice": (small("optimizer: sdg"), 4, "fixed.optimizer", "one of sgd, adam, adamw"),
    "nan": (small("teacher_scale: .nan"), 4, "fixed.teacher_scale", "must be finite"),
    "infinite": (small("weight_decay: .inf"), 4, "fixed.weight_decay", "must be finite"),
    "overflow": (small("weight_decay: 1e999"), 4, "fixed.weight_decay", "must be finite"),
    "65 bits": (small("data_seed: 36893488147419103232"), 4, "fixed.data_seed", "64 bits"),
    "list for a number": (small("width: [16, 32]"), 4, "fixed.width", "move it to axes"),
    "form for a number": (small("width: {values: [16]}"), 4, "fixed.width", "move it to axes"),
    "fixed and axis": (small("width: 3", "width: [3, 4]"), 6, "axes.width", "lines 4 and 6"),
    "empty axis": (small(axes="width: []"), 5, "axes.width", "has no values"),
    "scalar axis": (small(axes="width: 16"), 5, "axes.width", "or move it to fixed"),
    "unknown form": (small(axes="width: {range: [1, 2]}"), 5, "axes.width", "{arange: [a, b, step]}"),
    "no num": (small(axes="weight_decay: {linspace: [0, 1]}"), 5, "axes.weight_decay.linspace", "add num"),
    "key of a form": (
        small(axes="width: {linspace: [1, 2], number: 2}"), 5, "axes.width.number", "did you mean 'num'?",
    ),
    "log of zero": (
        small(axes="weight_decay: {logspace: [0, 1], num: 3}"), 5, "axes.weight_decay.logspace", "not both positive",
    ),
    "one of two ends": (small(axes="width: {linspace: [1, 2], num: 1}"), 5, "axes.width.linspace", "write [1]"),
    "backwards": (small(axes="width: {arange: [9, 1, 2]}"), 5, "axes.width.arange", "through no value"),
    "endless range": (small(axes="width: {arange: [0, 1, 1e-300]}"), 5, "axes.width.arange", "max_trials"),
    "endless num": (
        small(axes="width: {linspace: [1, 2], num: 10000000000000}"), 5, "axes.width.linspace", "max_trials",
    ),
    "fractional widths": (small(axes="width: {linspace: [1, 2], num: 3}"), 5, "axes.width", "1.5 is not allowed"),
    "duplicate value": (small(axes="width:\n  - 16\n  - 32\n  - 16"), 8, "axes.width", "16 stands twice"),
    "duplicate after rounding": (
        small(axes="weight_decay: [0.1, 0.10000000000000001]"), 5, "axes.weight_decay", "stands twice",
    ),
    "bad item": (small(axes="width:\n  - 16\n  - -1"), 7, "axes.width", "-1 is not allowed"),
    "flat list of a list": (
        "name: g\nfixed: {task: linear_map}\naxes:\n  singular_values: [1, 2]\n",
        4, "axes.singular_values", "write {values: [[..], [..]]}",
    ),
    "unknown task": ("name: g\nfixed:\n  task: teacher_studnt\n", 3, "fixed.task", "'teacher_student'"),
    "unknown model axis": (small(axes="model:\n  - mlp\n  - mpl"), 7, "axes.model", "did you mean 'mlp'?"),
    "no task": ("name: g\nfixed:\n  steps: 3\n", 2, "fixed.task", "teacher_student"),
    "no name": ("fixed: {task: teacher_student}\n", 1, "name", "is missing"),
    "bad name": ("name: Big Grid\nfixed: {task: teacher_student}\n", 1, "name", "small letters"),
    "name with a line break": ("name: |\n  g\nfixed: {task: digits}\n", 1, "name", "small letters"),
    "no replicates": (small(rest="replicates: 0\n"), 4, "replicates", "a whole number >= 1"),
    "too many": (
        small(axes="width: [1, 2, 3]", rest="replicates: 5\nmax_trials: 14\n"), 4, "axes", "15 trials",
    ),
    "far too many": (
        small(axes="\n".join(f"{n}: {{linspace: [0, 1], num: 5000}}" for n in ("weight_decay", "init_scale"))),
        4, "axes", "25,000,000 trials",
    ),
    "unknown measure key": (small(rest="measure:\n  evry: 3\n"), 5, "measure.evry", "did you mean 'every'?"),
    "bad every": (small(rest="measure:\n  every: 0\n"), 5, "measure.every", "greater than or equal to 1"),
    "bad distances": (small(rest="measure:\n  distances: some\n"), 5, "measure.distances", "'none'"),
    "unknown threshold key": (
        small(rest="measure:\n  threshold:\n    relativ: 1\n"), 6, "measure.threshold.relativ", "'relative'?",
    ),
    "unknown observable": (
        small(rest="measure:\n  observables:\n    - rank\n    - rnak\n"), 7, "measure.observables[1]", "'rank'",
    ),
    "observable without a name": (
        small(rest="measure:\n  observables:\n    - {layer: hidden.1}\n"), 6, "measure.observables[0]", "'observable'",
    ),
    "unknown resource": (small(rest="resources: {cpu: 1}\n"), 4, "resources.cpu", "did you mean 'cpus'?"),
    "no processor": (small(rest="resources: {cpus: 0}\n"), 4, "resources.cpus", "greater than 0"),
    "resources as a number": (small(rest="resources: 4\n"), 4, "resources", "cpus, gpus, trials_per_pack"),
    "zip of no axis": (small(axes="width: [1, 2]", rest="zip:\n  - [width, depht]\n"), 7, "zip[0]", "'depht'"),
    "zip of lengths": (
        small(axes="width: [1, 2]\ndepth: [1, 2, 3]", rest="zip: [[width, depth]]\n"), 7, "zip[0]", "depth has 3",
    ),
    "zip twice": (
        small(axes="width: [1, 2]\ndepth: [1, 2]", rest="zip: [[width, depth], [depth, width]]\n"),
        7, "zip[1]", "zipped twice",
    ),
    "exclude a typo": (
        small(rest='exclude:\n  - "wdth < 3"\n'), 5, "exclude[0]", "did you mean 'width'?",
    ),
    "exclude a call": (small(rest="exclude: [\"__import__('os')\"]\n"), 4, "exclude[0]", "is not allowed here"),
    "exclude as text": (small(rest="exclude: width < 3\n"), 4, "exclude", "write exclude: ["),
    "everything excluded": (small(rest='exclude: ["width > 0"]\n'), 1, "exclude", "every point is excluded"),
    "all three": (
        small("learning_rate: 0.1\nbatch_size: 4\nlr_over_batch: 0.025"), 6, "fixed.lr_over_batch", "leave one out",
    ),
    "held and given": (
        small("learning_rate: 0.1", "lr_over_batch: [0.1]"), 6, "axes.lr_over_batch", "write hold: learning_rate",
    ),
    "hold a typo": (
        small(axes="lr_over_batch: {values: [0.1], hold: learning_rat}"),
        5, "axes.lr_over_batch.hold", "did you mean 'learning_rate'?",
    ),
    "hold elsewhere": (small(axes="width: {values: [4], hold: learning_rate}"), 5, "axes.width.hold", "values"),
    "fraction of a batch": (
        small("learning_rate: 0.1", "lr_over_batch: {values: [0.1, 0.03], hold: learning_rate}"),
        6, "axes.lr_over_batch", "the nearest lr_over_batch is 0.0333333333333 (batch_size 3)",
    ),
    "zero temperature": (small("lr_over_batch: 0"), 4, "fixed.lr_over_batch", "give a ratio > 0"),
    "steps and time": (small("steps: 3\nlearning_time: 2"), 5, "fixed.learning_time", "both given"),
    "too long": (small("learning_time: 1e+300"), 4, "fixed.learning_time", "shorten it"),
    "adam with momentum": (small("momentum: 0.9\noptimizer: adam"), 4, "fixed.momentum", "ignored by adam"),
    "fresh full batch": (small("samples: 0\nbatch_size: 0"), 5, "fixed.batch_size", "set batch_size >= 1"),
    "always fresh full batch": (
        "name: g\nfixed:\n  task: scalar_linear\n  batch_size: 0\n", 4, "fixed.batch_size", "fresh data",
    ),
    "temperature of a population": (
        "name: g\nfixed: {task: hermite, model: hermite, batch_size: 0}\naxes:\n  lr_over_batch: [0.1]\n",
        4, "axes.lr_over_batch", "give learning_rate instead",
    ),
    "quenched fresh data": (small("noise: quenched", "samples: [10, 0]"), 4, "fixed.noise", "use noise: fresh"),
    "constraint of a task": (
        "name: g\nfixed:\n  task: linear_map\n  singular_values: [1, 2, 3]\n  inputs: 2\n",
        4, "fixed.singular_values", "at most 2",
    ),
    "no such file": (
        "name: g\nfixed:\n  task: teacher_student\n  model: nowhere.py:Net\n", 4, "fixed.model", "does not exist",
    ),
    "axis of one task only": (
        "name: g\naxes:\n  task: [teacher_student, scalar_linear]\n  signal: [0, 1]\n",
        4, "axes.signal", "has no parameter 'signal'",
    ),
    "points as a number": (small(rest="points: 3\n"), 4, "points", "points: file.parquet"),
    "point as a number": (small(rest="points:\n  - 3\n"), 5, "points[0]", "{width: 16}"),
    "point with a typo": (small(rest="points:\n  - {width: 3}\n  - {wdth: 3}\n"), 6, "points.wdth", "'width'?"),
    "point out of range": (small(rest="points:\n  - {width: 3}\n  - {width: 0}\n"), 6, "points.width", "0 is not"),
    "point of a fixed key": (small("width: 3", rest="points: [{width: 3}]\n"), 5, "points.width", "in fixed and"),
    "point without an axis": (
        small(axes="width: [3]", rest="points: [{depth: 3}]\n"), 6, "points.width", "add width",
    ),
    "impossible point": (
        small(rest="points:\n  - {samples: 9, batch_size: 0}\n  - {samples: 0, batch_size: 0}\n"),
        6, "points.batch_size", "fresh data",
    ),
    "no points file": (small(rest="points: none.parquet\n"), 4, "points", "relative to the grid"),
}  # fmt: skip


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


@settings(max_examples=25, deadline=None)
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
        "width": {int}, "activation": {str}, "weight_decay": {float},
    }[name]  # fmt: skip


def test_a_list_valued_parameter_as_an_axis() -> None:
    text = "name: g\nfixed: {task: linear_map}\naxes:\n  singular_values: {values: [[1, 0.5], [2]]}\n"
    assert rows(parse(text), "singular_values") == [((1.0, 0.5),), ((2.0,),)]


def test_zipped_axes_move_together() -> None:
    text = small(axes="width: [1, 2]\nsteps: [7, 8]\nteacher_width: [3, 4]", rest="zip: [[width, teacher_width]]\n")
    assert rows(parse(text), "width", "teacher_width", "steps") == [(1, 3, 7), (1, 3, 8), (2, 4, 7), (2, 4, 8)]


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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=40, deadline=None)
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
    text = "name: g\nfixed: {samples: 50, signal: 0.3}\naxes:\n  width: [2, 3]\n  task: [digits, scalar_linear]\n"
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
    table = pa.table({"width": [5, 2, None], "weight_decay": [0.1, 0.1, 0.2], "activation": ["tanh", "relu", "tanh"]})
    pq.write_table(table, tmp_path / "points.parquet")
    grid = parse(small(rest="points: points.parquet\n"), tmp_path)
    expected = [(5, 0.1, "tanh"), (2, 0.1, "relu"), (16, 0.2, "tanh")]
    assert rows(grid, "width", "weight_decay", "activation") == expected
    pq.write_table(table.append_column("wdth", pa.array([1, 2, 3])), tmp_path / "points.parquet")
    error = faults(small(rest="points: points.parquet\n"), tmp_path)
    assert {(f.where, f.key) for f in error.faults} == {("grid.yaml:4", "points.wdth")}


def test_lists_in_parquet_points(tmp_path: Path) -> None:
    pq.write_table(pa.table({"singular_values": [[1.0, 2.0], [1.0], [1.0, 2.0]], "width": [1, 1, 2]}), tmp_path / "p")
    grid = parse("name: g\nfixed: {task: linear_map}\npoints: p\n", tmp_path)
    assert rows(grid, "singular_values", "width") == [((1.0, 2.0), 1), ((1.0,), 1), ((1.0, 2.0), 2)]


@pytest.fixture
def toy(tmp_path: Path) -> Callable[[str], Path]:
    def write(extra: str) -> Path:
        folder = tmp_path / re.sub(r"\W", "", extra)
        folder.mkdir()
        (folder / "toy.py").write_text(TOY_TASK.format(extra=extra))
        return folder

    return write


def test_a_user_file_gives_parameters_and_its_content_is_part_of_the_identity(toy: Callable[[str], Path]) -> None:
    text = "name: g\nfixed: {task: 'toy.py:Toy', mode: b}\naxes: {amount: [1, 2]}\n"
    first, second = parse(text, toy("one = 1")), parse(text, toy("one = 2"))
    assert rows(first, "amount", "mode", "samples") == [(1, "b", 10), (2, "b", 10)]
    assert set(first.trials().trial_id).isdisjoint(second.trials().trial_id)
    assert "did you mean 'amount'?" in str(faults(text.replace("amount", "amont"), toy("one = 3")))


def test_a_user_class_without_annotations_or_that_fails_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("class Bare:\n    def __init__(self, amount): ...\n")
    (tmp_path / "bad.py").write_text("import no_such_module_anywhere\n")
    text = "name: g\nfixed:\n  task: '{}'\n  amount: 3\n"
    assert "annotate it as int" in str(faults(text.format("bare.py:Bare"), tmp_path))
    assert "cannot be imported" in str(faults(text.format("bad.py:Bad"), tmp_path))
    assert "has no class 'Other'" in str(faults(text.format("bare.py:Other"), tmp_path))


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
