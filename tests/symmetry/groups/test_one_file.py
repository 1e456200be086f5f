"""A symmetry is one file: `docs/own-observable.md` adds one, which a grid names and a sweep records."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasediag
from phasediag.models.mlp import MLP
from phasediag.observables.known import built_in, distance_observables
from phasediag.symmetry import groups
from phasediag.symmetry.groups.declared import declared, neuron_symmetries
from small_sweeps import grid_text, launched, write

PAGE = (Path(__file__).parents[3] / "docs" / "own-observable.md").read_text()
(SYMMETRY,) = re.findall(r"```python\n(\"\"\"Layer flip.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's file lies beside those of `phasediag.symmetry.groups`."""
    (tmp_path / "groups").mkdir()
    write(tmp_path / "groups", SYMMETRY, "layer_flip.py")
    monkeypatch.setattr(groups, "__path__", [*groups.__path__, str(tmp_path / "groups")])
    caches = (neuron_symmetries, built_in, distance_observables)
    for each in caches:
        each.cache_clear()
    yield
    sys.modules.pop("phasediag.symmetry.groups.layer_flip", None)
    for each in caches:
        each.cache_clear()


@pytest.mark.usefixtures("added")
def test_the_page_s_symmetry_is_recorded(tmp_path: Path) -> None:
    """Its one distance is the root of the sum of squares of those of `sign_flip`, and is counted."""
    measure = {"observables": ["layer_flip"], "threshold": {"absolute": 0.5, "relative": 0.0}}
    axes = {"init_scale": [0.01, 1.0]}
    launched(tmp_path, grid_text(axes, {"steps": 6, "test_samples": 16, "dtype": "float64"}, measure=measure))
    rows = phasediag.load_measurements(tmp_path / "g", last=True).set_index(["observable", "trial_id"])
    flips, norms = rows.loc["layer_flip"], rows.loc["sign_flip"]
    joint = norms["distances"].map(lambda each: float(np.linalg.norm(each)))
    distance = flips["distances"].map(lambda each: float(np.asarray(each).item()))
    np.testing.assert_allclose(distance, joint[distance.index], rtol=1e-12)
    assert (flips["max_degree"] == 1).all()
    assert sorted(set(flips["degree"])) == [0, 1]
    assert (flips["degree"] == (distance < 0.5)).all()


@pytest.mark.usefixtures("added")
def test_the_page_s_symmetry_is_one() -> None:
    """Of the layers that it says: the function stays (Definition 1), and P^2 = P (Definition 2)."""
    module: Any = MLP(inputs=4, outputs=3, depth=3, width=5, activation="tanh", bias=True).double()
    parameters = dict(module.named_parameters())
    flips = [each for each in declared(module.neuron_groups) if each.name == "layer flip"]
    assert [each.group.name for each in flips] == ["hidden.1", "hidden.2"]
    x, generator = torch.ones(2, 4, dtype=torch.float64), torch.Generator().manual_seed(0)
    for flip in flips:
        changes = []
        for _ in range(8):
            acted = flip.act(parameters, flip.random_element(parameters, generator))
            changes.append(max(float((acted[n] - p).detach().abs().max()) for n, p in parameters.items()))
            image = torch.func.functional_call(module, acted, (x,))
            torch.testing.assert_close(image, module(x), rtol=1e-12, atol=1e-12)
        assert max(changes) > 1e-3
        projected = flip.projected(parameters)
        torch.testing.assert_close(flip.projected(projected), projected, rtol=0, atol=0)
        (by_definition,) = flip.generator_distances(parameters)
        torch.testing.assert_close(flip.distances(parameters, module.neuron_groups)[0], by_definition)
