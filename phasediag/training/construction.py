"""A user's module as her constructor makes it, anew for each replicate.

The constructor runs under random generators that are seeded from the replicate's stream `init`, so that
what it draws is a function of the replicate. Everything that it makes is kept: values of parameters,
which of them are trained, buffers, plain attributes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from phasediag.errors import PhasediagError
from phasediag.source_lines import line_of
from phasediag.symmetry.neurons import NeuronGroup, Parity
from phasediag.trial import Streams
from phasediag.user_code.process import kept_process
from phasediag.user_code.work import at_work

OWN_POSITION: Final = 2**32
"""Position of the stream `init` that seeds constructors; initial weights are drawn from position 0."""
CANONICAL_SEED: Final = 0
"""The seed of the module whose code, shapes and flags stand for all replicates."""
OTHER_SEEDS: Final = range(1, 8)
"""The seeds of the modules that it is compared with: what has few values may be the same in two of them by
chance."""
_LAYERS: Final = (
    nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d,
    nn.ConvTranspose3d, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN, nn.LSTM, nn.GRU, nn.MultiheadAttention,
)  # fmt: skip
"""Layers of torch whose parameters called weight or bias are weight matrices and biases."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Construction:
    """How a user's module is made.

    Parameters
    ----------
    cls
        The class of the user.
    arguments
        What its constructor is called with.
    dtype
        That real parameters and buffers are turned into, as by `module.to(dtype)`, and complex buffers into
        its complex counterpart.
    """

    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    dtype: torch.dtype

    def given(self, arguments: Mapping[str, Any]) -> Construction:
        """How the module is made that has other values of some arguments."""
        return replace(self, arguments={**self.arguments, **arguments}) if arguments else self

    def module(self, seed: int) -> nn.Module:
        """The module of a replicate, on the CPU."""
        return in_precision(self.made(seed), self.dtype)

    def made(self, seed: int) -> nn.Module:
        """The module, in the precision that the constructor gives it."""
        with (
            seeded(Streams(seed).generator("init", OWN_POSITION)),
            kept_process(),
            at_work(self.cls, self.cls.__name__, "its constructor"),
        ):
            module: nn.Module = self.cls(**self.arguments)
            for part in module.modules():
                if type(part).train is not nn.Module.train:  # what training is to it, a loop would ask
                    part.train(part.training)
        return module

    def values(self, seed: int) -> dict[str, Tensor]:
        """Parameters and buffers of the module of a replicate, by name."""
        return values_of(self.module(seed))


def in_precision(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module with real tensors of a type, complex buffers, which `to` would make real, of its kind."""
    kept = [
        (part, name, buffer.to(dtype.to_complex()))
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
        if buffer.is_complex()
    ]
    for part, name, _ in kept:
        setattr(part, name, None)
    module = module.to(dtype)
    for part, name, buffer in kept:
        setattr(part, name, buffer)
    return module


def values_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, persistent or not, by name; what is shared has one name."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach() for name, tensor in named}


def uninitialized(construction: Construction) -> list[str]:
    """Parameters and buffers that hold what memory happened to hold, by name.

    `torch.empty` and its kin are made to give NaN (or the largest whole number); what keeps it was never
    set.
    """
    with _Unset():
        values = construction.values(CANONICAL_SEED)
    return [name for name, tensor in values.items() if _holds_unset(tensor)]


class _Unset(TorchFunctionMode):
    """Makes the content of new memory recognisable."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("empty", "empty_like", "new_empty", "empty_strided"):
            made.fill_(torch.nan if _has_nan(made) else _largest(made))
        return made


def _holds_unset(tensor: Tensor) -> bool:
    """Whether a tensor holds what `_Unset` fills with; nothing shows it of truth values."""
    if tensor.dtype == torch.bool:
        return False
    unset = tensor.isnan() if _has_nan(tensor) else tensor == _largest(tensor)
    return bool(unset.any())


def _has_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _largest(tensor: Tensor) -> int:
    """The largest number of a whole type, which no table holds by chance."""
    return 1 if tensor.dtype == torch.bool else torch.iinfo(tensor.dtype).max


def moved(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, in place, with the tensors that it holds as plain attributes."""
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if not name.startswith("_"):
                setattr(part, name, _on(value, device))
    return module.to(device)


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_on(each, device) for each in value)
    return {key: _on(each, device) for key, each in value.items()} if type(value) is dict else value


@contextmanager
def seeded(generator: np.random.Generator) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python for a while; they go on as before after it."""
    number = int(generator.integers(2**63))
    states = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        _seed_torch(number)
        np.random.seed(number % 2**32)
        random.seed(number)
        try:
            yield
        finally:
            np.random.set_state(states[0])
            random.setstate(states[1])


def _seed_torch(number: int) -> None:
    """Seed torch's generators: of this processor, and of GPUs where the process uses them.

    `torch.manual_seed` takes down a traceback for each sort of device that is not in use yet, which takes
    longer than most constructors.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def varying_buffers(first: nn.Module, others: Iterable[nn.Module]) -> tuple[str, ...]:
    """The buffers in which the modules of some replicates differ, by name."""
    buffers = dict(first.named_buffers())
    varying: set[str] = set()
    for other in others if buffers else ():
        drawn = dict(other.named_buffers())
        varying |= {n for n, buffer in buffers.items() if n not in drawn or not torch.equal(buffer, drawn[n])}
    return tuple(name for name in buffers if name in varying)


def plain_attributes(module: nn.Module) -> dict[str, object]:
    """The numbers, texts and truth values that a module and its parts hold as attributes, by name."""
    return {
        f"{path}.{name}" if path else name: value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if not name.startswith("_") and isinstance(value, bool | int | float | str)
    }


def drawn_weights(module: nn.Module, groups: Sequence[NeuronGroup]) -> dict[str, bool]:
    """By name, whether what `init` and `init_scale` act on is a weight matrix; if not, it is a bias.

    A weight matrix is a parameter of two axes or more that a layer of torch calls its weight, or that a
    neuron group names as incoming or outgoing; a bias is the bias of such a layer, or one that a neuron
    group names. All others (gains, temperatures, tables, embeddings, positions, parametrized weights) are
    what the constructor made them.
    """
    grouped = {name for group in groups for name in (*group.incoming, *group.outgoing)}
    biases = {name for group in groups for name in group.bias}
    drawn: dict[str, bool] = {}
    for name, parameter in module.named_parameters():
        prefix, _, leaf = name.rpartition(".")
        layer = isinstance(module.get_submodule(prefix), _LAYERS)
        if parameter.dim() >= 2 and (name in grouped or (layer and _called_weight(leaf))):
            drawn[name] = True
        elif parameter.dim() == 1 and (name in biases or (layer and "bias" in leaf)):
            drawn[name] = False
    return drawn


def _called_weight(leaf: str) -> bool:
    """`weight`, `in_proj_weight`, `weight_ih` and the like; not the two factors of the old weight_norm."""
    return "weight" in leaf and leaf not in ("weight_g", "weight_v")


def neuron_groups_of(module: nn.Module, place: str) -> tuple[NeuronGroup, ...]:
    """The neuron groups that a module states; none where it states none.

    torch turns an AttributeError inside a property of a module into the message that there is no such
    property, and `getattr` with a default would hide it: the property is called by itself.

    Raises
    ------
    PhasediagError
        Where what it states are no neuron groups of this module.
    """
    stated = _stated(module, place)
    if not isinstance(stated, tuple | list):
        kind = "a method" if callable(stated) else f"{stated!r:.60}"
        raise PhasediagError(
            f"{place}: neuron_groups is {kind}; write a property that gives a tuple of "
            "phasediag.symmetry.neurons.NeuronGroup"
        )
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    for group in stated:
        if not isinstance(group, NeuronGroup):
            raise PhasediagError(f"{place}: neuron_groups holds {group!r:.60}, which is no NeuronGroup")
        _check_group(group, shapes, place)
    if again := _named_twice([group.name for group in stated]):
        raise PhasediagError(
            f"{place}: neuron_groups holds two groups '{again}'; give each a name of its own"
        )
    return tuple(stated)


def _named_twice(names: Sequence[str]) -> str:
    """The first name that is there again; '' where each is there once."""
    return next((name for number, name in enumerate(names) if name in names[:number]), "")


def _stated(module: nn.Module, place: str) -> Any:
    for cls in type(module).__mro__:
        if "neuron_groups" not in vars(cls):
            continue
        stated = vars(cls)["neuron_groups"]
        if not isinstance(stated, property):
            break
        assert stated.fget is not None
        try:
            return stated.fget(module)
        except PhasediagError:
            raise
        except Exception as error:
            at = line_of(error) or place
            raise PhasediagError(f"{at}: neuron_groups raised {type(error).__name__}: {error}") from error
    return getattr(module, "neuron_groups", ())


def _check_statements(group: NeuronGroup, place: str) -> None:
    """Refuse what is stated of the activation or of an axis and can be nothing of the kind."""
    for name, allowed in (("parity", (*get_args(Parity), None)), ("outgoing_axis", (0, 1))):
        value = getattr(group, name)
        if value not in allowed:
            raise PhasediagError(
                f"{place}: neuron group {group.name}: {name} is {value!r:.60}; have one of "
                f"{', '.join(map(repr, allowed))}"
            )
    if group.homogeneity is not None and not isinstance(group.homogeneity, int | float):
        raise PhasediagError(
            f"{place}: neuron group {group.name}: homogeneity is {group.homogeneity!r:.60}; have a number"
        )


def _check_group(group: NeuronGroup, shapes: Mapping[str, tuple[int, ...]], place: str) -> None:
    """Refuse parameters that are not there, and axes that count other numbers of neurons."""
    _check_statements(group, place)
    counts: dict[str, int] = {}
    roles = {"incoming": 0, "bias": 0, "outgoing": group.outgoing_axis}
    for role, axis in roles.items():
        for name in getattr(group, role):
            if name not in shapes:
                known = ", ".join(shapes)
                raise PhasediagError(
                    f"{place}: neuron group {group.name} names the parameter '{name}', which is not there; "
                    f"the parameters are {known}"
                )
            if len(shapes[name]) <= axis:
                raise PhasediagError(
                    f"{place}: neuron group {group.name}: {role} parameter '{name}' of shape "
                    f"{shapes[name]} has no axis {axis} to count neurons by"
                )
            span = group.span_of(role == "outgoing")
            if span is not None and not 0 <= span[0] < span[1] <= shapes[name][axis]:
                raise PhasediagError(
                    f"{place}: neuron group {group.name}: the span {span} is none of the "
                    f"{shapes[name][axis]} neurons of '{name}'"
                )
            counts[name] = shapes[name][axis] if span is None else span[1] - span[0]
    for role in roles:
        if again := _named_twice(getattr(group, role)):
            raise PhasediagError(
                f"{place}: neuron group {group.name} names the {role} parameter '{again}' twice, so that it "
                "would count twice in each distance; name it once"
            )
    if not group.incoming:
        raise PhasediagError(f"{place}: neuron group {group.name} names no incoming parameter")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} by {name}" for name, count in counts.items())
        raise PhasediagError(
            f"{place}: neuron group {group.name} has different numbers of neurons ({listed}); axis 0 of "
            f"incoming parameters and of biases counts them, axis {group.outgoing_axis} of outgoing ones"
        )
