"""Joining operators of a traced step: products with the tanh that follows, forward and backward."""

from __future__ import annotations

from typing import Final

import torch
from torch.fx import GraphModule, Node

import phasediag.training.products as _products_are_defined  # noqa: F401

aten, own = torch.ops.aten, torch.ops.phasediag
VIEWS: Final = (aten.view.default, aten._unsafe_view.default, aten.expand.default)
FOLLOWERS: Final = (aten.tanh.default, aten.tanh_backward.default)


def fuse(module: GraphModule) -> None:
    """Let products be followed by tanh, or by its derivative, before they leave the cache.

    Parameters
    ----------
    module
        A traced graph of `aten` operators and `phasediag::products`; changed in place. What it computes
        stays the same to rounding.
    """
    for node in list(module.graph.nodes):
        if node.target in VIEWS and _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    for node in list(module.graph.nodes):
        if node.target not in FOLLOWERS or not _only_feeds(node.args[0], node):
            continue
        if node.target is aten.tanh.default:
            _join(node, own.products_tanh.default)
        elif node.args[1].target is own.products_tanh.default:
            _join(node, own.products_tanh_backward.default, node.args[1])
    module.recompile()


def _changes_nothing(view: Node) -> bool:
    shape: torch.Size = view.meta["val"].shape
    return bool(shape == view.all_input_nodes[0].meta["val"].shape)


def _only_feeds(source: Node, node: Node) -> bool:
    """Whether `source` are products that nothing else takes."""
    return source.target is own.products.default and list(source.users) == [node]


def _join(node: Node, operator: torch._ops.OpOverload, *more: Node) -> None:
    source, graph = node.all_input_nodes[0], node.graph
    with graph.inserting_before(node):
        joined = graph.call_function(operator, (*source.args, *more))
    joined.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(joined)
    graph.erase_node(node)
    graph.erase_node(source)
