"""The trials of a grid by their numbers: the same in blocks of any size, and each that of its own values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import cloudpickle

from broken_grids import small
from phasediag.errors import PhasediagError
from phasediag.grids import lot
from phasediag.grids.grid import Grid, parse_grid
from phasediag.grids.lot import Expansion, Lot
from phasediag.identity import Ids
from phasediag.packing.machine import CPU
from phasediag.packing.pack import Pack
from phasediag.packing.stock import Conditions, cut_trials, stocks_of
from phasediag.storage.roster import Roster, digests_of, ids_of, read_roster, roster_file
from phasediag.storage.store import Store
from phasediag.sweeps.survey import make_survey
from phasediag.trial import Role, Trials, formatted
from properties import examples
from small_sweeps import grid_text, launched

AXES = small(
    axes="width: [1, 2, 3]\nweight_decay: {linspace: [0, 1], num: 5}\nactivation: [tanh, relu]",
    rest="replicates: 3\n",
)
ZIPPED = small(
    axes="width: [1, 2]\nsteps: [7, 8]\nteacher_width: [3, 4]\nlr_over_batch: [0.1, 0.2]",
    rest="zip: [[width, teacher_width]]\nreplicates: 2\n",
)
EXCLUDED = small(
    axes="width: [1, 2, 3]\nteacher_width: [1, 2, 3]\nweight_decay: [0, 0.5]",
    rest='exclude: ["width < teacher_width", "width == 3 and weight_decay > 0"]\nreplicates: 2\n',
)
KINDS = small(
    axes="momentum: [0, 0.5]\noptimizer: [sgd, adam]\nwidth: [2, 3]",
    rest="exclude: [\"optimizer == 'adam' and momentum > 0\"]\nreplicates: 2\n",
)
SAME_STEPS = small(
    "learning_rate: 0.1", "learning_time: [1.05, 1.08, 2, 1.07]\nwidth: [2, 3]", "replicates: 2\n"
)
HELD_RATE = small("samples: 64", "batch_size: [1, 2, 4]\nlr_over_batch: [0.1, 0.2]")
RAMP = small(
    axes="width: [2, 3]\nlabel_noise: [0, 0.5]",
    rest="replicates: 2\nramp: {parameter: weight_decay, from: 1, to: 0.1, stages: 3}\n",
)
LISTED = "name: g\nfixed: {task: teacher_student}\nreplicates: 2\npoints:\n" + "".join(
    f"- {{{point}}}\n"
    for point in (
        "width: 2", "weight_decay: 0.5", "width: 3, weight_decay: 0.5", "width: 2, weight_decay: 0",
        "width: 4", "optimizer: adam, width: 2",
    )
)  # fmt: skip
BESIDE = small(
    axes="width: [2, 3]\nweight_decay: [0, 0.5]",
    rest="points: [{width: 3, weight_decay: 0.5}, {width: 3, weight_decay: 1}]\nreplicates: 2\n",
)
GRIDS = (AXES, ZIPPED, EXCLUDED, KINDS, SAME_STEPS, HELD_RATE, RAMP, LISTED, BESIDE)
COUNTS = (90, 16, 18, 12, 8, 6, 8, 10, 10)
"""Trials of each: listed points and learning times that train the same are one."""


@cache
def grid_of(text: str) -> Grid:
    return parse_grid(text, Path("grid.yaml"))


@cache
def all_trials(text: str) -> Trials:
    return grid_of(text).trials()


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lot, "BLOCK", size)
        yield


def assert_same(some: Trials, rows: np.ndarray, trials: Trials) -> None:
    assert some.trial_id.tolist() == trials.trial_id[rows].tolist()
    assert some.point_id.tolist() == trials.point_id[rows].tolist()
    assert some.replicate.tolist() == trials.replicate[rows].tolist()
    assert some.records() == trials.take(rows).records()


@pytest.mark.parametrize(("text", "count"), list(zip(GRIDS, COUNTS, strict=True)))
def test_each_trial_is_that_of_its_own_values(text: str, count: int) -> None:
    """Its id is the hash of its record, as `test_trial` writes it out for one trial."""
    grid, trials = grid_of(text), all_trials(text)
    assert len(trials) == len(set(trials.trial_id)) == count
    for row, record in enumerate(trials.records()):
        lines = [
            f"{name}={formatted(value)}\n" for name, value in sorted(record.items())
            if (declared := grid.parameters[name]).role is not Role.DERIVED and value is not None
            and formatted(value) != formatted(declared.neutral)  # type: ignore[arg-type]
        ]  # fmt: skip
        end = f"replicate={trials.replicate[row]}\nseed={grid.seed}\nengine=1"
        assert trials.trial_id[row] == blake2b(("".join(lines) + end).encode(), digest_size=16).hexdigest()


@settings(max_examples=examples(40))
@given(text=st.sampled_from(GRIDS), size=st.integers(1, 100))
def test_blocks_of_any_size_hold_every_trial_once(text: str, size: int) -> None:
    trials, before = all_trials(text), 0
    with blocks_of(size):
        made = grid_of(text).lot()
        assert ids_of(made.digests()).to_pylist() == trials.trial_id.tolist()
        for block in made.blocks():
            assert 0 < len(block) <= size
            rows = np.arange(before, before + len(block))
            assert block.records() == trials.take(rows).records()
            assert block.replicate.tolist() == trials.replicate[rows].tolist()
            before += len(block)
    assert before == len(made) == len(trials)


@settings(max_examples=examples(40))
@given(text=st.sampled_from(GRIDS), data=st.data())
def test_any_trials_can_be_asked_for_in_any_order(text: str, data: st.DataObject) -> None:
    trials = all_trials(text)
    rows = np.array(data.draw(st.lists(st.integers(0, len(trials) - 1), min_size=1, max_size=30)))
    assert_same(grid_of(text).lot().of(rows).trials(), rows, trials)
    kept = np.isin(np.arange(len(trials)), rows)
    assert_same(grid_of(text).lot().of(kept).trials(), np.flatnonzero(kept), trials)


@settings(max_examples=examples(20))
@given(text=st.sampled_from(GRIDS), size=st.integers(1, 100), workers=st.integers(1, 3))
def test_packs_are_the_same_whatever_the_blocks(text: str, size: int, workers: int) -> None:
    grid, conditions = grid_of(text), Conditions(workers=workers, compile_mode="off", trials_per_pack=None)

    def cut(trials: Lot | Trials) -> list[tuple[object, ...]]:
        cuts = cut_trials(trials, grid.parameters, Path(), conditions)
        packs = [each.pack() for each in cuts]
        assert [each.projection for each in cuts] == [pack.projection for pack in packs]
        return [(pack.pack_id, pack.trials.trial_id.tolist(), pack.shared, pack.tile_size) for pack in packs]

    with blocks_of(size):
        by_blocks = cut(grid.lot())
    assert by_blocks == cut(all_trials(text))
    assert sorted(i for _, ids, *_ in by_blocks for i in ids) == sorted(all_trials(text).trial_id)


@pytest.mark.parametrize("text", GRIDS)
def test_a_pack_is_sent_by_numbers_and_made_of_the_grid(text: str) -> None:
    grid, conditions = grid_of(text), Conditions(workers=2, compile_mode="off", trials_per_pack=None)
    there: Expansion = cloudpickle.loads(cloudpickle.dumps(grid.expansion))
    for cut in cut_trials(grid.lot(), grid.parameters, Path(), conditions):
        pack = cut.pack()
        assert pack.trials.trial_id.tolist() == pack.source.ids()
        sent: Pack = cloudpickle.loads(cloudpickle.dumps(pack))
        assert "trials" not in vars(sent)
        made = sent.made_by(there)
        assert (made.pack_id, made.projection, made.shared) == (pack.pack_id, pack.projection, pack.shared)
        assert_same(made.trials, np.arange(len(pack)), pack.trials)
        with pytest.raises(PhasediagError, match="makes other trials of the grid"):
            sent.made_by(replace(there, seed=grid.seed + 1))


def test_what_a_worker_is_sent_does_not_grow_with_the_grid() -> None:
    sizes = []
    for num in (100, 10_000):
        text = small(axes=f"weight_decay: {{linspace: [0, 1], num: {num}}}", rest="replicates: 50\n")
        grid, conditions = grid_of(text), Conditions(workers=2, compile_mode="off", trials_per_pack=500)
        lot_of_grid = grid.lot()
        some = lot_of_grid.of(np.arange(0, len(lot_of_grid), len(lot_of_grid) // 2500))
        stock = stocks_of(some, grid.parameters, Path(), conditions)
        sizes.append(len(cloudpickle.dumps(stock[0].take(CPU))))
    assert sizes[1] < sizes[0] + 4 * 500


@settings(max_examples=examples(10))
@given(text=st.sampled_from(GRIDS), size=st.integers(1, 100))
def test_the_roster_is_the_same_whatever_the_blocks(text: str, size: int) -> None:
    grid = grid_of(text)
    roster = Roster(lot=grid.lot(), parameters=grid.parameters, given=grid.given, sources=grid.sources)
    at_once = read_roster(b"".join(roster_file(roster, b"key")), b"key")
    with blocks_of(size):
        by_blocks = read_roster(b"".join(roster_file(roster, b"key")), b"key")
    assert at_once is not None
    assert by_blocks is not None
    assert by_blocks.to_pylist() == at_once.to_pylist()
    assert by_blocks.schema.equals(at_once.schema, check_metadata=True)
    assert at_once["trial_id"].to_pylist() == all_trials(text).trial_id.tolist()


def test_what_is_recorded_is_subtracted_block_by_block(tmp_path: Path) -> None:
    fixed, some = {"steps": 2}, {"width": "[16, 32]", "weight_decay": "[0.1, 0.3]"}
    launched(tmp_path, grid_text(some, fixed, replicates=2))
    done = set(parse_grid(grid_text(some, fixed, replicates=2), Path("g.yaml")).trials().trial_id)
    more = {"weight_decay": "[0.1, 0.2, 0.3]", "width": "[16, 32, 48]"}
    grid = parse_grid(grid_text(more, fixed, replicates=3), Path("g.yaml"))
    store, expected = Store.open(tmp_path, "g"), grid.trials()
    for size in (1, 2, 7, 1000):
        with blocks_of(size):
            survey = make_survey(grid, store)
            assert (len(survey.trials), survey.done, len(survey.missing)) == (27, 8, 19)
            missing = [each for each in expected.trial_id.tolist() if each not in done]
            assert survey.missing.trials().trial_id.tolist() == missing


def test_a_grid_of_many_trials_is_read_and_counted_by_its_axes() -> None:
    axes = "weight_decay: {linspace: [0, 1], num: 1000}\nlabel_noise: {linspace: [0, 1], num: 1000}"
    rest = 'replicates: 10000\nmax_trials: 100000000000\nexclude: ["weight_decay > 0.5"]\n'
    grid = parse_grid(small(axes=axes, rest=rest), Path("grid.yaml"))
    assert grid.trial_count == 500 * 1000 * 10_000
    columns = [column for part in grid.parts for column in part.columns.values()]
    assert sum(np.size(column.codes) for column in columns) < 10**4


IDS = st.integers(0, 2**128 - 1) | st.sampled_from([1, 2, 2**64 + 1, 2**64 + 2, 2**127 + 1])


@given(held=st.lists(IDS, max_size=20), sought=st.lists(IDS, max_size=20))
def test_an_id_is_where_it_stands_first(held: list[int], sought: list[int]) -> None:
    """Also where the halves of ids are those of others."""
    texts, asked = ([f"{each:032x}" for each in some] for some in (held, sought))
    known = Ids(digests_of(texts))
    expected = [texts.index(each) if each in texts else -1 for each in asked]
    assert known.find(digests_of(asked)).tolist() == expected
    assert (len(known), known.distinct) == (len(held), len(set(held)))
    assert ids_of(digests_of(texts)).to_pylist() == texts


def test_what_is_no_id_is_that_of_no_trial() -> None:
    odd = ["", "x" * 32, "A" * 32, "0" * 31, "0" * 33, "é" * 16]
    assert not digests_of(odd).any()
    assert digests_of(["f" * 32, *odd, "0" * 31 + "1"])[[0, -1]].any(axis=1).all()
