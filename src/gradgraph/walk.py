"""The nodes and edges of an autograd graph, as torch holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from gradgraph.graph import Edge

Torch = Any
"""A node as torch gives it: an autograd function object."""


@dataclass
class Walk:
    """What is reachable from `starts`, breadth first.

    Attributes:
        starts: position of each output's node, and which of its results the output is.
        nodes: the nodes; torch keeps one object per node for as long as it is referred to.
        at: the position of each node.
        edges: sorted by source and index.
    """

    starts: list[tuple[int, int]] = field(default_factory=list)
    nodes: list[Torch] = field(default_factory=list)
    at: dict[Torch, int] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def find(self, tensor: Tensor) -> tuple[int, int] | None:
        """The node and the result number of `tensor`; None if it is not in this graph."""
        node, slot = get_gradient_edge(tensor)[:2]
        return (self.at[node], slot) if node in self.at else None


def walk(outputs: Iterable[Tensor]) -> Walk:
    """Walk from `outputs`, all of which require a gradient."""
    found = Walk()
    nodes, at, edges = found.nodes, found.at, found.edges
    for output in outputs:
        node, slot = get_gradient_edge(output)[:2]
        if node not in at:
            at[node] = len(nodes)
            nodes.append(node)
        found.starts.append((at[node], slot))
    for source, node in enumerate(nodes):  # grows while it is read: breadth first
        for index, (target, slot) in enumerate(node.next_functions):
            if target is None:
                edges.append(Edge(source, index, None, 0))
                continue
            place = at.get(target)
            if place is None:
                place = at[target] = len(nodes)
                nodes.append(target)
            edges.append(Edge(source, index, place, slot))
    return found
