"""Likeness of Gram matrices, on matrices whose likeness is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from phasediag.analysis.alignment import alignment, layers_in_order
from phasediag.analysis.gram_matrices import gram_matrix, likenesses
from phasediag.errors import AnalysisError


def triangle_of(features: np.ndarray) -> np.ndarray:
    return (features @ features.T)[np.triu_indices(len(features))]


def test_rotation_scale_and_width_do_not_count() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 8))
    rotated = 3 * features @ ortho_group.rvs(12, random_state=1)[:8]
    other = rng.standard_normal((30, 8))
    for name, matrix in likenesses(np.stack([triangle_of(h) for h in (features, rotated, other)])).items():
        assert matrix[0, 1] == pytest.approx(1, abs=1e-12), name
        assert matrix[0, 2] < 0.8, name
    np.testing.assert_allclose(gram_matrix(triangle_of(features)), features @ features.T)


def test_the_three_likenesses_are_what_they_are_called() -> None:
    """CKA as Kornblith et al. write it, the others by their definitions; a shift moves all but CKA."""
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((25, 4)), rng.standard_normal((25, 6)) + 2
    alike = likenesses(np.stack([triangle_of(one), triangle_of(two), triangle_of(two + 5)]))
    k, m = one @ one.T, two @ two.T
    assert alike["cosine"][0, 1] == pytest.approx((k * m).sum() / np.sqrt((k**2).sum() * (m**2).sum()))
    assert alike["correlation"][0, 1] == pytest.approx(np.corrcoef(k.ravel(), m.ravel())[0, 1])
    x, y = one - one.mean(0), two - two.mean(0)
    cka = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert alike["cka"][0, 1] == pytest.approx(cka)
    assert alike["cka"][0, 2] == pytest.approx(cka)
    misfit = np.linalg.norm(k - m * (k * m).sum() / (m**2).sum()) / np.linalg.norm(k)
    assert np.sqrt(1 - alike["cosine"][0, 1] ** 2) == pytest.approx(misfit)


def test_what_has_no_direction_has_no_likeness() -> None:
    rng = np.random.default_rng(2)
    lists = np.stack([triangle_of(rng.standard_normal((9, 3))), triangle_of(np.zeros((9, 3))),
                      triangle_of(np.ones((9, 3)))])  # fmt: skip
    alike = likenesses(lists)
    assert np.isnan(alike["cosine"][0, 1])
    assert np.isfinite(alike["cosine"][0, 2])
    assert np.isnan(alike["cka"][0, 2])
    assert np.isnan(alike["correlation"][0, 2])


def frames(pinned: bool, replicates: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Networks whose two layers share one representation, up to noise of their own."""
    rng = np.random.default_rng(3)
    trials, rows = [], []
    for replicate in range(replicates):
        common = np.random.default_rng(0 if pinned else replicate).standard_normal((20, 5))
        for transform in ("none", "gaussian"):
            trial = f"{transform}{replicate}"
            trials.append({"trial_id": trial, "seed": replicate, "replicate": replicate, "status": "ok",
                           "task": "mnist", "data_seed": 7 if pinned else None, "transform": transform,
                           "point_id": transform})  # fmt: skip
            for layer in ("hidden.1", "hidden.10", "hidden.2"):
                features = common + 0.3 * rng.standard_normal((20, 5))
                rows.append({"trial_id": trial, "layer": layer, "observable": "gram", "step": 9,
                             "distances": triangle_of(features)})  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(trials)


def test_means_have_the_interval_of_their_replicates() -> None:
    """One pair a replicate: the jackknife is Student's interval of the mean."""
    compared = alignment(*frames(pinned=False), by="transform", kind="cka")
    between = compared.means[~compared.means["same_network"]]
    assert (between["pairs"] == 4).all()
    assert set(between["first"]) == {"gaussian"}
    row = between.iloc[0]
    pairs = compared.pairs[~compared.pairs["same_network"]]
    pairs = pairs[
        (pairs["first_layer"] == row["first_layer"]) & (pairs["second_layer"] == row["second_layer"])
    ]
    reach = 3.182446 * pairs["cka"].std(ddof=1) / 2
    assert row["cka"] == pytest.approx(pairs["cka"].mean())
    assert row["cka_high"] - row["cka"] == pytest.approx(min(reach, 1 - row["cka"]), rel=1e-6)
    assert any("may have one seed" in warning for warning in compared.warnings)
    assert "Between networks of transform gaussian and none" in compared.findings[0]


def test_networks_of_one_data_seed_are_compared_across_their_seeds() -> None:
    compared = alignment(*frames(pinned=True), by="transform", different_seeds=True)
    between = compared.pairs[~compared.pairs["same_network"]]
    assert (between["first_replicate"] != between["second_replicate"]).all()
    crossed = between[between["first"] != between["second"]]
    assert len(crossed) == 4 * 3 * 9
    assert not any("may have one seed" in warning for warning in compared.warnings)
    assert compared.means.loc[~compared.means["same_network"], "correlation_low"].notna().all()


def test_layers_are_in_the_order_of_their_numbers() -> None:
    assert layers_in_order(["hidden.10", "hidden.2", "input"]) == ["input", "hidden.2", "hidden.10"]


def test_what_cannot_be_compared_is_refused() -> None:
    rows, trials = frames(pinned=False)
    with pytest.raises(AnalysisError, match="no Gram matrices are stored"):
        alignment(rows.assign(observable="rank"), trials)
    with pytest.raises(AnalysisError, match="one of cosine, correlation, cka"):
        alignment(rows, trials, kind="angle")
    with pytest.raises(AnalysisError, match="nothing to compare"):
        alignment(rows[rows["layer"] == "hidden.1"], trials)
    short = rows.assign(distances=[d[:45] if i else d for i, d in enumerate(rows["distances"])])
    with pytest.raises(AnalysisError, match="different sizes"):
        alignment(short, trials)
