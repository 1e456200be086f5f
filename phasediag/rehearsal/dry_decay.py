"""What weight decay acts on in a user's network besides weight matrices and biases."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from phasediag.ramp import slowest
from phasediag.registry import component
from phasediag.training.network import network_of
from phasediag.trial import Trials

_NAMED: Final = 4
"""Parameters that are named; of more their number is told."""


def decay_beside_weights(trials: Trials, folder: Path) -> list[str]:
    """Tell which gains, temperatures and other single numbers decay, as all that is trained does.

    An optimizer of the user's is left out: its update chooses what decays.

    Parameters
    ----------
    trials
        Of one structure.
    folder
        Where user files are.

    Returns
    -------
    A sentence, or none where nothing decays or only weight matrices, tables and biases do.
    """
    record = trials.record(0)
    decays = bool((slowest(trials, "weight_decay") > 0).any())
    if not decays or component("optimizer", str(record["optimizer"]), folder).source:
        return []
    network = network_of(record, folder)
    beside = [
        name for name, shape in network.shapes.items()
        if len(shape) < 2 and name not in network.drawn and name not in network.frozen
    ]  # fmt: skip
    if not beside:
        return []
    named = ", ".join(beside[:_NAMED]) + (f" and {len(beside) - _NAMED} more" if len(beside) > _NAMED else "")
    return [
        f"{record['model']}: weight_decay pulls {named} to zero, as all that is trained; "
        "requires_grad_(False) holds a parameter where it starts, and an optimizer of yours decays what you "
        "choose (docs/own-optimizer.md)"
    ]
