"""What a paper takes of a sweep says what the sweep holds."""

import hashlib
import io
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from phasediag.analysis.phases import phase_diagram
from phasediag.cli import main
from phasediag.errors import AnalysisError, PhasediagError
from phasediag.report.paper import SUMS, Paper, archived, escaped

from .stored_sweep import stored_sweep
from .test_report import GRID, planted


def paper(trials, **options):
    given = {"x": None, "y": None, "order": "degree_normalized", "level": 0.5, "planned": len(trials),
             "sources": {}}  # fmt: skip
    return Paper.of("planted", trials, grids=(("0001.yaml", GRID),), **(given | options))


@pytest.fixture(scope="module")
def narrow():
    trials = planted()
    trials = trials[trials["width"] == 16].copy()
    trials.iloc[0, trials.columns.get_loc("status")] = "diverged"
    trials.iloc[9, trials.columns.get_loc("converged")] = False
    return trials


@pytest.fixture(scope="module")
def folder(narrow, tmp_path_factory):
    target = tmp_path_factory.mktemp("papers") / "new" / "paper"
    files = paper(narrow).write(target)
    assert [file.name for file in files] == ["figure.pdf", "boundary.tex", "methods.tex", "planted.zip"]
    return target


@pytest.mark.parametrize(("width", "inches"), [(16, 3.5), (None, 7.0)])
def test_the_figure_is_as_wide_as_a_journal(width, inches):
    trials = planted(3)
    figure = paper(trials if width is None else trials[trials["width"] == width]).figure()
    assert figure.get_figwidth() == inches


def test_the_figure_is_a_vector(folder):
    content = (folder / "figure.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Subtype /Image" not in content


def test_the_table_is_the_boundary(folder, narrow):
    text = (folder / "boundary.tex").read_text()
    rows = [line for line in text.splitlines() if line.startswith("$")]
    made = phase_diagram(narrow, "weight_decay", "lr_over_batch").main
    assert len(rows) == len(made)
    for line, row in zip(rows, made.to_dict("records"), strict=True):
        numbers = [float(number) for number in re.findall(r"\$([\d.]+)\$", line)]
        np.testing.assert_allclose(
            numbers, [row[n] for n in ("lr_over_batch", "position", "low", "high")], rtol=1e-3
        )


def test_methods_tell_design_rules_and_what_is_left_out(folder):
    text = (folder / "methods.tex").read_text()
    for words in (
        "120 networks at", "5 replicates each", "weight decay (0.01 to 1, 8 values)", "crosses 0.5",
        "1 diverged, 0 failed", "1 had not converged", "PyTorch 2.13.0", "logarithm of weight decay",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": "mine.py:Sum"}, "The loss is the one that Sum, the class of the task, states."),
        (
            {"task": "mine.npz"},
            "The loss is the squared error, summed over outputs and averaged over samples.",
        ),
        ({"task": "mine.py:Sum", "loss": "cross_entropy"}, "The loss is the cross entropy, averaged"),
    ],
)
def test_methods_tell_the_loss_that_was_minimised(narrow, values, said):
    assert said in paper(narrow.assign(**values)).methods()


def test_methods_tell_how_long_networks_were_trained(narrow):
    """However the grid gives it: `relaxations: 20` under fixed stood nowhere in the paragraph."""
    assert "Each was trained" not in paper(narrow).methods()
    same = narrow.assign(steps=1000, relaxations=20.0)
    least = "steps, at least 20 relaxation times of the decay."
    assert f"Each was trained for 1,000 {least}" in paper(same).methods()
    slow = same.assign(steps=np.ceil(400 / narrow["weight_decay"]).astype(int))
    assert f"Each was trained for 400 to 40,000 {least}" in paper(slow).methods()


def test_methods_claim_no_interval_where_there_is_none(narrow):
    text = paper(narrow[narrow["replicate"] < 2]).methods()
    assert "no intervals are given: fewer than 3 replicates" in text
    assert "95" not in text


def test_adamw_and_open_ends_and_fronts_are_told(narrow):
    text = paper(narrow.assign(optimizer="adamw")).methods()
    assert "decoupled" in text
    made = paper(narrow.assign(converged=False))
    assert "$^*$" in made.table()
    assert "front of training time" in made.table()


def test_the_archive_holds_what_its_sums_say_and_is_the_same_again(folder, narrow):
    content = (folder / "planted.zip").read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(content))
    sums = dict(reversed(line.split("  ")) for line in archive.read(SUMS).decode().splitlines())
    assert set(sums) == {*archive.namelist()} - {SUMS}
    assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest for name, digest in sums.items())
    assert archive.read("grids/0001.yaml").decode() == GRID
    back = pd.read_parquet(io.BytesIO(archive.read("trials.parquet")))
    assert back["trial_id"].tolist() == narrow["trial_id"].tolist()
    assert archived(paper(narrow).contents()) == content


def test_letters_of_latex_are_escaped():
    assert escaped("50 % of a_b & γ") == r"50 \% of a\_b \& $\gamma$"


def test_what_cannot_be_written_is_told(narrow, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(PhasediagError, match="choose another folder"):
        paper(narrow).write(tmp_path / "taken")
    line = narrow[narrow["lr_over_batch"] == narrow["lr_over_batch"].min()]
    with pytest.raises(AnalysisError, match="two parameters that vary"):
        paper(line)


def test_the_command_writes_it_and_prints_the_files(tmp_path, capsys):
    store = stored_sweep(tmp_path / "planted")
    grid = "name: planted\nfixed: {task: teacher_student}\naxes:\n  weight_decay: [0.1, 0.2]\n"
    store.save_grid(grid, {"net.py": b"# a model", "data/mine.npz": b"numbers"})
    main(["report", str(tmp_path / "planted"), "--paper", str(tmp_path / "paper")])
    files = capsys.readouterr().out.split()
    assert [file.rsplit("/", 1)[1] for file in files] == [
        "figure.pdf", "boundary.tex", "methods.tex", "planted.zip",
    ]  # fmt: skip
    assert "144 networks" in (tmp_path / "paper" / "methods.tex").read_text()
    archive = zipfile.ZipFile(tmp_path / "paper" / "planted.zip")
    assert archive.read("grids/0001/net.py") == b"# a model"
    assert archive.read("grids/0001/data/mine.npz") == b"numbers"
    assert archive.read(SUMS).count(b"grids/0001") == 3


def test_methods_tell_what_the_grid_fixes(narrow):
    grid = "name: planted\nfixed:\n  optimizer: sgd\n  batch_size: 32\naxes:\n  width: [16, 32]\n"
    made = Paper.of(
        "planted", narrow, len(narrow), [("0001.yaml", grid)], None, None, "degree_normalized", 0.5,
        sources={},
    )  # fmt: skip
    assert "Given besides: batch size 32." in made.methods()
    assert "(optimizer sgd)" in made.methods()
