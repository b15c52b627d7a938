"""The graph in a terminal: a tree from the outputs down to the leaves, and what ran when."""

from __future__ import annotations

from gradgraph.graph import Edge, Graph, Node, Pass, Step, Value

LINES = 60
"""The tree is cut after this many lines."""


def tree(graph: Graph) -> str:
    """The graph and its last backward pass as indented lines.

    Every node stands below those that send to it, with the number at which it ran; one that
    several nodes send to is written out once.
    """
    return "\n".join(_Tree(graph).lines())


class _Tree:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.last: Pass = graph.passes[-1]
        self.ran = {step.node: (at, step) for at, step in enumerate(self.last.steps, 1)}
        self.below: dict[int, list[Edge]] = {}
        for edge in graph.edges:
            self.below.setdefault(edge.source, []).append(edge)

    def lines(self) -> list[str]:
        passes = len(self.graph.passes)
        made = [f"backward pass {passes} of {passes}"] if passes > 1 else []
        shown: set[int] = set()
        for root, seed in zip(self.graph.roots, self.last.seeds, strict=True):
            made.append(f"{root.name or 'output'}: gradient {_short(seed)}")
            made += self._branches(root.node, shown)
        if len(made) > LINES:
            left = len(self.graph.nodes) - len(shown)
            rest = f"; {left} of its {len(self.graph.nodes)} nodes are not shown" if left else ""
            made = [*made[:LINES], f"… cut after {LINES} lines{rest}"]
        return made

    def _branches(self, root: int, shown: set[int]) -> list[str]:
        """The tree below a root. A loop and not a recursion: graphs can be deeper than Python."""
        made: list[str] = []
        stack: list[tuple[str, str, int | None, str]] = [("", "└─ ", root, "")]
        while stack and len(made) <= LINES:
            before, branch, at, wrt = stack.pop()
            name = f"{wrt}: " if wrt else ""
            if at is None:
                made.append(f"{before}{branch}{name}no gradient needed")
                continue
            made.append(f"{before}{branch}{name}{self._node(at, at in shown)}")
            if at in shown:
                continue
            shown.add(at)
            inner = before + {"└─ ": "   ", "├─ ": "│  ", "": ""}[branch]
            edges = self.below.get(at, [])
            onward = [edge for edge in edges if edge.target is not None]
            if len(onward) == 1:  # a chain goes straight down, however long it is
                made[-1] += "  (other inputs need no gradient)" if len(edges) > 1 else ""
                stack.append((inner, "", onward[0].target, self._wrt(onward[0])))
                continue
            for edge in reversed(edges):
                last = edge is edges[-1]
                stack.append((inner, "└─ " if last else "├─ ", edge.target, self._wrt(edge)))
        return made

    def _wrt(self, edge: Edge) -> str:
        step = self._step(edge.source)
        rule = step.rules[edge.index] if step and edge.index < len(step.rules) else None
        return rule.wrt if rule else ""

    def _step(self, at: int) -> Step | None:
        return self.ran[at][1] if at in self.ran else None

    def _node(self, at: int, known: bool) -> str:
        node = self.graph.nodes[at]
        what = f"{node.op} ({node.label})" if node.label else node.op
        if known:
            return f"{what}, see above"
        parts = [what, _kind(node)]
        if at in self.ran:
            number, step = self.ran[at]
            parts.append(f"#{number}")
            if node.kind == "accumulate":
                parts.append(f".grad {_short(step.before)} → {_short(step.after)}")
            elif step.received:
                parts.append("receives " + ", ".join(map(_short, step.received)))
        else:
            parts.append("did not run")
        parts += [
            f"saved {one.name} = {one.label + ' = ' if one.label else ''}{_short(one.value)}"
            for one in node.saved
            if one.value
        ]
        return "  ".join(part for part in parts if part)


def _kind(node: Node) -> str:
    shape, dtype = (node.shapes or ((),))[0], (node.dtypes or ("float32",))[0]
    extra = "" if dtype == "float32" else dtype
    return f"{extra}[{', '.join(map(str, shape))}]" if shape else extra


def _short(value: Value | None) -> str:
    if value is None:
        return "None"
    return value.text if len(value.text) <= 40 else f"{value.text[:39]}…"
