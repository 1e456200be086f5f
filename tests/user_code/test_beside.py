"""Modules and data beside a user's file: imported, hashed, kept, shipped, and never mixed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasediag
from phasediag.errors import GridError, PhasediagError
from phasediag.grids.grid import Grid, read_grid
from phasediag.registry import component
from phasediag.running.sources import place_sources
from phasediag.storage.store import Store
from phasediag.sweeps.reach import completed
from phasediag.sweeps.recorded import recorded_files, stored_grid
from phasediag.user_code.variables import variables_read
from small_sweeps import assert_same_rows, launched, write

NET = """
import torch
{imports}

class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, hidden: int = 16):
        super().__init__()
        self.first = torch.nn.Linear(inputs, hidden)
        self.second = torch.nn.Linear(hidden, outputs)

    def forward(self, x):
        {lazy}
        return self.second(act(self.first(x)))
"""
ACT = "import torch\n\ndef act(x):\n    return torch.{}(x)\n"
GRID = """
name: beside
fixed: {{task: teacher_student, inputs: 16, outputs: 1, samples: 64, test_samples: 32, batch_size: 0,
  model: "{model}", learning_rate: 0.05, steps: 20}}
axes: {{weight_decay: [0.0, 0.1]}}
{more}
"""
TASK = """
from pathlib import Path
import numpy as np
import torch
from phasediag.training.data import Task
{head}

class FromFile(Task):
    declares = ()

    @staticmethod
    def sizes(values):
        return 16, 1

    def _arrays(self):
        {read}
        return torch.from_numpy(held["x"]), torch.from_numpy(held["y"])

    def train_set(self):
        return self._arrays()

    def test_set(self):
        return self._arrays()
"""
FILED = """
name: filed
fixed: {{task: "data_task.py:FromFile", model: mlp, width: 16, steps: 20, batch_size: 16,
  learning_rate: 0.05}}
axes: {{weight_decay: [0.0, 0.1]}}
{more}
"""
BESIDE = "held = np.load(Path(__file__).parent / 'data.npz')"


def net(folder: Path, imports: str = "", lazy: str = "", model: str = "net.py:Net", more: str = "") -> str:
    """A grid of a model that finds `act` in some way."""
    write(folder, NET.format(imports=imports, lazy=lazy or "pass"), model.partition(":")[0])
    return GRID.format(model=model, more=more)


def data(folder: Path, seed: int = 0, file: str = "data.npz") -> None:
    """Another data set for every seed."""
    x = np.random.default_rng(seed).standard_normal((64, 16))
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    np.savez(folder / file, x=x, y=x[:, :1] * (1 + seed))


def task(folder: Path, read: str = BESIDE, head: str = "", more: str = "") -> str:
    """A grid of a task that reads its data in some way."""
    write(folder, TASK.format(read=read, head=head), "data_task.py")
    return FILED.format(more=more)


def loaded_grid(folder: Path, text: str) -> Grid:
    """The grid with all that its classes open."""
    return completed(read_grid(write(folder, text)))


def loss(folder: Path, text: str, **options: Any) -> list[float]:
    """The losses of the trials that a launch trained, by weight decay."""
    outcome = launched(folder, text, **options)
    assert (outcome.exit_code, outcome.trained) == (0, 2)
    rows = phasediag.load_trials(outcome.sweep).sort_values(["started_at", "weight_decay"])
    return [float(value) for value in rows["train_loss"].tail(2)]


ACTS = {"tools/__init__.py": "", "tools/acts.py": ACT}
MID = {"mid.py": "from helpers import act\n", "helpers.py": ACT}
LATE = {"mid.py": "def act(x):\n    import helpers\n    return helpers.act(x)\n", "helpers.py": ACT}
THROUGH = {"tools/__init__.py": "from .acts import act", "tools/acts.py": ACT}
OWN_PATH = "import sys; from pathlib import Path; sys.path.insert(0, str(Path(__file__).parent / 'lib'))\n"
WAYS = {
    "from": ({"helpers.py": ACT}, "from helpers import act", ""),
    "import": ({"helpers.py": ACT}, "import helpers\nact = helpers.act", ""),
    "as": ({"helpers.py": ACT}, "import torch, helpers as h\nact = h.act", ""),
    "package": (ACTS, "from tools.acts import act", ""),
    "module of a package": (ACTS, "from tools import acts\nact = acts.act", ""),
    "dotted": (ACTS, "import tools.acts\nact = tools.acts.act", ""),
    "through the package": (THROUGH, "from tools import act", ""),
    "folder without init": ({"tools/acts.py": ACT}, "from tools.acts import act", ""),
    "nested": (MID, "from mid import act", ""),
    "in forward": ({"helpers.py": ACT}, "", "from helpers import act"),
    "lazy in a helper": (LATE, "from mid import act", ""),
    "by name": ({"helpers.py": ACT}, "import importlib\nact = importlib.import_module('helpers').act", ""),
    "made up": ({"helpers.py": ACT}, "import importlib\nact = importlib.import_module('help' 'ers').act", ""),
    "computed": (
        {"helpers.py": ACT}, "import importlib\nact = importlib.import_module('help' + 'ers').act", "",
    ),
    "a path of its own": ({"lib/helpers.py": ACT}, f"{OWN_PATH}from helpers import act", ""),
    "optional": (
        {"helpers.py": ACT}, "try:\n    from helpers import act\nexcept ImportError:\n    act = None", "",
    ),
}  # fmt: skip


def answer(folder: Path) -> tuple[str, torch.Tensor]:
    """The hash of the model beside a folder's grid, and what it computes."""
    model = component("model", "net.py:Net", folder)
    torch.manual_seed(0)
    return model.source, model.cls(16, 1)(torch.ones(2, 16)).detach()


@pytest.mark.parametrize("way", WAYS)
def test_a_module_beside_the_file_is_imported_and_known_however_it_is_named(tmp_path: Path, way: str) -> None:
    files, imports, lazy = WAYS[way]
    before = (list(sys.path), set(sys.modules))
    for name, text in files.items():
        write((tmp_path / name).parent, text.format("tanh"), Path(name).name)
    grid = read_grid(write(tmp_path, net(tmp_path, imports, lazy)))
    assert set(grid.models["net.py:Net"].code) == {"net.py", *files}
    first, result = answer(tmp_path)
    changed = tmp_path / next(name for name, content in files.items() if content == ACT)
    changed.write_text(ACT.format("relu"))
    second, other = answer(tmp_path)
    assert first != second
    assert not result.equal(other), "the edited module was imported anew"
    copies = place_sources(recorded_files(grid), tmp_path / "copies")
    assert answer(copies)[0] == first
    assert answer(copies)[1].equal(result), "the copies are complete, and reach back to nothing"
    assert sys.path == before[0]
    assert not {"helpers", "mid", "tools"} & (set(sys.modules) - before[1])
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_edited_module_makes_new_trials_and_the_old_ones_stay_done(tmp_path: Path) -> None:
    write(tmp_path, ACT.format("tanh"), "helpers.py")
    text = net(tmp_path, "from helpers import act")
    first = loss(tmp_path, text)
    write(tmp_path, ACT.format("relu"), "helpers.py")
    assert loss(tmp_path, text) != first
    write(tmp_path, ACT.format("tanh"), "helpers.py")
    assert launched(tmp_path, text).trained == 0
    assert set(Store.at(tmp_path / "beside").grid_sources("0001.yaml")) == {"net.py", "helpers.py"}
    trials = phasediag.load_trials(tmp_path / "beside")
    assert (trials["task_source"] == "").all()
    assert sorted(trials.groupby("model_source").size()) == [2, 2]


def test_a_file_inside_a_package_imports_its_neighbours(tmp_path: Path) -> None:
    for name, content in {"__init__.py": "SCALE = 1.0\n", "acts.py": ACT.format("tanh")}.items():
        write(tmp_path / "nets", content, name)
    loss(tmp_path, net(tmp_path, "from . import SCALE\nfrom .acts import act", model="nets/net.py:Net"))
    code = read_grid(tmp_path / "grid.yaml").models["nets/net.py:Net"].code
    assert set(code) == {"nets/net.py", "nets/__init__.py", "nets/acts.py"}


def test_two_sweeps_of_one_process_keep_their_own_modules(tmp_path: Path) -> None:
    names = {}
    for name in ("tanh", "relu"):
        write(tmp_path / name, ACT.format(name), "helpers.py")
        names[name] = loss(tmp_path / name, net(tmp_path / name, lazy="from helpers import act"))
    assert names["tanh"] != names["relu"]
    one, other = (component("model", "net.py:Net", tmp_path / name) for name in names)
    assert one.cls.__module__ != other.cls.__module__
    assert one.source != other.source


def test_a_late_import_sees_what_was_hashed(tmp_path: Path) -> None:
    """A version that is in use goes on as it was, whatever becomes of the file."""
    write(tmp_path, ACT.format("tanh"), "helpers.py")
    net(tmp_path, lazy="from helpers import act")
    old = component("model", "net.py:Net", tmp_path).cls(16, 1)
    write(tmp_path, "raise RuntimeError('too late')", "helpers.py")
    assert old(torch.zeros(2, 16)).shape == (2, 1)


def test_what_is_installed_is_not_mistaken_for_a_folder(tmp_path: Path) -> None:
    """`wandb/` with its logs, `torch/` with checkpoints: no packages of the user's."""
    (tmp_path / "numpy").mkdir()
    write(tmp_path / "numpy", "", "notes.txt")
    net(tmp_path, "import numpy\nact = torch.tanh\nassert numpy.arange(2).sum() == 1")
    assert set(component("model", "net.py:Net", tmp_path).code) == {"net.py"}


def test_one_file_keeps_the_hash_it_always_had(tmp_path: Path) -> None:
    """Sweeps of a single file recorded before stay done."""
    from hashlib import blake2b

    net(tmp_path, "act = torch.tanh")
    content = (tmp_path / "net.py").read_bytes()
    assert component("model", "net.py:Net", tmp_path).source == blake2b(content, digest_size=16).hexdigest()


@pytest.mark.parametrize(
    ("helper", "message"),
    [
        (
            "import nonesuch\n",
            r"net.py cannot be imported: ModuleNotFoundError: .*nonesuch.* \(.*helpers.py:1\)",
        ),
        ("def act(:\n", r"SyntaxError: .* \(.*helpers.py:1\)"),
        ("raise SystemExit(3)\n", r"helpers.py:1: SystemExit: 3 .*raise an error instead of ending"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_error(tmp_path: Path, helper: str, message: str) -> None:
    write(tmp_path, helper, "helpers.py")
    with pytest.raises(GridError, match=message):
        read_grid(write(tmp_path, net(tmp_path, "from helpers import act")))


READS = {
    "np.load": BESIDE,
    "open": "with open(Path(__file__).with_name('data.npz'), 'rb') as f: held = dict(np.load(f))",
    "in a folder": "held = np.load(Path(__file__).parent / 'sets' / 'data.npz')",
}


@pytest.mark.parametrize("way", READS)
@pytest.mark.parametrize("cached", [False, True])
def test_a_data_file_that_is_opened_is_hashed(tmp_path: Path, way: str, cached: bool) -> None:
    file = "sets/data.npz" if way == "in a folder" else "data.npz"
    data(tmp_path, 0, file)
    read = READS[way]
    head = f"from functools import cache\n@cache\ndef held_():\n    {read}\n    return held" if cached else ""
    text = task(tmp_path, "held = held_()" if cached else read, head)
    first = loaded_grid(tmp_path, text)
    assert set(first.data) == {file}
    assert loaded_grid(tmp_path, text).sources == first.sources, (
        "what is cached in the process counts as opened"
    )
    data(tmp_path, 1, file)
    assert loaded_grid(tmp_path, text).sources != first.sources
    data(tmp_path, 0, file)
    assert loaded_grid(tmp_path, text).trials().trial_id.tolist() == first.trials().trial_id.tolist()


def test_new_data_are_trained_on_and_both_are_kept(tmp_path: Path) -> None:
    data(tmp_path)
    text = task(
        tmp_path,
        "held = held_()",
        f"from functools import cache\n@cache\ndef held_():\n    {BESIDE}\n    return held",
    )
    first = loss(tmp_path, text)
    data(tmp_path, 1)
    assert loss(tmp_path, text) != first
    assert set(Store.at(tmp_path / "filed").grid_sources("0002.yaml")) == {"data_task.py", "data.npz"}


def test_a_file_opened_on_import_is_hashed_and_read_anew(tmp_path: Path) -> None:
    data(tmp_path)
    text = task(tmp_path, "held = HELD", f"{BESIDE.replace('held', 'HELD')}\nHELD = dict(HELD)")
    first = loss(tmp_path, text)
    data(tmp_path, 1)
    assert loss(tmp_path, text) != first


PARQUET = (
    "import pyarrow.parquet as pq; t = pq.read_table(Path(__file__).parent / 'data.parquet').to_pandas(); "
    "t = t.to_numpy().copy(); held = {'x': t[:, :16], 'y': t[:, 16:]}"
)


def test_a_file_that_nobody_sees_being_opened_must_be_declared(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(np.random.default_rng(0).standard_normal((64, 17)))
    table.columns = [f"c{i}" for i in range(17)]
    table.to_parquet(tmp_path / "data.parquet")
    text = task(tmp_path, PARQUET)
    with pytest.raises(PhasediagError, match=r"data.parquet.*files: \[\.\.\.\]"):
        phasediag.plan(write(tmp_path, text), str(tmp_path))
    with pytest.raises(PhasediagError, match=r"files: \[\.\.\.\]"):
        launched(tmp_path, text)
    assert not (tmp_path / "filed").exists()
    declared = task(tmp_path, PARQUET, more="files: [data.parquet]")
    first = loss(tmp_path, declared)
    (2 * table).to_parquet(tmp_path / "data.parquet")
    assert loss(tmp_path, declared) != first


def test_a_file_elsewhere_is_told_to_be_no_part_of_the_record(tmp_path: Path) -> None:
    folder, away = tmp_path / "here", tmp_path / "elsewhere" / "data.npz"
    data(tmp_path / "elsewhere")
    text = task(folder, f"held = np.load({str(away)!r})")
    said: list[str] = []
    phasediag.launch(write(folder, text), folder, executor="inline", compile="off", notify=said.append)
    warnings = [sentence for sentence in said if "lies outside of the grid's folder" in sentence]
    assert len(warnings) == 1
    assert warnings[0].startswith(str(away))
    assert phasediag.plan(folder / "grid.yaml", folder).survey.notices == tuple(warnings)
    data(folder)
    assert not phasediag.plan(write(folder, task(folder)), tmp_path / "fresh").survey.notices


def test_what_follows_from_where_a_file_lies_is_refused(tmp_path: Path) -> None:
    """As what follows from the order in which the files of a folder are found: copies have another one."""
    data(tmp_path)
    place = "int.from_bytes(__file__.encode(), 'big') % (2**61 - 1) / 2**61"
    text = task(tmp_path, f"{BESIDE}; held = {{n: a + {place} for n, a in held.items()}}")
    with pytest.raises(PhasediagError, match=r"something else of the copies .* sorted\(folder"):
        phasediag.plan(write(tmp_path, text), str(tmp_path))


def test_a_module_elsewhere_is_told_to_be_no_part_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is on Python's path, as what is installed in place; what is installed is not told."""
    write(tmp_path / "lab", ACT.format("tanh"), "lab_of_hers.py")
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    folder, imports = tmp_path / "here", "import numpy as np\nfrom lab_of_hers import act"
    notices = phasediag.plan(write(folder, net(folder, imports)), folder).survey.notices
    monkeypatch.delitem(sys.modules, "lab_of_hers")
    (sentence,) = (each for each in notices if "outside of the grid's folder" in each)
    assert sentence.startswith(f"{tmp_path / 'lab' / 'lab_of_hers.py'} is imported and lies outside")


@pytest.mark.parametrize(
    "asked", ["os.environ['SCALE']", "os.environ.get('SCALE')", "os.getenv('SCALE', '1')"]
)
@pytest.mark.parametrize("at_import", [True, False])
def test_a_variable_of_the_environment_is_told_to_be_no_part_of_the_record(
    asked: str, at_import: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line that reads it; what libraries read of their own is not told."""
    monkeypatch.setenv("SCALE", "2")
    lookup = type(os.environ).__getitem__
    data(tmp_path)
    head = f"import os\nSCALE = {asked}" if at_import else "import os"
    read = f"{BESIDE}; scale = float({'SCALE' if at_import else asked})"
    grid = write(tmp_path, task(tmp_path, read, head))
    (note,) = phasediag.plan(grid, tmp_path).survey.notices
    lines = (tmp_path / "data_task.py").read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if asked in line)
    assert note.startswith(f"{tmp_path / 'data_task.py'}:{at}: the environment variable SCALE is read: ")
    assert type(os.environ).__getitem__ is lookup


def test_variables_of_which_nobody_can_be_told_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the class of `os.environ` cannot be changed."""
    with monkeypatch.context() as patch:
        patch.setattr("phasediag.user_code.variables._Environment", dict)
        with variables_read() as places:
            assert os.getenv("HOME") == os.environ.get("HOME")
    assert places == {}


def test_watches_that_overlap_leave_the_environment_as_it_was() -> None:
    lookup = type(os.environ).__getitem__
    first, second = variables_read(), variables_read()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert type(os.environ).__getitem__ is lookup


@pytest.mark.parametrize("read", ["held = np.load('data.npz')", "held = np.load({!r})"])
def test_a_path_that_leads_back_to_the_original_is_refused(
    tmp_path: Path, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = task(tmp_path, read.format(str(tmp_path / "data.npz")))
    for _ in range(2):
        with pytest.raises(PhasediagError, match=r"data.npz is opened by a path .*Path\(__file__\).parent"):
            phasediag.plan(write(tmp_path, text), str(tmp_path))


FILES = {
    "a file": ("[data.npz]", {"data.npz"}),
    "a folder": ("[sets]", {"sets/a.txt", "sets/deep/b.txt"}),
    "a folder with a slash": ("[sets/]", {"sets/a.txt", "sets/deep/b.txt"}),
    "a pattern": ("['sets/*.txt']", {"sets/a.txt"}),
    "a deep pattern": ("['sets/**/*.txt']", {"sets/a.txt", "sets/deep/b.txt"}),
    "twice": ("[data.npz, ./data.npz]", {"data.npz"}),
    "above": ("[../above.txt]", {"../above.txt"}),
    "hidden": ("[.hidden]", {".hidden"}),
}


@pytest.mark.parametrize("way", FILES)
def test_files_may_be_named(tmp_path: Path, way: str) -> None:
    listed, expected = FILES[way]
    folder = tmp_path / "grid"
    for name in ("sets/a.txt", "sets/deep/b.txt", "../above.txt", ".hidden"):
        write((folder / name).parent, name, Path(name).name)
    data(folder)
    text = task(folder, more=f"files: {listed}")
    first = loaded_grid(folder, text)
    store = Store.at(tmp_path / "kept")
    name = store.save_grid(text, recorded_files(first))
    assert set(store.grid_sources(name)) == {"data_task.py", "data.npz", *expected}
    assert stored_grid(store, name, text, tmp_path / "again").sources == first.sources
    (folder / min(expected)).write_bytes((folder / min(expected)).read_bytes() + b"0")
    assert read_grid(folder / "grid.yaml").sources != read_grid(folder / "grid.yaml").with_data({}).sources
    assert loaded_grid(folder, text).sources != first.sources, "new trials, whatever the file is for"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[nonesuch.npz]", r"files\[0\].*'nonesuch.npz' does not exist"), ("['*.csv']", "matches no file"),
        ("data.npz", "is not a list"), ("[3]", "is no path"), ("[/etc/hostname]", "is an absolute path"),
        ("[empty]", "is a folder without files"), ("['~/data.npz']", "is an absolute path"),
    ],
)  # fmt: skip
def test_files_that_are_not_there_are_one_error(tmp_path: Path, listed: str, message: str) -> None:
    data(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(GridError, match=message):
        read_grid(write(tmp_path, task(tmp_path, more=f"files: {listed}")))


def test_files_that_nobody_reads_are_refused(tmp_path: Path) -> None:
    data(tmp_path)
    text = FILED.format(more="files: [data.npz]").replace("data_task.py:FromFile", "digits")
    with pytest.raises(GridError, match="no task and no model of this grid is a file of yours"):
        read_grid(write(tmp_path, text))


@pytest.mark.slow
def test_local_ray_trains_what_inline_does(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        data(folder)
        write(folder, ACT.format("tanh"), "helpers.py")
        text = task(folder).replace("model: mlp, width: 16", 'model: "net.py:Net"')
        net(folder, lazy="from helpers import act")
        launched(folder, text, executor="ray" if folder.name == "b" else "inline")
    assert_same_rows(tmp_path / "a" / "filed", tmp_path / "b" / "filed")
    data(tmp_path / "b", 1)
    write(tmp_path / "b", ACT.format("relu"), "helpers.py")
    again = launched(tmp_path / "b", text, executor="ray")
    assert (again.exit_code, again.trained) == (0, 2)


def test_a_fresh_process_elsewhere_finds_the_same_trials(tmp_path: Path) -> None:
    """Neither the working directory nor PYTHONPATH matters, and a moved folder is the same grid."""
    write(tmp_path / "a", ACT.format("tanh"), "helpers.py")
    loss(tmp_path / "a", net(tmp_path / "a", "from helpers import act"))
    shutil.move(tmp_path / "a", tmp_path / "b")
    code = (
        "import sys, phasediag; found = phasediag.plan(sys.argv[1], sys.argv[2]).survey; "
        "print(found.done, len(found.missing))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "b" / "grid.yaml"), str(tmp_path / "b")],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert outcome.stdout.strip() == "2 0", outcome.stderr
