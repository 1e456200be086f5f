"""How many distinct neurons weight decay lets a layer keep (Theorem 4)."""

from __future__ import annotations

from math import log1p

import numpy as np
import scipy.optimize

from phasediag.errors import PhasediagError


def packing_bound(radius: float, separation: float, dimension: int) -> float:
    """Points in a ball whose distances are all at least `separation`: at most (1 + 2 R / rho)^d.

    `docs/physics.md` Eq. 27: balls of radius rho / 2 around them are disjoint, and lie in the ball of
    radius R + rho / 2. Exact for every finite set, in any norm; says nothing of training.

    Parameters
    ----------
    radius
        R, largest norm of a neuron vector.
    separation
        rho > 0, smallest distance of two distinct ones.
    dimension
        d, numbers of a neuron vector.

    Raises
    ------
    PhasediagError
        Where the separation is not positive.
    """
    if separation <= 0:
        raise PhasediagError(f"separation {separation:g} bounds no number of neurons; give one > 0")
    return float((1 + 2 * radius / separation) ** dimension)


def neuron_bound(gamma: float, dimension: int, loss: float = 1.0, curvature: float = 1.0) -> float:
    """The largest N with N <= (1 + 2 R / rho)^d, R = sqrt(loss / (gamma N)), rho = gamma / (2 M).

    Theorem 4 with its constants kept (`docs/physics.md` Eqs. 34 to 38): the minimum pays at most the loss
    of the origin, gamma sum |theta_i|^2 <= L(0), so that norms fall as N^(-1/2); distinct neurons lie
    at least gamma / (2 M) apart, M the bound (26) on the change of the transverse Hessian. For
    gamma -> 0 it is C gamma^(-3 d / (d + 2)), at most gamma^(-3) for every d. It rests on (26), which
    fails at continuous transitions (E9): a bound to be tested, not a law.

    Parameters
    ----------
    gamma
        weight_decay / 2, > 0.
    dimension
        d, numbers of a neuron vector.
    loss
        L(0), the loss of the origin.
    curvature
        M > 0.

    Raises
    ------
    PhasediagError
        Where gamma, the loss or the curvature is not positive.
    """
    for name, value in (("gamma", gamma), ("loss", loss), ("curvature", curvature)):
        if not value > 0:
            raise PhasediagError(f"{name} {value:g} bounds no number of neurons; give one > 0")

    def excess(log_count: float) -> float:
        ratio = 4 * curvature / gamma * np.sqrt(loss / gamma) * np.exp(-log_count / 2)
        return log_count - dimension * log1p(float(ratio))

    top = 1.0
    while excess(top) <= 0:
        top *= 2
    return float(np.exp(scipy.optimize.brentq(excess, 0.0, top, xtol=1e-12)))


def bound_exponent(dimension: float, squared: bool = False) -> float:
    """Exponent e of N <= C gamma^(-e): 3 d / (d + 2); 2 d / (d + 2) where Delta is the square of (3).

    Theorem 4; the second where Conjecture 1 is read for the squared distance (`docs/physics.md`).
    The bound without the shrinking norms has 3 d / 2.
    """
    return (2 if squared else 3) * dimension / (dimension + 2)
