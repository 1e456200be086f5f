"""A program for a processor with AVX-512 gives the numbers of one for a processor without, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from native_calls import NATIVE, WIDE, capability
from phasediag.native.compiler import OPTIONS, options
from phasediag.native.program import NativeProgram
from phasediag.native.source import Slot
from phasediag.training.steps import Native
from trained_tiles import grid_of, tile_of

SIZES = ((1, 1, 1), (32, 20, 16), (10, 32, 20), (25, 7, 33), (13, 3, 47), (3, 5, 24), (30, 9, 100), (2, 4, 9))
"""Rows, depth, columns: of products with whole vectors, with parts of them, and with both."""
TEACHER: dict[str, Any] = {
    "task": "teacher_student", "inputs": 20, "outputs": 10, "samples": 64, "test_samples": 16,
    "teacher_width": 4, "batch_size": 24, "learning_rate": 0.01, "label_noise": 0.1, "steps": 40,
}  # fmt: skip
CONTEXT: dict[str, Any] = {
    "task": "in_context", "length": 6, "samples": 64, "test_samples": 16, "batch_size": 8, "steps": 20,
    "model": "transformer", "learning_rate": 3e-4,
}  # fmt: skip
STRUCTURES: dict[str, dict[str, Any]] = {
    **{
        activation: TEACHER | {"model": "mlp", "depth": 3, "width": 17, "activation": activation}
        for activation in ("tanh", "relu", "gelu", "swish", "linear", "sin")
    },
    "square": TEACHER | {"model": "mlp", "depth": 3, "width": 17, "activation": "square", "init_scale": 0.3},
    "wide": TEACHER | {"model": "mlp", "depth": 5, "width": 64, "activation": "tanh"},
    "double": TEACHER | {"model": "mlp", "depth": 4, "width": 21, "activation": "tanh", "dtype": "float64"},
    "adam": TEACHER | {"model": "mlp", "width": 33, "optimizer": "adam", "bias": True},
    "momentum": TEACHER | {"model": "mlp", "width": 20, "momentum": 0.9, "gradient_clip": 1.0},
    "syre": TEACHER | {"model": "mlp", "width": 20, "control": "syre"},
    "unequal": TEACHER | {"model": "unequal_mlp", "widths": [9, 40, 23], "activation": "swish"},
    "digits": {"task": "digits", "samples": 50, "model": "mlp", "width": 30, "loss": "cross_entropy",
               "batch_size": 20, "steps": 20},
    "attention": CONTEXT,
    "linear attention": CONTEXT | {"attention": "linear", "heads": 3, "head_width": 5, "feedforward": 18,
                                   "init_scale": 0.2},
}  # fmt: skip


def products_of(dtype: torch.dtype) -> tuple[Callable[..., Sequence[Tensor]], list[Tensor]]:
    """A step of products of all sizes and layouts, and its arguments: results first, for two networks."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)

    results = [drawn(rows, columns) for rows, _, columns in SIZES for _ in range(2)]
    factors = [drawn(*shape) for m, k, n in SIZES for shape in ((m, k), (k, n), (k, m), (n, k))]

    def step(*tensors: Tensor) -> Sequence[Tensor]:
        given = iter(tensors[len(results) :])
        pairs = [(next(given), next(given)) for _ in results]
        return [a.T @ b.T if number % 2 else a @ b for number, (a, b) in enumerate(pairs)]

    return step, [*results, *factors]


@WIDE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_products(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    step, arguments = products_of(dtype)
    results = []
    for name in ("AVX2", "AVX512"):
        capability(monkeypatch, name)
        program = NativeProgram(step, [t[0].clone() for t in arguments], [Slot.TRIAL] * len(arguments))
        held = [tensor.clone() for tensor in arguments]
        program(held, torch.zeros(2, dtype=torch.int64), steps=1)
        results.append(held)
    assert all(torch.equal(narrow, wide) for narrow, wide in zip(*results, strict=True))
    assert not torch.equal(results[0][0], arguments[0])


@WIDE
@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = grid_of(STRUCTURES[name], {"weight_decay": [0.001, 0.1]}).trials()
    trained = []
    for each in ("AVX2", "AVX512"):
        capability(monkeypatch, each)
        tile = tile_of(trials, compiled=True)
        tile.advance(tile.steps[0])
        assert isinstance(tile.program.steps, Native), tile.program.notice
        trained.append((*tile.weights.values(), *tile.losses()[:2]))
    assert all(torch.equal(narrow, wide) for narrow, wide in zip(*trained, strict=True))
    assert all(torch.isfinite(each).all() for each in trained[0])


@NATIVE
def test_a_processor_without_wide_vectors_is_asked_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    capability(monkeypatch, "AVX2")
    assert options() == OPTIONS
    capability(monkeypatch, "AVX512")
    assert set(options()) > set(OPTIONS)
