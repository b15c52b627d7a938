"""A recorded autograd graph as plain data: no torch here, nor in whatever draws it.

Directions follow autograd: an edge leads from a node to a node that the gradient flows to next
(`next_functions`), so from the output towards the leaves.

What a graph has thousands of are named tuples, which take a fifth of the time to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple

Nested = bool | int | float | str | list["Nested"]
"""Numbers as nested lists; complex numbers, infinities and NaN as text (`1+2j`, `inf`, `nan`)."""


@dataclass(frozen=True)
class Value:
    """A tensor's value at one moment.

    Attributes:
        shape: its sizes; `()` for a scalar.
        dtype: such as `float32`, without `torch.`.
        data: all of its numbers, if it is small enough, else None.
        text: its numbers in one short line, or their range, `-1.2 … 3.4`, if they are many.
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
        text: how it reads: the tensor's text, the number, `None`; `<freed>`, `<modified>` in place
            since, or `<packed>` by a saved-tensor hook, where the tensor cannot be had.
        label: the caller's name of that tensor, or "".
    """

    name: str
    value: Value | None
    text: str
    label: str = ""


class Node(NamedTuple):
    """A node of the graph.

    Attributes:
        id: position in `Graph.nodes`; numbered breadth first from the outputs.
        op: its name as torch gives it, without `torch::autograd::`: `MulBackward0`.
        kind: `op`; `accumulate` (AccumulateGrad); `function` (a user's autograd.Function);
            `group` (several nodes drawn as one, see `gradgraph.fold`).
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


class Edge(NamedTuple):
    """Gradient number `index` of node `source` goes to input number `slot` of node `target`.

    `target` is None where the forward operation's input needs no gradient.
    """

    source: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs of an edge
    target: int | None
    slot: int


@dataclass(frozen=True)
class Root:
    """An output that a backward pass starts from: result `slot` of `node`."""

    node: int
    slot: int
    name: str


@dataclass(frozen=True)
class Rule:
    """The local rule by which a node made one of the gradients it sent.

    Attributes:
        wrt: the operation's input that the gradient belongs to, such as `self`.
        formula: such as `grad · other`; `grad` is what the node received.
        numbers: the formula with this run's numbers, `1.0 · 2.0`; "" if they are too many.
    """

    wrt: str
    formula: str
    numbers: str


class Step(NamedTuple):
    """The engine ran a node.

    Attributes:
        node: its id.
        received: the gradient of each of the forward results; None where none arrived.
        sent: the gradient for each of its edges, by `index`; None where none is needed.
        rules: for each edge the rule that gave `sent`; None where none is known.
        before: for AccumulateGrad, the leaf's `.grad` before (None: there was none yet).
        after: for AccumulateGrad, the leaf's `.grad` after.
    """

    node: int
    received: tuple[Value | None, ...]
    sent: tuple[Value | None, ...]
    rules: tuple[Rule | None, ...] = ()
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


@dataclass(frozen=True, repr=False)
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

    def then(self, other: Graph) -> Graph:
        """The graph with the passes of `other`, which ran through the same graph later on.

        Raises:
            ValueError: the two are not recordings of one graph.
        """
        for mine, theirs in zip(self.nodes, other.nodes, strict=False):
            if (mine.op, mine.shapes) != (theirs.op, theirs.shapes):
                break
        else:
            if (len(self.nodes), self.edges) == (len(other.nodes), other.edges):
                return replace(self, passes=self.passes + other.passes)
        raise ValueError(
            "These two recordings are not of the same graph, so they cannot be one picture.\n"
            "`first.then(second)` joins two backward passes through one graph:\n"
            "    first = record(y, gradient=v1, x=x, retain_graph=True)\n"
            "    second = record(y, gradient=v2, x=x)\n"
            "    first.then(second)"
        )

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain JSON data."""
        made = _json(self)
        assert isinstance(made, dict)
        return made

    def to_svg(self, language: str = "en") -> str:
        """The picture of the finished pass as one SVG element; `language` is "en" or "zh"."""
        from gradgraph.fold import fold
        from gradgraph.svg import draw

        return draw(fold(self, language=language), language, standalone=True)

    def to_html(self, language: str = "en") -> str:
        """The picture to step through, with its style and script: for a notebook."""
        from gradgraph.page import render

        return render(self, language, standalone=True)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _livecell_html_(self, language: str) -> str:
        """The picture for a site that brings the style and the script itself."""
        from gradgraph.page import render

        return render(self, language)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        from gradgraph.text import tree

        return tree(self)


def _json(item: Any) -> Any:
    if is_dataclass(item):
        return {one.name: _json(getattr(item, one.name)) for one in fields(item)}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return dict(zip(item._fields, map(_json, item), strict=True))
    if isinstance(item, (tuple, list)):
        return [_json(one) for one in item]
    if isinstance(item, dict):
        return {str(key): _json(one) for key, one in item.items()}
    return item
