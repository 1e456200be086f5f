"""`keep: weights`: what is kept, who reads it, and that training on from it is training straight through."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from click.testing import CliRunner, Result
from torch import nn

import phasediag
from phasediag import cli
from phasediag.errors import GridError, PhasediagError
from phasediag.executors.array import letters
from phasediag.executors.array.letters import Answer, WrittenClaim
from phasediag.grids.grid import parse_grid
from phasediag.running import checkpoint
from phasediag.running.job import Job
from phasediag.running.pack_run import PackRun
from phasediag.running.splitting import split
from phasediag.storage.kept_weights import Kept, KeptGroup, packs_with_weights, read_kept, write_kept
from phasediag.storage.store import Store
from phasediag.sweeps.extend import extend
from phasediag.sweeps.planning import make_plan, pack_of_header
from phasediag.sweeps.survey import make_survey
from phasediag.sweeps.sweep import Outcome
from phasediag.sweeps.until import train_until_converged
from phasediag.sweeps.weights import load_weights
from small_sweeps import assert_same_rows, fragments, grid_text, launched, write

STEPS = 20
MEASURED = "{observables: [permutation, sharpness, loss, rank], every: 8, distances: all, losses: true}"
"""At steps 8 and 16, and not where the shorter trials end; sharpness and loss look at the whole course."""
NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, share: float = 0.25) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(inputs, 16), nn.Linear(16, outputs)
        self.drop = nn.Dropout(share)
        self.register_buffer("seen", torch.zeros(16))

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if self.training:
            self.seen = 0.9 * self.seen + 0.1 * hidden.detach().mean(0)
        return self.last(self.drop(hidden + self.seen))
"""
CHEAP = "{observables: [permutation, loss], every: 8, distances: all}"
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "streams": ({"optimizer": "[sgd, adam]"}, {"noise": "fresh", "label_noise": 0.5, "weight_decay": 0.05}),
    "diverging": ({"learning_rate": "[0.02, 300.0]"}, {"optimizer": "sgd", "momentum": 0.9}),
    "optimizers": (
        {"optimizer": "[sgd, adam, adamw]", "label_noise": "[0.0, 0.5]"},
        {"noise": "fresh", "weight_decay": 0.05},
    ),
    "sizes": (
        {"width": "[16, 32]", "schedule": "[constant, step]", "learning_rate": "[0.02, 0.05]"},
        {"step_every": 7, "label_noise": 0.5, "weight_decay": 0.05, "activation": "relu"},
    ),
    "control": (
        {"control": "[dcs, syre]", "weight_decay": "[0.05, 0.1]"},
        {"batch_size": 0, "dtype": "float64", "gradient_clip": 0.5},
    ),
    "own": ({"weight_decay": "[0.05, 0.1]"}, {"model": "my_net.py:Net", "optimizer": "adam"}),
}


def train(grid: Path, *, sweep: str) -> Outcome:
    return phasediag.launch(grid, sweep=sweep, executor="inline", compile="off", notify=lambda sentence: None)


def text_of(way: str, steps: int, **top: Any) -> str:
    axes, fixed = WAYS[way]
    if way == "own":
        fixed = {**fixed, "width": None}
    given = {name: value for name, value in {**fixed, "steps": steps}.items() if value is not None}
    measure = {"own": "{every: 8}", "streams": CHEAP, "diverging": CHEAP}.get(way, MEASURED)
    text = grid_text(axes, given, replicates=2, **{"measure": measure, **top})
    return text.replace("  width: 16\n", "") if way == "own" else text


def command(*arguments: str | Path) -> Result:
    """`phasediag ARGUMENTS` in this process."""
    return CliRunner().invoke(cli.commands, [str(each) for each in arguments])


def ids_of(sweep: str | Path, steps: int) -> pd.Index[Any]:
    trials = phasediag.load_trials(sweep)
    return pd.Index(trials.loc[trials["steps"] == steps, "trial_id"])


def assert_same_weights(one: str | Path, other: str | Path, trials: pd.Index[Any]) -> None:
    """What is kept is the same bit by bit: weights, moments, buffers, and what observables have seen."""
    packs = [phasediag.load_trials(sweep).set_index("trial_id")["pack_id"] for sweep in (one, other)]
    for trial in trials:
        first, second = (
            read_kept(Store.at(sweep).folder, of[trial]).trial(trial)
            for sweep, of in zip((one, other), packs, strict=True)
        )
        assert first is not None
        assert second is not None
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.dtype == second[name].dtype
            np.testing.assert_array_equal(array, second[name], err_msg=name)


SLOW = ("diverging", "optimizers", "sizes", "control", "own")


@pytest.mark.parametrize("way", [pytest.param(way, marks=[pytest.mark.slow] * (way in SLOW)) for way in WAYS])
def test_training_on_from_kept_weights_is_training_straight_through(way: str, tmp_path: Path) -> None:
    """Rows, measurements and what is kept, bit by bit: of a course in one piece, and in two."""
    (tmp_path / "straight").mkdir()
    for folder in (tmp_path, tmp_path / "straight"):
        (folder / "my_net.py").write_text(NET)
    launched(tmp_path, text_of(way, STEPS, keep="weights"))
    straight = launched(tmp_path / "straight", text_of(way, 2 * STEPS, keep="weights")).sweep
    done = extend(tmp_path / "g", 2, train=train)
    assert done.exit_code == 0
    longer = ids_of(straight, 2 * STEPS)
    trials = phasediag.load_trials(done.sweep).set_index("trial_id")
    assert sorted(longer) == sorted(ids_of(done.sweep, 2 * STEPS))
    assert (trials.loc[longer, "from_step"] == STEPS).all()
    origins = trials.loc[trials.loc[longer, "trained_from"]]
    assert (origins["steps"] == STEPS).all()
    assert (origins["replicate"].to_numpy() == trials.loc[longer, "replicate"].to_numpy()).all()
    assert trials.loc[ids_of(done.sweep, STEPS), "trained_from"].isna().all()
    assert_same_rows(straight, done.sweep, only=longer)
    assert_same_weights(straight, done.sweep, longer)
    assert way != "diverging" or set(trials.loc[longer, "status"]) == {"ok", "diverged"}


def test_what_is_kept_is_what_the_longer_trial_comes_from(tmp_path: Path) -> None:
    """Other weights in the file give another end: it is not trained from the start in silence."""
    text = grid_text({"weight_decay": "[0.05]"}, {"steps": STEPS}, keep="weights")
    sweep = Path(launched(tmp_path, text).sweep)
    store = Store.at(sweep)
    (pack,) = packs_with_weights(store.folder)
    kept = read_kept(store.folder, pack)
    groups = tuple(
        KeptGroup(
            trial_ids=group.trial_ids,
            arrays={n: 2 * a if n.startswith("state/weights") else a for n, a in group.arrays.items()},
        )
        for group in kept.groups
    )
    write_kept(store.folder, pack, Kept(groups=groups), store.identity())
    extend(sweep, 2, train=train)
    straight = launched(tmp_path / "straight", text.replace(f"steps: {STEPS}", f"steps: {2 * STEPS}")).sweep
    losses = [
        phasediag.load_trials(each).set_index("steps").loc[2 * STEPS, "train_loss"]
        for each in (sweep, straight)
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
def test_only_what_a_longer_course_passes_through_is_gone_on_from(tmp_path: Path) -> None:
    """Not with a schedule that asks for the length, less than twice as long, or measured otherwise."""
    axes = {"schedule": "[constant, cosine]"}
    text = grid_text(axes, {"steps": STEPS}, keep="weights", measure="{every: 5}")
    sweep = launched(tmp_path, text).sweep
    for steps, measure in ((30, 5), (60, 5), (40, 10)):
        longer = text.replace(f"steps: {STEPS}", f"steps: {steps}").replace("every: 5", f"every: {measure}")
        notices: list[str] = []
        straight = launched(tmp_path / f"{steps} {measure}", longer).sweep
        if measure == 5:
            launched(tmp_path, longer, notify=notices.append)
            rows = phasediag.load_trials(sweep)
            rows = rows[rows["steps"] == steps].set_index("schedule")
            expected = {30: None, 60: 30}[steps]
            assert rows["from_step"].isna().to_dict() == {"constant": expected is None, "cosine": True}
            assert expected is None or rows.loc["constant", "from_step"] == expected
            assert any("go on from the kept weights" in each for each in notices) is (expected is not None)
            assert_same_rows(sweep, straight, only=pd.Index(rows["trial_id"]))
        else:
            launched(tmp_path / "other", text)
            launched(tmp_path / "other", longer, remeasure=True)
            assert phasediag.load_trials(tmp_path / "other" / "g")["from_step"].isna().all()


def test_several_lengths_go_on_from_one_trial(tmp_path: Path) -> None:
    """In one tile: each with its own measurements before."""
    text = grid_text({"weight_decay": "[0.05]"}, {"steps": STEPS}, keep="weights", measure="{every: 5}")
    sweep = launched(tmp_path, text).sweep
    longer = grid_text({"steps": "[40, 50]"}, {"weight_decay": 0.05}, keep="weights", measure="{every: 5}")
    launched(tmp_path, longer)
    straight = launched(tmp_path / "straight", longer).sweep
    rows = phasediag.load_trials(sweep)
    assert rows.loc[rows["steps"] > STEPS, "trained_from"].nunique() == 1
    assert_same_rows(straight, sweep, only=pd.Index(phasediag.load_trials(straight)["trial_id"]))


@pytest.mark.slow
def test_a_share_is_the_same_trials_at_every_length(tmp_path: Path) -> None:
    """By chance about half of 16; the others are trained from the start, to the same end."""
    text = grid_text({"weight_decay": "{linspace: [0.01, 0.1], num: 8}"}, {"steps": STEPS}, replicates=2)
    kept = text + "keep: {weights: 0.5}\n"
    sweep = launched(tmp_path, kept).sweep
    extend(sweep, 2, train=train)
    trials = phasediag.load_trials(sweep)
    chosen = trials["course_id"].notna()
    assert 2 < chosen.sum() / 2 < 14
    shorter, longer = (set(trials.loc[chosen & (trials["steps"] == n), "course_id"]) for n in (20, 40))
    assert shorter == longer
    assert (trials["from_step"].notna() == (chosen & (trials["steps"] == 40))).all()
    straight = launched(tmp_path / "straight", text.replace("steps: 20", "steps: 40")).sweep
    assert_same_rows(straight, sweep, only=ids_of(straight, 40))
    assert set(phasediag.load_trials(straight)["trial_id"]) == set(
        trials.loc[trials["steps"] == 40, "trial_id"]
    )


@pytest.mark.slow
def test_until_converged_goes_on_from_round_to_round(tmp_path: Path) -> None:
    text = grid_text(
        {"weight_decay": "[0.5, 1.0]"}, {"steps": 10, "learning_rate": 0.1}, keep="weights",
        measure="{every: 10}",
    )  # fmt: skip
    bare = text.replace("keep: weights\n", "")
    sweeps = []
    for name, given in (("kept", text), ("bare", bare)):
        grid = write(tmp_path / name, given)
        done = train_until_converged(grid, 4, str(tmp_path / name), train=train_here(tmp_path / name))
        sweeps.append(done.sweep)
    kept, bare_rows = (phasediag.load_trials(sweep).set_index("trial_id").sort_index() for sweep in sweeps)
    assert list(kept.index) == list(bare_rows.index)
    assert kept["steps"].max() == 40
    assert (kept["from_step"].fillna(0) == np.where(kept["steps"] > 10, kept["steps"] // 2, 0)).all()
    assert bare_rows["from_step"].isna().all()
    assert_same_rows(*sweeps)
    explanation = command("explain", sweeps[0], kept.index[kept["steps"] == 40][0]).output
    assert "trained on from step 20" in explanation
    assert "its last weights are kept" in explanation
    explanation = command("explain", sweeps[1], kept.index[0]).output
    assert "trained from the start; its last weights are not kept" in explanation


def train_here(folder: Path) -> Any:
    def launch(grid: Path, *, sweep: str | Path | None = None) -> Outcome:
        return phasediag.launch(grid, str(folder), sweep=sweep, executor="inline", compile="off")

    return launch


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials of two sizes, in packs of four, with their weights."""
    text = grid_text(
        {"weight_decay": "[0.01, 0.1]", "width": "[16, 32]"}, {"steps": STEPS, "optimizer": "adam"},
        replicates=2, keep="weights", resources="{trials_per_pack: 3}",
    )  # fmt: skip
    return Path(launched(tmp_path_factory.mktemp("kept"), text).sweep)


@pytest.fixture
def sweep(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copy(original.parent / "grid.yaml", tmp_path / "grid.yaml")
    return Path(shutil.copytree(original, tmp_path / "g"))


def test_weights_load_in_plain_pytorch(original: Path, tmp_path: Path) -> None:
    """They are those of `rerun`, and a network of torch's own takes them and predicts with them."""
    rows = phasediag.load_trials(original).set_index("trial_id")
    for trial in rows.index[[0, 5]]:
        weights = load_weights(original, trial[:8])
        width = rows.loc[trial, "width"]
        assert {n: w.shape for n, w in weights.items()} == {
            "layers.0.weight": (width, 16), "layers.1.weight": (16, width)
        }  # fmt: skip
        assert command("rerun", original, trial, "--save", tmp_path / trial).exit_code == 0
        again = safetensors.numpy.load_file(tmp_path / trial / "weights.safetensors")
        assert again.keys() == weights.keys()
        assert all(np.array_equal(again[name], weights[name]) for name in again)
        plain = nn.Module()
        plain.layers = nn.ModuleList(
            [nn.Linear(16, int(width), bias=False), nn.Linear(int(width), 16, bias=False)]
        )
        plain.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        x = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
        with torch.no_grad():
            given = plain.layers[1](torch.tanh(plain.layers[0](torch.from_numpy(x)))).numpy()
        expected = np.tanh(x @ weights["layers.0.weight"].T) @ weights["layers.1.weight"].T
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


def test_any_reader_of_safetensors_opens_a_file(original: Path) -> None:
    """Arrays with a leading axis of trials, a group for each size; metadata tell which row is whose."""
    seen: set[str] = set()
    for path in (original / "weights").iterdir():
        with safetensors.safe_open(path, framework="np") as file:
            groups = json.loads(file.metadata()["trials"])
            for number, ids in enumerate(groups):
                stacked = file.get_tensor(f"{number}/state/weights/layers.0.weight")
                assert len(stacked) == len(ids)
                for trial, each in zip(ids, stacked, strict=True):
                    assert np.array_equal(each, load_weights(original, trial)["layers.0.weight"])
            seen.update(*groups)
    assert seen == set(phasediag.load_trials(original)["trial_id"])
    assert not {path.suffix for path in (original / "weights").iterdir()} - {".safetensors"}


def test_what_is_kept_is_no_part_of_identity(original: Path) -> None:
    text = (original.parent / "grid.yaml").read_text()
    bare = parse_grid(text.replace("keep: weights\n", ""), Path("grid.yaml"))
    kept = parse_grid(text, Path("grid.yaml"))
    assert (bare.keep, kept.keep) == (0.0, 1.0)
    assert list(bare.trials().trial_id) == list(kept.trials().trial_id)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("all", "'all' is not allowed; write keep: weights"), ("true", "write keep: weights"),
        ("{weights: 0}", "keep.weights: 0 is not allowed"), ("{weights: 1.5}", "keep.weights: 1.5"),
        ("{weihgts: 0.5}", "did you mean 'weights'"), ("{}", "'weights' is missing"),
    ],
)  # fmt: skip
def test_other_things_to_keep_are_refused_at_their_line(given: str, words: str) -> None:
    with pytest.raises(GridError) as refused:
        parse_grid(grid_text({"weight_decay": "[0.1]"}, keep=given), Path("grid.yaml"))
    assert words in str(refused.value)
    assert "grid.yaml:" in str(refused.value)


def test_trials_that_were_recorded_without_are_told_of_and_trained_again_when_asked(tmp_path: Path) -> None:
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 4})
    sweep = launched(tmp_path, text).sweep
    before, notices = phasediag.load_trials(sweep), list[str]()
    with pytest.raises(
        PhasediagError, match=r"write `keep: weights` in its grid and launch with --remeasure"
    ):
        load_weights(sweep, before["trial_id"][0])
    kept = text + "keep: weights\n"
    assert launched(tmp_path, kept, notify=notices.append).trained == 0
    assert [each for each in notices if "keep: 2 trials are recorded without their weights" in each]
    assert launched(tmp_path, kept, remeasure=True).trained == 2
    assert load_weights(sweep, before["trial_id"][0])
    assert launched(tmp_path, kept, remeasure=True, notify=notices.append).trained == 0
    assert launched(tmp_path, text).trained == 0


def test_a_plan_foretells_their_bytes(tmp_path: Path, original: Path) -> None:
    text = (original.parent / "grid.yaml").read_text()
    grid = write(tmp_path, text)
    answer = json.loads(command("plan", grid, "--storage", tmp_path, "--json").stdout)
    size = sum(path.stat().st_size for path in (original / "weights").iterdir())
    assert answer["weights_bytes"] == 2 * 2 * sum(3 * 4 * (16 * width + width * 16) for width in (16, 32))
    assert answer["weights_bytes"] <= size < 1.2 * answer["weights_bytes"] + 4096 * 3
    assert answer["store_bytes"] > answer["weights_bytes"]
    half = write(tmp_path, text.replace("keep: weights", "keep: {weights: 0.5}"))
    printed = " ".join(re.sub(r"[│┃]", " ", command("plan", half, "--storage", tmp_path).output).split())
    assert "of it kept weights, of 0.5 of the trials" in printed
    bare_grid = write(tmp_path, text.replace("keep: weights\n", ""))
    bare = json.loads(command("plan", bare_grid, "--storage", tmp_path, "--json").stdout)
    assert bare["store_bytes"] == answer["store_bytes"] - answer["weights_bytes"]
    assert "weights_bytes" not in bare


@pytest.mark.parametrize("compacted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_they_go_and_come_back_with_their_trials(sweep: Path, original: Path, compacted: bool) -> None:
    if compacted:
        assert command("compact", sweep).exit_code == 0
    every = phasediag.load_trials(sweep)
    gone = set(every.loc[every["weight_decay"] > 0.05, "trial_id"])
    assert command("remove", sweep, "--where", "weight_decay > 0.05", "--yes").exit_code == 0
    folder = Store.at(sweep).folder
    left = {each for pack in packs_with_weights(folder) for each in read_kept(folder, pack).trial_ids}
    assert left == set(every["trial_id"]) - gone
    with pytest.raises(PhasediagError, match="are not kept"):
        load_weights(sweep, min(gone))
    assert command("remove", sweep, "--undo").exit_code == 0
    assert_same_weights(sweep, original, pd.Index(every["trial_id"]))
    assert_same_rows(sweep, original)
    assert "intact" in command("verify", sweep).output


def test_what_was_removed_is_gone_once_the_sweep_is_compacted(sweep: Path) -> None:
    listed = json.loads(command("list", sweep.parent, "--json").stdout)[0]
    size = sum(path.stat().st_size for path in (sweep / "weights").iterdir())
    assert listed["weights"] == size
    assert "of it are kept weights" in command("list", sweep.parent).stderr
    command("remove", sweep, "--where", "width = 16", "--yes")
    command("compact", sweep)
    assert not list((sweep / "trash").glob("**/*.safetensors"))
    assert json.loads(command("list", sweep.parent, "--json").stdout)[0]["weights"] < 0.8 * size


@pytest.mark.slow
def test_merging_takes_them_along(sweep: Path, original: Path, tmp_path: Path) -> None:
    command("remove", sweep, "--where", "weight_decay > 0.05", "--yes")
    assert command("merge", sweep, original).exit_code == 0
    assert_same_rows(sweep, original)
    assert_same_weights(sweep, original, pd.Index(phasediag.load_trials(original)["trial_id"]))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a bit", "cut", "another pack", "gone"])
def test_a_damaged_file_costs_no_row_and_longer_trials_begin_at_step_0(
    sweep: Path, damage: str, tmp_path: Path
) -> None:
    first, *others = sorted((sweep / "weights").iterdir())
    content = bytearray(first.read_bytes())
    content[-5] ^= 4
    if damage == "gone":
        first.unlink()
    else:
        kinds = {"a bit": bytes(content), "cut": bytes(content[:-9]), "another pack": others[0].read_bytes()}
        first.write_bytes(kinds[damage])
    outcome = command("verify", sweep)
    assert (outcome.exit_code == 0) is (damage == "gone")
    assert (
        first.stem not in outcome.output
        or {"another pack": "foreign"}.get(damage, "damaged") in outcome.output
    )
    before = phasediag.load_trials(sweep)
    held = before.loc[before["pack_id"] == first.stem, "trial_id"]
    with pytest.raises(PhasediagError, match=r"are not kept|results stay"):
        load_weights(sweep, held.iloc[0])
    extend(sweep, 2, train=train)
    trials = phasediag.load_trials(sweep)
    begun = set(trials["trained_from"].dropna())
    assert begun <= set(before["trial_id"]) - set(held)
    straight = (tmp_path / "grid.yaml").read_text().replace(f"steps: {STEPS}", f"steps: {2 * STEPS}")
    longer = launched(tmp_path / "straight", straight).sweep
    assert_same_rows(longer, sweep, only=ids_of(longer, 2 * STEPS))
    if damage != "gone":
        assert command("verify", sweep, "--repair").exit_code == 0
        assert len(phasediag.load_trials(sweep)) == len(trials)
        assert list((sweep / "quarantine").glob("*weights*"))


def test_a_pack_that_goes_on_is_continued_and_split_from_its_checkpoint(sweep: Path, tmp_path: Path) -> None:
    """Stopped in its second tile: by another process, and by one that splits it."""
    text = (tmp_path / "grid.yaml").read_text().replace(f"steps: {STEPS}", f"steps: {2 * STEPS}")
    text = text.replace("trials_per_pack: 3", "trials_per_pack: 8").replace("width: [16, 32]", "width: [16]")
    grid, store = parse_grid(text, Path("grid.yaml")), Store.at(sweep)
    plan = make_plan(make_survey(grid, store), store, workers=1, compile_mode="off")
    (note,) = plan.notes
    assert "4 of 4 trials go on from the kept weights of shorter ones, which saves 50% of the steps" in note
    (pack,) = plan.packs
    pack = replace(pack, tile_size=2)
    assert pack.origin is not None
    assert plan.packs[0].projected_seconds < replace(pack, origin=None).projected_seconds
    job = Job(sweep=store.folder.uri, measure=grid.measure, parameters=grid.parameters, keep=grid.keep)
    straight = launched(tmp_path / "straight", text).sweep
    for way in ("continued", "split"):
        copy = Store.at(shutil.copytree(sweep, tmp_path / way))
        run = PackRun(pack, job, copy, torch.device("cpu"))
        while not run.finished:
            run.advance(0.001)
        while run.current is None or run.current.tile.step == STEPS:
            run._work(0.0)
        assert 0 < run.current.share < 1
        run.checkpoint()
        parts = split(pack, job, copy, "killed") if way == "split" else None
        packs = (pack,) if parts is None else parts.packs
        assert parts is None or (len(parts.packs), len(parts.committed)) == (1, 1)
        for each in packs:
            taken = replace(each, origin=None) if way == "continued" else each
            again = PackRun(taken, job, copy, torch.device("cpu"))
            while not again.done:
                again.advance(60)
        assert_same_rows(straight, copy.folder.path, only=ids_of(straight, 2 * STEPS))
        assert_same_weights(straight, copy.folder.path, ids_of(straight, 2 * STEPS))
        rows = phasediag.load_trials(copy.folder.path)
        assert (rows.loc[rows["steps"] == 2 * STEPS, "from_step"] == STEPS).all()
        assert command("verify", copy.folder.path).exit_code == 0


def test_a_place_that_follows_is_told_where_a_pack_begins(sweep: Path, tmp_path: Path) -> None:
    text = (tmp_path / "grid.yaml").read_text().replace(f"steps: {STEPS}", f"steps: {2 * STEPS}")
    grid, store = parse_grid(text, Path("grid.yaml")), Store.at(sweep)
    plan = make_plan(make_survey(grid, store), store, workers=1, compile_mode="off")
    rows = {each: row for row, each in enumerate(grid.trials().trial_id.tolist())}
    for pack in plan.packs:
        claim = WrittenClaim(
            header=checkpoint.header_of(pack, grid.measure), final=True, accepted=frozenset()
        )
        letters.write_answer(store.folder, "a", Answer(number=1, leader="l", claim=claim))
        answer = letters.read_answer(store.folder, "a")
        assert answer is not None
        assert answer.claim is not None
        trials = grid.trials().take(np.array([rows[each] for each in answer.claim.header.trial_ids]))
        again = pack_of_header(grid, answer.claim.header, trials)
        assert again.origin is not None
        assert pack.origin is not None
        assert again.origin.plain == pack.origin.plain
        assert again.pack_id == pack.pack_id


def test_launching_again_trains_nothing(sweep: Path) -> None:
    before = fragments(sweep)
    assert launched(sweep.parent, (sweep.parent / "grid.yaml").read_text()).trained == 0
    assert fragments(sweep) == before
