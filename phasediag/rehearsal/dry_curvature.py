"""Second derivatives of a user's network, compared with differences of its gradient.

A function whose backward is written by hand, is marked `once_differentiable`, or leaves something out by
`detach()` trains as it is meant to, and has second derivatives that are wrong or 0, which torch does not say.
What rests on them would be recorded wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.func import grad, vjp

from phasediag.errors import PhasediagError
from phasediag.grids.measure import Measure
from phasediag.measuring.specimens import Surroundings
from phasediag.observables._curvature import join, split
from phasediag.observables.known import observable_of
from phasediag.registry import Component
from phasediag.source_lines import place_of
from phasediag.training.tiles import Program
from phasediag.trial import Encoded, Trials

STEPS: Final = {"float64": 1e-5, "float32": 1e-2}
"""The steps of the differences, over the root mean square of the weights."""
TOLERANCES: Final = {"float64": 1e-3, "float32": 0.2}
"""Largest relative difference; a kink, as of a relu, that a step passes makes one of its own."""
DIRECTIONS: Final = 3
"""In which it is looked at; one in which both agree is enough, for kinks are not passed in every one."""


def check_curvature(trials: Trials, measure: Measure, owner: Component, folder: Path) -> None:
    """Refuse what needs second derivatives of a network whose gradient torch does not differentiate rightly.

    Parameters
    ----------
    trials
        Of one structure; the first is looked at, as it starts.
    owner
        The user's model, or the user's task where the model is phasediag's.
    folder
        Where user files are.

    Raises
    ------
    PhasediagError
        Where the Hessian of the training loss times a vector is no derivative of its gradient.
    """
    curved = [r.observable for r in measure.observables if observable_of(r.observable, folder).curved]
    curved += ["the entropic loss"] if measure.entropic else []
    if not curved:
        return
    try:
        apart = _apart(trials, "float64", folder)
    except Exception:  # a network that keeps to single precision: whatever it raises, the dry step has passed
        apart = _apart(trials, "float32", folder)
    if apart > 0:
        named = " and ".join(dict.fromkeys(curved))
        raise PhasediagError(
            f"{place_of(owner.cls)}: {owner.name}: torch's derivatives of its gradient differ by {apart:.0%} "
            "from how it changes: a backward written by hand, once_differentiable or detach() hides "
            f"a part of them, and {named} would be wrong; write it by operators that torch differentiates "
            f"twice, or leave {named} out"
        )


def _apart(trials: Trials, dtype: str, folder: Path) -> float:
    """The least relative difference over some directions; 0 where it is within the tolerance."""
    some = replace(trials, columns={**trials.columns, "dtype": Encoded(pool=(dtype,))})
    tile = Program(some.record(0), folder, torch.device("cpu"), compiled=False).tile(some, shared=False)
    surroundings = Surroundings(
        network=tile.network, batches=tile.batches, world=tile.world, label_noise=tile.rates["label_noise"]
    )
    loss_of = surroundings.data(tile.network.groups[0])(tile.world[0], surroundings.label_noise[0])
    weights = {name: weight[0] for name, weight in tile.weights.items()}
    names = tuple(name for name in tile.network.shapes if name not in tile.network.frozen)

    def loss(joined: Tensor) -> Tensor:
        return loss_of.training_loss({**weights, **split(joined, weights, names)})

    least = min(_differences(loss, join(weights, names), STEPS[dtype]))
    return 0.0 if least <= TOLERANCES[dtype] else least


def _differences(loss: Callable[[Tensor], Tensor], at: Tensor, step: float) -> list[float]:
    """How far the Hessian's product is from the gradient's difference quotient, in each direction."""
    gradient, generator = grad(loss), torch.Generator().manual_seed(0)
    size = step * at.square().mean().sqrt()
    smallest = 1e-6 * float(gradient(at).norm())
    differences = []
    for _ in range(DIRECTIONS):
        vector = torch.randn(at.shape, generator=generator, dtype=at.dtype)
        product: Tensor = vjp(gradient, at)[1](vector)[0]
        quotient = (gradient(at + size * vector) - gradient(at - size * vector)) / (2 * size)
        scale = max(float(quotient.norm()), smallest, torch.finfo(at.dtype).tiny)
        differences.append(float((product - quotient).norm()) / scale)
    return differences
