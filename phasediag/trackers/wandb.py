"""Weights & Biases: an offline run, which `wandb sync` uploads where the user wants that."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any, Final

import pandas as pd

from phasediag.analysis.result import plain
from phasediag.figures.style import png
from phasediag.report.summary import SweepSummary

REQUIRED: Final = ("wandb", "PIL")
PROJECT: Final = "phasediag"


def write(summary: SweepSummary, folder: Path) -> str:
    """Record a summary as an offline run; an earlier one of the same sweep is removed."""
    import wandb
    from PIL import Image

    run_id = hashlib.sha256(summary.uri.encode()).hexdigest()[:16]
    for old in (folder / "wandb").glob(f"offline-run-*-{run_id}"):
        shutil.rmtree(old)
    settings = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
    with wandb.init(
        mode="offline", dir=str(folder), project=PROJECT, name=summary.name, id=run_id,
        config={**summary.settings, "sweep": summary.uri}, settings=settings,
    ) as run:  # fmt: skip
        shown = {
            name: wandb.Table(columns=list(table.columns), data=_rows(table))
            for name, table in summary.tables.items()
        }
        images = {
            name: wandb.Image(Image.open(io.BytesIO(png(each.figure))), caption=each.caption)
            for name, each in summary.pictures.items()
        }
        run.log({**shown, **images, "report": wandb.Html(summary.page)})
        run.summary.update({**summary.numbers, "findings": "\n".join(summary.findings)})
    made = next((folder / "wandb").glob(f"offline-run-*-{run_id}"))
    return f"wandb sync {made}"


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    """The rows of a table in the types of JSON."""
    return [list(row.values()) for row in plain(table)]
