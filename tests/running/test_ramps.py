"""Ramps: a stage is a training from the weights of the stage before, however it is packed and stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import phasediag
from phasediag.grids.grid import Grid, parse_grid
from phasediag.packing.structure import structures
from phasediag.ramp import Ramp, lengths
from phasediag.running.pack_run import PackRun, TileRun
from phasediag.storage.store import Store
from phasediag.sweeps.rerun import rerun
from phasediag.trial import Streams
from small_sweeps import assert_same_rows, fragments, grid_text, launched, trials
from trained_tiles import job_of, pack_of

CPU = torch.device("cpu")
UP_AND_DOWN = "{parameter: weight_decay, from: 0.02, to: 0.5, stages: 3, there_and_back: true, kick: 1e-3}"
MEASURED = "{observables: [permutation, rank], every: 25, distances: all}"
CHAIN = {
    "task": "scalar_linear", "signal": 0.8, "test_samples": 1, "batch_size": 1, "model": "mlp", "depth": 3,
    "width": 1, "activation": "linear", "init": "balanced", "dtype": "float64", "learning_rate": 0.05,
}  # fmt: skip


def chain_text(ramp: str, **fixed: Any) -> str:
    """A chain of three weights; x = +-1, so that every batch is the population."""
    given = {**CHAIN, **fixed}
    given = {name: value for name, value in given.items() if f"parameter: {name}," not in ramp}
    lines = ["name: g", "fixed:", *(f"  {name}: {value}" for name, value in given.items()), f"ramp: {ramp}"]
    return "\n".join(lines) + "\n"


def test_a_walk_there_and_back_names_its_branches() -> None:
    grid = parse_grid(
        chain_text(UP_AND_DOWN.replace("0.02", "0.5").replace("to: 0.5", "to: 0.1")), Path("g.yaml")
    )
    record = grid.trials().record(0)
    assert record["ramp_values"] == (0.5, 0.3, 0.1, 0.3, 0.5)
    assert (record["ramp"], record["weight_decay"], record["ramp_kick"]) == ("weight_decay", 0.5, 1e-3)
    ramp = Ramp(parameter="weight_decay", values=(0.5, 0.3, 0.1, 0.3, 0.5))
    assert [ramp.way(stage) for stage in range(5)] == ["down"] * 3 + ["up"] * 2


def test_values_are_those_of_an_axis() -> None:
    axes = {"weight_decay": "{logspace: [0.001, 0.7], num: 11}"}
    axis = parse_grid(grid_text(axes), Path("g.yaml")).axes["weight_decay"]
    text = "{parameter: weight_decay, from: 0.001, to: 0.7, stages: 11, spacing: logspace}"
    assert parse_grid(chain_text(text), Path("g.yaml")).trials().record(0)["ramp_values"] == axis


def test_the_identity_of_a_ramp_is_pinned_and_its_stages_count() -> None:
    grid = parse_grid(chain_text(UP_AND_DOWN, steps=7), Path("g.yaml"))
    assert grid.trials().trial_id.tolist() == ["498a6b2469cb06471cc7a4278acdd04e"]
    assert lengths(grid.trials()).tolist() == [35]
    other = parse_grid(chain_text(UP_AND_DOWN.replace("stages: 3", "stages: 4"), steps=7), Path("g.yaml"))
    assert other.trials().trial_id.tolist() != grid.trials().trial_id.tolist()


def test_plan_counts_all_stages(tmp_path: Path) -> None:
    once = {"weight_decay": 0.1, "steps": 40}
    plain = phasediag.plan(_written(tmp_path, grid_text({"init_scale": "[1, 2]"}, once)))
    walked = phasediag.plan(
        _written(tmp_path, grid_text({"init_scale": "[1, 2]"}, {"steps": 40}, ramp=UP_AND_DOWN))
    )
    training = [sum(pack.projected_seconds for pack in plan.packs) for plan in (plain, walked)]
    assert training[1] == pytest.approx(5 * training[0])
    assert walked.relaxing.short == 2  # 0.02 * 0.02 * 40 at the slowest stage


def _written(folder: Path, text: str) -> Path:
    (folder / "grid.yaml").write_text(text)
    return folder / "grid.yaml"


def test_stages_of_different_lengths_never_share_a_program() -> None:
    grid = parse_grid(grid_text({"steps": "[10, 20, 30]"}, ramp=UP_AND_DOWN), Path("g.yaml"))
    assert len(structures(grid.trials(), grid.parameters)[0]) == 3
    plain = parse_grid(grid_text({"steps": "[10, 20, 30]"}), Path("g.yaml"))
    assert len(structures(plain.trials(), plain.parameters)[0]) == 1


@pytest.mark.parametrize(
    "fixed",
    [
        {},
        {"optimizer": "adam", "schedule": "cosine", "warmup_steps": 5},
        {"momentum": 0.9, "schedule": "step", "step_every": 10, "step_factor": 0.5},
        {"control": "syre", "samples": 0},
    ],
    ids=["plain", "adam", "momentum", "syre"],
)
@pytest.mark.parametrize("compile", ["off", "on"])
def test_the_first_stage_is_an_ordinary_trial(fixed: dict[str, Any], compile: str, tmp_path: Path) -> None:
    fixed = {**fixed, "steps": 60}
    axes = {"label_noise": "[0, 0.3]"}
    ramp = "{parameter: weight_decay, from: 0.3, to: 0.1, stages: 2}"
    launched(
        tmp_path / "walked",
        grid_text(axes, fixed, replicates=2, ramp=ramp, measure=MEASURED),
        compile=compile,
    )
    launched(
        tmp_path / "plain", grid_text(axes, {**fixed, "weight_decay": 0.3}, replicates=2, measure=MEASURED),
        compile=compile,
    )  # fmt: skip
    stages = phasediag.load_trials(tmp_path / "walked/g")
    first, plain = stages[stages["stage"] == 0], phasediag.load_trials(tmp_path / "plain/g")
    results = [
        "status", "steps_done", "train_loss", "test_loss", "degree_of_symmetry", "neuron_count", "rank",
        "log_rate", "drift", "relaxations", "converged", "more_steps",
    ]  # fmt: skip
    by = ["label_noise", "replicate"]
    one, other = (rows.sort_values(by).reset_index(drop=True)[[*by, *results]] for rows in (first, plain))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_every_stage_goes_on_from_the_weights_of_the_one_before(tmp_path: Path) -> None:
    """Of three equal weights, by hand: w' = w - lr (2 (w^3 - c) w^2 + wd w); without kicks."""
    ramp = UP_AND_DOWN.replace("1e-3", "0").replace("to: 0.5", "to: 0.9")
    launched(tmp_path, chain_text(ramp, steps=50, init_scale=0.9))
    w, expected = 0.9, []
    for decay in (0.02, 0.46, 0.9, 0.46, 0.02):
        for _ in range(50):
            w -= 0.05 * (2 * (w**3 - 0.8) * w**2 + decay * w)
        expected.append((w**3 - 0.8) ** 2)
    stages = phasediag.load_trials(tmp_path / "g")
    assert stages["weight_decay"].tolist() == [0.02, 0.46, 0.9, 0.46, 0.02]
    assert stages["way"].tolist() == ["up", "up", "up", "down", "down"]
    assert stages["steps_done"].tolist() == [50, 100, 150, 200, 250]
    np.testing.assert_allclose(stages["train_loss"], expected, rtol=1e-9)
    norms = phasediag.load_measurements(tmp_path / "g", observable="sign_flip")
    assert norms["step"].tolist() == [0, 50, 100, 150, 200, 250]


def test_a_kick_is_the_replicate_s_and_moves_every_weight(tmp_path: Path) -> None:
    ramp = "{parameter: weight_decay, from: 0.1, to: 0.2, stages: 2, kick: 0.01}"
    grid = parse_grid(chain_text(ramp, steps=1), Path("g.yaml"))
    before = one_tile(grid, Store.at(tmp_path)).tile
    after = before.next_stage()
    for row, seed in enumerate(grid.trials().seed.tolist()):
        generator = Streams(seed).generator("kick", 1)
        for name, weight in before.state.weights.items():
            kick = 0.01 * generator.standard_normal(weight.shape[1:])
            np.testing.assert_allclose(
                after.state.weights[name][row].numpy(), weight[row].numpy() + kick, rtol=1e-12
            )


def one_tile(grid: Grid, store: Store) -> TileRun:
    pack = pack_of(grid, len(grid.trials()))
    run = PackRun(pack, job_of(grid, store), store, CPU)
    return TileRun(pack, run.job, CPU, run.queue.popleft())


AXES = {"learning_rate": "[0.01, 0.02]", "label_noise": "[0, 0.3]", "init_scale": "[0.5, 2]"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 trials, in one pack."""
    folder = tmp_path_factory.mktemp("ramps")
    text = grid_text(AXES, {"steps": 40}, replicates=2, ramp=UP_AND_DOWN, measure=MEASURED)
    outcome = launched(folder, text)
    assert (outcome.exit_code, outcome.status.ok, outcome.trained) == (0, 16, 16)
    assert launched(folder, text).trained == 0
    return folder / "g"


@pytest.mark.parametrize("per_pack", [5])
def test_law_1_packs_do_not_matter(per_pack: int, undisturbed: Path, tmp_path: Path) -> None:
    text = grid_text(
        AXES, {"steps": 40}, replicates=2, ramp=UP_AND_DOWN, measure=MEASURED,
        resources=f"{{trials_per_pack: {per_pack}}}",
    )  # fmt: skip
    launched(tmp_path, text)
    assert len(fragments(tmp_path / "g")) == -(-16 // per_pack)
    assert_same_rows(undisturbed, tmp_path / "g")


def test_law_1_the_native_program_trains_alone_as_in_company(tmp_path: Path) -> None:
    ramp = "{parameter: label_noise, from: 0, to: 0.5, stages: 3}"
    axes = {"weight_decay": "[0.01, 0.1, 1]"}
    text = grid_text(axes, {"steps": 40, "optimizer": "adam"}, replicates=2, ramp=ramp)
    launched(tmp_path / "together", text, compile="on")
    launched(tmp_path / "alone", text + "resources: {trials_per_pack: 1}\n", compile="on")
    assert_same_rows(tmp_path / "together/g", tmp_path / "alone/g")


def test_padded_networks_are_kicked_as_alone(tmp_path: Path) -> None:
    axes = {"width": "[3, 5]"}
    fixed = {"steps": 10, "inputs": 3, "outputs": 2, "teacher_width": 2}
    text = grid_text(axes, fixed, replicates=2, ramp=UP_AND_DOWN.replace("1e-3", "0.1"))
    launched(tmp_path / "padded", text)
    launched(tmp_path / "alone", text + "resources: {trials_per_pack: 1}\n")
    together, alone = (trials(tmp_path / folder / "g") for folder in ("padded", "alone"))
    assert len(fragments(tmp_path / "padded/g")) == 1
    np.testing.assert_allclose(
        together["train_loss"].astype(float), alone["train_loss"].astype(float), rtol=1e-4
    )


@pytest.mark.parametrize("steps", [0, 1, 39, 40, 41, 100, 120, 199, 200])
def test_law_2_a_ramp_that_was_stopped_goes_on_with_the_same_numbers(
    steps: int, undisturbed: Path, tmp_path: Path
) -> None:
    text = grid_text(AXES, {"steps": 40}, replicates=2, ramp=UP_AND_DOWN, measure=MEASURED)
    grid, store = parse_grid(text, Path("grid.yaml")), Store.at(tmp_path / "g")
    pack = pack_of(grid, 16)
    run = PackRun(pack, job_of(grid, store), store, CPU)
    run.current = TileRun(pack, run.job, CPU, run.queue.popleft())
    run.current.advance_to(steps)
    run.checkpoint()
    again = PackRun(pack, job_of(grid, store), store, CPU)
    assert again.progress().resumed == pytest.approx(16 * steps / 200)
    while not again.done:
        again.advance(60)
    assert_same_rows(undisturbed, tmp_path / "g")


def test_a_rerun_is_the_same_walk(undisturbed: Path, tmp_path: Path) -> None:
    trial = phasediag.load_trials(undisturbed)["trial_id"].iloc[0]
    once_more = rerun(undisturbed, trial, tmp_path)
    assert once_more.recorded is not None
    assert once_more.differs == ()
    assert pd.read_parquet(tmp_path / "losses.parquet")["step"].max() == 200


def test_a_stage_that_diverges_leaves_the_ones_before_it(tmp_path: Path) -> None:
    ramp = "{parameter: learning_rate, from: 0.05, to: 20.05, stages: 3, there_and_back: true}"
    launched(tmp_path, chain_text(ramp, steps=40, init_scale=1.0))
    (row,) = Store.at(tmp_path / "g").trials_table().to_pylist()
    assert (row["status"], row["train_loss"], row["learning_rate"]) == ("diverged", None, 0.05)
    assert 40 < row["diverged_at"] < 60
    stages = phasediag.load_trials(tmp_path / "g")
    assert stages["status"].tolist() == ["ok"] + ["diverged"] * 4
    assert stages["train_loss"].notna().tolist() == [True] + [False] * 4
    np.testing.assert_allclose(stages["lr_over_batch"], [0.05, 10.05, 20.05, 10.05, 0.05])
    again = phasediag.load_trials(tmp_path / "g", threshold={"absolute": 1e-3, "relative": 0.05})
    pd.testing.assert_series_equal(again["alive_count"], stages["alive_count"])


def test_another_threshold_counts_every_stage_again(undisturbed: Path) -> None:
    stages = phasediag.load_trials(undisturbed)
    same = phasediag.load_trials(undisturbed, threshold={"absolute": 1e-3, "relative": 0.05})
    for name in ("degree_of_symmetry", "neuron_count", "alive_count", "degree_normalized"):
        pd.testing.assert_series_equal(same[name], stages[name])
    all_alike = phasediag.load_trials(undisturbed, threshold={"absolute": 1e9, "relative": 0})
    assert (all_alike["neuron_count"] == 0).all()
    assert len(stages) == 16 * 5


def test_frames_of_stages_are_points_of_their_own(undisturbed: Path) -> None:
    stages = phasediag.load_trials(undisturbed)
    assert stages.groupby("point_id")[["weight_decay", "stage", "way"]].nunique().eq(1).all(axis=None)
    diagram = phasediag.phase_diagram(
        stages[stages["init_scale"] == 2], x="weight_decay", y="label_noise", order="neuron_count", level=8,
        facet=("way", "learning_rate"),
    )  # fmt: skip
    assert set(diagram.cells["way"]) == set(diagram.boundary["way"]) == {"up", "down"}
    one = stages[
        (stages["init_scale"] == 2) & (stages["learning_rate"] == 0.02) & (stages["label_noise"] == 0)
    ]
    line = phasediag.phase_diagram(one, x="weight_decay", order="neuron_count", level=8)
    assert line.facets == ("way",)
    assert line.plot() is not None
    some = phasediag.load_trials(undisturbed, columns=["weight_decay", "stage", "rank"])
    assert some.columns.tolist() == ["weight_decay", "stage", "rank"]
    assert len(some) == 80


def test_a_failed_trial_with_a_ramp_has_no_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = TileRun.advance

    def failing(run: TileRun, deadline: float) -> None:
        if 2.0 in run.trials.values("init_scale"):
            raise RuntimeError("no")
        advance(run, deadline)

    monkeypatch.setattr(TileRun, "advance", failing)
    launched(tmp_path, grid_text({"init_scale": "[1, 2]"}, {"steps": 5}, ramp=UP_AND_DOWN))
    stages = phasediag.load_trials(tmp_path / "g")
    assert stages["status"].value_counts().to_dict() == {"ok": 5, "failed": 1}
    assert stages[stages["status"] == "failed"]["stage"].isna().all()
