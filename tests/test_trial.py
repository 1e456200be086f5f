from __future__ import annotations

from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasediag.errors import nearest
from phasediag.grids.grid import parse_grid
from phasediag.identity import Identity, pack_id
from phasediag.parameters import TRAINING
from phasediag.trial import (
    REQUIRED,
    Encoded,
    Parameter,
    Role,
    Streams,
    Trials,
    formatted,
    replicate_seed,
    rounded,
)

GRID = "name: g\nfixed: {{task: teacher_student, {fixed}}}\nseed: {seed}\nreplicates: {replicates}\n{rest}"


def trials_of(fixed: str, seed: int = 0, replicates: int = 1, rest: str = "") -> Trials:
    text = GRID.format(fixed=fixed, seed=seed, replicates=replicates, rest=rest)
    return parse_grid(text, Path("grid.yaml")).trials()


def one_id(fixed: str, **more: Any) -> str:
    return str(trials_of(fixed, **more).trial_id[0])


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def test_an_id_is_the_hash_of_its_lines() -> None:
    trials = trials_of("steps: 100, weight_decay: 1e-4, width: 7, bias: true", seed=5, replicates=2)
    lines = (
        "batch_size=32\nbias=true\nlearning_rate=0.05\nmodel=mlp\nnoise=quenched\nsteps=100\n"
        "task=teacher_student\nweight_decay=0.0001\nwidth=7\n"
    )
    assert trials.point_id.tolist() == [digest(f"{lines}engine=1")] * 2
    assert trials.trial_id.tolist() == [digest(f"{lines}replicate={r}\nseed=5\nengine=1") for r in (0, 1)]


@pytest.mark.parametrize(
    ("fixed", "seed", "golden"),
    [
        ("steps: 100", 0, "e2ffc1ba18c39badfa2fa08b7ca94bf1"),
        ("steps: 100", 7, "4adbdaca05cdb13597e258913dca1cda"),
        (
            "optimizer: adam, learning_rate: 1e-3, batch_size: 64, weight_decay: 0.01, init_scale: 0.5, "
            "label_noise: 0.1, width: 32, depth: 3, activation: relu, bias: true, steps: 5000, data_seed: 3",
            1, "e3c7495dc698f9a638fa972837ec7890",
        ),
        ("teacher_scale: -2.5e-7, samples: 0, teacher_activation: sin, dtype: float64, momentum: 0.9",
            0, "a0d3a974ba31db4e6307baad83c75c30"),
    ],
)  # fmt: skip
def test_golden_ids_never_change(fixed: str, seed: int, golden: str) -> None:
    assert one_id(fixed, seed=seed) == golden


def test_golden_id_of_a_list() -> None:
    text = "name: g\nfixed: {task: linear_map, singular_values: [1, 0.5, 0.25]}\n"
    assert parse_grid(text, Path("g.yaml")).trials().trial_id[0] == "db8df5ea7b1ac334ceef1dbd5f80a2eb"


@pytest.mark.parametrize(
    "same",
    [
        "width: 32, steps: 100",
        "steps: 1e2, width: 32.0",
        "steps: 100, width: 32, weight_decay: 0, init_scale: 1, depth: 2, dtype: float32, bias: false",
        "steps: 100, width: 32, weight_decay: -0.0, teacher_scale: 1.0000000000000002",
        "steps: 100, width: 32, learning_rate: 0.05, batch_size: 32, noise: quenched, model: mlp",
        "steps: 100, width: 32, lr_over_batch: 0.0015625",
        "width: 32, learning_time: 5",
        "data_seed: null, width: 32, steps: 100",
    ],
)
def test_how_a_trial_is_written_does_not_matter(same: str) -> None:
    assert one_id(same) == one_id("steps: 100, width: 32")


@pytest.mark.parametrize(
    "other",
    [
        "steps: 101, width: 32", "steps: 100", "steps: 100, width: 32, weight_decay: 1e-9",
        "steps: 100, width: 32, data_seed: 0", "steps: 100, width: 32, noise: fresh",
        "steps: 100, width: 32, init: balanced", "steps: 100, width: 32, label_noise: 0.1",
    ],
)  # fmt: skip
def test_what_trains_differently_has_another_id(other: str) -> None:
    assert one_id(other) != one_id("steps: 100, width: 32")


def test_measure_resources_and_the_name_are_no_part_of_an_id() -> None:
    rest = "measure: {every: 7, layer: hidden.2, threshold: {absolute: 1}}\nresources: {trials_per_pack: 9}\n"
    assert one_id("steps: 3", rest=rest) == one_id("steps: 3")


def test_the_seed_of_the_grid_changes_the_trial_and_not_the_point() -> None:
    first, second = trials_of("steps: 3", seed=0), trials_of("steps: 3", seed=1)
    assert first.point_id[0] == second.point_id[0]
    assert first.trial_id[0] != second.trial_id[0]


def test_a_later_default_leaves_old_ids_alone() -> None:
    def identity(default: float) -> Identity:
        parameter = Parameter(
            name="x", type=float, default=default, neutral=1.0, role=Role.BATCHED, meaning="A number."
        )
        return Identity(parameters={"x": parameter})

    columns = {"x": Encoded.of([1.0, 2.0])}
    zeros = np.zeros(2, dtype=np.int64)
    assert (
        identity(1.0).ids(columns, zeros, zeros)[0].tolist()
        == identity(2.0).ids(columns, zeros, zeros)[0].tolist()
    )
    assert identity(2.0).ids(columns, zeros, zeros)[1][0] == digest("engine=1")


def test_the_hash_of_a_user_file_is_part_of_the_line_that_names_it() -> None:
    columns = {"model": Encoded(pool=("net.py:Net",))}
    zero = np.zeros(1, dtype=np.int64)
    parameters = {p.name: p for p in TRAINING}
    _, point = Identity(parameters=parameters, sources={"net.py:Net": "abc"}).ids(columns, zero, zero)
    assert point[0] == digest("model=net.py:Net@abc\nengine=1")


@given(
    a=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    b=st.lists(st.sampled_from([0.0, 0.5, 1.5]), min_size=1, max_size=20),
    replicates=st.integers(1, 3),
)  # fmt: skip
def test_columns_hash_as_their_rows_do(a: list[int], b: list[float], replicates: int) -> None:
    points = [point for point in product(a, b) for _ in range(replicates)]
    parameters = {
        "a": Parameter(name="a", type=int, default=0, neutral=REQUIRED, role=Role.BATCHED, meaning="."),
        "b": Parameter(name="b", type=float, default=0.0, neutral=0.0, role=Role.BATCHED, meaning="."),
    }
    columns = {"b": Encoded.of([b for _, b in points]), "a": Encoded.of([a for a, _ in points])}
    replicate = np.tile(np.arange(replicates), len(points) // replicates)
    seed = np.full(len(points), 9)
    trial_id, point_id = Identity(parameters=parameters).ids(columns, replicate, seed)
    texts = [f"a={a}\n" + (f"b={b:.12g}\n" if b else "") for a, b in points]
    assert point_id.tolist() == [digest(f"{text}engine=1") for text in texts]
    pairs = zip(texts, replicate.tolist(), strict=True)
    assert trial_id.tolist() == [digest(f"{text}replicate={r}\nseed=9\nengine=1") for text, r in pairs]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_keeps_twelve_digits_and_is_stable(x: float) -> None:
    value = rounded(x)
    assert rounded(value) == value
    assert value == pytest.approx(x, rel=1e-11, abs=1e-300)
    assert formatted(value) == f"{value:.12g}" != "-0"


@given(
    st.lists(st.one_of(st.none(), st.booleans(), st.sampled_from(["a", "b"]), st.integers(2, 5)), min_size=1)
)
def test_a_column_gives_back_its_values(values: list[Any]) -> None:
    column = Encoded.of(values)
    assert [column[row] for row in range(len(values))] == values
    assert len(column.pool) == len(set(values))
    assert column.values(len(values)).tolist() == values


@given(data=st.data(), values=st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_taking_rows_of_a_column(data: st.DataObject, values: list[int]) -> None:
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1))
    column = Encoded.of(values).take(np.array(rows))
    assert column.values(len(rows)).tolist() == [values[row] for row in rows]
    assert set(column.pool) == {values[row] for row in rows}


def test_all_records_at_once_are_the_records() -> None:
    trials = trials_of("steps: 3", replicates=3, rest="axes: {width: [1, 2]}\n")
    assert trials.records() == [trials.record(row) for row in range(6)]


def test_taking_trials_by_mask_and_by_position() -> None:
    trials = trials_of("steps: 3", replicates=3, rest="axes: {width: [1, 2]}\n")
    mask = trials.values("width") == 2
    assert trials.take(mask).trial_id.tolist() == trials.trial_id[3:].tolist()
    assert trials.take(np.array([5, 0])).record(0) == trials.record(5)
    assert trials.take(np.array([5, 0])).seed.tolist() == trials.seed[[5, 0]].tolist()


def test_the_seed_is_a_hash_of_the_grids_seed_and_the_replicate_alone() -> None:
    narrow, wide = (
        trials_of("width: 3", seed=4, replicates=3),
        trials_of("width: 9, steps: 8", seed=4, replicates=3),
    )
    assert narrow.seed.tolist() == wide.seed.tolist() == [replicate_seed(4, r) for r in range(3)]
    expected = int.from_bytes(blake2b(b"seed=4\nreplicate=2", digest_size=8).digest(), "big") >> 1
    assert replicate_seed(4, 2) == expected < 2**63
    assert len({replicate_seed(s, r) for s in range(30) for r in range(30)}) == 900


@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), min_size=1, unique=True), st.randoms())
def test_a_pack_id_does_not_depend_on_order(ids: list[str], random: Any) -> None:
    shuffled = random.sample(ids, len(ids))
    assert pack_id(shuffled) == pack_id(ids)
    assert pack_id([*ids, "x"]) != pack_id(ids)


def test_streams_are_functions_of_seed_stream_and_position() -> None:
    def draw(seed: int, stream: Any, position: int = 0, data_seed: int | None = None) -> list[float]:
        return Streams(seed, data_seed).generator(stream, position).random(3).tolist()

    names = ["teacher", "data", "test", "init", "batch", "noise"]
    assert draw(1, "batch", 5) == draw(1, "batch", 5)
    keys = [(seed, name, position) for seed in (1, 2) for name in names for position in (0, 1)]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)
    for name in names:
        pinned = draw(1, name, data_seed=8) == draw(2, name, data_seed=8)
        assert pinned == (name in ("teacher", "data", "test"))


@pytest.mark.parametrize(
    ("annotation", "given_", "kept"),
    [(int, 16.0, 16), (float, 3, 3.0), (tuple[float, ...], [1, 2.5], (1.0, 2.5)), (float, 0.1 + 0.2, 0.3)],
)
def test_a_value_takes_its_parameters_type(annotation: Any, given_: Any, kept: Any) -> None:
    parameter = Parameter(
        name="x", type=annotation, default=None, neutral=None, role=Role.BATCHED, meaning="."
    )
    value = parameter.validate(given_)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("annotation", "wrong"), [(int, 1.5), (int, True), (float, "1"), (float, True), (str, 3)]
)
def test_a_value_of_another_type_is_refused(annotation: Any, wrong: Any) -> None:
    parameter = Parameter(
        name="x", type=annotation, default=None, neutral=None, role=Role.BATCHED, meaning="."
    )
    with pytest.raises(ValueError, match="Input should be"):
        parameter.validate(wrong)


def test_the_nearest_name() -> None:
    assert nearest("wdth", ["width", "depth"]) == "did you mean 'width'?"
    assert nearest("zzz", ["width", "depth"]) == ""
