"""A task, a model, an optimizer is one file: those of `docs/built-in.md`, from a grid to a row."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import phasediag
from phasediag import registry
from phasediag.errors import GridError
from phasediag.grids.grid import read_grid
from small_sweeps import assert_same_rows, launched, write
from trained_tiles import grid_of, task_of

PAGE = (Path(__file__).parents[1] / "docs" / "built-in.md").read_text()
LISTED = re.findall(r"`(\w+\.py)` in `phasediag/(\w+)`:\n```python\n(.*?)```", PAGE, re.DOTALL)
FILES = [(folder, name, text) for name, folder, text in LISTED]
FIXED = {
    "task": "staircase", "inputs": 16, "model": "gated", "width": 16, "optimizer": "lion", "steps": 12,
    "samples": 64, "test_samples": 32, "batch_size": 16, "learning_rate": 0.01,
}  # fmt: skip


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files of the page lie beside those of phasediag."""
    assert [folder for folder, _, _ in FILES] == ["tasks", "models", "optimizers"]
    caches = (registry.built_in, registry._built_in_component)
    for folder, name, text in FILES:
        write(tmp_path / folder, text, name)
        room = import_module(f"phasediag.{folder}")
        monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path / folder)])
    for each in caches:
        each.cache_clear()
    yield
    for folder, name, _ in FILES:
        sys.modules.pop(f"phasediag.{folder}.{name.removesuffix('.py')}", None)
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("added")
def test_a_grid_names_them_and_their_rows_are_the_same_in_any_company(tmp_path: Path) -> None:
    axes = {"stairs": [1, 3], "lion_beta1": [0.5, 0.9]}
    for per_pack in (1, 4):
        grid = {"name": "g", "fixed": FIXED, "axes": axes, "resources": {"trials_per_pack": per_pack}}
        outcome = launched(tmp_path / str(per_pack), json.dumps(grid))
        assert (outcome.exit_code, outcome.status.ok) == (0, 4), outcome.first_error
    assert_same_rows(tmp_path / "1" / "g", tmp_path / "4" / "g")
    assert phasediag.load_trials(tmp_path / "1" / "g")["train_loss"].nunique() == 4


@pytest.mark.usefixtures("added")
def test_they_are_what_the_page_says(tmp_path: Path) -> None:
    """Monomials of signs, neurons that may be exchanged, steps of one length; balanced weights refused."""
    x, y = task_of(grid_of({**FIXED, "stairs": 3}).trials(), 0).train_set()
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(y[:, 0], x[:, 0] * (1 + x[:, 1] * (1 + x[:, 2])))

    network: Any = import_module("phasediag.models.gated").Gated(inputs=16, outputs=1, width=4).double()
    before, order = network(x), [2, 0, 3, 1]
    (group,) = network.neuron_groups
    with torch.no_grad():
        for name in group.incoming:
            network.get_parameter(name).copy_(network.get_parameter(name)[order])
        network.out.weight.copy_(network.out.weight[:, order])
    torch.testing.assert_close(network(x), before)

    lion = import_module("phasediag.optimizers.lion").Lion(torch.tensor(0.9), torch.tensor(0.99))
    rates = {"learning_rate": torch.tensor(0.1), "weight_decay": torch.tensor(0.0)}
    weights, gradient = {"w": torch.zeros(3)}, {"w": torch.tensor([2.0, -1e-3, 5.0])}
    moved, kept = lion.update(weights, gradient, {"momentum": dict(weights)}, rates, torch.tensor(1))
    torch.testing.assert_close(moved["w"], torch.tensor([-0.1, 0.1, -0.1]))
    torch.testing.assert_close(kept["momentum"]["w"], 0.01 * gradient["w"])

    balanced = json.dumps({"name": "g", "fixed": {**FIXED, "init": "balanced"}})
    with pytest.raises(GridError, match="balanced needs a chain of weight layers"):
        read_grid(write(tmp_path, balanced))
