"""Columns of results: each declared once, and all that reads them agrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from phasediag.analysis.labels import label
from phasediag.analysis.phases import phase_diagram
from phasediag.analysis.transition import transition_order
from phasediag.columns import (
    DERIVED,
    LEADING,
    MEASUREMENT_COLUMNS,
    RESULT_COLUMNS,
    RESULTS,
    column_of,
)
from phasediag.storage.schema_arrow import measurements_schema, trials_schema

RECORDED = """
trial_id pack_id point_id replicate seed status error steps_done diverged_at train_loss test_loss
test_accuracy max_degree degree_of_symmetry degree_normalized neuron_count alive_count rank log_rate drift
relaxations converged more_steps count_converged count_more_steps
unsettled collapse_weight_decay gradient_noise entropic_term gradient_square decay_term
entropic_permutation entropic_sign_flip threshold_absolute threshold_relative measure_layer definitions wall_s
projected_bytes measured_bytes device phasediag_version git_commit torch_version model_source task_source
optimizer_source schedule_source compiled started_at host trained_from from_step course_id
"""
MEASURED = """
trial_id pack_id step layer observable max_degree degree normalized epsilon scale train_loss test_loss
distances log_change_half log_change_late
"""


def test_no_column_is_declared_twice() -> None:
    names = [column.name for column in (*LEADING, *RESULTS, *DERIVED)]
    assert len(set(names)) == len(names)
    assert all(column.meaning.endswith(".") for column in (*LEADING, *RESULTS, *DERIVED))


def test_the_files_of_a_sweep_have_the_columns_that_they_always_had() -> None:
    """The order and the types of a sweep that was recorded before."""
    assert list(RESULT_COLUMNS) == RECORDED.split()
    assert list(MEASUREMENT_COLUMNS) == MEASURED.split()
    schema = trials_schema([])
    assert tuple(schema.names) == RESULT_COLUMNS
    integers = (
        "replicate seed steps_done diverged_at max_degree degree_of_symmetry neuron_count alive_count rank"
    )
    integers += " more_steps count_more_steps definitions projected_bytes measured_bytes from_step"
    assert {f.name for f in schema if f.type == pa.int64()} == set(integers.split())
    assert {f.name for f in schema if f.type == pa.bool_()} == {"converged", "count_converged", "compiled"}
    assert schema.field("started_at").type == pa.timestamp("us", tz="UTC")
    assert measurements_schema("float32").field("distances").type == pa.list_(pa.float32())
    assert measurements_schema("float64").field("distances").type == pa.list_(pa.float64())


@pytest.mark.parametrize(("order", "level"), [("log_rate", 0.0), ("log_rate + 0.5", 0.5), ("rank", 0.5)])
@pytest.mark.parametrize("made", [phase_diagram, transition_order])
def test_the_level_of_an_order_parameter_is_its_own_unless_another_is_given(made, order, level) -> None:  # type: ignore[no-untyped-def]
    """A boundary of growth rates lay at a rate of 0.5 where it was not asked for at 0."""
    rows = [(x, replicate, x - 3.5) for x in range(1, 7) for replicate in range(3)]
    frame = pd.DataFrame(rows, columns=["weight_decay", "replicate", "log_rate"])
    frame = frame.assign(status="ok", converged=True, rank=frame["weight_decay"] - 3)
    own, asked = (made(frame, "weight_decay", order=order, **each) for each in ({}, {"level": 1.0}))
    own, asked = (each.diagram if made is transition_order else each for each in (own, asked))
    assert (own.level, asked.level) == (level, 1.0)
    assert own.boundary["position"].tolist() == [pytest.approx(3.5)]


@pytest.mark.parametrize("column", [*RESULTS, *DERIVED], ids=lambda column: column.name)
def test_words_of_a_column_are_those_of_its_declaration(column) -> None:  # type: ignore[no-untyped-def]
    assert column_of(column.name) is column
    assert label(column.name) == column.title
    assert column_of(column.name).phases == (column.below, column.above)


def test_a_formula_is_a_number_like_any_other() -> None:
    assert column_of("neuron_count / width").phases == ("below", "above")
    assert label("neuron_count / width") == "neuron count / width"


@pytest.mark.parametrize(("order", "phase"), [("log_rate", "growing"), ("degree_normalized", "unconverged")])
def test_only_what_is_about_the_training_needs_no_convergence(order: str, phase: str) -> None:
    cells = [(x, r) for x in (1.0, 2.0, 3.0) for r in range(3)]
    trials = pd.DataFrame(
        {
            "x": [x for x, _ in cells], "replicate": [r for _, r in cells], "status": "ok",
            "converged": False, order: np.ones(len(cells)),
        }
    )  # fmt: skip
    assert set(phase_diagram(trials, "x", order=order, resamples=10).cells["phase"]) == {phase}
