"""What a model is: the contract between an architecture and everything that trains and measures it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from phasediag.symmetry.neurons import NeuronGroup
from phasediag.trial import Constraint, Parameter, Value

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object


class Model(Module):
    """One network, as an ordinary `torch.nn.Module`, and what may be stated of it.

    `forward` takes samples x, shape (samples, inputs), and gives shape (samples, outputs). The constructor
    takes `inputs`, `outputs` and the values of what the class declares. Everything else below may be left
    out: the defaults stand here.

    A module of the user's need not derive from this class; it may state any of these names. The models of
    phasediag do. Their files are read whenever a grid is, so they import torch in their methods, and become
    modules of torch when the first network is made: `MLP(...)` is an `nn.Module`.
    """

    declares: ClassVar[tuple[Parameter, ...]]
    """The parameters that it adds to a trial. A user's class may leave it out: then they are the arguments
    of its constructor."""
    constraints: ClassVar[tuple[Constraint, ...]] = ()
    """Rules between parameters, checked where a grid names this model or one derived from it."""
    padded: ClassVar[tuple[str, ...]] = ()
    """Parameters in which trials of one program may differ: with a smaller value, the network is that of a
    larger one whose parameters are zero outside of the leading corner of every tensor; with `batch_size`
    among them, what it gives for a sample depends on no other sample. A derived class states it anew."""

    constructed: ClassVar[bool] = False
    """Whether what the constructor makes counts, as of a user's module it always does: buffers, which passes
    in training may change, and parameters that are no weights and no biases of layers, such as gains.
    `init_scale` then leaves those as they are made. Else every parameter starts by its shape alone."""
    batched: ClassVar[tuple[str, ...]] = ()
    """For a user's class without `declares`: arguments of its constructor, floats, that change numbers alone.
    Trials that differ in them share a program."""

    @property
    def neuron_groups(self) -> tuple[NeuronGroup, ...]:
        """The layers that are measured."""
        return ()

    @property
    def uses_of_weights(self) -> int:
        """How often one sample passes each weight."""
        return 1

    @property
    def products_per_sample(self) -> int:
        """Multiplications of one sample besides those by weights, such as between activations."""
        return 0

    @property
    def numbers_per_sample(self) -> int:
        """Elementwise results of one sample besides the outputs of its layers."""
        return 0

    @staticmethod
    def collapse_slope(values: Mapping[str, Value]) -> float | None:
        """Slope at the origin, where a threshold of collapse is known (E1, E2 of `docs/physics.md`).

        Parameters
        ----------
        values
            The trial's record.
        """
        return None

    def __new__(cls, *arguments: Any, **named: Any) -> Self:
        """An instance of the class as a module of torch."""
        made: Self = object.__new__(module_class(cls))
        return made


def module_class(cls: type[Any]) -> type[Any]:
    """The class as a module of torch: itself, or, of a `Model` without one, itself above `nn.Module`.

    What is no `Model` stays as it is.
    """
    from torch import nn

    if Model not in cls.__mro__ or nn.Module in cls.__mro__:
        return cls
    if "_module_class" not in vars(cls):
        cls._module_class = type(cls.__name__, (cls, nn.Module), {"__module__": cls.__module__})
    made: type[Any] = vars(cls)["_module_class"]
    return made


def stated(module: Any, name: str) -> Any:
    """What a module states under a name of `Model`, or the default there.

    Parameters
    ----------
    module
        A module of torch, or the class of one for what classes state.
    """
    default = vars(Model)[name]
    if isinstance(default, property):
        assert default.fget is not None
        return getattr(module, name) if hasattr(module, name) else default.fget(module)
    return getattr(module, name, getattr(Model, name))
