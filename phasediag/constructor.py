"""The parameters that a user's class has: what it declares, or the arguments of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import PydanticUndefinedAnnotation, PydanticUserError

from phasediag.columns import RESERVED
from phasediag.errors import RefusedError
from phasediag.parameters import MOMENTUM, TRAINING
from phasediag.source_lines import place_of
from phasediag.trial import REQUIRED, Parameter, Required, Role, Value, json_schema

GIVEN: Final = ("inputs", "outputs")
"""Arguments of a model whose values are the task's sizes."""
ANNOTATIONS: Final = "int, float, bool, str, Literal[...], list[int], list[float] or list[str]"
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_of(cls: type[Any], kind: str) -> dict[str, Parameter]:
    """The parameters that a class adds to a trial, by name.

    A class that states `declares` has those. Else it has one for each argument of its constructor
    besides `inputs` and `outputs`, whose annotation, or whose default, tells what a grid may give; an
    argument of another type keeps its default. A task without `declares` has none.

    Parameters
    ----------
    kind
        `task`, `model`, or what a task is trained by: of the latter, numbers of type float are batched
        unless the class names them in `structural`, and the momentum is that of every trial.

    Raises
    ------
    ValueError
        Where `declares` is no tuple of `Parameter`, an argument has neither a usable annotation nor a
        default, or a name is that of a parameter of training. Tells the line.
    """
    declared = getattr(cls, "declares", None)
    if declared is None:
        parameters = [] if kind == "task" else _arguments(cls)
        if kind == "model":
            parameters = _with_roles(cls, parameters)
        elif kind != "task":
            parameters = [_of_training(parameter, cls) for parameter in parameters]
    elif isinstance(declared, tuple | list) and all(isinstance(each, Parameter) for each in declared):
        parameters = list(declared)
    else:
        raise RefusedError(
            f"{place_of(cls)}: {cls.__name__}.declares is {declared!r:.60}",
            "write a tuple of phasediag.trial.Parameter, () where the class has no parameters",
        )
    taken = {parameter.name for parameter in TRAINING} - ({MOMENTUM.name} if kind == "optimizer" else set())
    for parameter in parameters:
        if parameter.name in taken:
            raise RefusedError(
                f"{place_of(cls)}: '{parameter.name}' of {cls.__name__} is the name of a parameter of "
                "training, which would take its place",
                f"call the {_word(kind)} otherwise",
            )
        if parameter.name in RESERVED:
            raise RefusedError(
                f"{place_of(cls)}: '{parameter.name}' of {cls.__name__} is the name of a column of results",
                f"call the {_word(kind)} otherwise, as no parameter can be called {', '.join(RESERVED)}",
            )
    return {parameter.name: parameter for parameter in parameters}


def _with_roles(cls: type[Any], arguments: Sequence[Parameter]) -> list[Parameter]:
    """The arguments of a model; those that it states as `batched` change no program."""
    stated: Any = getattr(cls, "batched", ())
    numbers = [parameter.name for parameter in arguments if parameter.kind is float]
    if not isinstance(stated, tuple | list) or not set(stated) <= set(numbers):
        raise RefusedError(
            f"{place_of(cls)}: {cls.__name__}.batched is {stated!r:.60}",
            "write a tuple of names of arguments that are floats, which here are "
            f"{', '.join(numbers) or 'none'}",
        )
    return [replace(p, role=Role.BATCHED) if p.name in stated else p for p in arguments]


def arguments_of(
    cls: type[Any], parameters: Mapping[str, Parameter], values: Mapping[str, Value], inputs: int,
    outputs: int,
) -> dict[str, Any]:  # fmt: skip
    """What the constructor of a model is called with.

    Parameters
    ----------
    parameters
        Of the model.
    values
        A trial's record.
    inputs, outputs
        The sizes of the task; left out where the constructor does not take them.
    """
    signature = inspect.signature(cls).parameters
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.values())
    sizes = {"inputs": inputs, "outputs": outputs}
    given = {name: size for name, size in sizes.items() if name in signature or takes_any}
    return given | {name: parameter.argument(values[name]) for name, parameter in parameters.items()}


def _of_training(parameter: Parameter, cls: type[Any]) -> Parameter:
    """The parameter of an optimizer's or a schedule's argument."""
    if parameter.name == MOMENTUM.name:
        default = MOMENTUM.default if parameter.default is REQUIRED else parameter.default
        return replace(MOMENTUM, default=default, neutral=REQUIRED)
    number = json_schema(parameter.type).get("type") == "number"
    batched = number and parameter.name not in getattr(cls, "structural", ())
    return replace(parameter, role=Role.BATCHED) if batched else parameter


def _word(kind: str) -> str:
    return "parameter" if kind == "task" else "argument"


def _arguments(cls: type[Any]) -> list[Parameter]:
    try:
        signature = inspect.signature(cls, eval_str=True)
    except ValueError:  # a class without a signature of its own, such as one written in C
        return []
    except Exception as error:
        raise RefusedError(
            f"{place_of(cls)}: an annotation of {cls.__name__}'s constructor cannot be read: "
            f"{type(error).__name__}: {error}",
            "import what it names (not under TYPE_CHECKING alone), or annotate the argument as "
            f"{ANNOTATIONS}",
        ) from None
    named = [(n, a) for n, a in signature.parameters.items() if n not in GIVEN and a.kind in _NAMED]
    made = (_parameter(cls, name, argument) for name, argument in named)
    return [parameter for parameter in made if parameter is not None]


def _parameter(cls: type[Any], name: str, argument: inspect.Parameter) -> Parameter | None:
    """The parameter of an argument; None where a grid cannot give it a value and it has a default."""
    default: Any = REQUIRED if argument.default is inspect.Parameter.empty else argument.default
    annotation = argument.annotation
    if annotation is inspect.Parameter.empty:
        annotation = _type_of(default)
    elif default is None:
        annotation = annotation | None
    parameter = Parameter(
        name=name, type=annotation, default=default, neutral=REQUIRED, role=Role.STRUCTURAL,
        meaning=f"Argument of {cls.__name__}.",
    )  # fmt: skip
    try:
        _ = parameter.allowed
    except (PydanticUserError, PydanticUndefinedAnnotation, KeyError, TypeError, ValueError):
        if default is not REQUIRED:
            return None
        raise RefusedError(
            f"{place_of(cls)}: argument '{name}' of {cls.__name__} has no annotation that a grid can give a "
            "value to",
            f"annotate it as {ANNOTATIONS}, or give it a default",
        ) from None
    return _with_default(cls, parameter)


def _with_default(cls: type[Any], parameter: Parameter) -> Parameter:
    """The parameter with its default as a grid would give it."""
    default = parameter.default
    if isinstance(default, Required):
        return parameter
    try:
        value = parameter.validate(default)
    except ValueError as error:
        raise RefusedError(
            f"{place_of(cls)}: the default {default!r:.60} of argument '{parameter.name}' of {cls.__name__} "
            f"is not what its annotation allows ({error})",
            f"allowed: {parameter.allowed}",
        ) from None
    return replace(parameter, default=value)


def _type_of(default: object) -> Any:
    """The annotation that an argument without one means, by its default."""
    if isinstance(default, list | tuple) and default and len({type(item) for item in default}) == 1:
        return list[type(default[0])] if isinstance(default, list) else tuple[type(default[0]), ...]  # type: ignore[misc]
    return type(default) if isinstance(default, bool | int | float | str) else object
