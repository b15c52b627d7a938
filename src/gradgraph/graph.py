"""A recorded autograd graph as plain data: no torch here, nor in whatever draws it.

Directions follow autograd: an edge leads from a node to a node that the gradient flows to next
(`next_functions`), so from the output towards the leaves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Nested = bool | int | float | str | list["Nested"]
"""Numbers as nested lists; complex numbers, infinities and NaN as text (`1+2j`, `inf`, `nan`)."""


@dataclass(frozen=True)
class Value:
    """A tensor's value at one moment.

    Attributes:
        shape: its sizes; `()` for a scalar.
        dtype: such as `float32`, without `torch.`.
        data: all of its numbers, if it is small enough, else None.
        text: its numbers in one short line, or a summary (norm, range) if it is large.
    """

    shape: tuple[int, ...]
    dtype: str
    data: Nested | None
    text: str


@dataclass(frozen=True)
class Saved:
    """What a node keeps for the backward pass.

    Attributes:
        name: the attribute without `_saved_`, such as `self`, `other`, `exponent`.
        value: the saved tensor; None for a plain number or option, and for a tensor not saved.
        text: how it reads: the tensor's text, the number, `None`.
    """

    name: str
    value: Value | None
    text: str


@dataclass(frozen=True)
class Node:
    """A node of the graph.

    Attributes:
        id: position in `Graph.nodes`; numbered breadth first from the outputs.
        op: its name as torch gives it, without `torch::autograd::`: `MulBackward0`.
        kind: `op`; `accumulate` (AccumulateGrad); `function` (a user's autograd.Function).
        label: name of the tensor it belongs to (the leaf, or the result it computed), or "".
        module: path of the nn.Module whose call made it, or "".
        shapes: shape of each result of the forward operation (each gradient that comes in).
        dtypes: dtype of each of them.
        saved: what it keeps, in the order of the attributes' names.
        value: for a leaf its value; otherwise the forward result where it is known.
    """

    id: int
    op: str
    kind: str
    label: str = ""
    module: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
    saved: tuple[Saved, ...] = ()
    value: Value | None = None


@dataclass(frozen=True)
class Edge:
    """Gradient number `index` of node `source` goes to input number `slot` of node `target`.

    `target` is None where the forward operation's input needs no gradient.
    """

    source: int
    index: int
    target: int | None
    slot: int


@dataclass(frozen=True)
class Root:
    """An output that a backward pass starts from: result `slot` of `node`."""

    node: int
    slot: int
    name: str


@dataclass(frozen=True)
class Step:
    """The engine ran a node.

    Attributes:
        node: its id.
        received: the gradient of each of the forward results; None where none arrived.
        sent: the gradient for each of its edges, by `index`; None where none is needed.
        before: for AccumulateGrad, the leaf's `.grad` before (None: there was none yet).
        after: for AccumulateGrad, the leaf's `.grad` after.
    """

    node: int
    received: tuple[Value | None, ...]
    sent: tuple[Value | None, ...]
    before: Value | None = None
    after: Value | None = None


@dataclass(frozen=True)
class Pass:
    """One backward pass.

    Attributes:
        seeds: the gradient that each root was given.
        steps: the nodes in the order in which the engine ran them.
        grads: every leaf's `.grad` before the pass, by node id (None: there was none).
    """

    seeds: tuple[Value, ...]
    steps: tuple[Step, ...]
    grads: dict[int, Value | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A graph and the backward passes that ran through it.

    Attributes:
        nodes: all nodes reachable from the outputs.
        edges: sorted by source and index.
        roots: the outputs.
        passes: the backward passes, in order.
        note: what was left out or grouped, for the reader; "" if nothing.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    roots: tuple[Root, ...]
    passes: tuple[Pass, ...]
    note: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all passes."""
        return tuple(step for one in self.passes for step in one.steps)

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain JSON data."""
        return asdict(self)
