"""Grids that nobody would write: extreme values of the right type, of no type, aliases, thousands of keys."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from broken_grids import EXAMPLE
from phasediag.grids.schema import parameter_table

NAMES: Final = sorted({row.name for row in parameter_table()})
TASKS: Final = sorted(
    {row.belongs.split()[1] for row in parameter_table() if row.belongs.startswith("task ")}
)
MODELS: Final = sorted(
    {row.belongs.split()[1] for row in parameter_table() if row.belongs.startswith("model ")}
)
NUMBERS: Final = (
    0, 1, 2, 3, 16, 64, -1, 255, 10_000, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 0.0, -0.0,
    0.5, 1e-3, 1.0, 64.0, 1e3, 1e20, 1e308, -1e308, 5e-324, 1e-30, 1e-12, 0.1 + 0.2, 1 - 2**-53, float("inf"),
    float("nan"),
)  # fmt: skip
TEXTS: Final = (
    "", "x", "tanh", "relu", "mlp", "hermite", "teacher_student", "digits", "adam", "sgd", "a.py:B", "no.npz",
    "../x", "/", "\x1b[31m", "é", "‮", "x" * 300, "nan", "1e3", "width", "width < 3", "${HOME}", "null ",
    "balanced", "own", "fresh", "quenched", "float64", "hidden.1", "hidden.99", "syre", "cosine",
    "2001-01-01",
)  # fmt: skip
EXPRESSIONS: Final = (
    "width < 3", "width / 0 > 1", "1 / (width - width) < 2", "width ** 1e9 > 1", "not not width",
    "width == 'x'", "steps % 0 == 0", "((((((((width))))))))", "width <", "import os", "a and",
    "1e308 * weight_decay * 1e308 > 0", "width and depth or steps", "-" * 300 + "width < 3",
    "width in [1, 2]", "width == 10000000000000000000000000",
)  # fmt: skip


def numbers() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.sampled_from(NUMBERS), st.integers(-5, 100), st.floats(1e-6, 1e3), st.floats(allow_nan=True),
        st.integers(-(2**70), 2**70),
    )  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(TEXTS), st.text(max_size=8), st.sampled_from(NAMES))


def scalars() -> st.SearchStrategy[Any]:
    return st.one_of(numbers(), numbers(), texts(), st.sampled_from([None, True, False]))


def values() -> st.SearchStrategy[Any]:
    """Of a parameter."""
    return st.one_of(
        scalars(), scalars(), scalars(), st.lists(scalars(), max_size=4), st.just({}),
        st.fixed_dictionaries({"value": numbers(), "hold": texts()}),
        st.recursive(scalars(), lambda inside: st.lists(inside, max_size=3), max_leaves=5),
    )  # fmt: skip


def axes() -> st.SearchStrategy[Any]:
    """What an axis may be, and nearly that."""
    two = st.lists(numbers(), min_size=1, max_size=3)
    return st.one_of(
        st.lists(scalars(), max_size=5), st.fixed_dictionaries({"values": st.lists(values(), max_size=4)}),
        st.fixed_dictionaries({"linspace": two, "num": numbers()}),
        st.fixed_dictionaries({"logspace": two, "num": numbers()}),
        st.fixed_dictionaries({"arange": st.lists(numbers(), min_size=2, max_size=4)}),
        st.fixed_dictionaries({"values": st.lists(numbers(), max_size=3), "hold": texts()}), values(),
    )  # fmt: skip


def _parameters(of: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.one_of(st.sampled_from(NAMES), texts()), of, max_size=most)


SECTIONS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "replicates": numbers(), "seed": numbers(), "max_trials": numbers(),
    "zip": st.lists(st.lists(st.sampled_from(NAMES), max_size=3), max_size=2),
    "exclude": st.lists(st.one_of(st.sampled_from(EXPRESSIONS), texts()), max_size=3),
    "points": st.one_of(st.lists(_parameters(values(), 3), max_size=4), texts()),
    "keep": st.one_of(st.just("weights"), scalars()), "files": st.lists(texts(), max_size=2),
    "measure": st.dictionaries(
        st.sampled_from(["observables", "every", "distances", "threshold", "layer", "x"]),
        st.one_of(
            scalars(),
            st.lists(st.one_of(texts(), st.just({"observable": "rank", "layer": "hidden.1"})), max_size=3),
            st.fixed_dictionaries({"absolute": numbers(), "relative": numbers()}),
        ), max_size=4,
    ),
    "resources": st.dictionaries(
        st.sampled_from(["cpus", "gpus", "trials_per_pack", "tf32", "x"]), scalars(), max_size=3
    ),
    "ramp": st.dictionaries(
        st.sampled_from(["parameter", "from", "to", "stages", "back", "scale", "x"]),
        st.one_of(numbers(), st.sampled_from(NAMES), scalars()), max_size=6,
    ),
}  # fmt: skip
"""Keys of the top level."""


@st.composite
def grids(draw: st.DrawFn) -> str:
    """The text of a grid."""
    kind = draw(st.integers(0, 199))
    if kind < 8:
        return draw(st.text(max_size=200))
    if kind < 20:
        return draw(_cut_up())
    if kind == 20:
        return draw(_crowded())
    fixed: dict[str, Any] = {"task": draw(st.sampled_from(TASKS)), "model": draw(st.sampled_from(MODELS))}
    if draw(st.booleans()):
        fixed = {
            "task": "teacher_student",
            "model": "mlp",
            "steps": draw(st.sampled_from([1, 100, 1e3, 2**40])),
        }
    top: dict[str, Any] = {"name": "g", "fixed": fixed | draw(_parameters(values(), 4))}
    top["axes"] = draw(_parameters(axes(), 3))
    for name, of in SECTIONS.items():
        if draw(st.integers(0, 5)) == 0:
            top[name] = draw(of)
    return _aliased(top, draw(st.integers(0, 30)))


def _aliased(top: dict[str, Any], depth: int) -> str:
    """As YAML; now and then with a value that stands for lists of lists of itself, told by aliases."""
    text = "\n".join(f"{name}: {_flow(value)}" for name, value in top.items())
    if depth not in (1, 2, 3):
        return text + "\n"
    rungs = [f"&a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1, 2'}]" for i in range(3 * depth)]
    where = ("x", "axes", "points")[depth - 1]
    ladder = "\n".join(f"  x{i}: {rung}" for i, rung in enumerate(rungs))
    return (
        f"{where}:\n{ladder}\n"
        + "\n".join(li for li in text.split("\n") if not li.startswith(f"{where}:"))
        + "\n"
    )


def _flow(value: Any) -> str:
    """A value as YAML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        text = repr(value)
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(text, text)
    return json.dumps(value)


@st.composite
def _cut_up(draw: st.DrawFn) -> str:
    """The example of the design after a few accidents."""
    text = EXAMPLE
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        more = draw(
            st.sampled_from(
                ["", ":", "[", "}", "&a ", "*a", "\t", "- ", "!!set ", "1e400", "\x00", "? ", "|\n"]
            )
        )
        text = text[:at] + more + text[at + draw(st.integers(0, 6)) :]
    return text


@st.composite
def _crowded(draw: st.DrawFn) -> str:
    """Tens of thousands of keys, values, points or brackets."""
    count = draw(st.sampled_from([10, 1000, 20_000]))
    rows = range(count)
    what = draw(st.integers(0, 5))
    head = "name: g\nfixed: {task: teacher_student"
    if what == 0:
        return head + "".join(f", k{i}: {i}" for i in rows) + "}\n"
    if what == 1:
        return head + "}\naxes: {weight_decay: [" + ", ".join(f"{i}e-6" for i in rows) + "]}\n"
    if what == 2:
        return head + "}\npoints: [" + ", ".join(f"{{width: {1 + i % 64}}}" for i in rows) + "]\n"
    if what == 3:
        return head + "}\naxes: {width: " + "[" * count + "}\n"
    if what == 4:
        return head + "}\naxes: {width: [2]}\nexclude: [" + ", ".join(["'width < 3'"] * (count // 10)) + "]\n"
    return head + "}\n" + "".join(f"k{i}: 1\n" for i in rows)
