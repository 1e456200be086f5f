"""Joining operators of a traced step: products with what follows them, tanh or the step of SGD."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.fx import GraphModule, Node, symbolic_trace
from torch.fx.passes.utils.matcher_utils import SubgraphMatcher

import phasediag.training.products as _products_are_defined  # noqa: F401

aten, own = torch.ops.aten, torch.ops.phasediag
VIEWS: Final = (aten.view.default, aten._unsafe_view.default, aten.expand.default)
FOLLOWERS: Final = (aten.tanh.default, aten.tanh_backward.default)
"""What products are joined with wherever it takes nothing else."""


def fuse(module: GraphModule) -> None:
    """Let products be followed by tanh, its derivative, or a step of SGD before they leave the cache.

    Parameters
    ----------
    module
        A traced graph of `aten` operators and `phasediag::products`; changed in place. What it computes
        stays the same to rounding.
    """
    for node in list(module.graph.nodes):
        same = _shown(node)
        if same is not None:
            node.replace_all_uses_with(same)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    for node in list(module.graph.nodes):
        if node.target not in FOLLOWERS or not _only_feeds(node.args[0], node):
            continue
        if node.target is aten.tanh.default:
            _join(node, own.products_tanh.default)
        elif node.args[1].target is own.products_tanh.default:
            _join(node, own.products_tanh_backward.default, node.args[1])
    _join_descents(module)
    module.recompile()


def _shown(node: Node) -> Node | None:
    """What a view shows as it is: its source, or what it is the transpose of the transpose of."""
    if node.target in VIEWS:
        source = node.all_input_nodes[0]
        return source if source.meta["val"].shape == node.meta["val"].shape else None
    if node.target is not aten.permute.default or node.all_input_nodes[0].target is not node.target:
        return None
    source = node.all_input_nodes[0].all_input_nodes[0]
    return source if _layout(source) == _layout(node) else None


def _layout(node: Node) -> tuple[torch.Size, tuple[int, ...]]:
    tensor: Tensor = node.meta["val"]
    return tensor.shape, tensor.stride()


def _only_feeds(source: Node, node: Node) -> bool:
    """Whether `source` are products that nothing else takes."""
    return source.target is own.products.default and list(source.users) == [node]


def _join(node: Node, operator: torch._ops.OpOverload, *more: Node) -> None:
    source, graph = node.all_input_nodes[0], node.graph
    _replace(node, operator, *source.all_input_nodes, *more)
    graph.erase_node(source)


def _replace(node: Node, operator: torch._ops.OpOverload, *factors: Node) -> Node:
    with node.graph.inserting_before(node):
        joined = node.graph.call_function(operator, factors)
    joined.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(joined)
    node.graph.erase_node(node)
    return joined


def _descent(a: Tensor, b: Tensor, w: Tensor, active: Tensor, rate: Tensor, decay: Tensor) -> Tensor:
    """As a step of plain SGD ends in a trace, where a view has any sizes."""
    gradient = own.products.default(a, b)
    pulled = aten.add.Tensor(gradient, aten.mul.Tensor(aten.view.default(decay, [1, 1, 1]), w))
    moved = aten.sub.Tensor(w, aten.mul.Tensor(aten.view.default(rate, [1, 1, 1]), pulled))
    after: Tensor = aten.where.self(aten.view.default(active, [1, 1, 1]), moved, w)
    return after


@cache
def _descents() -> SubgraphMatcher:
    return SubgraphMatcher(symbolic_trace(_descent).graph, ignore_literals=True)


def _join_descents(module: GraphModule) -> None:
    became: dict[Node, Node] = {}
    for match in _descents().match(module.graph):
        factors = [became.get(node, node) for node in match.placeholder_nodes]
        (last,) = match.returning_nodes
        weights, scalars = factors[2], factors[3:]
        of_trials = all(each.meta["val"].shape == last.meta["val"].shape[:1] for each in scalars)
        if of_trials and weights.meta["val"].is_contiguous():
            became[last] = _replace(last, own.products_descent.default, *factors)
    module.graph.eliminate_dead_code()
