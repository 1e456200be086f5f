"""The example of `docs/ramps.md`, as it stands there: planned, trained, drawn, and read in Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import phasediag
from phasediag.cli import main
from phasediag.grids.ramps import RampSection

PAGE = (Path(__file__).parents[2] / "docs" / "ramps.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


def test_the_example_gives_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (grid,) = blocks("yaml")
    Path("loop.yaml").write_text(grid)
    phasediag.launch("loop.yaml", executor="inline")
    main(["hysteresis", "sweeps/loop", "--order", "alive_count"])
    printed = capsys.readouterr()
    assert Path("hysteresis.png").is_file()
    assert printed.out == "hysteresis.png\n"
    assert "the loop is open" in printed.err
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(code, names)
    assert names["loop"].verdict == "hysteresis"  # type: ignore[attr-defined]


def test_the_page_names_every_key_and_every_verdict() -> None:
    keys = [field.alias or name for name, field in RampSection.model_fields.items()]
    assert all(f"`{key}`" in PAGE for key in keys)
    assert all(f"  {key}: " in blocks("yaml")[0] for key in keys)
