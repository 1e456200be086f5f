"""Gram matrices as they are stored, and how alike two of them are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from phasediag.arrays import FloatArray
from phasediag.errors import AnalysisError

LIKENESSES: Final[Mapping[str, str]] = {
    "cosine": "cosine between the Gram matrices",
    "correlation": "correlation of the entries of the Gram matrices",
    "cka": "centred kernel alignment",
}
"""What tells how alike two Gram matrices are, by name; 1 where they are equal up to a factor.

cosine: <K, L> / (|K| |L|), so that sqrt(1 - cosine^2) is the relative misfit of Eq. 5 with the best factor of
Theorem 2. correlation: Pearson's, over all entries. cka: the cosine after the mean of the features is taken
off, HKH with H = 1 - 11^T / n (S. Kornblith et al., Similarity of neural network representations revisited,
ICML 2019); with fewer samples than features it is above zero for unrelated features too.
"""


def gram_matrix(triangle: FloatArray) -> FloatArray:
    """The Gram matrix of a stored list: its upper triangle, row by row, shape (samples, samples).

    Raises
    ------
    AnalysisError
        Where no matrix has a triangle of that length.
    """
    count = int((np.sqrt(8 * len(triangle) + 1) - 1) / 2)
    if count * (count + 1) // 2 != len(triangle):
        raise AnalysisError(f"a list of {len(triangle)} numbers is no upper triangle of a Gram matrix")
    matrix = np.zeros((count, count))
    rows, columns = np.triu_indices(count)
    matrix[rows, columns] = matrix[columns, rows] = triangle
    return matrix


def likenesses(triangles: FloatArray) -> dict[str, FloatArray]:
    """How alike each two Gram matrices are, by the names of `LIKENESSES`.

    Parameters
    ----------
    triangles
        Shape (matrices, length), over the same samples.

    Returns
    -------
    Of each kind, shape (matrices, matrices), symmetric; NaN where a matrix has no direction: all zero, or,
    once centred, nothing left.
    """
    full = np.stack([gram_matrix(triangle) for triangle in triangles.astype(np.float64)])
    largest = np.abs(full).max(axis=(1, 2), keepdims=True)
    full = np.divide(full, largest, out=np.full_like(full, np.nan), where=largest > 0)
    centred = full - full.mean(axis=1, keepdims=True) - full.mean(axis=2, keepdims=True)
    centred += full.mean(axis=(1, 2), keepdims=True)
    prepared = (full, full - full.mean(axis=(1, 2), keepdims=True), centred)
    return {name: _cosines(each) for name, each in zip(LIKENESSES, prepared, strict=True)}


def _cosines(matrices: FloatArray) -> FloatArray:
    vectors = matrices.reshape(len(matrices), -1)
    norms = np.linalg.norm(vectors, axis=1)
    least = 1e-7 * np.sqrt(vectors.shape[1])  # what single precision leaves of numbers that cancel
    unit = vectors / np.where(norms > least, norms, np.nan)[:, None]
    cosines: FloatArray = np.clip(unit @ unit.T, -1.0, 1.0)
    return cosines
