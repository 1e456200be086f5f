"""list, explain, remove, merge, export: nothing that a sweep holds is lost in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import phasediag
from phasediag import cli
from phasediag.errors import PhasediagError
from phasediag.storage.store import Store
from phasediag.sweeps.moved_rows import trial_named
from phasediag.sweeps.remove import TRASH
from phasediag.sweeps.status import status
from small_sweeps import assert_same_rows, grid_text, launched, measurements, write
from small_sweeps import trials as rows

GRID = grid_text({"weight_decay": "[0.01, 0.1]", "init_scale": "[0.5, 1]"}, {"steps": 4}, replicates=2)
MEASURED = grid_text(
    {"weight_decay": "[0.1, 1.0]", "init_scale": "[0.5, 1]"}, {"steps": 4}, replicates=2,
    measure="{every: 2, distances: all}",
)  # fmt: skip


def command(*arguments: str | Path) -> Result:
    """`phasediag ARGUMENTS` in this process; what it refuses is the exception of the result."""
    return CliRunner().invoke(cli.commands, [str(each) for each in arguments])


def done(*arguments: str | Path) -> Result:
    """The same of what must succeed."""
    outcome = command(*arguments)
    assert outcome.exit_code == 0, (outcome.output, outcome.exception)
    return outcome


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep that no test changes."""
    folder = tmp_path_factory.mktemp("keeping")
    return Path(launched(folder, MEASURED).sweep)


@pytest.fixture
def sweep(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(original, tmp_path / "g"))


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_removed_comes_back_whole(sweep: Path, original: Path, compacted: bool) -> None:
    if compacted:
        done("compact", sweep)
    asked = ("remove", sweep, "--where", "weight_decay > 0.5 and init_scale == 1")
    answer = json.loads(done(*asked, "--json").stdout)
    assert (answer["trials"], answer["place"]) == (2, "")
    assert_same_rows(sweep, original)
    answer = json.loads(done(*asked, "--yes", "--json").stdout)
    assert answer["trials"] == 2
    left = phasediag.load_trials(sweep)
    assert len(left) == 6
    assert not ((left.weight_decay > 0.5) & (left.init_scale == 1)).any()
    assert (status(sweep).missing, status(sweep).total) == (2, 8)
    assert set(phasediag.load_measurements(sweep).trial_id) == set(left.trial_id)
    done("remove", sweep, "--undo")
    assert_same_rows(sweep, original)
    assert not list((sweep / TRASH).iterdir())
    assert "nothing was removed" in str(command("remove", sweep, "--undo").exception)


def test_what_was_trained_anew_is_not_brought_back_twice(sweep: Path, original: Path) -> None:
    done("remove", sweep, "--where", "init_scale=1", "--yes")
    launched(sweep.parent, MEASURED)
    answer = json.loads(done("remove", sweep, "--undo", "--json").stdout)
    assert (answer["trials"], answer["newer"]) == (0, 4)
    assert len(measurements(sweep)) == len(measurements(original))
    assert list(rows(sweep).index) == list(rows(original).index)


def test_compaction_empties_the_trash(sweep: Path) -> None:
    done("remove", sweep, "--where", "init_scale=1", "--yes")
    listed = json.loads(done("list", sweep.parent, "--json").stdout)
    assert listed[0]["aside"] > 0
    outcome = done("compact", sweep)
    assert "trials that were removed are gone now" in outcome.stderr
    assert "nothing was removed" in str(command("remove", sweep, "--undo").exception)
    assert len(phasediag.load_trials(sweep)) == 4


def test_removing_names_its_trials(sweep: Path) -> None:
    assert "say which trials" in command("remove", sweep).output
    assert "it holds for none" in str(command("remove", sweep, "--where", "width > 1000").exception)
    assert "it names no column" in str(command("remove", sweep, "--where", "1/0 > 1").exception)
    assert "did you mean" in str(command("remove", sweep, "--where", "weight_decai > 1").exception)
    assert len(phasediag.load_trials(sweep)) == 8


def test_merging_adds_what_is_missing_and_every_row_once(tmp_path: Path, original: Path) -> None:
    half = MEASURED.replace("init_scale: [0.5, 1]", "init_scale: [0.5]")
    other = MEASURED.replace("init_scale: [0.5, 1]", "init_scale: [1, 0.5]")
    into = Path(launched(tmp_path / "a", half).sweep)
    source = Path(launched(tmp_path / "b", other).sweep)
    before = rows(source)
    answer = json.loads(done("merge", into, source, "--dry-run", "--json").stdout)
    assert (answer["trials"], answer["shared"], answer["different"], answer["grids"]) == (4, 4, 0, 1)
    assert len(rows(into)) == 4
    done("merge", into, source)
    assert_same_rows(into, original)
    assert (status(into).total, status(into).missing) == (8, 0)
    pd.testing.assert_frame_equal(rows(source), before)
    again = json.loads(done("merge", into, source, "--json").stdout)
    assert (again["trials"], again["grids"]) == (0, 0)
    assert "the same sweep" in str(command("merge", into, into).exception)


def test_merging_tells_what_came_out_otherwise(sweep: Path, original: Path, tmp_path: Path) -> None:
    store = Store.at(sweep)
    table = store.trials_table()
    place = table.column_names.index("train_loss")
    losses = [value * (1.01 if row == 0 else 1) for row, value in enumerate(table["train_loss"].to_pylist())]
    table = table.set_column(place, table.schema.field(place), [losses])
    measured = store.measurements_table()
    for pack in set(table["pack_id"].to_pylist()):
        store.write_fragment(
            pack, *(t.filter([each == pack for each in t["pack_id"].to_pylist()]) for t in (table, measured))
        )
    outcome = done("merge", original, sweep, "--dry-run")
    assert "WARNING: 1 of these came out otherwise" in outcome.stderr


def test_refinements_that_are_merged_still_name_their_grid(tmp_path: Path) -> None:
    axes = {"weight_decay": "[0.01, 0.1]", "init_scale": "[0.5, 1]"}
    source = launched(tmp_path / "b", grid_text(axes, {"steps": 2})).sweep
    refinement = (
        "# phasediag refine of 0001.yaml: a by b\nname: g\n"
        + grid_text({}, {"steps": 2}).partition("\n")[2].partition("axes:")[0]
        + "points: [{weight_decay: 0.05, init_scale: 0.7}]\n"
    )
    launched(tmp_path / "b", refinement)
    into = launched(tmp_path / "a", grid_text(axes, {"steps": 3})).sweep
    done("merge", into, source)
    grids = dict(Store.at(into).grids())
    assert list(grids) == ["0001.yaml", "0002.yaml", "0003.yaml"]
    assert grids["0003.yaml"].startswith("# phasediag refine of 0002.yaml: a by b\n")
    assert (status(into).total, status(into).missing) == (9, 0)


def test_sweeps_are_listed_newest_first(sweep: Path, tmp_path: Path) -> None:
    launched(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 2}, name="later"))
    (tmp_path / "no-sweep").mkdir()
    listed = json.loads(done("list", tmp_path, "--json").stdout)
    assert [each["name"] for each in listed] == ["later", "g"]
    assert (listed[1]["done"], listed[1]["total"], listed[1]["failed"]) == (8, 8, 0)
    assert listed[1]["axes"] == ["init_scale", "weight_decay"]
    assert listed[1]["bytes"] == sum(path.stat().st_size for path in sweep.rglob("*") if path.is_file())
    shown = done("list", tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["sweep", "later", "g"]
    assert "holds no sweep" in done("list", tmp_path / "no-sweep").stderr


def test_the_first_digits_of_an_id_are_enough(sweep: Path) -> None:
    store, ids = Store.at(sweep), sorted(rows(sweep).index)
    for name in ids:
        assert trial_named(store, name[:12].upper()) == name
    with pytest.raises(PhasediagError, match="has no trial 'zzzz'"):
        trial_named(store, "zzzz")
    with pytest.raises(PhasediagError, match="of which the first 4"):
        trial_named(store, ids[0][:2])
    chosen = phasediag.load_trials(sweep)
    answer = json.loads(done("explain", sweep, ids[3][:8], "--json").stdout)
    assert answer["trial_id"] == ids[3]
    out = done("export", sweep, "--csv", sweep / "one.csv", "--where", f"trial_id={ids[3][:8]}").stdout
    assert pd.read_csv(out.strip()).trial_id.tolist() == [ids[3]]
    assert len(chosen) == 8


def test_a_trial_is_explained(sweep: Path) -> None:
    frame = phasediag.load_trials(sweep).query("weight_decay == 0.1 and init_scale == 0.5 and replicate == 0")
    (trial,) = frame.trial_id
    answer = json.loads(done("explain", sweep, trial[:10], "--json").stdout)
    assert answer["values"] == {"init_scale": "0.5", "weight_decay": "0.1"}
    assert answer["why"] == ["0001.yaml: a point of the grid as it was launched"]
    assert (answer["world"], answer["point"]) == (4, 2)
    assert {(each["axis"], each["value"]) for each in answer["neighbours"]} == {
        ("init_scale", "1"), ("weight_decay", "1"),
    }  # fmt: skip
    assert answer["redo"].startswith(f"phasediag rerun {sweep} {trial[:12]} --save ")
    words = done("explain", trial[:10], "--storage", sweep.parent).stdout
    assert f"again: {answer['redo']}" in words
    assert "next along weight_decay: 1, degree_normalized" in words
    assert max(map(len, words.splitlines())) < 250
    assert "no sweep in" in str(command("explain", "abcdabcd", "--storage", sweep.parent).exception)


def test_a_changed_grid_is_explained(sweep: Path) -> None:
    grid = write(sweep.parent, MEASURED.replace("[0.1, 1.0]", "[0.1, 2.0]"))
    answer = json.loads(done("explain", grid, "--storage", sweep.parent, "--json").stdout)
    assert (answer["kept"], answer["added"], answer["dropped"], answer["planned"]) == (4, 4, 4, 0)
    assert answer["changes"] == ["weight_decay: no longer 1; new: 2"]
    every = ("explain", grid, "--storage", sweep.parent, "--set", "steps=5")
    answer = json.loads(done(*every, "--json").stdout)
    assert (answer["kept"], answer["added"], answer["dropped"]) == (0, 8, 8)
    assert "steps: no longer 4; new: 5" in answer["changes"]
    assert "every trial is new" in done(*every).stdout
    elsewhere = done("explain", grid, "--storage", sweep.parent / "nowhere").stdout
    assert "all 8 trials are new" in elsewhere


def test_a_grid_with_lists_is_explained(tmp_path: Path) -> None:
    text = (
        "name: g\nfixed: {task: linear_map, inputs: 2, outputs: 2, samples: 16, width: 2, steps: 2}\n"
        "axes: {singular_values: {values: [[1, 0.5], [1, 0.2]]}}\n"
    )
    launched(tmp_path, text)
    grid = write(tmp_path, text.replace("0.2", "0.3"))
    answer = json.loads(done("explain", grid, "--storage", tmp_path, "--json").stdout)
    assert (answer["kept"], answer["added"], answer["dropped"]) == (1, 1, 1)
    assert answer["changes"] == ["singular_values: no longer [1,0.2]; new: [1,0.3]"]


def test_trials_are_exported(sweep: Path, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    trials = phasediag.load_trials(sweep)
    csv = pd.read_csv(done("export", sweep, "--csv", tmp_path / "all.csv").stdout.strip())
    assert csv.trial_id.tolist() == trials.trial_id.tolist()
    assert csv.train_loss.tolist() == pytest.approx(trials.train_loss.tolist(), rel=1e-12)
    done("export", sweep, "--netcdf", tmp_path / "all.nc")
    with xarray.open_dataset(tmp_path / "all.nc") as data:
        assert dict(data.sizes) == {"init_scale": 2, "weight_decay": 2, "replicate": 2}
        for row in trials.itertuples():
            at = {name: getattr(row, name) for name in data.sizes}
            assert float(data.train_loss.sel(at)) == row.train_loss
        assert data.attrs["task"] == "teacher_student"
    done("export", sweep, "--netcdf", tmp_path / "some.nc", "--where", "weight_decay < 0.5 or init_scale < 1")
    with xarray.open_dataset(tmp_path / "some.nc") as data:
        assert dict(data.sizes) == {"trial": 6}
    assert "give one of" in command("export", sweep).output
    assert "no column" in str(command("export", sweep, "--csv", "x", "--column", "lost").exception)
