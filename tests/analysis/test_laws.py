"""A law is one file: found by its place, compared, drawn and told; the page that says so is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import phasediag
from phasediag.analysis import laws
from phasediag.errors import AnalysisError

PAGE = Path(__file__).parents[2] / "docs" / "own-analysis.md"
X = np.geomspace(0.01, 1, 12)
TRUE = {
    "power law": [3.0, -0.5], "exponential": [40.0, -2.0], "logarithmic": [5.0, -4.0],
    "saturating": [30.0, 0.1], "saturating growth": [30.0, 0.1], "constant": [7.0],
    "broken power law": [10.0, 0.1, -0.2, -1.2], "stretched exponential": [40.0, -30.0, 2.0],
    "step": [20.0, 0.1, 6.0, 2.0],
}  # fmt: skip
"""Parameters of each law."""


@pytest.mark.parametrize("one", laws.LAWS, ids=lambda one: one.name)
def test_a_law_finds_its_own_parameters(one: Any) -> None:
    true = np.array(TRUE[one.name])
    means = one.curve(X, true)
    weights = np.full((2, len(X)), 10.0)
    weights[1, 3:5] = 0
    several = one.fit(X, np.where(weights > 0, means, 0), weights)
    assert several.shape == (2, len(one.parameters))
    for fitted in several:
        np.testing.assert_allclose(one.curve(X, fitted), means, rtol=1e-2, atol=1e-9)
        np.testing.assert_allclose(fitted, true, rtol=0.06)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, r"broken\.py: the module has no LAW; a module of this folder states one law"),
        ({"LAW": 3}, "LAW = 3, which is no Law"),
        ({"parameters": ("a", "b", "c")}, r"parameters of shape \(2, 2\).*names 3 \(a, b, c\)"),
        ({"fit": lambda x, means: x}, r"the fit of the law 'power law' ends in TypeError.*fit\(x, means, w"),
        ({"mean": lambda x, p: p[5]}, "the mean of the law 'power law' ends in IndexError"),
        ({"mean": lambda x, p: p}, r"gives shape \(2,\)"),
        ({"mean": lambda x, p: x * np.nan}, "gives what is no number"),
    ],
)  # fmt: skip
def test_a_file_that_states_no_law_is_refused_in_one_sentence(
    attributes: dict[str, Any], message: str
) -> None:
    module = ModuleType("broken")
    module.__file__ = "phasediag/analysis/laws/broken.py"
    if "LAW" in attributes:
        module.LAW = attributes["LAW"]  # type: ignore[attr-defined]
    elif attributes:
        module.LAW = replace(laws.REFERENCE, **attributes)  # type: ignore[attr-defined]
    with pytest.raises(AnalysisError, match=message):
        laws.checked_law(module)


FITTED = """
import json, sys
import numpy as np, pandas as pd
from phasediag.analysis.scaling import fit_scaling

x = np.geomspace(0.01, 1, 12)
frame = pd.MultiIndex.from_product([x, range(20)], names=["weight_decay", "replicate"]).to_frame(index=False)
expected = 5 * frame["weight_decay"] ** -0.7 * np.exp(-3 * frame["weight_decay"])
counts = np.random.default_rng(0).poisson(expected)
fit = fit_scaling(frame.assign(neuron_count=counts), window=(0, 1), resamples=5)
labels = [str(line.get_label()) for line in fit.plot().lines]
print(json.dumps({"best": fit.as_dict()["models"][0], "summary": fit.summary(), "labels": labels}))
"""
"""Fits and draws counts that follow the law of the page, 5 x^-0.7 exp(-3 x)."""


def test_the_law_of_the_page_is_compared_drawn_and_told(tmp_path: Path) -> None:
    """One file in the folder of laws, in a copy of the package."""
    (text,) = re.findall(r"```python\n(\"\"\"A power of x.*?)```", PAGE.read_text(), flags=re.S)
    package = Path(phasediag.__file__).parent
    copytree(package, tmp_path / "phasediag", ignore=ignore_patterns("__pycache__"))
    (tmp_path / "phasediag" / "analysis" / "laws" / "cut_off.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-c", FITTED], env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert answer["best"]["name"] == "power law with a cut-off"
    assert list(answer["best"]["parameters"].values()) == pytest.approx([5, 0.7, 3], rel=0.15)
    assert "the power law with a cut-off model (amplitude * x^-power * exp(-rate * x))" in answer["summary"]
    assert "power law with a cut-off" in answer["labels"]
