"""Initial weights of one network."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from phasediag.errors import PhasediagError

Shapes = Mapping[str, tuple[int, ...]]
InitialWeights = dict[str, npt.NDArray[np.float64]]


def initial_weights(shapes: Shapes, init: str, generator: np.random.Generator) -> InitialWeights:
    """Weights at init_scale 1, by parameter name.

    Parameters
    ----------
    shapes
        Shape of every parameter, in the model's order.
    init
        `kaiming_normal`: independent normals of std sqrt(2 / fan_in); `balanced`: every weight
        layer has all singular values 1, its neighbours' singular vectors and equal signs, so that
        a chain of widths 1 starts at (1, 1, ...).
    generator
        Of the replicate's `init` stream.

    Returns
    -------
    Float64 arrays. Parameters of one axis are zero (biases), or one where they are called
    `weight` (gains of normalisation layers).

    Raises
    ------
    PhasediagError
        Where `balanced` is asked of a model whose weights are no chain.
    """
    weights = {name: _vector(name, shape) for name, shape in shapes.items() if len(shape) < 2}
    layers = {name: shape for name, shape in shapes.items() if len(shape) >= 2}
    if init == "balanced":
        weights |= _balanced(layers, generator)
    else:
        for name, shape in layers.items():
            weights[name] = generator.standard_normal(shape) * sqrt(2 / prod(shape[1:]))
    return {name: weights[name] for name in shapes}


def _vector(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return np.ones(shape) if name.rpartition(".")[2] == "weight" else np.zeros(shape)


def _balanced(layers: Shapes, generator: np.random.Generator) -> InitialWeights:
    shapes = list(layers.values())
    if any(len(shape) != 2 for shape in shapes) or any(a[0] != b[1] for a, b in pairwise(shapes)):
        raise PhasediagError(
            "init: balanced needs a chain of weight matrices, each taking what the one before gives; "
            "this model's weights are no chain; use init: kaiming_normal"
        )
    bases = [np.eye(shapes[0][1]), *(_rotation(shape[0], generator) for shape in shapes[:-1])]
    bases.append(np.eye(shapes[-1][0]))
    return {
        name: after @ np.eye(shape[0], shape[1]) @ before.T
        for (name, shape), before, after in zip(layers.items(), bases[:-1], bases[1:], strict=True)
    }


def _rotation(size: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    rotation: npt.NDArray[np.float64] = q * np.sign(np.diag(r)) * np.sign(q[0, 0] * r[0, 0])
    return rotation
