"""MLflow: a run in a database of one file, with the figures and tables as its artifacts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasediag.report.summary import SweepSummary

if TYPE_CHECKING:
    from mlflow import MlflowClient

REQUIRED: Final = ("mlflow", "sqlalchemy", "alembic")
EXPERIMENT: Final = "phasediag"
TAG: Final = "phasediag.sweep"
_LONGEST: Final = 6000
"""Letters of a parameter's value that MLflow takes."""


def write(summary: SweepSummary, folder: Path) -> str:
    """Record a summary as one run of the experiment `phasediag`; an earlier run of the sweep is deleted."""
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it creates
    address = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address)
    experiment = _experiment(client, folder)
    for old in client.search_runs([experiment]):
        if old.data.tags.get(TAG) == summary.uri:
            client.delete_run(old.info.run_id)
    run = client.create_run(experiment, run_name=summary.name, tags={TAG: summary.uri}).info.run_id
    for name, value in summary.settings.items():
        client.log_param(run, name, value[:_LONGEST])
    for name, number in summary.numbers.items():
        client.log_metric(run, name, number)
    texts = {"report.html": summary.page, "findings.txt": "\n".join(summary.findings)}
    texts |= {f"tables/{name}.csv": table.to_csv(index=False) for name, table in summary.tables.items()}
    for name, text in {**texts, **{f"grids/{name}": text for name, text in summary.grids}}.items():
        client.log_text(run, text, name)
    for name, picture in summary.pictures.items():
        client.log_figure(run, picture.figure, f"figures/{name}.png")
    client.set_terminated(run)
    return f"mlflow ui --backend-store-uri {address}"


def _experiment(client: MlflowClient, folder: Path) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    place = (folder / "artifacts").resolve().as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))
