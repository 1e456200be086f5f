"""Bundles of trials that share a program by padding, and those that do not."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phasediag.packing.structure import Structure
from phasediag.registry import component
from phasediag.training.initial import Shapes
from phasediag.training.losses import is_mean
from phasediag.training.network import Network
from phasediag.training.padding import BATCH, fits
from phasediag.trial import Value, integer

WASTE: Final = 0.3
"""Largest share by which padding may raise the arithmetic of a bucket, compared with its trials alone."""
PROMISED: Final = 16
"""Where all layer sizes of a network are multiples of it, its row is the same bit by bit whatever else is in
the tile (law 1)."""

Seconds = Callable[[int, int, float], float]
"""How long so many trials with so many steps together take as one bundle, by its position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The trials of one structure, as their number and their sizes tell of them."""

    kind: Hashable
    """What those must agree in that share a bucket."""
    free: tuple[str, ...]
    """The parameters in which they may differ."""
    sizes: tuple[int, ...]
    """The values of the parameters of `free`."""
    shapes: Shapes
    flops: float
    """The arithmetic of one step of one trial."""
    trials: int
    steps: float
    """The steps of all trials together."""

    def holds(self, other: Bundle) -> bool:
        """Whether the other's trials can be trained as padded ones of this bundle."""
        smaller = all(a <= b for a, b in zip(other.sizes, self.sizes, strict=True))
        return smaller and fits(other.shapes, self.shapes)


def buckets(bundles: Sequence[Bundle], seconds: Seconds) -> list[list[int]]:
    """Which bundles to train as one, padded to the largest of them.

    From the largest on, each takes those that it holds, the larger ones first, as long as padding
    wastes less than `WASTE` of the arithmetic, and only as many as finish all of them soonest:
    what padding wastes is set against what a program of its own would cost.

    Parameters
    ----------
    seconds
        Projected, compilation included.

    Returns
    -------
    Positions; each is in one bucket, at whose head stands the bundle that holds the others.
    """
    alone = [seconds(i, s.trials, s.steps) for i, s in enumerate(bundles)]
    waiting = sorted(range(len(bundles)), key=lambda i: (bundles[i].flops, bundles[i].sizes), reverse=True)
    made = []
    while waiting:
        bucket = _bucket(bundles, waiting, alone, seconds)
        taken = set(bucket)
        waiting = [i for i in waiting if i not in taken]
        made.append(bucket)
    return made


def _bucket(
    bundles: Sequence[Bundle], waiting: Sequence[int], alone: Sequence[float], seconds: Seconds
) -> list[int]:
    """The first of those that wait, and those that it takes."""
    head = waiting[0]
    largest = bundles[head]
    members, trials, steps = [head], largest.trials, largest.steps
    own, apart = largest.flops * largest.steps, alone[head]
    best, gained = 1, 0.0
    for i in waiting[1:]:
        other = bundles[i]
        if other.kind != largest.kind or not largest.holds(other):
            continue
        trials, steps = trials + other.trials, steps + other.steps
        own, apart = own + other.flops * other.steps, apart + alone[i]
        if largest.flops * steps >= (1 + WASTE) * own:
            break
        members.append(i)
        gain = apart - seconds(head, trials, steps)
        if gain > gained:
            best, gained = len(members), gain
    return members[:best]


def envelope_of(bucket: Sequence[Bundle]) -> dict[str, Value]:
    """The values that a bucket's program has for the parameters in which its bundles differ."""
    head = bucket[0]
    differing = (len({bundle.sizes[k] for bundle in bucket}) > 1 for k in range(len(head.free)))
    return {
        name: size for name, size, differs in zip(head.free, head.sizes, differing, strict=True) if differs
    }


def bundle_of(
    structure: Structure, network: Network, folder: Path, *, flops: float, trials: int, steps: float
) -> Bundle:
    """The bundle of so many trials of a structure, which take so many steps together."""
    values = structure.record
    free = _free(values, network, folder)
    return Bundle(
        kind=(free, structure.id_without(free), network.task.sizes(values)), free=free,
        sizes=tuple(integer(values[name]) for name in free), shapes=network.shapes,
        flops=flops, trials=trials, steps=steps,
    )  # fmt: skip


def _free(values: Mapping[str, Value], network: Network, folder: Path) -> tuple[str, ...]:
    """The parameters in which trials of one pack may differ from the one of this record.

    They are none where a control makes the weights, and where rows are promised to be the same bit by bit.
    """
    promised = all(size % PROMISED == 0 for shape in network.shapes.values() for size in shape)
    return () if values["control"] != "none" or promised else padded_names(values, network, folder)


def padded_names(values: Mapping[str, Value], network: Network, folder: Path) -> tuple[str, ...]:
    """The parameters by which networks of this structure may be padded.

    The model states them as `padded`, in its own class: a subclass states them anew. They are none where
    trials have what they do not train, or draw by chance, and where the user's own code trains them.
    """
    if not network.padded_at_all or network.descent.users:
        return ()
    declared = component("task", str(values["task"]), folder).parameters
    batches = values[BATCH] != 0 and is_mean(network.loss, network.task)
    return tuple(name for name in network.padded if name not in declared and (name != BATCH or batches))
