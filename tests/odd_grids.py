"""Grids that nobody would write: extreme values of the right type, of no type, aliases, thousands of keys."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from broken_grids import EXAMPLE
from draws import Draw, any_float, integer, listed, mapped, one_of, record, recursive, sampled, text, uniform
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


NUMBER: Final = one_of(
    sampled(NUMBERS), integer(-5, 100), uniform(1e-6, 1e3), any_float, integer(-(2**70), 2**70)
)
TEXT: Final = one_of(sampled(TEXTS), text(8), sampled(NAMES))
SCALAR: Final = one_of(NUMBER, NUMBER, TEXT, sampled((None, True, False)))
VALUE: Final = one_of(
    SCALAR, SCALAR, SCALAR, listed(SCALAR, 4), lambda rng: {}, record(value=NUMBER, hold=TEXT),
    recursive(SCALAR, lambda inside: listed(inside, 3)),
)  # fmt: skip
"""Of a parameter."""
AXIS: Final = one_of(
    listed(SCALAR, 5), record(values=listed(VALUE, 4)), record(arange=listed(NUMBER, 4, least=2)),
    record(linspace=listed(NUMBER, 3, least=1), num=NUMBER),
    record(logspace=listed(NUMBER, 3, least=1), num=NUMBER), record(values=listed(NUMBER, 3), hold=TEXT),
    VALUE,
)  # fmt: skip
"""What an axis may be, and nearly that."""


def _parameters(of: Draw, most: int) -> Draw:
    return mapped(one_of(sampled(NAMES), TEXT), of, most)


SECTIONS: Final[dict[str, Draw]] = {
    "replicates": NUMBER, "seed": NUMBER, "max_trials": NUMBER,
    "zip": listed(listed(sampled(NAMES), 3), 2),
    "exclude": listed(one_of(sampled(EXPRESSIONS), TEXT), 3),
    "points": one_of(listed(_parameters(VALUE, 3), 4), TEXT),
    "keep": one_of(lambda rng: "weights", SCALAR), "files": listed(TEXT, 2),
    "measure": mapped(
        sampled(("observables", "every", "distances", "threshold", "layer", "x")),
        one_of(
            SCALAR,
            listed(one_of(TEXT, lambda rng: {"observable": "rank", "layer": "hidden.1"}), 3),
            record(absolute=NUMBER, relative=NUMBER),
        ), 4,
    ),
    "resources": mapped(sampled(("cpus", "gpus", "trials_per_pack", "tf32", "x")), SCALAR, 3),
    "ramp": mapped(
        sampled(("parameter", "from", "to", "stages", "back", "scale", "x")),
        one_of(NUMBER, sampled(NAMES), SCALAR), 6,
    ),
}  # fmt: skip
"""Keys of the top level."""


def odd_grid(rng: Random) -> str:
    """The text of a grid."""
    kind = rng.randrange(200)
    if kind < 8:
        return str(text(200)(rng))
    if kind < 20:
        return _cut_up(rng)
    if kind == 20:
        return _crowded(rng)
    fixed: dict[str, Any] = {"task": rng.choice(TASKS), "model": rng.choice(MODELS)}
    if rng.random() < 0.5:
        fixed = {"task": "teacher_student", "model": "mlp", "steps": rng.choice([1, 100, 1e3, 2**40])}
    top: dict[str, Any] = {"name": "g", "fixed": fixed | _parameters(VALUE, 4)(rng)}
    top["axes"] = _parameters(AXIS, 3)(rng)
    for name, of in SECTIONS.items():
        if rng.randrange(6) == 0:
            top[name] = of(rng)
    return _aliased(top, rng.randrange(31))


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


def _cut_up(rng: Random) -> str:
    """The example of the design after a few accidents."""
    text = EXAMPLE
    accidents = ("", ":", "[", "}", "&a ", "*a", "\t", "- ", "!!set ", "1e400", "\x00", "? ", "|\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(accidents) + text[at + rng.randint(0, 6) :]
    return text


def _crowded(rng: Random) -> str:
    """Tens of thousands of keys, values, points or brackets."""
    count, what = rng.choice([10, 1000, 20_000]), rng.randrange(6)
    rows = range(count)
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
