"""Laws 1, 3 and 5 of the design, by real launches in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import phasediag
from phasediag.errors import PhasediagError
from phasediag.executors import inline
from phasediag.executors.inline import InlineExecutor
from phasediag.executors.watch import Watch
from phasediag.storage.store import Store
from small_sweeps import SOME_STEPS, assert_same_rows, fragments, grid_text, launched, trials, write

AXES = {"weight_decay": "[0.01, 0.1, 1]", "init_scale": "[0.5, 2]", "label_noise": "[0, 0.3]"}
TRAINED = {"learning_time": 3}
MEASURED = (
    "{observables: [permutation, rank, {observable: classes, layer: hidden.1}], every: 40, distances: all}"
)


def packs_of(count: int) -> str:
    return f"{{trials_per_pack: {count}}}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 trials, in one pack."""
    folder = tmp_path_factory.mktemp("undisturbed")
    outcome = launched(folder, grid_text(AXES, TRAINED, replicates=2, measure=MEASURED))
    assert (outcome.exit_code, outcome.status.ok, outcome.trained) == (0, 24, 24)
    return folder / "g"


@pytest.mark.parametrize("per_pack", [3, 7])
def test_law_1_packs_do_not_matter(per_pack: int, undisturbed: Path, tmp_path: Path) -> None:
    text = grid_text(AXES, TRAINED, replicates=2, measure=MEASURED, resources=packs_of(per_pack))
    launched(tmp_path, text)
    assert len(fragments(tmp_path / "g")) == -(-24 // per_pack)
    assert_same_rows(undisturbed, tmp_path / "g")


def test_law_1_order_does_not_matter(undisturbed: Path, tmp_path: Path) -> None:
    axes = {name: AXES[name] for name in reversed(AXES)} | {"weight_decay": "[1, 0.01, 0.1]"}
    text = grid_text(axes, TRAINED, replicates=2, measure=MEASURED, resources=packs_of(10))
    launched(tmp_path, text)
    assert_same_rows(undisturbed, tmp_path / "g")


@pytest.mark.parametrize("row", [0, 13])
def test_law_1_mates_do_not_matter(row: int, undisturbed: Path, tmp_path: Path) -> None:
    row_there = phasediag.load_trials(str(undisturbed)).sort_values("trial_id").iloc[row]
    axes = {name: [float(row_there[name])] for name in AXES}
    replicates = int(row_there["replicate"]) + 1
    launched(
        tmp_path, grid_text(axes, TRAINED, replicates=replicates, measure=MEASURED, resources=packs_of(1))
    )
    assert_same_rows(undisturbed, tmp_path / "g", only=trials(tmp_path / "g").index)


@pytest.mark.parametrize(
    "fixed",
    [
        {
            "task": "linear_map",
            "singular_values": "[1, 0.5]",
            "depth": 3,
            "activation": "relu",
            "bias": "true",
        },
        {"optimizer": "adam", "dtype": "float64", "samples": 0, "activation": "swish"},
        {"batch_size": 0, "momentum": 0.9, "activation": "square", "init": "balanced"},
        {"noise": "fresh", "depth": 4, "activation": "gelu", "optimizer": "adamw"},
    ],
    ids=["linear map", "fresh data", "full batch", "fresh noise"],
)
def test_law_1_for_other_structures(fixed: dict[str, Any], tmp_path: Path) -> None:
    axes = {"weight_decay": "[0.01, 0.1, 1]", "learning_rate": "[0.002, 0.005]", "init_scale": "[0.5, 0.7]"}
    base = {"learning_time": 0.2, **fixed}
    if fixed.get("task") == "linear_map":
        base |= {"teacher_width": None}
    together, alone = tmp_path / "together", tmp_path / "alone"
    for folder, per_pack in ((together, 12), (alone, 1)):
        text = grid_text(
            axes, base, measure="{observables: [permutation, rank]}", resources=packs_of(per_pack)
        )
        launched(folder, "\n".join(line for line in text.split("\n") if "None" not in line))
    assert_same_rows(together / "g", alone / "g")


def test_law_1_for_sizes_of_no_vector_close_to_it(tmp_path: Path) -> None:
    fixed = {**TRAINED, "inputs": 5, "outputs": 3, "width": 7}
    launched(tmp_path / "one", grid_text(AXES, fixed, replicates=2))
    launched(tmp_path / "two", grid_text(AXES, fixed, replicates=2, resources=packs_of(5)))
    one, two = (trials(tmp_path / name / "g") for name in ("one", "two"))
    for column in ("train_loss", "test_loss"):
        np.testing.assert_allclose(one[column], two[column], rtol=1e-4)
    pd.testing.assert_series_equal(one["status"], two["status"])


@pytest.mark.slow
def test_law_1_holds_for_compiled_programs(tmp_path: Path) -> None:
    for folder, per_pack in (("one", 24), ("two", 7)):
        text = grid_text(AXES, TRAINED, replicates=2, measure=MEASURED, resources=packs_of(per_pack))
        launched(tmp_path / folder, text, compile="on")
    assert_same_rows(tmp_path / "one" / "g", tmp_path / "two" / "g")


def test_rows_are_no_constants(undisturbed: Path) -> None:
    """Equal rows would prove nothing if every trial left the same ones."""
    loaded = phasediag.load_trials(str(undisturbed))
    assert loaded["train_loss"].nunique() == loaded["log_rate"].nunique() == 24
    measured = phasediag.load_measurements(str(undisturbed))
    assert set(measured["step"]) == {0, 40, 80, 120, 150}
    assert measured["distances"].map(len).min() >= 15


def test_law_3_extending_a_grid_trains_only_the_new_trials(tmp_path: Path) -> None:
    launched(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 40}, replicates=2))
    before, written = trials(tmp_path / "g"), fragments(tmp_path / "g")
    started = phasediag.load_trials(str(tmp_path / "g")).set_index("trial_id")["started_at"]
    extended = grid_text({"weight_decay": "[0.01, 0.03, 0.1]"}, {"steps": 40}, replicates=3)
    outcome = launched(tmp_path, extended)
    assert (outcome.trained, outcome.status.total, outcome.exit_code) == (5, 9, 0)
    after = phasediag.load_trials(str(tmp_path / "g")).set_index("trial_id")
    assert after.loc[before.index, "started_at"].sort_index().equals(started.sort_index())
    assert {pack: fragments(tmp_path / "g")[pack] for pack in written} == written
    launched(tmp_path / "fresh", extended)
    assert_same_rows(tmp_path / "g", tmp_path / "fresh" / "g")


def test_losses_are_recorded_beside_every_measurement_where_asked(tmp_path: Path) -> None:
    axes, fixed = {"weight_decay": "[0.01, 0.1]"}, {"steps": 40}
    launched(tmp_path, grid_text(axes, fixed, measure="{every: 10}"))
    text = grid_text(axes, fixed, measure="{every: 10, losses: true}")
    with pytest.raises(PhasediagError, match=r"losses at every measurement; .*--remeasure"):
        launched(tmp_path, text)
    assert launched(tmp_path, text, remeasure=True).trained == 2
    history = phasediag.load_measurements(str(tmp_path / "g"), observable="permutation")
    rows = phasediag.load_trials(str(tmp_path / "g")).set_index("trial_id")
    assert sorted(history["step"].unique()) == [0, 10, 20, 30, 40]
    assert history["train_loss"].notna().all()
    last = history[history["step"] == 40].set_index("trial_id")
    both = ["train_loss", "test_loss"]
    pd.testing.assert_frame_equal(last[both], rows.loc[last.index, both], check_dtype=False)


def test_a_file_of_points_is_kept_with_the_sweep(tmp_path: Path) -> None:
    points = tmp_path / "points.parquet"
    pq.write_table(pa.table({"weight_decay": [0.01, 0.1]}), points)
    launched(tmp_path, grid_text({}, {"steps": 20}, points="points.parquet").replace("axes:\n", ""))
    points.unlink()
    counts = phasediag.status(str(tmp_path / "g"))
    assert (counts.total, counts.done) == (2, 2)


def test_law_3_launching_twice_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 20})
    launched(tmp_path, text)
    monkeypatch.setattr(InlineExecutor, "run", never)
    assert launched(tmp_path, text).trained == 0


def test_another_threshold_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes, fixed = {"weight_decay": "[0.01, 0.1]"}, {"steps": 20}
    launched(tmp_path, grid_text(axes, fixed))
    monkeypatch.setattr(InlineExecutor, "run", never)
    measure = "{threshold: {absolute: 100, relative: 0}}"
    outcome = launched(tmp_path, grid_text(axes, fixed, measure=measure))
    assert (outcome.trained, outcome.exit_code) == (0, 0)
    loaded = phasediag.load_trials(str(tmp_path / "g"), threshold={"absolute": 100, "relative": 0})
    assert loaded["degree_of_symmetry"].tolist() == [15, 15]


def test_a_new_observable_needs_remeasure(tmp_path: Path) -> None:
    axes, fixed = {"weight_decay": "[0.01, 0.1]"}, {"steps": 20, "depth": 3}
    launched(tmp_path, grid_text(axes, fixed))
    text = grid_text(axes, fixed, measure="{observables: [permutation, {observable: rank, layer: hidden.2}]}")
    with pytest.raises(PhasediagError, match=r"2 committed trials .*--remeasure") as caught:
        launched(tmp_path, text)
    assert caught.value.exit_code == 2
    before = trials(tmp_path / "g")
    assert launched(tmp_path, text, remeasure=True).trained == 2
    measurements = phasediag.load_measurements(str(tmp_path / "g"), observable="rank", last=True)
    assert measurements["layer"].tolist() == ["hidden.2"] * 2
    pd.testing.assert_frame_equal(trials(tmp_path / "g"), before, check_exact=True)
    assert launched(tmp_path, text).trained == 0


RAISING = """
import os

from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import FiniteFloat, Parameter, Role

class Task(LinearMap):
    declares = (*LinearMap.declares, Parameter(name="trap", type=FiniteFloat, default=0.0, neutral=0.0,
                role=Role.BATCHED, meaning="Raises at 1."))

    def unit_noise(self, generator, count):
        later = 0 < generator.bit_generator.state["state"]["counter"][1] < 2**40
        if later and self.values["trap"] == 1 and "MENDED" not in os.environ:
            raise RuntimeError("sprung")
        return super().unit_noise(generator, count)
"""
"""A task that raises in training, not in its first steps: no dry step shows it."""


def trapped(values: str, **top: Any) -> str:
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 40, "noise": "fresh"}
    fixed |= {"batch_size": 512}  # of which a block of draws holds 32 steps
    text = grid_text({"trap": values, "weight_decay": "[0.01, 0.1]"}, fixed, **top)
    return text.replace("  teacher_width: 4\n", "")


def test_law_5_a_trial_that_raises_fails_alone(tmp_path: Path) -> None:
    for folder in ("with", "without"):
        write(tmp_path / folder, RAISING, "my_task.py")
    outcome = launched(tmp_path / "with", trapped("[0, 1, 2, 3]"))
    assert (outcome.exit_code, outcome.status.ok, outcome.status.failed) == (1, 6, 2)
    assert outcome.first_error == "RuntimeError: sprung"
    launched(tmp_path / "without", trapped("[0, 2, 3]"))
    assert_same_rows(
        tmp_path / "with" / "g", tmp_path / "without" / "g", trials(tmp_path / "without" / "g").index
    )
    failed = phasediag.load_trials(str(tmp_path / "with" / "g")).query("status == 'failed'")
    assert failed["trap"].tolist() == [1, 1]
    assert failed["error"].tolist() == ["RuntimeError: sprung"] * 2
    assert failed["train_loss"].isna().all()


def test_failed_trials_are_skipped_until_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, RAISING, "my_task.py")
    text = trapped("[0, 1]")
    launched(tmp_path, text)
    again = launched(tmp_path, text)
    assert (again.trained, again.exit_code, again.status.failed) == (0, 1, 2)
    retried = launched(tmp_path, text, retry_failed=True)
    assert (retried.trained, retried.exit_code, retried.status.failed) == (2, 1, 2)
    monkeypatch.setenv("MENDED", "1")
    mended = launched(tmp_path, text, retry_failed=True)
    assert (mended.trained, mended.exit_code, mended.status.ok) == (2, 0, 4)


def test_max_failures_drains(tmp_path: Path) -> None:
    write(tmp_path, RAISING, "my_task.py")
    text = trapped("[1, 0, 2, 3]", resources=packs_of(2), replicates=4)
    outcome = launched(tmp_path, text, max_failures=2)
    assert outcome.exit_code == 1
    assert outcome.status.failed >= 2
    assert outcome.status.missing > 0
    assert "--max-failures 2" in outcome.drained


def test_law_5_a_diverged_trial_is_recorded_and_leaves_its_mates_alone(tmp_path: Path) -> None:
    fixed = {"steps": 100}
    launched(tmp_path / "with", grid_text({"learning_rate": "[0.01, 0.02, 1000]"}, fixed, replicates=2))
    launched(tmp_path / "without", grid_text({"learning_rate": "[0.01, 0.02]"}, fixed, replicates=2))
    loaded = phasediag.load_trials(str(tmp_path / "with" / "g"))
    lost = loaded[loaded["learning_rate"] == 1000]
    assert lost["status"].tolist() == ["diverged"] * 2
    assert lost["diverged_at"].between(1, 99).all()
    assert (lost["steps_done"] == lost["diverged_at"]).all()
    measured = ["train_loss", "test_loss", "degree_of_symmetry", "degree_normalized", "neuron_count",
                "alive_count", "rank", "log_rate", "drift", "converged"]  # fmt: skip
    assert lost[measured].isna().all(axis=None)
    assert_same_rows(
        tmp_path / "with" / "g", tmp_path / "without" / "g", trials(tmp_path / "without" / "g").index
    )
    assert (
        launched(tmp_path / "with", grid_text({"learning_rate": "[1000]"}, fixed, replicates=2)).trained == 0
    )


def test_an_interrupted_launch_goes_on_from_its_checkpoint(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "SLICE_SECONDS", SOME_STEPS)
    text = grid_text(AXES, TRAINED, replicates=2, measure=MEASURED, resources=packs_of(12))
    stopped = launched(tmp_path, text, observer=drain_at_once)
    assert (stopped.exit_code, stopped.status.done, stopped.trained) == (130, 0, 0)
    assert len(list((tmp_path / "g" / "checkpoints").iterdir())) == 1
    seen: list[Watch] = []
    outcome = launched(tmp_path, text, observer=seen.append)
    assert outcome.exit_code == 0
    assert not list((tmp_path / "g" / "checkpoints").iterdir())
    assert_same_rows(undisturbed, tmp_path / "g")
    assert seen[-1].resumed > 0


def test_a_checkpoint_of_another_measurement_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "SLICE_SECONDS", SOME_STEPS)
    axes, fixed = {"weight_decay": "[0.01, 0.1]"}, {"steps": 400}
    assert launched(tmp_path / "a", grid_text(axes, fixed), observer=drain_at_once).exit_code == 130
    text = grid_text(axes, fixed, measure="{observables: [rank], every: 100, threshold: {relative: 0.2}}")
    assert launched(tmp_path / "a", text).exit_code == 0
    launched(tmp_path / "b", text)
    assert_same_rows(tmp_path / "a" / "g", tmp_path / "b" / "g")


def test_a_checkpoint_of_trials_that_are_done_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a launch leaves it that is killed after its fragment, and the rest of one that was never whole."""
    monkeypatch.setattr(inline, "SLICE_SECONDS", SOME_STEPS)
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 400})
    launched(tmp_path, text, observer=drain_at_once)
    with monkeypatch.context() as kept:
        kept.setattr(Store, "drop_checkpoint", lambda self, pack_id: None)
        launched(tmp_path, text)
    store = Store.at(tmp_path / "g")
    assert len(store.checkpoints()) == 1
    write(tmp_path / "g" / "checkpoints" / ("ab" * 16), "half of it", ".state.1.tmp")
    assert launched(tmp_path, text).trained == 0
    assert list((tmp_path / "g" / "checkpoints").iterdir()) == []


def drain_at_once(watch: Watch) -> None:
    if watch.trials_done > 0:
        watch.drain("told to")


def never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("something was trained")
