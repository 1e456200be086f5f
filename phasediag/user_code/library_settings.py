"""Settings of libraries for all of a process: put back, and refused where they decide on numbers.

Where PyTorch publishes no function by which a setting is read, what it does is looked at. Hooks for all
modules and the modes that are on nothing shows: of these its own dictionaries and lists are read, which it
does not publish, best effort. In a release without them such changes are not seen, and nothing fails
(`tests/user_code/test_settings.py` takes each away).
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, Final

from phasediag.user_code.process_settings import ProcessSetting


def _torch() -> Any:
    return sys.modules["torch"]


def _part(library: str, path: str) -> Any:
    """What a library has by a dotted name."""
    thing: Any = sys.modules[library]
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


def _by_functions(library: str, read: str, write: str) -> ProcessSetting:
    """A setting with a function to read it and one to write it."""
    return ProcessSetting(
        name=f"{library}.{write}", read=lambda: _part(library, read)(),
        write=lambda value: _part(library, write)(value), library=library,
    )  # fmt: skip


def _by_attribute(library: str, name: str) -> ProcessSetting:
    """An attribute of a module, which a release need not have; then it is None, and is left alone."""
    owner, _, last = f"{library}.{name}".rpartition(".")
    inner = owner.removeprefix(library).removeprefix(".")

    def held() -> Any:
        return _part(library, inner) if inner else sys.modules[library]

    return ProcessSetting(
        name=f"{library}.{name}", read=lambda: getattr(held(), last, None),
        write=lambda value: setattr(held(), last, value), library=library,
    )  # fmt: skip


PRECISIONS: Final = ("", "mkldnn.matmul", "mkldnn.conv", "cuda.matmul", "cudnn.conv")
"""The parts of `torch.backends` that say how float32 is rounded in products; a release need not have all."""
_PRECISION: Final = "fp32_precision"


@cache
def _rounding_parts() -> dict[str, Any]:
    """Those that this release has, by name."""
    backends = _torch().backends
    parts = {name: _part("torch", f"backends.{name}") if name else backends for name in PRECISIONS}
    return {name: part for name, part in parts.items() if hasattr(part, _PRECISION)}


def _rounding() -> tuple[str | None, bool | None, dict[str, str]]:
    """How products of float32 are rounded, by each of torch's ways; None where it says they contradict."""
    precisions = {name: getattr(part, _PRECISION) for name, part in _rounding_parts().items()}
    try:
        return _torch().get_float32_matmul_precision(), _torch().backends.cudnn.allow_tf32, precisions
    except RuntimeError:
        return None, None, precisions


def _round(held: tuple[str | None, bool | None, dict[str, str]]) -> None:
    """Round as before: newer settings of torch's first and last, for its older functions change them."""
    function, tf32, precisions = held
    _set_precisions(precisions)
    if function is not None and _rounding()[:2] != (function, tf32):
        _torch().backends.cudnn.allow_tf32 = tf32
        _torch().set_float32_matmul_precision(function)
        _set_precisions(precisions)


def _set_precisions(precisions: dict[str, str]) -> None:
    for name, part in _rounding_parts().items():
        if getattr(part, _PRECISION) != precisions[name]:
            setattr(part, _PRECISION, precisions[name])


def _rounded_otherwise(now: tuple[str | None, bool | None, dict[str, str]]) -> str:
    """What is wrong with another rounding; '' where it is a finer one."""
    function, _, precisions = now
    coarse = [value for name, value in precisions.items()
              if value not in ("none", "ieee") and not name.startswith("cudnn")]  # fmt: skip
    coarse += [function] if function not in (None, "highest") else []
    return (
        f"it sets the precision of torch's products of float32 to '{coarse[-1]}': leave that out, and write "
        "tf32: true under resources in the grid"
        if coarse
        else ""
    )


_STACKS: Final = (
    ("torch.overrides", "_get_current_function_mode_stack"),
    ("torch.utils._python_dispatch", "_get_current_dispatch_mode_stack"),
)
"""Modules of torch's with a function, unpublished, that gives the modes that are on, the latest last."""


def _modes() -> list[Any]:
    """The modes that are on, by which torch's functions or operators are other ones."""
    looks = (getattr(sys.modules.get(module), name, None) for module, name in _STACKS)
    return [mode for look in looks if look is not None for mode in look()]


def _leave_modes(before: list[Any]) -> None:
    """Leave those that were entered since, the latest first: to leave is to take off the last."""
    for mode in reversed([mode for mode in _modes() if all(mode is not each for each in before)]):
        mode.__exit__(None, None, None)


def _saving() -> bool:
    """Whether hooks are given what a backward pass needs: torch forbids none where there are some."""
    try:
        with _torch().autograd.graph.disable_saved_tensors_hooks("there are"):
            return False
    except RuntimeError:
        return True


def _end_saving(before: bool) -> None:
    """Leave out the hooks that were entered since; each leaves the latest."""
    hooks = _torch().autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    while not before and _saving():
        hooks.__exit__(None, None, None)


def _flushes() -> bool:
    """Whether the smallest numbers are taken for zero; torch has no function that tells."""
    return float(_torch().full((), 1e-310, dtype=_torch().float64, device="cpu") * 1) == 0


def _deterministic() -> tuple[bool, bool]:
    torch = _torch()
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(held: tuple[bool, bool]) -> None:
    _torch().use_deterministic_algorithms(held[0], warn_only=held[1])


def _set_device(device: Any) -> None:
    _torch().set_default_device(None if device.type == "cpu" else device)


def _set_inference(on: bool) -> None:
    """Leave torch's inference mode as it was: a mode that is not held ends with its last name."""
    _inference.append(_torch().inference_mode(on))
    _inference[-1].__enter__()


_inference: Final[list[Any]] = []


def _casts() -> tuple[bool, ...]:
    return tuple(_torch().is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _set_casts(casts: tuple[bool, ...]) -> None:
    for kind, on in zip(("cpu", "cuda"), casts, strict=True):
        _torch().set_autocast_enabled(kind, on)


def _all_hooks() -> dict[str, dict[Any, Any]]:
    """The hooks for all modules at once, which torch keeps in dictionaries of one file; publishes none."""
    held = vars(sys.modules.get("torch.nn.modules.module", object))
    return {n: hooks for n, hooks in held.items() if n.startswith("_global") and isinstance(hooks, dict)}


def _hooks() -> dict[str, dict[Any, Any]]:
    return {name: dict(hooks) for name, hooks in _all_hooks().items() if hooks}


def _set_hooks(before: dict[str, dict[Any, Any]]) -> None:
    for name, hooks in _all_hooks().items():
        hooks.clear()
        hooks.update(before.get(name, {}))


OF_LIBRARIES: Final = (
    _by_functions("numpy", "geterrcall", "seterrcall"),
    _by_functions("numpy", "getbufsize", "setbufsize"),
    ProcessSetting(name="numpy's errors", read=lambda: sys.modules["numpy"].geterr(),
            write=lambda held: sys.modules["numpy"].seterr(**held), library="numpy"),
    ProcessSetting(name="how numpy prints", read=lambda: sys.modules["numpy"].get_printoptions(),
            write=lambda held: sys.modules["numpy"].set_printoptions(**held), library="numpy"),
    ProcessSetting(name="how processes are begun", library="multiprocessing",
            read=lambda: sys.modules["multiprocessing"].get_start_method(allow_none=True),
            write=lambda held: sys.modules["multiprocessing"].set_start_method(held, force=True)),
    _by_functions("torch", "get_num_threads", "set_num_threads"),
    _by_functions("torch", "is_anomaly_enabled", "autograd.set_detect_anomaly"),
    _by_functions("torch", "is_warn_always_enabled", "set_warn_always"),
    *(_by_functions("torch.__future__", f"get_{name}", f"set_{name}") for name in (
        "overwrite_module_params_on_conversion", "swap_module_params_on_conversion",
    )),
    *(_by_functions("torch.backends.cuda", f"{name}_sdp_enabled", f"enable_{name}_sdp") for name in (
        "flash", "math", "mem_efficient", "cudnn",
    )),
    _by_functions("torch.backends.mha", "get_fastpath_enabled", "set_fastpath_enabled"),
    ProcessSetting(name="torch's determinism", read=_deterministic, write=_set_deterministic,
                   library="torch"),
    _by_attribute("torch.utils.deterministic", "fill_uninitialized_memory"),
    ProcessSetting(name="torch.set_flush_denormal", read=_flushes,
            write=lambda held: _torch().set_flush_denormal(held), library="torch"),
    *(_by_attribute("torch.backends.cudnn", name) for name in ("enabled", "benchmark", "deterministic")),
    *(_by_attribute("torch.backends.mkldnn", name) for name in ("enabled", "deterministic")),
    _by_attribute("torch.backends.opt_einsum", "enabled"),
    ProcessSetting(
        name="torch's default dtype", library="torch",
        read=lambda: _torch().get_default_dtype(), write=lambda dtype: _torch().set_default_dtype(dtype),
        loaded=lambda: _torch().float32,
        fault=lambda now: f"it sets torch's default dtype to {now}: leave that out, and write dtype: float64 "
        "in the grid",
    ),
    ProcessSetting(
        name="torch's default device", library="torch",
        read=lambda: _torch().get_default_device(), write=_set_device,
        loaded=lambda: _torch().device("cpu"),
        fault=lambda now: f"it sets torch's default device to {now}: leave that out; the grid's resources "
        "say where",
    ),
    ProcessSetting(
        name="inference mode", library="torch",
        read=lambda: _torch().is_inference_mode_enabled(), write=_set_inference,
        loaded=lambda: False,
        fault=lambda now: f"it leaves inference mode switched {'on' if now else 'off'}: use a with statement",
    ),
    ProcessSetting(
        name="gradients", library="torch",
        read=lambda: _torch().is_grad_enabled(), write=lambda on: _torch().set_grad_enabled(on),
        loaded=lambda: True,
        fault=lambda now: f"it leaves gradients switched {'on' if now else 'off'}: use a with statement",
    ),
    ProcessSetting(
        name="torch.autocast", library="torch", read=_casts, write=_set_casts,
        loaded=lambda: (False, False),
        fault=lambda now: f"it leaves torch.autocast switched {'on' if any(now) else 'off'}: use a with "
        "statement",
    ),
    ProcessSetting(
        name="products of float32", library="torch", read=_rounding, write=_round,
        fault=_rounded_otherwise,
    ),
    ProcessSetting(
        name="modes of torch", library="torch", read=_modes, write=_leave_modes, loaded=list,
        fault=lambda now: f"it leaves a mode of torch switched on ({type(now[-1]).__name__}): use a with "
        "statement",
    ),
    ProcessSetting(
        name="hooks of saved tensors", library="torch", read=_saving, write=_end_saving, loaded=bool,
        fault=lambda now: "it leaves hooks of saved tensors switched on: use a with statement",
    ),
    ProcessSetting(
        name="hooks for all modules", library="torch.nn.modules.module", read=_hooks, write=_set_hooks,
        loaded=dict,
        fault=lambda now: "it registers a hook for all modules of the process "
        "(register_module_..._hook): register it on the modules of your network",
    ),
)  # fmt: skip
