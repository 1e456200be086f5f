"""Expressions over parameters and columns: comparisons, arithmetic and logic, without `eval`.

`exclude` of a grid holds conditions; the analysis takes any expression as an order parameter.

Python's grammar is used, restricted to a few kinds of node; types are checked before anything is
evaluated, and whole columns are evaluated at once.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from phasediag.errors import RefusedError, nearest
from phasediag.trial import Encoded
from phasediag.values import LARGEST

Array = npt.NDArray[Any]
_LONGEST: Final = 1000
_KINDS: Final = {int: "a number", float: "a number", str: "text", bool: "true or false"}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide, ast.Mod: np.mod, ast.Pow: np.power,
}  # fmt: skip
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_EQUALITY: Final = (ast.Eq, ast.NotEq)
_MEMBERSHIP: Final = (ast.In, ast.NotIn)
ALLOWED: Final = (
    "allowed are comparisons, + - * / // % **, and, or, not, in [..], parameter names, numbers, 'text' and, "
    "of a list, its elements: name[0]"
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition or formula over parameters."""

    text: str
    tree: ast.expr
    names: frozenset[str]
    """The parameters it reads."""

    def holds(self, columns: Mapping[str, Encoded]) -> npt.NDArray[np.bool_]:
        """Where the condition is true.

        Parameters
        ----------
        columns
            The column of each of `names`; None where a trial lacks the parameter: there every
            comparison with it is false, except `!=` and `not in`.

        Returns
        -------
        Boolean; it broadcasts to the rows of the columns: 1 along an axis on which none of them depends.
        """
        arrays = {name: _array(columns[name]) for name in self.names}
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self.tree, arrays), dtype=bool)

    def values(self, arrays: Mapping[str, Array], count: int) -> npt.NDArray[np.float64]:
        """The value of each row, 1 or 0 for a condition; NaN where the arithmetic has no result.

        Parameters
        ----------
        arrays
            The values of each of `names`, shape (count,): float64 with NaN where missing, or objects.
        count
            Number of rows.

        Returns
        -------
        Float64, shape (count,).
        """
        with np.errstate(all="ignore"):
            value = np.asarray(_evaluate(self.tree, arrays), dtype=np.float64)
        return np.array(np.broadcast_to(value, (count,)))


def parse_expression(text: str, kinds: Mapping[str, type]) -> Expression:
    """Parse a condition.

    Parameters
    ----------
    text
        As written in the grid, for example `width < teacher_width`.
    kinds
        The plain type of each parameter that may be named.

    Raises
    ------
    ValueError
        Where it is no condition, names something unknown, or mixes text with numbers; says what is allowed.
    """
    expression, kind = _parsed(text, kinds)
    if kind is not bool:
        raise RefusedError(f"is {_KINDS[kind]}, not a condition", "compare it with something")
    return expression


def parse_formula(text: str, kinds: Mapping[str, type]) -> Expression:
    """Parse a formula: arithmetic over numbers, or a condition, which counts as 1 or 0.

    Parameters
    ----------
    text
        For example `neuron_count / width`.
    kinds
        The plain type of each column that may be named.

    Raises
    ------
    ValueError
        Where it is text, names something unknown, or mixes text with numbers; says what is allowed.
    """
    expression, kind = _parsed(text, kinds)
    if kind is str:
        raise RefusedError("is text, not a number", ALLOWED)
    return expression


def _parsed(text: str, kinds: Mapping[str, type]) -> tuple[Expression, type]:
    if len(text) > _LONGEST:
        raise RefusedError(f"is longer than {_LONGEST} characters", "split it into several")
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "too long or too deep"
        raise RefusedError(f"cannot be read ({reason})", ALLOWED) from None
    try:
        kind = _kind(tree, kinds)
    except RecursionError:
        raise RefusedError("is nested too deeply", "split it into several") from None
    names = frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)) - set(_LITERALS)
    return Expression(text=text, tree=tree, names=names), kind


_LITERALS: Final = {"true": True, "false": False}


def _kind(node: ast.expr, kinds: Mapping[str, type]) -> type:
    """The type of a node: float, str or bool; raises ValueError where types do not fit."""
    match node:
        case ast.Constant(value=bool()):
            return bool
        case ast.Constant(value=(int() | float()) as number):
            if abs(number) > LARGEST:
                raise RefusedError(f"holds a number beyond {LARGEST:g}", "no parameter is that large")
            return float
        case ast.Constant(value=str()):
            return str
        case ast.Name(id=name):
            return _name_kind(name, kinds)
        case ast.BoolOp(values=values):
            return _all(values, bool, kinds)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _all([operand], bool, kinds)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _all([operand], float, kinds)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
            return _all([left, right], float, kinds)
        case ast.Compare():
            return _comparison_kind(node, kinds)
        case ast.Subscript(value=ast.Name(id=name)):
            return _element_kind(node, name, kinds)
    raise RefusedError(f"'{ast.unparse(node)}' is not allowed here", ALLOWED)


def _name_kind(name: str, kinds: Mapping[str, type]) -> type:
    if name in _LITERALS:
        return bool
    if name not in kinds:
        hint = nearest(name, kinds) or "names are those of the parameters of this grid; text stands in quotes"
        raise RefusedError(f"'{name}' is not a parameter of this grid", hint)
    kind = kinds[name]
    if kind not in _KINDS:
        raise RefusedError(
            f"'{name}' is a list, which cannot be compared", f"use an element of it: {name}[0]"
        )
    return float if kind is int else kind


def _element_kind(node: ast.Subscript, name: str, kinds: Mapping[str, type]) -> type:
    """The type of an element of a list, a number; raises where it is no list or the place no number."""
    if name in kinds and kinds[name] in _KINDS:
        raise RefusedError(f"'{name}' is no list, it has no element '{ast.unparse(node)}'", f"write {name}")
    if name not in kinds:
        _name_kind(name, kinds)
    if _place(node.slice) is None:
        raise RefusedError(
            f"'{ast.unparse(node)}' is no element of '{name}'", f"write {name}[0], {name}[1], .."
        )
    return float


def _place(node: ast.expr) -> int | None:
    """The place that a subscript names, from 0; None where it is no whole number from 0."""
    place = node.value if isinstance(node, ast.Constant) else None
    return place if isinstance(place, int) and not isinstance(place, bool) else None


def _all(nodes: Sequence[ast.expr], wanted: type, kinds: Mapping[str, type]) -> type:
    for node in nodes:
        kind = _kind(node, kinds)
        if kind is not wanted:
            problem = f"'{ast.unparse(node)}' is {_KINDS[kind]} where {_KINDS[wanted]} is needed"
            raise RefusedError(problem, ALLOWED)
    return wanted


def _comparison_kind(node: ast.Compare, kinds: Mapping[str, type]) -> type:
    left = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, _MEMBERSHIP):
            _check_members(left, right, kinds)
        elif type(op) in _COMPARISONS:
            kind = _kind(left, kinds)
            _check_same(left, kind, right, kinds)
            if kind is not float and not isinstance(op, _EQUALITY):
                raise RefusedError(
                    f"'{ast.unparse(left)}' is {_KINDS[kind]}, which has no order", "use == or !="
                )
        else:
            raise RefusedError(f"'{ast.unparse(node)}' is not allowed here", ALLOWED)
        left = right
    return bool


def _check_members(left: ast.expr, right: ast.expr, kinds: Mapping[str, type]) -> None:
    if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
        raise RefusedError(f"'{ast.unparse(right)}' is not a list", "write in [1, 2]")
    kind = _kind(left, kinds)
    for member in right.elts:
        _check_same(left, kind, member, kinds)


def _check_same(left: ast.expr, kind: type, right: ast.expr, kinds: Mapping[str, type]) -> None:
    other = _kind(right, kinds)
    if other is not kind:
        pair = f"'{ast.unparse(left)}' is {_KINDS[kind]} and '{ast.unparse(right)}' is {_KINDS[other]}"
        raise RefusedError(pair, "compare like with like (text stands in quotes)")


def _array(column: Encoded) -> Array:
    """Numbers as float64 with NaN for None, everything else as objects; of length 1 where constant."""
    numeric = all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in column.pool)
    # Lists stay objects: numpy would make one array of two dimensions of them.
    pool = (
        np.array(column.pool, np.float64) if numeric else np.fromiter(column.pool, object, len(column.pool))
    )
    return pool if column.codes is None else pool[column.codes]


def _evaluate(node: ast.expr, columns: Mapping[str, Array]) -> Any:
    match node:
        case ast.Constant(value=value):
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        case ast.Name(id=name):
            return _LITERALS[name] if name in _LITERALS else columns[name]
        case ast.Subscript(value=ast.Name(id=name), slice=place):
            return _elements(columns[name], _place(place) or 0)
        case ast.BoolOp(op=op, values=values):
            combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return _folded(combine, [_truth(_evaluate(value, columns)) for value in values])
        case ast.UnaryOp(op=op, operand=operand):
            value = _evaluate(operand, columns)
            if isinstance(op, ast.Not):
                return ~_truth(value)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(op=op, left=left, right=right):
            return _ARITHMETIC[type(op)](_evaluate(left, columns), _evaluate(right, columns))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            operands = [left, *comparators]
            pairs = zip(ops, operands, operands[1:], strict=False)
            return _folded(np.logical_and, [_compared(op, a, b, columns) for op, a, b in pairs])
    raise AssertionError(ast.dump(node))


def _elements(lists: Array, place: int) -> npt.NDArray[np.float64]:
    """That element of each list, float64; NaN where a list is missing or shorter."""
    elements = [float(one[place]) if one is not None and place < len(one) else np.nan for one in lists.flat]
    return np.array(elements, np.float64).reshape(lists.shape)


def _folded(combine: Callable[[Any, Any], Any], masks: Sequence[Any]) -> Any:
    total = masks[0]
    for mask in masks[1:]:
        total = combine(total, mask)
    return total


def _truth(value: Any) -> Any:
    """A mask; a missing value is false."""
    return np.equal(value, True).astype(bool)


def _compared(op: ast.cmpop, left: ast.expr, right: ast.expr, columns: Mapping[str, Array]) -> Any:
    value = _evaluate(left, columns)
    if isinstance(op, _MEMBERSHIP):
        assert isinstance(right, ast.List | ast.Tuple)
        members = [np.equal(value, _evaluate(member, columns)) for member in right.elts]
        truth = _truth(_folded(np.logical_or, members))
        return truth if isinstance(op, ast.In) else ~truth
    return _COMPARISONS[type(op)](value, _evaluate(right, columns))
