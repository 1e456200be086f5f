"""One step of a user's network by plain PyTorch, beside the same step of a pack, before anything is recorded.

What is wrong with a user's module or task shows here, in one sentence with the line of her file, instead of
in every trial. It is taken of each structure that is to be trained and in which code of the user's takes
part.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from phasediag.errors import PhasediagError
from phasediag.grids.measure import Measure
from phasediag.measuring.entropy import entropic_columns
from phasediag.measuring.recording import Recorder
from phasediag.packing.buckets import padded_names
from phasediag.registry import Component, component
from phasediag.rehearsal.alone import Alone, blaming, check_unchanged
from phasediag.rehearsal.dry_curvature import check_curvature
from phasediag.rehearsal.dry_symmetry import broken_symmetries
from phasediag.rehearsal.fingerprint import changes, fingerprint
from phasediag.source_lines import place_of
from phasediag.training.construction import CANONICAL_SEED, OTHER_SEEDS, uninitialized, values_of
from phasediag.training.network import Network
from phasediag.training.padding import cut
from phasediag.training.passes import evaluating
from phasediag.training.tiles import Program
from phasediag.trial import Encoded, Trials, Value

PLAIN: Final[dict[str, Value]] = {
    "optimizer": "sgd", "momentum": 0.0, "control": "none", "dcs_symmetry": None, "syre_scale": None,
    "syre_distribution": None, "syre_anisotropy": None, "schedule": "constant", "warmup_steps": 0,
    "gradient_clip": None, "layer_rates": None,
}  # fmt: skip
"""What a dry step is taken with: the gradient is compared, which optimizers and controls only use."""


def dry_step(trials: Trials, measure: Measure, folder: Path) -> list[str]:
    """Take a step of a structure, and compare it with one of plain PyTorch.

    Parameters
    ----------
    trials
        Some of the structure, of more than one replicate where there are several.
    measure
        What is measured of them.
    folder
        Where user files are.

    Returns
    -------
    What the user should know, in sentences.

    Raises
    ------
    PhasediagError
        Where the step cannot be taken, or comes out otherwise than by plain PyTorch.
    """
    record = trials.record(0)
    task = component("task", str(record["task"]), folder)
    model = component("model", str(record["model"]), folder)
    columns = {**trials.columns, **{name: Encoded(pool=(value,)) for name, value in PLAIN.items()}}
    rows = np.arange(max(2, len(trials))) % len(trials)
    plain = replace(trials, columns=columns).take(rows)
    program = Program(plain.record(0), folder, torch.device("cpu"), compiled=False)
    if model.source:
        _check_constructor(program.network, model, "own" in trials.columns["init"].pool)
    with blaming(model if model.source else task, "its step"):
        tile = program.tile(plain, shared=False)
        alone = [Alone(tile, row, task, model) for row in range(len(rows))]
        for each in alone:
            each.step()
        before = fingerprint(program.network.module)
    with blaming(model if model.source else task, "a step of several networks at once (torch.func.vmap)"):
        tile.rates = {**tile.rates, "learning_rate": torch.ones_like(tile.rates["learning_rate"])}
        tile.advance(1)
        losses = tile.losses()
    check_unchanged(before, program.network.module, model)
    for row, each in enumerate(alone):
        each.compare_weights({name: weight[row] for name, weight in tile.weights.items()}, "in a pack")
        each.compare_state({name: buffer[row] for name, buffer in tile.state.buffers.items()})
        each.compare_losses([float(loss[row]) for loss in losses[:2]])
    if model.source:
        _check_padding(program, plain, alone, model)
    _measure(program, plain, measure.built_in_only(), model)
    check_curvature(plain, measure, model if model.source else task, folder)
    if not model.source:
        return []
    return [*_notes(program.network, model, trials), *_doubts(alone[0], model)]


def _check_constructor(network: Network, model: Component, own: bool) -> None:
    """Refuse a constructor that is no function of its seed, or that leaves values unset that are used."""
    place, make = place_of(model.cls), network.construction.module
    unset = [name for name in uninitialized(network.construction) if own or name not in network.drawn]
    if unset:
        raise PhasediagError(
            f"{place}: {model.name}: '{unset[0]}' has no initial value (torch.empty), or one that is no "
            "number (nan); set one in the constructor"
        )
    first, again, *others = map(make, (CANONICAL_SEED, CANONICAL_SEED, *OTHER_SEEDS))
    values, repeated = values_of(first), values_of(again)
    unequal = [n for n, v in values.items() if n not in repeated or not torch.equal(v, repeated[n])]
    buffers = {name for name, _ in first.named_buffers(remove_duplicate=False)}
    unequal += [n for n in changes(fingerprint(first), fingerprint(again)) if n not in buffers]
    if unequal:
        raise PhasediagError(
            f"{place}: {model.name}: '{unequal[0]}' is another one each time the constructor runs, though "
            "the generators of torch, numpy and Python are seeded; make it a function of them"
        )
    before = fingerprint(first)
    attributes = [n for other in others for n in changes(before, fingerprint(other)) if n not in buffers]
    if attributes:
        raise PhasediagError(
            f"{place}: {model.name}: the attribute '{attributes[0]}' differs between replicates, which share "
            f"all attributes; {_instead_of(attributes[0], first)}"
        )


def _instead_of(attribute: str, module: nn.Module) -> str:
    """How to keep what replicates do not share."""
    try:
        value = attrgetter(attribute)(module)
    except AttributeError:  # within a list, or the variable of a function
        value = None
    if isinstance(value, Tensor) and value.requires_grad:
        return (
            "it is made of parameters once, not in each pass: compute it in forward, or by "
            "torch.nn.utils.parametrizations (instead of torch.nn.utils.weight_norm, spectral_norm, prune)"
        )
    return "keep it by register_buffer, of which each trial has its own"


def _measure(program: Program, trials: Trials, measure: Measure, model: Component) -> None:
    """Measure some trials as they start, all that is ever measured of them, one thing after the other."""
    tile = program.tile(trials, shared=False)
    groups = {group.name for group in program.network.groups}
    for request in measure.observables:
        if request.layer in groups:
            with blaming(model, f"measuring {request.observable} on {request.layer}"):
                Recorder(replace(measure, observables=(request,)), tile, len(trials)).record()
    if measure.entropic:
        with blaming(model, "measuring the entropic loss"):
            entropic_columns(tile, measure.layer)


def _check_padding(program: Program, trials: Trials, alone: list[Alone], model: Component) -> None:
    """Refuse a class that states `padded` wrongly: whose networks are others within larger ones."""
    values = trials.record(0)
    sizes = {name: values[name] for name in padded_names(values, program.network, program.folder)}
    envelope: dict[str, Value] = {n: 2 * size for n, size in sizes.items() if isinstance(size, int) and size}
    if not envelope:
        return
    with blaming(model, f"padded to {envelope}"):
        tile = Program(values, program.folder, program.device, False, envelope).tile(trials, shared=False)
        tile.rates = {**tile.rates, "learning_rate": torch.ones_like(tile.rates["learning_rate"])}
        tile.advance(1)
        weights = cut(tile.weights, program.network.shapes)
    words = f"it states padded = {tuple(envelope)!r}, and within a network of {envelope}"
    for row, each in enumerate(alone):
        own = {name: weight[row] for name, weight in weights.items()}
        each.compare_weights(own, words, "remove padded, or let smaller networks be larger ones with zeros")


def _notes(network: Network, model: Component, trials: Trials) -> list[str]:
    """What starts otherwise than the file says, or than replicates and scales of a sweep are meant to."""
    notes = []
    inits = [str(init) for init in dict.fromkeys(trials.values("init").tolist())]
    scaled = bool((trials.values("init_scale") != 1).any())
    drawn = " or ".join(init for init in inits if init != "own")
    if drawn and network.drawn:
        matrices = [name for name, matrix in network.drawn.items() if matrix]
        biases = [name for name, matrix in network.drawn.items() if not matrix]
        parts = [f"{_listed(matrices)} by {drawn}"] if matrices else []
        parts += [f"{_listed(biases)} at zero"] if biases else []
        notes.append(
            f"{model.name}: starts otherwise than its constructor says: {', '.join(parts)}; init: own keeps "
            "the constructor's values"
        )
    if scaled and not network.drawn:
        notes.append(
            f"{model.name}: init_scale changes nothing: no parameter is the weight or the bias of a layer of "
            "torch, or named by neuron_groups"
        )
    if any(_same_start(network, each) for each in inits):
        notes.append(
            f"{model.name}: all replicates start from the same values (torch.manual_seed in the constructor, "
            "or values from a file?); they differ in their data alone"
        )
    if scaled or inits != ["own"]:
        notes += [
            f"{model.name}: '{copy}' is a copy of the constructor's '{name}', from which '{name}' starts "
            "otherwise here; init: own and init_scale: 1 keep both"
            for copy, name in _copies(network)
        ]
    return notes


def _doubts(alone: Alone, model: Component) -> list[str]:
    """The first stated symmetry that the function does not have, of a network as it starts."""
    module = alone.made()
    with blaming(model, "its neuron_groups"), evaluating(module):
        broken = broken_symmetries(module, tuple(alone.network.groups), alone.sets[1].x)
    return [f"{model.name}: {sentence}" for sentence in broken[:1]]


def _same_start(network: Network, init: str) -> bool:
    """Whether all trained parameters of two replicates start alike, though not all numbers are the same."""
    one, other = (network.start(seed, init)[0] for seed in (CANONICAL_SEED, OTHER_SEEDS[0]))
    trained = [name for name in network.shapes if name not in network.frozen]
    varied = any(np.ptp(one[name]) > 0 for name in trained if one[name].ndim > 1 and one[name].size)
    return varied and all(np.array_equal(one[name], other[name]) for name in trained)


def _copies(network: Network) -> list[tuple[str, str]]:
    """What is not trained and holds the numbers that the constructor gave to a weight matrix."""
    values = network.construction.values(CANONICAL_SEED)
    matrices = [name for name, matrix in network.drawn.items() if matrix and name not in network.frozen]
    kept = [name for name in values if name in network.frozen or name not in network.shapes]
    return [(k, m) for k in kept for m in matrices if torch.equal(values[k], values[m])]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
