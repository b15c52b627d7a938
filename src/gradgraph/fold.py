"""Makes a graph that is too large to draw small enough."""

from __future__ import annotations

from gradgraph.graph import Graph


def fold(graph: Graph, limit: int = 60, language: str = "en") -> Graph:
    """`graph`, or an honest smaller one in its place."""
    return graph
