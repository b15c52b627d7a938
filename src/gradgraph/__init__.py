"""Record, draw and step through the backward pass of any autograd graph.

    from gradgraph import record
    graph = record(z, x=x, w=w, b=b)

runs `z.backward()` and keeps what happened; `print(graph)` shows it in a terminal, and as the last
expression of a notebook's cell it is a picture to step through.
"""

from gradgraph.graph import Edge, Graph, Node, Pass, Root, Rule, Saved, Step, Value
from gradgraph.recorder import record

__all__ = ["Edge", "Graph", "Node", "Pass", "Root", "Rule", "Saved", "Step", "Value", "record"]
