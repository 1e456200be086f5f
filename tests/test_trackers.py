"""A sweep in an experiment tracker: one run, with the numbers of the report, read back by the tracker."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner, Result
from tensorboardX.proto.event_pb2 import Event

from phasediag import cli
from phasediag.commands.report import reported_sweep
from phasediag.errors import PhasediagError
from phasediag.report.summary import SweepSummary
from phasediag.trackers import check
from phasediag.trackers.mlflow import EXPERIMENT, TAG
from small_sweeps import grid_text, launched, rewrite

AXES = {"weight_decay": "[0.001, 0.01, 0.1, 1.0]", "init_scale": "[0.1, 0.4]"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sweep whose degree of symmetry is made to cross its level along the decay."""
    made = launched(tmp_path_factory.mktemp("tracked"), grid_text(AXES, {"steps": 2})).sweep

    def crossing(rows: pa.Table) -> pa.Table:
        degree = pc.min_element_wise(pc.multiply(rows["weight_decay"], 4.0), 1.0)
        return rows.set_column(rows.schema.get_field_index("degree_normalized"), "degree_normalized", degree)

    rewrite(made, crossing)
    return made


def exported(sweep: str, tracker: str, folder: Path) -> Result:
    return CliRunner().invoke(cli.commands, ["export", sweep, f"--{tracker}", str(folder)])


def expected(sweep: str) -> dict[str, float]:
    return dict(SweepSummary.of(reported_sweep(sweep, ())).numbers)


def of_tensorboard(folder: Path) -> list[dict[str, float]]:
    runs = []
    for place in folder.iterdir():
        (file,) = place.iterdir()
        values = [value for event in events(file.read_bytes()) for value in event.summary.value]
        assert any(value.HasField("image") for value in values)
        runs.append({v.tag: v.simple_value for v in values if v.HasField("simple_value")})
    return runs


def events(content: bytes) -> Iterator[Any]:
    """The records of a file of events: 8 bytes of length, 4 of checksum, the record, 4 of checksum."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def of_mlflow(folder: Path) -> list[dict[str, float]]:
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert all(TAG in run.data.tags for run in runs)
    assert all(client.list_artifacts(run.info.run_id, "figures") for run in runs)
    return [dict(run.data.metrics) for run in runs]


def of_wandb(folder: Path) -> list[dict[str, float]]:
    return [{} for _ in (folder / "wandb").glob("offline-run-*")]


READERS = {"tensorboard": of_tensorboard, "mlflow": of_mlflow, "wandb": of_wandb}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's reader, of what it is built on
@pytest.mark.parametrize("tracker", READERS)
def test_a_sweep_is_one_run_with_the_numbers_of_its_report(sweep: str, tracker: str, tmp_path: Path) -> None:
    try:
        check(tracker)
    except PhasediagError as error:
        pytest.skip(str(error))
    for _ in range(2):
        outcome = exported(sweep, tracker, tmp_path)
        assert outcome.exit_code == 0, outcome.output
    runs = READERS[tracker](tmp_path)
    assert len(runs) == 1
    if tracker == "wandb":  # its own format has no public reader: the command that uploads it names the run
        assert outcome.stdout.startswith(f"wandb sync {tmp_path}")
        return
    wanted = expected(sweep)
    assert wanted["trials/ok"] == 8
    assert sum(name.endswith("/position") for name in wanted) == 2
    assert runs[0].keys() == wanted.keys()
    assert all(math.isclose(runs[0][name], value, rel_tol=1e-6) for name, value in wanted.items())


def test_a_tracker_that_is_missing_is_named_with_its_remedy(
    sweep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phasediag.trackers.find_spec", lambda name: None)
    outcome = exported(sweep, "wandb", tmp_path)
    assert outcome.exit_code != 0
    assert "pip install 'phasediag[wandb]'" in str(outcome.exception)
    assert not list(tmp_path.iterdir())
