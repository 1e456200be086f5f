"""The structure of a pack is the only answer to which program trains it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import cloudpickle

from phasediag.executors.forecast import Forecast
from phasediag.grids.grid import Grid
from phasediag.packing.pack import Pack
from phasediag.packing.structure import Structure, structure_of, structures
from phasediag.running.tile_run import program_for
from phasediag.trial import REQUIRED, Parameter, Role, Trials, Value
from properties import examples
from small_packs import pack_trials
from trained_tiles import grid_of

STRUCTURAL = {
    "width": [14, 15, 16, 40], "activation": ["tanh", "relu"], "optimizer": ["sgd", "adam"],
    "batch_size": [7, 8], "bias": [True, False], "dtype": ["float32", "float64"], "init": ["kaiming_normal"],
}  # fmt: skip
BATCHED = {"weight_decay": [0.0, 0.1, 1.0], "init_scale": [0.5, 1.0], "steps": [500, 20_000]}


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Grids of a few hundred trials at most, some of whose structures are padded together."""
    names = draw(st.lists(st.sampled_from(sorted(STRUCTURAL)), min_size=1, max_size=3, unique=True))
    axes = {
        name: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        for name, values in {**{n: STRUCTURAL[n] for n in names}, **BATCHED}.items()
    }
    fixed = {"task": "teacher_student", "inputs": 5, "depth": 3, "width": 8, "batch_size": 8}
    fixed = {name: value for name, value in fixed.items() if name not in axes}
    return grid_of(fixed, axes, replicates=draw(st.integers(1, 2)))


def packs_of(grid: Grid) -> list[Pack]:
    return pack_trials(grid.trials(), grid.parameters, Path(), workers=2)


def program(pack: Pack, grid: Grid) -> Mapping[str, Any]:
    """What a program is made of, told by the trials themselves: every structural value with its type, those
    that are padded as the largest of all packs that are trained by it."""
    names = [name for name in pack.trials.columns if grid.parameters[name].role is Role.STRUCTURAL]
    envelope = pack.structure.envelope
    values = {name: envelope.get(name, pack.trials.values(name)[0]) for name in names}
    return {"padded": sorted(envelope), **{name: (type(v), v) for name, v in values.items()}}


@settings(max_examples=examples(25))
@given(grids())
def test_packs_have_one_id_where_they_have_one_program(grid: Grid) -> None:
    packs = packs_of(grid)
    for one in packs:
        for other in packs:
            assert (one.structure.id == other.structure.id) is (program(one, grid) == program(other, grid))
            assert (one.structure == other.structure) is (one.structure.id == other.structure.id)
    for pack in packs:
        for row in range(len(pack.trials)):
            own = structure_of(pack.trials.record(row), grid.parameters, pack.structure.envelope)
            assert own == pack.structure


@settings(max_examples=examples(25))
@given(grids(), st.randoms(use_true_random=False))
def test_trials_have_one_structure_where_their_records_say_so(grid: Grid, random: Any) -> None:
    order = list(range(len(grid.trials())))
    random.shuffle(order)
    trials = grid.trials().take(np.array(order))
    distinct, index = structures(trials, grid.parameters)
    own = [structure_of(trials.record(row), grid.parameters) for row in range(len(trials))]
    assert [distinct[number] for number in index.tolist()] == own
    assert len(set(distinct)) == len(distinct) == len(set(own))


def test_a_program_is_made_once_for_each_structure_and_the_forecast_sees_the_same_ones() -> None:
    axes = {"width": [15, 16, 40], "activation": ["tanh", "relu"], "weight_decay": [0.0, 0.1, 1.0]}
    fixed = {"task": "teacher_student", "inputs": 5, "depth": 3, "batch_size": 8, "steps": 1000}
    grid = grid_of(fixed, axes, replicates=4)
    packs = packs_of(grid)
    assert any(pack.structure.envelope for pack in packs)
    sent = [cloudpickle.loads(cloudpickle.dumps(pack)).structure for pack in packs]
    programs = {id(program_for(structure, Path(), torch.device("cpu"), False)) for structure in sent}
    forecast = Forecast()
    for pack in packs:
        forecast.begin(pack)
    foreseen = {course.structure for course in forecast.courses.values()}
    assert len(programs) == len(foreseen) == len({str(program(pack, grid)) for pack in packs}) < len(packs)


def record(**changed: Value) -> Trials:
    fixed = {"task": "teacher_student", "width": 8, "batch_size": 8, "steps": 10}
    return grid_of(fixed | changed).trials()


PARAMETERS = grid_of({"task": "teacher_student", "width": 8, "batch_size": 8, "steps": 10}).parameters


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"weight_decay": 0.5}, True), ({"learning_rate": 0.5}, True), ({"steps": 20}, True),
        ({"width": 9}, False), ({"activation": "relu"}, False), ({"batch_size": 9}, False),
    ],
    ids=str,
)  # fmt: skip
def test_only_structural_parameters_tell_structures_apart(changed: dict[str, Value], same: bool) -> None:
    one, other = (structure_of(each.record(0), PARAMETERS) for each in (record(), record(**changed)))
    assert (one == other) is same
    assert (one.id_without(changed) == other.id_without(changed)) is True


def test_a_padded_program_is_another_one_than_that_of_its_largest_size() -> None:
    plain = structure_of(record().record(0), PARAMETERS)
    assert plain.padded_to({"width": 8}) != plain
    assert plain.padded_to({"width": 9}) != plain.padded_to({"width": 8})
    assert plain.padded_to({"width": 9}).values["width"] == 9
    assert plain.padded_to({}) == plain


def declared(name: str) -> Parameter:
    return Parameter(
        name=name, type=object, default=REQUIRED, neutral=REQUIRED, role=Role.STRUCTURAL, meaning="Any."
    )


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ("1", 1), (None, "None"), ((1,), 1)])
def test_values_of_other_types_are_other_programs(one: Value, other: Value) -> None:
    """A constructor may do another thing with 1 than with 1.0."""
    made = [Structure(record={"k": value}, parameters=(declared("k"),)) for value in (one, other)]
    assert made[0] != made[1]


def test_the_id_is_the_same_in_every_process() -> None:
    """Workers and the driver tell each other of programs by it."""
    made = Structure(
        record={"width": 8, "activation": "tanh", "weight_decay": 0.1},
        parameters=(declared("width"), declared("activation")),
    )
    assert made.id == "d063fa96b3fdf7bd052a008a60cf559b"


def test_halves_keep_the_program_and_its_way_of_training() -> None:
    fixed, axes = {"task": "teacher_student", "width": 8}, {"weight_decay": [0.0, 0.1, 1.0]}
    trials = grid_of(fixed, axes, replicates=3).trials()
    (pack,) = pack_trials(trials, PARAMETERS, Path(), workers=1, trials_per_pack=9)
    halves = pack.halves()
    assert [len(half.trials) for half in halves] == [4, 5]
    assert [i for half in halves for i in half.trials.trial_id] == list(pack.trials.trial_id)
    for half in halves:
        assert half.structure is pack.structure
        assert (half.compiled, half.cost, half.shared) == (pack.compiled, pack.cost, False)
        assert half.pack_id != pack.pack_id
        assert half.tile_size == min(pack.tile_size, len(half.trials))
        assert 0 < half.projected_seconds < pack.projected_seconds
