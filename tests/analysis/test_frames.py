from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.analysis.frames import CarriedWarning, load_measurements, load_trials
from phasediag.columns import DERIVED_COLUMNS
from phasediag.errors import AnalysisError, StoreError
from phasediag.observables.known import distance_observables
from phasediag.observables.threshold import Threshold, root_mean_square
from phasediag.parameters import TRAINING
from phasediag.storage.compaction import compact
from phasediag.storage.schema_arrow import trials_schema
from phasediag.storage.store import Store
from phasediag.trial import REQUIRED, Parameter, Role
from properties import examples
from small_sweeps import grid_text, launched
from synthetic_sweep import (
    measured_rows,
    pack_name,
    trial_id,
    trial_rows,
    write_measured_pack,
    write_pack,
)

COUNTED = [
    "max_degree", "degree_of_symmetry", "degree_normalized", "neuron_count", "alive_count", "rank",
    *DERIVED_COLUMNS,
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path, "sweep")


def planted(rng: np.random.Generator, width: int, rank: bool = True) -> dict[str, list[float]]:
    """Distances of a layer, exact in float32."""

    def draw(count: int) -> list[float]:
        return (rng.integers(0, 2000, count) / 1024).tolist()

    of = {
        "sign_flip": draw(width),
        "permutation": draw(width - 1),
        "classes": sorted(draw(width), reverse=True),
    }
    return {**of, "rank": sorted(draw(min(width, 4)), reverse=True)} if rank else of


LEVEL = st.floats(0, 2).map(lambda v: round(v, 3))


@settings(max_examples=examples(12))
@given(LEVEL, LEVEL, st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**16))
def test_another_threshold_counts_as_if_it_had_been_recorded(
    tmp_path_factory: pytest.TempPathFactory, absolute: float, relative: float, widths: list[int], seed: int
) -> None:
    """A sweep recorded at one threshold and read at another equals one recorded at the other."""
    rng = np.random.default_rng(seed)
    distances = {i: planted(rng, width) for i, width in enumerate(widths)}
    folder = tmp_path_factory.mktemp("threshold")
    other = Threshold(absolute=absolute, relative=relative)
    write_measured_pack(Store.open(folder, "recorded"), 1, distances, Threshold())
    write_measured_pack(Store.open(folder, "other"), 1, distances, other)
    trials = load_trials(folder / "recorded", threshold=other)
    expected = load_trials(folder / "other")
    pd.testing.assert_frame_equal(trials[COUNTED], expected[COUNTED], check_dtype=False)
    assert trials[["converged", "count_converged"]].all(axis=None)
    assert (trials["drift"].isna() == (np.array(widths) == 1)).all()
    assert (trials["threshold_absolute"] == absolute).all()
    assert (trials["threshold_relative"] == relative).all()
    measured = load_measurements(folder / "recorded", threshold=other.model_dump())
    pd.testing.assert_frame_equal(
        measured[["trial_id", "observable", "degree", "normalized", "epsilon"]],
        load_measurements(folder / "other")[["trial_id", "observable", "degree", "normalized", "epsilon"]],
    )


def test_the_recorded_threshold_gives_the_recorded_counts(store: Store) -> None:
    rng = np.random.default_rng(1)
    write_measured_pack(store, 1, {i: planted(rng, 6, rank=i % 2 == 0) for i in range(20)}, Threshold())
    again = load_trials(store.folder.path, threshold=Threshold())
    once = load_trials(store.folder.path)
    pd.testing.assert_frame_equal(again[COUNTED], once[COUNTED])
    assert once["rank"].isna().sum() == 10


def test_a_store_without_scales_is_counted_from_its_norms(store: Store, tmp_path: Path) -> None:
    """Older versions stored neither `scale`, the root mean square norm then, nor the trials' `max_degree`."""
    rng = np.random.default_rng(2)
    distances = {i: planted(rng, 5) for i in range(8)}
    write_measured_pack(store, 1, distances, Threshold(), scaled=False)
    write_measured_pack(Store.open(tmp_path, "newer"), 1, distances, Threshold(), scale=root_mean_square)
    cut = {"absolute": 0.3, "relative": 0.4}
    for load in (load_trials, load_measurements):
        counted, expected = (
            load(path, threshold=cut).drop(columns="scale", errors="ignore")
            for path in (store.folder.path, tmp_path / "newer")
        )
        pd.testing.assert_frame_equal(counted, expected)
    assert load_trials(store.folder.path)["degree_of_breaking"].isna().all()


def test_a_layer_that_was_not_measured_is_named(store: Store) -> None:
    write_measured_pack(store, 1, {0: planted(np.random.default_rng(0), 4)}, Threshold())
    with pytest.raises(AnalysisError, match=r"on a layer 'hiden.1'; did you mean 'hidden.1'\?"):
        load_measurements(store.folder.path, layer="hiden.1")
    assert len(load_measurements(store.folder.path, observable="gram", layer="hidden.1")) == 0


def test_eq_14_in_both_readings(store: Store) -> None:
    """Of degree, max_degree = d - 1 (permutation) and the d neurons; null where large distances count."""
    write_measured_pack(
        store, 1, {i: planted(np.random.default_rng(i), i + 1) for i in range(6)}, Threshold()
    )
    trials = load_trials(store.folder.path)
    width = np.arange(1, 7)
    np.testing.assert_array_equal(trials["max_degree"], width - 1)
    np.testing.assert_array_equal(trials["degree_of_breaking"], width - 1 - trials["degree_of_symmetry"])
    np.testing.assert_allclose(trials["degree_per_neuron"], trials["degree_of_symmetry"] / width)
    np.testing.assert_allclose(trials["breaking_normalized"], 1 - trials["degree_normalized"])
    assert trials["breaking_normalized"].isna().tolist() == [True] + [False] * 5
    measured = load_measurements(store.folder.path)
    for name, rows in measured.groupby("observable"):
        broken = rows["max_degree"] - rows["degree"]
        counts = name in ("permutation", "sign_flip")
        np.testing.assert_array_equal(
            rows["degree_of_breaking"], broken if counts else np.full(len(rows), np.nan)
        )
        neurons = rows["max_degree"] + (name == "permutation")
        np.testing.assert_allclose(
            rows["degree_per_neuron"], rows["degree"] / (neurons if counts else np.nan)
        )
    chosen = load_trials(store.folder.path, columns=["degree_of_breaking", "replicate"])
    assert list(chosen.columns) == ["degree_of_breaking", "replicate"]
    pd.testing.assert_series_equal(chosen["degree_of_breaking"], trials["degree_of_breaking"])


def test_every_observable_on_every_layer_can_be_counted_again(tmp_path: Path) -> None:
    """Trained once and read at another threshold, against the same grid launched at that threshold."""
    names = [name for name in distance_observables() if name not in ("sign_flip", "classes")]
    elsewhere = [{"observable": name, "layer": layer} for name in names for layer in ("hidden.2", "hidden.3")]
    cut = {"absolute": 0.2, "relative": 0.6}
    frames = {}
    for sweep, threshold in (("one", {"absolute": 1e-3, "relative": 0.05}), ("other", cut)):
        launched(
            tmp_path,
            grid_text(
                {"weight_decay": [0.0, 0.3]},
                {"depth": 4, "steps": 6, "init_scale": 0.3, "activation": "linear"},
                name=sweep,
                measure={"observables": [*names, *elsewhere], "distances": "all", "threshold": threshold},
            ),
        )  # fmt: skip
        frames[sweep] = tmp_path / sweep
    for last in (True, False):
        measurements = load_measurements(frames["one"], last=last, threshold=cut)
        expected = load_measurements(frames["other"], last=last)
        assert set(measurements["observable"]) == set(distance_observables())
        pd.testing.assert_frame_equal(measurements.drop(columns="pack_id"), expected.drop(columns="pack_id"))
        assert (measurements["degree"] != load_measurements(frames["one"], last=last)["degree"]).any()
    again, recorded = load_trials(frames["one"], threshold=cut), load_trials(frames["other"])
    pd.testing.assert_frame_equal(again[COUNTED], recorded[COUNTED])


def test_trials_without_a_layer_or_an_end_stay_null(store: Store) -> None:
    write_measured_pack(store, 1, {0: planted(np.random.default_rng(0), 4)}, Threshold())
    layers = {"measure_layer": [None, "hidden.1", "hidden.1"]}
    rows = trial_rows(pack_name(2), [1, 2, 3], ["ok", "diverged", "failed"], **layers)
    store.write_fragment(pack_name(2), rows, measured_rows(pack_name(2), [2]))
    trials = load_trials(store.folder.path, threshold={"absolute": 0.5, "relative": 0.0})
    assert trials[COUNTED].isna().all(axis=1).tolist() == [False, True, True, True]


def test_distances_that_were_not_stored_are_told(store: Store) -> None:
    write_measured_pack(store, 1, {0: planted(np.random.default_rng(0), 4)}, Threshold(), stored=False)
    for load in (load_trials, load_measurements):
        with pytest.raises(AnalysisError, match=r"without distances.*--remeasure"):
            load(store.folder.path, threshold={"absolute": 0.5})
        assert len(load(store.folder.path)) > 0


@pytest.mark.parametrize("threshold", [{"absolute": -1.0}, {"absolut": 1.0}, {"relative": "much"}])
def test_a_faulty_threshold_is_refused(store: Store, threshold: dict) -> None:
    write_pack(store, 1, [1])
    with pytest.raises(AnalysisError, match="give absolute and relative"):
        load_trials(store.folder.path, threshold=threshold)


def test_columns_are_plain_and_in_order(store: Store) -> None:
    weights = Parameter(
        name="weights",
        type=tuple[float, ...],
        default=REQUIRED,
        neutral=REQUIRED,
        role=Role.BATCHED,
        meaning=".",
    )
    parameters = [*TRAINING, weights]
    columns = {
        "steps": [1, 2],
        "converged": [True, None],
        "weights": [(1.0, 2.0), None],
        "data_seed": [None, 3],
    }
    rows = trial_rows(pack_name(1), [1, 2], parameters=parameters, **columns)
    store.write_fragment(pack_name(1), rows, measured_rows(pack_name(1), [1, 2]))
    frame = load_trials(store.folder.path)
    assert list(frame.columns) == [*trials_schema(parameters).names, *DERIVED_COLUMNS, "temperature"]
    assert frame["steps"].dtype == np.int64
    assert frame["weight_decay"].dtype == np.float64
    assert frame["data_seed"].tolist()[1] == 3.0
    assert frame["converged"].dtype == "boolean"
    assert frame["weights"].tolist() == [(1.0, 2.0), None]
    assert list(load_trials(store.folder.path, columns=["steps", "trial_id"]).columns) == [
        "steps",
        "trial_id",
    ]
    with pytest.warns(CarriedWarning, match="1 trial has converged is what was recorded"):
        narrow = load_trials(store.folder.path, columns=["steps", "drift"], threshold={"absolute": 1.0})
    assert list(narrow.columns) == ["steps", "drift"]


def test_frames_do_not_depend_on_packs_or_compaction(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    distances = {i: planted(rng, 5) for i in rng.permutation(12).tolist()}
    keys = list(distances)
    one, many = Store.open(tmp_path, "one"), Store.open(tmp_path, "many")
    write_measured_pack(one, 1, distances, Threshold())
    for number, start in enumerate(range(0, 12, 5)):
        write_measured_pack(many, number, {i: distances[i] for i in keys[start : start + 5]}, Threshold())
    apart = ["pack_id", "wall_s"]
    for _ in range(3):
        pd.testing.assert_frame_equal(
            load_trials(many.folder.path).drop(columns=apart),
            load_trials(one.folder.path).drop(columns=apart),
        )
        pd.testing.assert_frame_equal(
            load_measurements(many.folder.path).drop(columns="pack_id"),
            load_measurements(one.folder.path).drop(columns="pack_id"),
        )
        compact(many.folder)


def test_measurements_can_be_narrowed_to_the_last(store: Store) -> None:
    write_pack(store, 1, [4, 2])
    frame = load_measurements(store.folder.path, observable="permutation", last=True)
    assert frame["trial_id"].tolist() == [trial_id(2), trial_id(4)]
    assert frame["step"].tolist() == [10, 10]
    assert [d.tolist() for d in frame["distances"]] == [[2.0, 10.0, 0.5], [4.0, 10.0, 0.5]]
    assert len(load_measurements(store.folder.path, observable="rank")) == 0


def test_a_launched_sweep_without_trials_is_empty(store: Store) -> None:
    store.save_grid("a: 1")
    assert len(load_trials(store.folder.path)) == 0
    assert len(load_trials(store.folder.path, threshold=Threshold())) == 0
    assert len(load_measurements(store.folder.path, threshold=Threshold())) == 0


def test_a_missing_sweep_is_told(store: Store, tmp_path: Path) -> None:
    write_pack(store, 1, [1])
    for load in (load_trials, load_measurements):
        with pytest.raises(StoreError, match="holds sweep"):
            load(tmp_path / "sweeep")


def test_reading_a_sweep_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, phasediag.analysis.frames; print(sorted({'torch', 'ray', 'seaborn'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": "."}
    command = [sys.executable, "-c", code]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment)
    assert outcome.stdout.strip() == "[]"
