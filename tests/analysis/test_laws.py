"""A law is one file: found by its place, compared, drawn and told; the page that says so is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import numpy as np
import pytest

import phasediag
from phasediag.analysis import laws

PAGE = Path(__file__).parents[2] / "docs" / "own-analysis.md"
X = np.geomspace(0.01, 1, 12)
TRUE = {
    "power law": [3.0, -0.5], "exponential": [40.0, -2.0], "logarithmic": [5.0, -4.0],
    "saturating": [30.0, 0.1], "saturating growth": [30.0, 0.1], "constant": [7.0],
    "broken power law": [10.0, 0.1, -0.2, -1.2],
}  # fmt: skip
"""Parameters of each law."""


@pytest.mark.parametrize("one", laws.LAWS, ids=lambda one: one.name)
def test_a_law_finds_its_own_parameters(one: Any) -> None:
    true = np.array(TRUE[one.name])
    means = one.curve(X, true)
    fitted = np.asarray(one.fit(X, means, np.full(len(X), 10.0)))
    np.testing.assert_allclose(one.curve(X, fitted), means, rtol=1e-2)
    np.testing.assert_allclose(fitted, true, rtol=0.06)
    assert len(one.parameters) == len(true)


FITTED = """
import json, sys
import numpy as np, pandas as pd
from phasediag.analysis.scaling import fit_scaling

x = np.geomspace(0.01, 1, 12)
frame = pd.MultiIndex.from_product([x, range(20)], names=["weight_decay", "replicate"]).to_frame(index=False)
counts = np.random.default_rng(0).poisson(np.exp(4 - 3 * frame["weight_decay"] ** 0.5))
fit = fit_scaling(frame.assign(neuron_count=counts), window=(0, 1), resamples=5)
labels = [str(line.get_label()) for line in fit.plot().lines]
print(json.dumps({"best": fit.as_dict()["models"][0], "summary": fit.summary(), "labels": labels}))
"""
"""Fits and draws counts that follow the law of the page, exp(4 - 3 sqrt(x))."""


def test_the_law_of_the_page_is_compared_drawn_and_told(tmp_path: Path) -> None:
    """One file in the folder of laws, in a copy of the package."""
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    package = Path(phasediag.__file__).parent
    copytree(package, tmp_path / "phasediag", ignore=ignore_patterns("__pycache__"))
    (tmp_path / "phasediag" / "analysis" / "laws" / "stretched_exponential.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-c", FITTED], env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["best"]["name"] == "stretched exponential"
    a, b, c = found["best"]["parameters"].values()
    assert (a, np.exp(b), np.exp(c)) == pytest.approx((4, 3, 0.5), rel=0.15)
    assert "the stretched exponential model (exp(a - exp(b) x^exp(c)))" in found["summary"]
    assert any(label.startswith("stretched exponential, ΔAIC 0") for label in found["labels"])
