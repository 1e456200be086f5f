"""Elementwise operators of PyTorch as C++ expressions, `{f}` being the suffix of float's functions."""

from __future__ import annotations

from typing import Final

PLAIN: Final = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "reciprocal": "1 / {0}", "abs": "__builtin_fabs{f}({0})", "sqrt": "__builtin_sqrt{f}({0})",
    "copysign": "__builtin_copysign{f}({0}, {1})", "rsqrt": "1 / __builtin_sqrt{f}({0})",
    "floor": "__builtin_floor{f}({0})",
    "sign": "({0} > 0) - ({0} < 0)", "relu": "{0} <= 0 ? 0 : {0}",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}", "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "where": "{0} ? {1} : {2}", "clone": "{0}", "_to_copy": "{0}",
}  # fmt: skip
"""Computed in the type of their result."""
COMPARED: Final = {
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
}  # fmt: skip
"""Computed in the type that their operands have in common."""
LOGICAL: Final = {
    "bitwise_not": "!{0}", "logical_not": "!{0}", "bitwise_and": "{0} && {1}", "logical_and": "{0} && {1}",
    "bitwise_or": "{0} || {1}", "logical_or": "{0} || {1}", "bitwise_xor": "{0} != {1}",
    "logical_xor": "{0} != {1}",
}  # fmt: skip
"""Operators of truth values alone."""
_LEFT, _RIGHT = "{1} < 0 || {1} > 63 ? 0 : {0} << {1}", "{0} >> ({1} < 0 || {1} > 63 ? 63 : {1})"
BITWISE: Final = {
    "bitwise_not": "~{0}", "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}",
    "__lshift__": _LEFT, "bitwise_left_shift": _LEFT, "__rshift__": _RIGHT, "bitwise_right_shift": _RIGHT,
}  # fmt: skip
"""Operators of whole numbers of 64 bits alone; the places of a shift are any."""
VECTORED: Final = {name: f"own::{name}({{0}})" for name in ("exp", "expm1", "sigmoid", "tanh", "sin", "cos")}
"""Functions of `elementary.h`; computed in the type of their result."""
CALLED: Final = {
    **{name: f"__builtin_{name}{{f}}({{0}})" for name in ("log", "log1p", "erf")},
    "pow": "__builtin_pow{f}({0}, {1})",
}  # fmt: skip
"""Functions of the C library, some 10 ns a number; computed in the type of their result."""
