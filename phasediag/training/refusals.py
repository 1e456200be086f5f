"""What of a user's module phasediag does not train, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def refusal(module: nn.Module) -> str:
    """Why a module cannot be trained, and what to use instead; '' where nothing is known against it."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return "it has no parameter that is trained; give it one with requires_grad"
    parts = module.named_modules()
    return next((text for path, part in parts for text in _of_part(path or "itself", part)), "")


def _of_part(path: str, part: nn.Module) -> Iterator[str]:
    kind = type(part).__name__
    if isinstance(part, _NORMS) and part.track_running_stats and part.momentum is None:
        yield (
            f"module '{path}' is a {kind} of momentum=None, which reads its count of steps out of a tensor; "
            "give it a momentum"
        )
    if isinstance(part, nn.MultiheadAttention) and part.dropout > 0:
        yield (
            f"module '{path}' has dropout={part.dropout:g}, which it draws where a trial's own stream does "
            "not reach; use dropout=0, or attention by scaled_dot_product_attention(dropout_p=...)"
        )
    if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.max_norm is not None:
        yield (
            f"module '{path}' is a {kind} of max_norm={part.max_norm:g}, whose passes change its weights in "
            "place; leave max_norm out, and scale what it gives in forward"
        )
    if kind == "OptimizedModule":
        yield f"module '{path}' is compiled by torch.compile; leave that out, a launch compiles whole steps"
    if isinstance(part, nn.RNNBase):
        cell = "RNNCell" if kind == "RNN" else "GRUCell"
        yield f"module '{path}' is a {kind}, which torch.func.vmap does not know; use nn.{cell} in a loop"
    if isinstance(part, nn.LSTMCell):
        yield f"module '{path}' is an LSTMCell, which torch.func.vmap does not know; use nn.GRUCell"
    named = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
    for name, tensor in named:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            yield f"module '{path}' is lazy: '{name}' has no shape yet; give it the sizes that it is to have"
        elif tensor.is_complex() and isinstance(tensor, nn.Parameter):
            yield f"parameter '{name}' of module '{path}' is complex; use two real parameters for it"
        elif tensor.is_sparse or tensor.is_quantized:
            yield f"'{name}' of module '{path}' is sparse or quantized; use a dense tensor"
