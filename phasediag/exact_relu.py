"""E15: the exact optimum of a two-layer relu network of any width on given data, with its certificate.

With one output the loss, mean (f - y)^2 + gamma |theta|^2, is convex in the measure of rays: rescaling turns
f = sum_j u_j relu(w_j.x) and its penalty into f = sum_j c_j relu(v_j.x) and 2 gamma sum_j |c_j| with
|v_j| = 1. Its minimum over all measures is reached by a few atoms, and no network of any width is below it.
They come from a conditional gradient that is corrected fully: the best new direction is added, the masses
are solved for exactly, the directions slide, until no direction has a correlation |mean r relu(v.x)| with the
residual r = y - f above gamma: the dual certificate, which bounds how far the objective is from the minimum.

A network with biases has one of its output too, b, which decays: with b = mean (y - f) / (1 + gamma) put in,
the loss is that of y and f less a share of their means, so that nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import optimize

from phasediag.arrays import FloatArray

ROUNDS: Final = 400
"""Directions that are added at most."""
DRAWN: Final = 4000
"""Directions that a search in more than 3 dimensions begins with."""
REFINED: Final = 64
"""The best of them, which are moved uphill."""
ONE: Final = 1e-9
"""Relative rise of the objective at which two atoms still count as one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReluOptimum:
    """The minimum over all widths of a two-layer relu network's loss."""

    gamma: float
    directions: FloatArray
    """v of each atom, of norm 1, shape (atoms, numbers): incoming weights, and the bias if there is one."""
    masses: FloatArray
    """c of each atom, with the sign of its outgoing weight, shape (atoms,)."""
    output_bias: float
    """b of f; 0 where there are no biases."""
    objective: float
    """mean (f - y)^2 + 2 gamma sum |c| + gamma b^2."""
    correlation: float
    """The largest |mean r relu(v.x)| over all directions, over gamma: at most 1 at the minimum."""
    gap: float
    """What the minimum is below `objective` at most, as a share of it."""

    @property
    def count(self) -> int:
        """N(gamma), the number of atoms."""
        return len(self.masses)

    @property
    def neurons(self) -> FloatArray:
        """Balanced neuron vectors (incoming, bias, outgoing), one an atom, shape (atoms, numbers + 1)."""
        size = np.sqrt(np.abs(self.masses))[:, None]
        return np.concatenate([size * self.directions, size * np.sign(self.masses)[:, None]], axis=1)


def relu_optimum(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    gamma: float,
    *,
    bias: bool = False,
    gap: float = 1e-8,
    seed: int = 0,
) -> ReluOptimum:
    """E15: the exact optimum for data.

    The search for the best direction is exact in up to 3 numbers a neuron (every cell, edge and corner of the
    arrangement of the data's planes), and by many starts that move uphill in more.

    Parameters
    ----------
    x, y
        The data, shapes (samples, inputs) and (samples,) or (samples, 1).
    gamma
        Of the loss; weight_decay is twice it.
    bias
        Whether the neurons and the output have biases, which decay as weights do.
    gap
        The share of the objective at which to stop.
    seed
        Of the starts.

    Raises
    ------
    ValueError
        Where there are several outputs, or gamma is not positive.
    """
    inputs = np.asarray(x, dtype=np.float64)
    points = np.hstack([inputs, np.ones((len(inputs), 1))]) if bias else inputs
    targets = np.asarray(y, dtype=np.float64)
    if targets.size != len(points):
        raise ValueError(f"y has shape {targets.shape}: the exact optimum is known for one output alone")
    if gamma <= 0:
        raise ValueError(f"gamma is {gamma:g}; it must be positive")
    return _Problem(points, targets.reshape(-1), gamma, bias, np.random.default_rng(seed)).solved(gap)


class _Problem:
    """The data and gamma; atoms are weights, mass times direction, and signs."""

    def __init__(
        self, points: FloatArray, targets: FloatArray, gamma: float, bias: bool, draw: np.random.Generator
    ) -> None:
        self.points, self.gamma, self.bias, self.draw = points, gamma, bias, draw
        self.given, self.targets = targets, self._without_bias(targets)

    def _without_bias(self, values: FloatArray) -> FloatArray:
        """Values of the data, shape (samples, ...), less what the output's bias takes of their mean."""
        share = 1 - np.sqrt(self.gamma / (1 + self.gamma)) if self.bias else 0.0
        left: FloatArray = values - share * values.mean(axis=0)
        return left

    def _features(self, directions: FloatArray) -> FloatArray:
        """relu(v.x) of the data, less what the bias takes, shape (samples, directions)."""
        return self._without_bias(np.maximum(self.points @ directions.T, 0))

    def solved(self, gap: float) -> ReluOptimum:
        """Add directions until the certificate is good to `gap`."""
        weights = np.zeros((0, self.points.shape[1]))
        signs = np.zeros(0)
        for _ in range(ROUNDS):
            steepest, correlation = self._steepest(self.targets - self.values(weights, signs))
            bound = self._gap(weights, signs, correlation)
            if bound <= gap:
                break
            weights, signs = self._corrected(weights, signs, steepest)
        weights, signs = self._joined(weights, signs)
        _, correlation = self._steepest(self.targets - self.values(weights, signs))
        norms = np.linalg.norm(weights, axis=1)
        order = np.argsort(-norms)
        rest = self.given - np.maximum(self.points @ weights.T, 0) @ signs
        return ReluOptimum(
            gamma=self.gamma, directions=(weights / norms[:, None])[order], masses=(signs * norms)[order],
            output_bias=float(rest.mean() / (1 + self.gamma)) if self.bias else 0.0,
            objective=self.objective(weights, signs), correlation=correlation / self.gamma,
            gap=self._gap(weights, signs, correlation),
        )  # fmt: skip

    def values(self, weights: FloatArray, signs: FloatArray) -> FloatArray:
        """F of the data, less what the bias takes."""
        made: FloatArray = self._features(weights) @ signs
        return made

    def objective(self, weights: FloatArray, signs: FloatArray) -> float:
        """The loss with its penalty."""
        residual = self.targets - self.values(weights, signs)
        return float(np.mean(residual**2) + 2 * self.gamma * np.linalg.norm(weights, axis=1).sum())

    def _gap(self, weights: FloatArray, signs: FloatArray, correlation: float) -> float:
        """The duality gap: the residual, made small until no correlation exceeds gamma, is dual feasible."""
        primal = self.objective(weights, signs)
        residual = self.targets - self.values(weights, signs)
        dual = residual * min(1.0, self.gamma / correlation if correlation > 0 else 1.0)
        below = float(np.mean(self.targets**2) - np.mean((self.targets - dual) ** 2))
        return (primal - below) / primal if primal > 0 else 0.0

    def _corrected(
        self, weights: FloatArray, signs: FloatArray, added: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The atoms with new directions: masses solved for, directions moved, masses solved for again."""
        residual = self.targets - self.values(weights, signs)
        norms = np.linalg.norm(weights, axis=1)
        directions = np.vstack([weights / norms[:, None], added])
        turned = np.sign(self._features(added).T @ residual)
        every = np.concatenate([signs, turned])
        masses = self._masses(directions, every, np.concatenate([norms, np.zeros(len(added))]))
        alive = masses > 0
        weights, signs = directions[alive] * masses[alive, None], every[alive]
        weights = self._slid(weights, signs)
        return self._joined(weights, signs)

    def _masses(self, directions: FloatArray, signs: FloatArray, start: FloatArray) -> FloatArray:
        """The best masses >= 0 of given directions, by active sets (Lawson, Hanson), from feasible ones."""
        features = self._features(directions) * signs
        gram, linear = features.T @ features, features.T @ self.targets - self.gamma * len(self.points)
        masses, free = start.copy(), start > 0
        for _ in range(20 * len(signs) + 20):
            wanted = np.zeros_like(masses)
            wanted[free] = np.linalg.lstsq(gram[np.ix_(free, free)], linear[free], rcond=1e-13)[0]
            if (wanted[free] > 0).all():
                masses = wanted
                ascent = np.where(free, -np.inf, linear - gram @ masses)
                if ascent.max(initial=-np.inf) <= 1e-13 * np.abs(linear).max():
                    break
                free[np.argmax(ascent)] = True
                continue
            leaving = free & (wanted <= 0)
            step = np.min(masses[leaving] / (masses[leaving] - wanted[leaving]), initial=1.0)
            masses = masses + step * (wanted - masses)
            free &= masses > 1e-15 * masses.max(initial=0.0)
            masses[~free] = 0
        return masses

    def _slid(self, weights: FloatArray, signs: FloatArray) -> FloatArray:
        """The atoms moved downhill, directions and masses together."""
        if not len(weights):
            return weights

        def loss(flat: FloatArray) -> tuple[float, FloatArray]:
            moved = flat.reshape(weights.shape)
            pre = self.points @ moved.T
            residual = self._without_bias(np.maximum(pre, 0) @ signs) - self.targets
            norms = np.linalg.norm(moved, axis=1)
            left = self._without_bias(residual)
            force = ((pre > 0) * left[:, None] * signs).T @ self.points * (2 / len(self.points))
            decay = moved / np.where(norms > 0, norms, 1)[:, None]
            value = np.mean(residual**2) + 2 * self.gamma * norms.sum()
            return float(value), (force + 2 * self.gamma * decay).reshape(-1)

        options = {"maxiter": 200, "ftol": 1e-16, "gtol": 1e-12}
        end = optimize.minimize(loss, weights.reshape(-1), jac=True, method="L-BFGS-B", options=options)
        moved: FloatArray = end.x.reshape(weights.shape)
        return moved if end.fun < loss(weights.reshape(-1))[0] else weights

    def _joined(self, weights: FloatArray, signs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The atoms with those added up whose sum does as well, nearest pairs first."""
        norms = np.linalg.norm(weights, axis=1)
        weights, signs = weights[norms > 0], signs[norms > 0]
        at = self.objective(weights, signs)
        while len(signs) > 1:
            units = weights / np.linalg.norm(weights, axis=1)[:, None]
            near = np.where(signs[:, None] == signs, units @ units.T, -2.0) - 4 * np.tri(len(signs))
            for place in np.argsort(-near, axis=None)[: 2 * len(signs)]:
                one, other = np.unravel_index(place, near.shape)
                if near[one, other] < 0.9:
                    continue
                fewer, kept = weights.copy(), np.arange(len(signs)) != other
                fewer[one] += fewer[other]
                fewer, sign = fewer[kept], signs[kept]
                units_of = fewer / np.linalg.norm(fewer, axis=1)[:, None]
                masses = self._masses(units_of, sign, np.linalg.norm(fewer, axis=1))
                fewer = units_of * masses[:, None]
                if self.objective(fewer, sign) <= at * (1 + ONE):
                    weights, signs = fewer[masses > 0], sign[masses > 0]
                    break
            else:
                break
        return weights, signs

    def _steepest(self, residual: FloatArray) -> tuple[FloatArray, float]:
        """Directions of a large |mean residual relu(v.x)|, shape (directions, numbers), and the largest."""
        share = self._without_bias(residual) / len(residual)
        candidates = _candidates(self.points, share, self.draw)
        size = np.abs(np.maximum(candidates @ self.points.T, 0) @ share)
        chosen = [int(np.argmax(size))]
        for place in np.argsort(-size)[:2000]:
            if size[place] <= max(self.gamma, 0.5 * size[chosen[0]]) or len(chosen) >= 4:
                break
            if (candidates[chosen] @ candidates[place] < 0.95).all():
                chosen.append(int(place))
        return candidates[chosen], float(size[chosen[0]])


def _candidates(points: FloatArray, share: FloatArray, draw: np.random.Generator) -> FloatArray:
    """Directions among which the best is, shape (candidates, numbers)."""
    numbers = points.shape[1]
    if numbers == 1:
        return np.array([[1.0], [-1.0]])
    if numbers == 2:
        return _on_circle(points, share, np.eye(2))
    if numbers == 3:
        bases = (np.linalg.svd(point[None])[2][1:] for point in points if point.any())
        return np.concatenate([_on_circle(points, share, basis) for basis in bases])
    return _uphill(points, share, draw)


def _on_circle(points: FloatArray, share: FloatArray, basis: FloatArray) -> FloatArray:
    """The corners on a great circle, and what is best on its edges and in the cells beside them.

    On a cell, where the same samples are active, mean residual relu(v.x) is b.v with b the sum of their
    residual times x: its best direction is b, or on an edge the projection of b on the circle's plane.

    Parameters
    ----------
    basis
        Orthonormal, of the circle's plane, shape (2, numbers).
    """
    flat = points @ basis.T
    crossing = flat[np.linalg.norm(flat, axis=1) > 1e-12 * np.abs(points).max()]
    normal = np.arctan2(crossing[:, 1], crossing[:, 0])
    angles = np.unique(np.mod(np.concatenate([normal + np.pi / 2, normal - np.pi / 2]), 2 * np.pi))
    middles = (angles + np.append(angles[1:], angles[0] + 2 * np.pi)) / 2
    corners, inside = (np.stack([np.cos(a), np.sin(a)], axis=1) @ basis for a in (angles, middles))
    on_circle = np.linalg.norm(flat, axis=1) <= 1e-12 * np.abs(points).max()
    active = (inside @ points.T > 0) & ~on_circle
    forces = (active * share) @ points
    beside = (share[on_circle, None] * points[on_circle]).sum(axis=0)
    best = np.concatenate([forces @ basis.T @ basis, forces, forces + beside])
    norms = np.linalg.norm(best, axis=1)
    best = best[norms > 0] / norms[norms > 0, None]
    return np.concatenate([corners, best, -best])


def _uphill(points: FloatArray, share: FloatArray, draw: np.random.Generator) -> FloatArray:
    """Directions from many starts, moved uphill by steps that become smaller."""
    starts = draw.standard_normal((DRAWN, points.shape[1]))
    starts /= np.linalg.norm(starts, axis=1)[:, None]
    values = np.maximum(starts @ points.T, 0) @ share
    ends = []
    for sign in (1.0, -1.0):
        v = starts[np.argsort(-sign * values)[:REFINED]]
        best, most = v, sign * (np.maximum(v @ points.T, 0) @ share)
        for size in np.geomspace(0.3, 1e-9, 300):
            force = sign * ((v @ points.T > 0) * share) @ points
            force -= (force * v).sum(axis=1)[:, None] * v
            norms = np.linalg.norm(force, axis=1)[:, None]
            v = v + size * force / np.where(norms > 0, norms, 1)
            v /= np.linalg.norm(v, axis=1)[:, None]
            value = sign * (np.maximum(v @ points.T, 0) @ share)
            better = value > most
            best, most = np.where(better[:, None], v, best), np.maximum(value, most)
            v = best if size < 1e-2 else v
        ends.append(best)
    return np.concatenate(ends)
