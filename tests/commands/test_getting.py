"""From an installed package to a first sweep: grids, init, quickstart, completion, citation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from phasediag import cli
from phasediag.commands import quickstart
from phasediag.commands.cite import entries
from phasediag.grids.grid import read_grid
from phasediag.grids.ready import ready_grid, ready_grids
from phasediag.registry import built_in
from phasediag.storage.store import Store
from phasediag.version import VERSION
from small_sweeps import grid_text, launched

ROOT = Path(__file__).parents[2]
TEMPLATES = ["hysteresis", "own-data", "own-model", "own-observable", "two-axes", "width-scaling"]
LOADING_TORCH = ("own-model", "own-observable")
SMALL = ("--set", "replicates=1", "--set", "weight_decay={logspace: [0.1, 1], num: 2}")


def phasediag(*arguments: str | Path) -> Result:
    """`phasediag ARGUMENTS` in this process; what it refuses is raised."""
    return CliRunner().invoke(cli.commands, [str(each) for each in arguments], catch_exceptions=True)


def test_all_grids_of_jobs_are_ready_and_templates_come_first() -> None:
    grids = ready_grids()
    files = set((ROOT / "jobs").rglob("*.yaml")) - {ROOT / "jobs" / "kuberay.yaml"}
    assert {grid.path for grid in grids.values()} == files
    assert list(grids)[: len(TEMPLATES)] == TEMPLATES
    for name, grid in grids.items():
        assert len(grid.about) > 12, f"{name} does not begin with a sentence on what it is"


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LOADING_TORCH else ())
        for name in (*TEMPLATES, "literature/sharpness-regimes")
    ],
)
def test_init_writes_a_grid_that_reads_and_that_an_editor_checks(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = phasediag("init", template, "--name", "mine")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout == "mine.yaml\n"
    grid = read_grid(tmp_path / "mine.yaml")
    original = read_grid(ready_grids()[template].path)
    assert grid.name == "mine"
    assert grid.trials().trial_id.tolist() == original.trials().trial_id.tolist()
    first = grid.text.partition("\n")[0]
    schema = json.loads((tmp_path / first.partition("$schema=")[2]).read_text())
    Draft202012Validator(schema).validate(YAML(typ="safe", pure=True).load(grid.text))
    assert {*grid.code, *grid.data} == {*original.code, *original.data}
    assert not re.search(r"\bjobs/(?!five)|sweeps/(?!mine)", grid.text.partition("\nname:")[0])


@pytest.mark.parametrize("name", [name for name, grid in ready_grids().items() if ".npz" in grid.text("g")])
def test_what_a_grid_reads_is_written_with_it_or_is_made_by_a_script_that_is(
    name: str, tmp_path: Path
) -> None:
    """A grid from a wheel has no `jobs/` to look into."""
    assert phasediag("init", name, "--folder", tmp_path, "--name", "mine").exit_code == 0
    comment, _, keys = (tmp_path / "mine.yaml").read_text().partition("\nname:")
    scripts = {script.name: script.read_text() for script in tmp_path.glob("*.py")}
    for data in re.findall(r"task: (\S+\.npz)", keys):
        makers = [script for script, text in scripts.items() if data in text and script in comment]
        assert (tmp_path / data).is_file() or makers
    assert not re.search(r"\bjobs/", comment)


def test_init_replaces_nothing_unless_asked_and_knows_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "two-axes.yaml").write_text("mine\n")
    refused = phasediag("init", "--folder", tmp_path)
    assert "is there already" in str(refused.exception)
    assert (tmp_path / "two-axes.yaml").read_text() == "mine\n"
    assert phasediag("init", "--folder", tmp_path, "--force").exit_code == 0
    assert "did you mean 'hysteresis'?" in str(phasediag("init", "histeresis").exception)
    assert "lower-case" in str(phasediag("init", "--name", "A b", "--folder", tmp_path).exception)
    assert "`phasediag init quickstart`" in str(phasediag("plan", "quickstart").exception)
    listed = phasediag("init", "--list").stdout
    assert all(name in listed for name in ready_grids())


@pytest.mark.parametrize("columns", [80, 200])
def test_the_list_of_grids_uses_the_terminal_and_says_a_whole_sentence_of_each(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    listed = phasediag("init", "--list").stdout
    assert max(map(len, listed.splitlines())) < columns
    words = " ".join(listed.split())
    assert not [grid.name for grid in ready_grids().values() if f"{grid.name} {grid.about}" not in words]
    assert not [grid.name for grid in ready_grids().values() if re.search(r"\b(Figs?|[A-Z])\.$", grid.about)]


def test_a_template_is_launched_with_settings_and_the_sweep_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert phasediag("init").exit_code == 0
    settings = (*SMALL, "--set", "learning_time=1")
    planned = json.loads(phasediag("plan", "two-axes.yaml", *settings, "--json").stdout)
    outcome = phasediag("launch", "two-axes.yaml", *settings, "--executor", "inline", "--compile", "off")
    assert outcome.exit_code == 0, outcome.output
    store = Store.at("sweeps/two-axes")
    ((_, text),) = store.grids()
    assert "--set replicates=1 --set" in text
    assert "replicates: 1\n" in text
    assert len(store.trials_table()) == planned["trials"] == 10
    again = json.loads(phasediag("plan", "two-axes.yaml", *settings, "--json").stdout)
    assert again["missing"] == 0


def test_quickstart_shows_each_command_that_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(quickstart, "_run", ran.append)
    outcome = phasediag("quickstart", "--storage", tmp_path, "--output", tmp_path / "first.png")
    assert outcome.exit_code == 0
    assert [arguments[0] for arguments in ran] == ["launch", "diagram", "scaling"]
    assert str(tmp_path / "first-fit.png") in ran[-1]
    assert outcome.stderr.count("$ phasediag ") == 3
    for arguments in ran:  # each is a command line that parses
        name, *rest = arguments
        command = cli.commands.get_command(click.Context(cli.commands), name)
        assert command is not None
        command.make_context(name, list(rest))


def test_the_quickstarts_fit_is_told_beside_the_exact_one() -> None:
    """The slope of the exact staircase, at the decays of the grid that leave a rank above zero."""
    grid = read_grid(ready_grid("quickstart").path)
    decays = np.array(grid.axes["weight_decay"])
    ranks = (np.array(grid.fixed["singular_values"]) > decays[:, None] / 2).sum(axis=1)
    slope, _ = np.polyfit(np.log(decays[ranks > 0]), np.log(ranks[ranks > 0]), 1)
    assert slope == pytest.approx(quickstart.STAIRCASE, abs=0.005)


def test_quickstart_runs_the_commands_of_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(cli.commands):
        quickstart._run(["parameters", "--json"])
    assert json.loads(capsys.readouterr().out)


def completed(line: str, folder: Path) -> list[str]:
    """What a shell offers at the end of a command line."""
    words = line.split(" ")
    environment = {
        "_PHASEDIAG_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    code = "import sys; sys.argv = ['phasediag']; from phasediag.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        check=True, timeout=240,
    )  # fmt: skip
    return [offer.partition(",")[2] for offer in done.stdout.splitlines()]


def test_a_shell_completes_commands_sweeps_and_columns(tmp_path: Path) -> None:
    launched(tmp_path / "sweeps", grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 2}))
    assert completed("phasediag quick", tmp_path) == ["quickstart"]
    assert completed("phasediag status ", tmp_path) == ["sweeps/g"]
    assert completed("phasediag diagram sweeps/g --x weight", tmp_path) == ["weight_decay"]
    assert "weight_decay=" in completed("phasediag diagram sweeps/g --where ", tmp_path)
    for shell in ("bash", "zsh", "fish"):
        assert "_PHASEDIAG_COMPLETE" in phasediag("completion", shell).stdout


def test_a_sweep_is_cited_with_its_versions_and_data(tmp_path: Path) -> None:
    outcome = launched(tmp_path, grid_text({"weight_decay": "[0.01, 0.1]"}, {"steps": 2}))
    cited = phasediag("cite", outcome.sweep)
    assert cited.exit_code == 0, cited.output
    keys = re.findall(r"@\w+\{([\w-]+),", cited.stdout)
    assert keys == ["phasediag", "parameter-symmetry", "torch", "ray"]
    assert f"version = {{{VERSION}}}" in cited.stdout
    assert "VERSION" not in cited.stdout
    assert cited.stderr.startswith("g: 2 networks, trained with phasediag")
    public = {"mnist", "fashion_mnist", "cifar10", "svhn", "digits"}
    assert public <= set(built_in("task"))
    assert public <= set(entries())


def test_versions_are_told() -> None:
    assert phasediag("--version").stdout == f"phasediag, version {VERSION}\n"
    answer = json.loads(phasediag("--version", "--json").stdout)
    assert answer["phasediag"] == VERSION
    assert all(answer[name] for name in ("python", "torch", "ray", "pyarrow"))
    citation = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION


def test_the_help_lists_every_command_and_fits_a_terminal() -> None:
    printed = CliRunner().invoke(cli.commands, ["--help"], terminal_width=80).stdout
    names = cli.commands.list_commands(click.Context(cli.commands))
    assert all(re.search(rf"^  {name} ", printed, flags=re.MULTILINE) for name in names)
    assert "..." not in printed.partition("Begin:")[2]
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(("columns", "lines"), [(80, 60), (200, 50)])
def test_the_help_of_each_command_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, lines: int
) -> None:
    """No line is cut or broken by the terminal; a large one shows each help without scrolling."""
    monkeypatch.setenv("COLUMNS", str(columns))
    group = cli.commands.make_context("phasediag", ["--help"], resilient_parsing=True)
    for name in cli.commands.list_commands(group):
        command = cli.commands.get_command(group, name)
        assert command is not None
        printed = command.get_help(click.Context(command, parent=group, info_name=name)).splitlines()
        assert max(map(len, printed)) <= min(columns, 120), name
        assert len(printed) < lines, name


def test_a_command_loads_no_other_command(tmp_path: Path) -> None:
    code = (
        "import sys; from phasediag.cli import commands; commands(['list', '.'], standalone_mode=False); "
        "print(*sorted(name for name in sys.modules if name.startswith('phasediag.commands.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    loaded = {name.rpartition(".")[2] for name in done.stdout.split("\n")[-2].split()}
    assert "listing" in loaded
    assert not loaded & {"launching", "results", "report", "cite", "quickstart"}


def test_the_package_carries_the_ready_grids(tmp_path: Path) -> None:
    """What `pip wheel` packs is what build_py leaves."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path)], cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("lib*/phasediag")
    carried = {path.relative_to(package / "jobs") for path in (package / "jobs").rglob("*.yaml")}
    assert carried == {path.relative_to(ROOT / "jobs") for path in (ROOT / "jobs").rglob("*.yaml")}
    assert (package / "commands" / "references.bib").is_file()
    assert (package / "jobs" / "templates" / "my_data.npz").is_file()
