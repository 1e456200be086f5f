"""State that a pass leaves behind is seen, wherever it is kept; what a pass only reads is not."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from phasediag.rehearsal import fingerprint as fingerprints
from phasediag.rehearsal.fingerprint import changes, fingerprint, generators

HEAD = """
import functools, itertools, logging, random
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn

log = logging.getLogger("user")
TOTAL = 0
SEEN = []

@dataclass
class Memory:
    last: float = 0.0

class Slots:
    __slots__ = ("n",)

def scaled(x, cache={}):
    cache[len(cache)] = 1
    return x

def counting():
    n = 0
    def hook(module, given):
        nonlocal n
        n += 1
    return hook

class Base(nn.Module):
    calls = 0
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.n, self.seen, self.memory, self.slots = 0, [], Memory(), Slots()
        self.table, self.held, self.names = {"a": torch.zeros(2)}, None, {1, 2}
        self.slots.n, self.numbers, self.counter = 0, np.zeros(2), itertools.count()
        self.random, self.generator = random.Random(0), np.random.default_rng(0)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("hidden", torch.zeros(2), persistent=False)
        self.setup()
    def setup(self): pass
"""
KEEPING = {
    "n": "self.n += 1",
    "seen[0]": "self.seen.append(1)",
    "memory.last": "self.memory.last += 1.0",
    "slots.n": "self.slots.n += 1",
    "table.a": "self.table['a'] += 1",
    "table.b": "self.table['b'] = 1",
    "held": "self.held = x",
    "names": "self.names.add(len(self.names) + 3)",
    "numbers": "self.numbers[0] += 1",
    "counter": "next(self.counter)",
    "random": "self.random.random()",
    "generator": "self.generator.random()",
    "mean": "self.mean += 1",
    "hidden": "self.hidden.add_(1)",
    "Base.calls": "Base.calls += 1",
    "global TOTAL": "global TOTAL; TOTAL += 1",
    "global SEEN[0]": "SEEN.append(1)",
    "global scaled, default 0[0]": "x = scaled(x)",
}
READING = (
    "x = x * self.mean + self.table['a']",
    "log.debug('pass'); log.isEnabledFor(10)",
    "y = [x]; y.append(x)",
    "x = x + Memory().last + len(SEEN)",
    "x = functools.reduce(torch.add, [x, x])",
)


def module_of(body: str, folder: Path, setup: str = "pass") -> Any:
    text = HEAD + f"    def setup(self):\n        {setup}\n" + f"    def forward(self, x):\n        {body}\n"
    (folder / "net.py").write_text(text + "        return self.layer(x)\n")
    name = f"net_of_{folder.name}"
    spec = spec_from_file_location(name, folder / "net.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].Base()


@pytest.mark.parametrize(("where", "body"), KEEPING.items())
def test_what_a_pass_leaves_behind_is_named(where: str, body: str, tmp_path: Path) -> None:
    module = module_of(body, tmp_path)
    before = fingerprint(module)
    assert changes(before, fingerprint(module)) == []
    module(torch.ones(3, 2))
    assert where in changes(before, fingerprint(module))


@pytest.mark.parametrize("body", READING)
def test_what_a_pass_reads_or_makes_for_itself_is_no_change(body: str, tmp_path: Path) -> None:
    module = module_of(body, tmp_path)
    before = fingerprint(module)
    module(torch.ones(3, 2))
    assert changes(before, fingerprint(module)) == []


def test_a_hook_that_counts_is_a_change(tmp_path: Path) -> None:
    module = module_of("pass", tmp_path, setup="self.layer.register_forward_pre_hook(counting())")
    before = fingerprint(module)
    module(torch.ones(3, 2))
    (changed,) = changes(before, fingerprint(module))
    assert changed.endswith("variable n")


def test_parameters_are_left_out(tmp_path: Path) -> None:
    module = module_of("pass", tmp_path)
    before = fingerprint(module)
    with torch.no_grad():
        module.layer.weight.fill_(7.0)
    assert changes(before, fingerprint(module)) == []


@pytest.mark.parametrize("draw", ["torch.rand(1)", "np.random.rand()", "random.random()"])
def test_draws_from_global_generators_are_seen(draw: str, tmp_path: Path) -> None:
    module = module_of(f"x = x + {draw}", tmp_path)
    before = generators()
    assert generators() == before
    module(torch.ones(3, 2))
    assert generators() != before


def test_modules_of_a_torch_that_keeps_their_parts_otherwise_are_looked_at_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It publishes no names of these: buffers are seen then, and parameters and parts are passed over."""
    module: Any = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    expected = fingerprint(module)
    assert "1.running_mean" in expected
    registers = {"_parameters", "_modules"}
    monkeypatch.setattr(fingerprints, "_SKIPPED", fingerprints._SKIPPED - registers)
    otherwise = fingerprint(module)
    assert {name: held for name, held in otherwise.items() if name in expected} == expected
    norm, held = module[1], vars(module[1]).pop("_buffers")
    vars(norm)["_held"] = held
    before = fingerprint(module)
    held["running_mean"].add_(1)
    with torch.no_grad():
        module[0].weight.add_(1)
    assert changes(before, fingerprint(module)) == ["1._held.running_mean"]
