from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasediag.grids.expression import parse_expression
from phasediag.trial import Encoded
from properties import examples

KINDS: dict[str, type] = {"width": int, "rate": float, "task": str, "bias": bool, "values": tuple}
COLUMNS = {
    "width": Encoded.of([16, 64, None]),
    "rate": Encoded.of([0.1, 0.2, 0.3]),
    "task": Encoded.of(["a", "b", "a"]),
    "bias": Encoded.of([True, False, None]),
    "values": Encoded.of([(1.0, 2.0), (3.0,), None]),
}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne, "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip


def spread(mask: np.ndarray, count: int) -> list[bool]:
    """A mask over so many rows."""
    return np.broadcast_to(mask, (count,)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width < 20", [True, False, False]),
        ("not width < 20", [False, True, True]),
        ("width != 16", [False, True, True]),
        ("width in [16, 3]", [True, False, False]),
        ("width not in (16, 3)", [False, True, True]),
        ("width % 32 == 0", [False, True, False]),
        ("width // 5 == 3", [True, False, False]),
        ("-width ** 2 == -256", [True, False, False]),
        ("width / 0 > 1", [True, True, False]),
        ("width ** 1000 > 1", [True, True, False]),
        ("0.1 <= rate < 0.3", [True, True, False]),
        ("rate * 2 > width - 16", [True, False, False]),
        ("task == 'a' and rate > 0.2", [False, False, True]),
        ("task == 'b' or bias", [True, True, False]),
        ("task in ['b', 'c']", [False, True, False]),
        ("bias", [True, False, False]),
        ("not bias", [False, True, True]),
        ("bias == true", [True, False, False]),
        ("bias == (rate < 0.15)", [True, True, False]),
        ("values[0] > 2", [False, True, False]),
        ("values[0] < values[1]", [True, False, False]),
        ("not values[1] == 2", [False, True, True]),
        ("1 < 2", [True, True, True]),
        ("false", [False, False, False]),
        ("  width\n < 20 ", [True, False, False]),
    ],
)
def test_a_condition_holds_where_it_is_true(text: str, expected: list[bool]) -> None:
    assert spread(parse_expression(text, KINDS).holds(COLUMNS), 3) == expected


def test_it_reads_only_the_parameters_that_it_names() -> None:
    expression = parse_expression("width < 3 or bias == true", KINDS)
    assert expression.names == {"width", "bias"}


def test_a_constant_column_is_spread_over_all_rows() -> None:
    mask = parse_expression("width == 5 and task == 'a'", KINDS).holds(
        {"width": Encoded(pool=(5,)), "task": Encoded(pool=("a",))}
    )
    assert mask.dtype == np.bool_
    assert spread(mask, 4) == [True] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wdth < 3", "did you mean 'width'?"),
        ("qqqq < 3", "names are those of the parameters"),
        ("width", "is a number, not a condition"),
        ("'a'", "is text, not a condition"),
        ("task < 'b'", "has no order"),
        ("bias < true", "has no order"),
        ("task == 3", "'task' is text and '3' is a number"),
        ("width == 'a'", "'width' is a number and ''a'' is text"),
        ("width in [1, 'a']", "compare like with like"),
        ("1 < width == task", "compare like with like"),
        ("task + 1 > 2", "'task' is text where a number is needed"),
        ("width and bias", "'width' is a number where true or false is needed"),
        ("not width", "true or false is needed"),
        ("-task == 'a'", "a number is needed"),
        ("values == 1", "is a list"),
        ("width in 3", "is not a list"),
        ("width in []", "is not a list"),
        ("width is 3", "is not allowed here"),
        ("width << 2 > 1", "is not allowed here"),
        ("~bias", "is not allowed here"),
        ("[1, 2] == 1", "is not allowed here"),
        ("width if bias else rate", "is not allowed here"),
        ("abs(width) > 1", "is not allowed here"),
        ("rate.real > 1", "is not allowed here"),
        ("width[0] > 1", "'width' is no list"),
        ("vlues[0] > 1", "did you mean 'values'?"),
        ("values[-1] > 1", "write values[0], values[1]"),
        ("values[0.5] > 1", "write values[0], values[1]"),
        ("values[true] > 1", "write values[0], values[1]"),
        ("values[0:1] == 1", "write values[0], values[1]"),
        ("values[0] == 'a'", "compare like with like"),
        ("values[0][0] > 1", "is not allowed here"),
        ("values > 1", "use an element of it: values[0]"),
        ("__import__('os')", "is not allowed here"),
        ("(lambda: true)()", "is not allowed here"),
        ("f'{rate}' == 'a'", "is not allowed here"),
        ("(w := 3) > 1", "is not allowed here"),
        ("[x for x in [1]] == 1", "is not allowed here"),
        ("1j != 0", "is not allowed here"),
        ("b'a' == task", "is not allowed here"),
        ("... == task", "is not allowed here"),
        ("width <", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("", "cannot be read"),
        ("width < 3\nimport os", "cannot be read"),
        ("\x00", "cannot be read"),
        ("(" * 300, "cannot be read"),
        ("width < 1" + "0" * 400, "no parameter is that large"),
        ("width < 3 or " * 100 + "bias", "longer than 1000"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_expression(text, KINDS)


@settings(max_examples=examples(100))
@given(
    a=st.integers(-50, 50), b=st.integers(-50, 50), c=st.integers(-50, 50),
    sign=st.sampled_from(["+", "-", "*"]), order=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    negated=st.booleans(),
)  # fmt: skip
def test_arithmetic_and_comparison_agree_with_those_of_integers(
    a: int, b: int, c: int, sign: str, order: str, negated: bool
) -> None:
    text = f"{'not ' if negated else ''}x {sign} y {order} {c}"
    columns = {"x": Encoded.of([a, b]), "y": Encoded.of([b, a])}
    holds = spread(parse_expression(text, {"x": int, "y": int}).holds(columns), 2)
    expected = [OPERATORS[order](OPERATORS[sign](x, y), c) for x, y in ((a, b), (b, a))]
    assert holds == [value != negated for value in expected]


@settings(max_examples=examples(100))
@given(values=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_logic_binds_as_in_python(values: list[tuple[bool, bool, bool]]) -> None:
    columns = {name: Encoded.of([row[index] for row in values]) for index, name in enumerate("pqr")}
    condition = parse_expression("p or not q and r", dict.fromkeys("pqr", bool))
    assert spread(condition.holds(columns), len(values)) == [p or ((not q) and r) for p, q, r in values]


@settings(max_examples=examples(200))
@given(text=st.text(alphabet="xy0123456789<>=!+-*/%()[]'., andortif", max_size=30))
def test_any_text_is_either_a_condition_or_a_value_error(text: str) -> None:
    try:
        expression = parse_expression(text, {"x": float, "y": str})
    except ValueError:
        return
    columns = {"x": Encoded.of([1.0, 2.0]), "y": Encoded.of(["a", "b"])}
    assert len(spread(expression.holds(columns), 2)) == 2
