"""Settings of torch's for all of the process: put back and refused where a user's code changes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from phasediag.user_code.process import kept_process


@dataclass(frozen=True, slots=True)
class Default:
    """A setting by which other networks of the process come out otherwise, too."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    fault: Callable[[Any], str]
    """What is wrong, of the value that is found, and what to do instead."""


def _torch() -> Any:
    return sys.modules["torch"]


def _set_device(device: Any) -> None:
    _torch().set_default_device(None if device.type == "cpu" else device)


def _set_inference(on: bool) -> None:
    """Leave torch's inference mode as it was: a mode that is not held ends with its last name."""
    _modes.append(_torch().inference_mode(on))
    _modes[-1].__enter__()


_modes: Final[list[Any]] = []


def _casts() -> tuple[bool, ...]:
    return tuple(_torch().is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _set_casts(casts: tuple[bool, ...]) -> None:
    for kind, on in zip(("cpu", "cuda"), casts, strict=True):
        _torch().set_autocast_enabled(kind, on)


def _all_hooks() -> dict[str, dict[Any, Any]]:
    """The hooks for all modules at once, which torch keeps in dictionaries of one file.

    It publishes no way to ask for them: where a torch keeps them elsewhere, they are not watched.
    """
    held = vars(sys.modules.get("torch.nn.modules.module", ModuleType("")))
    return {n: hooks for n, hooks in held.items() if n.startswith("_global") and isinstance(hooks, dict)}


def _hooks() -> dict[str, dict[Any, Any]]:
    return {name: dict(hooks) for name, hooks in _all_hooks().items() if hooks}


def _set_hooks(before: dict[str, dict[Any, Any]]) -> None:
    for name, hooks in _all_hooks().items():
        hooks.clear()
        hooks.update(before.get(name, {}))


DEFAULTS: Final = (
    Default(
        lambda: _torch().get_default_dtype(), lambda dtype: _torch().set_default_dtype(dtype),
        lambda now: f"it sets torch's default dtype to {now}: leave that out, and write dtype: float64 in "
        "the grid",
    ),
    Default(
        lambda: _torch().get_default_device(), _set_device,
        lambda now: f"it sets torch's default device to {now}: leave that out; the grid's resources say "
        "where",
    ),
    Default(
        lambda: _torch().is_inference_mode_enabled(), _set_inference,
        lambda now: f"it leaves inference mode switched {'on' if now else 'off'}: use a with statement",
    ),
    Default(
        lambda: _torch().is_grad_enabled(), lambda on: _torch().set_grad_enabled(on),
        lambda now: f"it leaves gradients switched {'on' if now else 'off'}: use a with statement",
    ),
    Default(
        _casts, _set_casts,
        lambda now: f"it leaves torch.autocast switched {'on' if any(now) else 'off'}: use a with statement",
    ),
    Default(
        lambda: _torch().get_float32_matmul_precision(),
        lambda precision: _torch().set_float32_matmul_precision(precision),
        lambda now: f"it sets the precision of torch's products of float32 to '{now}': leave that out, and "
        "write tf32: true under resources in the grid",
    ),
    Default(
        _hooks, _set_hooks,
        lambda now: "it registers a hook for all modules of the process (register_module_..._hook): register "
        "it on the modules of your network",
    ),
)  # fmt: skip


class DefaultsError(RuntimeError):
    """A setting of torch's for all of the process, changed by a user's code; says which, and what to do."""


@contextmanager
def kept_defaults() -> Iterator[None]:
    """Put back what a user's code changes of the process, and refuse the change of torch's defaults.

    By these other networks of the process would be built or trained otherwise, too, in an order that nobody
    promises.

    Raises
    ------
    DefaultsError
        Where the default type or device is another one afterwards, gradients, inference mode or autocast are
        switched on or off, products are rounded otherwise, or hooks are there for all modules.
    """
    before = _defaults() if "torch" in sys.modules else None
    try:
        with kept_process():
            yield
    except BaseException:
        _restore(before)
        raise
    if fault := _restore(before):
        raise DefaultsError(fault)


def _restore(before: list[Any] | None) -> str:
    """Put defaults back; the first that was changed, in words, and what to do instead."""
    if "torch" not in sys.modules:
        return ""
    faults = []
    for default, old in zip(DEFAULTS, before or _of_torch(), strict=True):
        now = default.read()
        if now != old:
            default.write(old)
            faults.append(default.fault(now))
    return faults[0] if faults else ""


def _defaults() -> list[Any]:
    return [default.read() for default in DEFAULTS]


def _of_torch() -> list[Any]:
    """The defaults with which torch is loaded."""
    return [_torch().float32, _torch().device("cpu"), False, True, (False, False), "highest", {}]
