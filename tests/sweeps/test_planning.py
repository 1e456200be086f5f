"""Packs partition the trials; a plan trains nothing, and needs neither ray nor data (law 6)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasediag
from phasediag.errors import PhasediagError
from phasediag.executors.inline import InlineExecutor
from phasediag.grids.grid import Grid, parse_grid
from phasediag.identity import pack_id
from phasediag.packing.pack import Pack
from phasediag.sweeps.planning import BESIDES, START_SECONDS
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Role
from small_packs import pack_trials
from small_sweeps import grid_text, launched, write

STRUCTURAL = {"width": [4, 16], "activation": ["tanh", "relu"]}
BATCHED = {"weight_decay": [0.0, 0.1, 1.0], "init_scale": [0.5, 1.0], "steps": [10, 300]}


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    axes = {
        name: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        for name, values in {**STRUCTURAL, **BATCHED}.items()
    }
    return parse_grid(grid_text(axes, replicates=draw(st.integers(1, 3))), Path("grid.yaml"))


def packed(grid: Grid, order: np.ndarray | None = None, **options: Any) -> list[Pack]:
    trials = grid.trials() if order is None else grid.trials().take(order)
    return pack_trials(trials, grid.parameters, Path(), **{"workers": 2, **options})


@given(grids(), st.integers(1, 5), st.sampled_from([None, 1, 3, 50]))
def test_packs_partition_the_trials(grid: Grid, workers: int, per_pack: int | None) -> None:
    packs = packed(grid, workers=workers, trials_per_pack=per_pack)
    ids = [trial for pack in packs for trial in pack.trials.trial_id.tolist()]
    assert sorted(ids) == sorted(grid.trials().trial_id.tolist())
    for pack in packs:
        assert pack.pack_id == pack_id(pack.trials.trial_id.tolist())
        assert 1 <= len(pack.trials) <= (per_pack or len(ids))
        assert [t for tile in pack.tiles() for t in tile.trial_id] == pack.trials.trial_id.tolist()
        assert all(len(tile) <= pack.tile_size for tile in pack.tiles())


@given(grids())
def test_a_pack_holds_one_program(grid: Grid) -> None:
    names = [name for name in grid.trials().columns if grid.parameters[name].role is Role.STRUCTURAL]
    assert {"width", "activation"} <= set(names)
    packs = packed(grid)
    for pack in packs:
        assert all(len(set(map(str, pack.trials.values(name)))) == 1 for name in names)
    programs = {tuple(str(pack.trials.values(name)[0]) for name in names) for pack in packs}
    widths, activations = (set(grid.trials().values(name)) for name in STRUCTURAL)
    assert len(programs) == len(widths) * len(activations)


@given(grids(), st.randoms(use_true_random=False))
def test_the_order_of_trials_names_no_trial_otherwise(grid: Grid, random: Any) -> None:
    order = np.arange(len(grid.trials()))
    random.shuffle(order)
    shuffled = grid.trials().take(order)
    assert shuffled.trial_id.tolist() == grid.trials().trial_id[order].tolist()
    one_pack = {"trials_per_pack": len(order), "workers": 1}
    assert {p.pack_id for p in packed(grid, **one_pack)} == {
        p.pack_id for p in packed(grid, order, **one_pack)
    }


@given(grids(), st.integers(1, 4))
def test_every_worker_has_a_pack_of_each_large_structure(grid: Grid, workers: int) -> None:
    packs = packed(grid, workers=workers, compile_mode="off")
    seconds = [pack.projected_seconds for pack in packs]
    assert seconds == sorted(seconds, reverse=True)
    for width in set(grid.trials().values("width")):
        for activation in set(grid.trials().values("activation")):
            firsts = [(pack, pack.trials.record(0)) for pack in packs]
            mine = [pack for pack, one in firsts if (one["width"], one["activation"]) == (width, activation)]
            trials = sum(len(pack.trials) for pack in mine)
            assert len(mine) >= min(workers, trials // 8)


UNTOUCHABLE = """
from phasediag.sweeps.planning import BESIDES, START_SECONDS
from phasediag.tasks.linear_map import LinearMap

class Task(LinearMap):
    def train_set(self):
        raise RuntimeError("data were touched")

    test_set = train_set
"""


def untouchable(folder: Path) -> Path:
    write(folder, UNTOUCHABLE, "my_task.py")
    fixed = {"task": "my_task.py:Task", "singular_values": "[1, 0.5]", "steps": 10}
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, fixed).replace("  teacher_width: 4\n", "")
    return write(folder, text)


def built_in(folder: Path) -> Path:
    fixed = {"task": "linear_map", "singular_values": "[1, 0.5]", "steps": 10}
    text = grid_text({"weight_decay": "[0.01, 0.1]"}, fixed).replace("  teacher_width: 4\n", "")
    return write(folder, text)


def test_law_6_a_plan_needs_no_data_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was trained, or data were touched")

    monkeypatch.setattr(InlineExecutor, "run", never)
    monkeypatch.setattr(LinearMap, "draw", never)
    plan = phasediag.plan(built_in(tmp_path), str(tmp_path / "storage"))
    assert (len(plan.survey.trials), len(plan.survey.missing), plan.points) == (2, 2, 2)
    assert not (tmp_path / "storage").exists()


def test_what_a_dry_step_shows_is_told_before_anything_is_recorded(tmp_path: Path) -> None:
    grid, storage = untouchable(tmp_path), tmp_path / "storage"
    for command in (phasediag.plan, partial(phasediag.launch, executor="inline")):
        with pytest.raises(PhasediagError, match=r"my_task.py:\d+: .*data were touched") as caught:
            command(grid, str(storage))
        assert caught.value.exit_code == 2
        assert not list(storage.rglob("*.parquet"))


def test_law_6_a_plan_imports_no_ray(tmp_path: Path) -> None:
    code = (
        "import sys; from phasediag.cli import main\n"
        "try: main(['plan', sys.argv[1], '--storage', sys.argv[2], '--json'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'ray', 'matplotlib', 'sklearn'} & {name.split('.')[0] for name in sys.modules}"
    )
    grid = built_in(tmp_path)
    outcome = subprocess.run(
        [sys.executable, "-c", code, str(grid), str(tmp_path)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["missing"] == 2


def test_a_plan_counts_what_is_done_failed_and_missing(tmp_path: Path) -> None:
    axes, fixed = {"weight_decay": "[0.01, 0.1]"}, {"steps": 10}
    launched(tmp_path, grid_text(axes, fixed, replicates=2))
    wider = write(tmp_path, grid_text({"weight_decay": "[0.01, 0.1, 1]"}, fixed, replicates=2))
    plan = phasediag.plan(wider, str(tmp_path))
    assert (plan.survey.done, plan.survey.failed, len(plan.survey.missing)) == (4, 0, 2)
    assert set(plan.survey.missing.trials().values("weight_decay")) == {1.0}


def test_the_projected_store_is_of_the_size_it_gets(tmp_path: Path) -> None:
    text = grid_text({"weight_decay": "{linspace: [0.01, 1], num: 256}"}, {"steps": 2}, replicates=2)
    expected = phasediag.plan(write(tmp_path, text), str(tmp_path)).store_bytes
    launched(tmp_path, text)
    size = sum(path.stat().st_size for path in (tmp_path / "g").rglob("*.parquet"))
    assert expected / 4 < size < 4 * expected


def test_the_time_of_a_plan_is_that_of_a_launch_and_not_of_its_steps_alone(tmp_path: Path) -> None:
    """Starting, compiling, and the worker that ends last: one pack is not shared by two workers."""
    small = phasediag.plan(
        write(tmp_path, grid_text({"weight_decay": [0.1]})), str(tmp_path), compile_mode="off"
    )
    (pack,) = small.packs
    for workers in (1, 2, 8):
        plan = replace(small, workers=workers)
        assert plan.training_seconds == pytest.approx(BESIDES * pack.projected_seconds)
        assert plan.seconds == pytest.approx(START_SECONDS + plan.training_seconds)
    three = replace(small, cuts=small.cuts * 3, workers=2)
    assert three.training_seconds == pytest.approx(2 * small.training_seconds)
    compiled = replace(small, resumed=(replace(pack, compiled=True),), cuts=())
    assert compiled.compile_seconds == pack.cost.machine.compile_seconds[True]
    assert replace(small, cuts=()).seconds == 0


@pytest.mark.parametrize(
    ("observables", "every", "steps", "sentence"),
    [
        ("[sharpness]", 2, 10, "at each of 6 measurements"),
        ("[sharpness, escape]", "null", 10, "sharpness and escape take"),
        ("[sharpness]", "null", 100_000, ""),
        ("[permutation]", 1, 10, ""),
    ],
)
def test_a_time_that_leaves_measuring_out_says_so(
    tmp_path: Path, observables: str, every: int | str, steps: int, sentence: str
) -> None:
    """Where it is little beside training, nothing is said."""
    measure = f"{{observables: {observables}, every: {every}}}"
    path = write(tmp_path, grid_text({"weight_decay": [0.1]}, {"steps": steps}, measure=measure))
    notes = [note for note in phasediag.plan(path, str(tmp_path)).notes if "training alone" in note]
    assert len(notes) == bool(sentence)
    assert all(sentence in note for note in notes)
