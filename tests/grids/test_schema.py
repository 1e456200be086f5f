from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from broken_grids import BROKEN, EXAMPLE
from phasediag.errors import GridError, PhasediagError
from phasediag.grids.grid import parse_grid
from phasediag.grids.ready import grids_below
from phasediag.grids.schema import grid_schema, parameter_table
from phasediag.parameters import TRAINING
from phasediag.ramp import RAMP
from phasediag.registry import built_in, component
from phasediag.trial import KINDS, Role

JOBS = grids_below(Path(__file__).parents[2] / "jobs")
BY_COMBINATION = {
    "duplicate key", "duplicate top key", "another task's key", "fixed and axis", "backwards",
    "fractional widths", "one of two ends", "duplicate after rounding", "no task", "too many",
    "far too many", "endless range", "endless num", "endless product", "zip of no axis",
    "zip of lengths", "zip twice",
    "exclude a typo", "exclude a call",
    "everything excluded", "all three", "held and given", "fraction of a batch", "zero temperature",
    "steps and time", "steps and relaxations", "all three lengths", "relaxations of what does not decay",
    "relaxations of what does not decay somewhere", "relaxations without end", "too long",
    "adam with momentum", "fresh full batch", "always fresh full batch", "temperature of a population",
    "quenched fresh data", "constraint of a task", "no such file", "axis of one task only",
    "point of a fixed key", "point without an axis", "impossible point", "no points file", "nan",
    "infinite", "overflow", "65 bits", "a schedule's number without it", "stairs without a height",
    "classes of numbers", "no layer trained", "relaxations of layers", "time of a schedule",
    "time of a warm-up", "warm-up of all steps", "ramp of another task's", "ramp of a fixed key",
    "ramp of an axis", "ramp of a point's", "ramp to where it starts", "ramp by logarithms of zero",
    "ramp through what is not allowed", "relaxations of a ramp", "time of a ramp",
}  # fmt: skip
"""What a JSON schema cannot see: rules between keys, files, positions, and numbers JSON does not have."""
NOT_COMPARED = {"no yaml", "two documents", "contains itself", "odd tag", "deep", "name with a line break"}
"""No YAML for a validator, or (the last) a `$` that Python and JSON schema read differently."""


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = grid_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(json.loads(json.dumps(schema)))


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_schema_accepts_the_example_of_the_design(validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(plain(EXAMPLE))) == []


def test_there_are_grids_of_jobs_and_the_schema_accepts_them(validator: Draft202012Validator) -> None:
    assert JOBS
    for path in JOBS:
        assert [error.message for error in validator.iter_errors(plain(path.read_text()))] == []


@pytest.mark.parametrize(
    "text",
    [
        "name: g\n",
        "name: g\nfixed:\naxes:\nmeasure:\nresources:\nzip:\nexclude:\npoints:\n",
        "name: g\nfixed: {task: digits, lr_over_batch: {value: 1e-3, hold: learning_rate}}\n",
        "name: g\nfixed: {task: digits, data_seed: null, noise: null}\n",
        "name: g\naxes: {lr_over_batch: {values: [1e-3], hold: learning_rate}, data_seed: [1, null]}\n",
        "name: g\naxes: {lr_over_batch: {linspace: [1e-3, 1e-2], num: 3, hold: batch_size}}\n",
        "name: g\naxes: {singular_values: {values: [[1, 2], [1]]}, bias: [true, false]}\n",
        "name: g\naxes: {singular_values: {product: [[1, 2], {logspace: [0.1, 1], num: 3}]}}\n",
        "name: g\nfixed: {task: 't.py:Task', anything: 3}\naxes: {model: [mlp, 'net.py:Net'], heads: [1]}\n",
        "name: g\npoints: [{task: 'my_task.py:Task', anything: 3}]\n",
        "name: g\npoints: [{task: digits, width: 3}]\n",
        "name: g\npoints: design.parquet\n",
        "name: g\nmeasure: {observables: [rank, {observable: rank, layer: hidden.2}], every: null}\n",
        "name: g\nresources: {trials_per_pack: 64, gpus: 0.5, tf32: true}\nmax_trials: 1e3\n",
    ],
)
def test_the_schema_accepts_every_form(text: str, validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(plain(text))] == []


@pytest.mark.parametrize("case", sorted(BROKEN.keys() - BY_COMBINATION - NOT_COMPARED))
def test_the_schema_rejects_what_the_reader_rejects_key_by_key(
    case: str, validator: Draft202012Validator
) -> None:
    assert not validator.is_valid(plain(BROKEN[case][0]))


@pytest.mark.parametrize("case", sorted(BY_COMBINATION - {"duplicate key", "duplicate top key"}))
def test_the_schema_leaves_combinations_to_the_reader(case: str, validator: Draft202012Validator) -> None:
    assert validator.is_valid(plain(BROKEN[case][0]))


def test_defaults_in_the_schema_are_those_of_the_reader() -> None:
    fixed = grid_schema()["properties"]["fixed"]["anyOf"][0]["properties"]
    record = parse_grid("name: g\nfixed: {task: teacher_student}\n", Path("grid.yaml")).trials().record(0)
    defaults = {name: fixed[name]["default"] for name in record if "default" in fixed[name]}
    assert defaults.keys() >= {"learning_rate", "batch_size", "steps", "samples", "width", "bias"}
    assert defaults == {name: record[name] for name in defaults}


def test_the_reference_lists_every_parameter_of_every_component() -> None:
    listed = {(row.belongs, row.name) for row in parameter_table()}
    declared = {
        (f"{kind} {name}", parameter)
        for kind in KINDS
        for name in built_in(kind)
        for parameter in component(kind, name, Path()).parameters
    }
    declared |= {("training", parameter.name) for parameter in TRAINING}
    assert listed == declared | {("ramp", parameter.name) for parameter in RAMP}
    assert all(row.type and row.default and row.meaning for row in parameter_table())


def test_the_reference_of_one_name() -> None:
    (row,) = parameter_table("weight_decay")
    assert (row.belongs, row.type, row.default, row.role) == ("training", "a number >= 0", "0", Role.BATCHED)
    assert {row.belongs for row in parameter_table("label_noise")} == {
        f"task {name}" for name in built_in("task")
    }
    assert {row.name for row in parameter_table("mlp")} == {"depth", "width", "activation", "bias"}
    assert {r.name: r.default for r in parameter_table()}["task"] == "required"
    assert {r.name: r.default for r in parameter_table()}["data_seed"] == "null"
    assert {r.name: r.default for r in parameter_table()}["lr_over_batch"] == "follows from others"
    with pytest.raises(PhasediagError, match="did you mean 'weight_decay'"):
        parameter_table("weight_deca")


def test_the_reader_accepts_the_grids_of_jobs() -> None:
    """But for that of a million values, which tests/sweeps/test_first_grids.py reads among what is slow.

    Nor those whose data `jobs/paper/cifar10_subset.py` makes first.
    """
    for path in JOBS:
        if path.stem == "trainability" or "cifar10-subset.npz" in path.read_text():
            continue
        try:
            assert parse_grid(path.read_text(), path).trial_count > 0
        except GridError as error:
            pytest.fail(str(error))
