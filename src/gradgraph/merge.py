"""Makes one node of several, and of what they did one step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gradgraph.graph import Edge, Graph, Nested, Node, Pass, Root, Step, Value

Part = tuple[Sequence[int], str, str]
Port = tuple[int, int]


def merged(graph: Graph, parts: Sequence[Part]) -> Graph:
    """The graph of `parts`: ids of nodes that become one, what it is called, and its module.

    A part of one node is that node. Together the parts hold every node once, and no way leads from
    a part through another one back to it.
    """
    return _Merger(graph, parts).graph()


class _Merger:
    """Parts are numbered anew here, breadth first."""

    def __init__(self, graph: Graph, parts: Sequence[Part]) -> None:
        self.old = graph
        part_of = {node: at for at, (nodes, _, _) in enumerate(parts) for node in nodes}
        order = self._breadth_first(part_of)
        self.parts = [parts[at] for at in order]
        new = {at: place for place, at in enumerate(order)}
        self.of = {node: new[at] for node, at in part_of.items()}
        # A group has a result for each result of its nodes that is used outside.
        self.entries: dict[int, list[Port]] = defaultdict(list)
        self.wires: dict[tuple[int, Port], list[Edge]] = {}  # by group and the port they lead to
        self.arrive: dict[Port, int] = defaultdict(int)
        for root in graph.roots:
            self._enter(root.node, root.slot)
            self.arrive[root.node, root.slot] += 1
        for edge in graph.edges:
            if edge.target is None:
                continue
            self.arrive[edge.target, edge.slot] += 1
            source, target = self.of[edge.source], self.of[edge.target]
            if source != target:
                self._enter(edge.target, edge.slot)
                end = (target, self._slot(edge.target, edge.slot))
                self.wires.setdefault((source, end), []).append(edge)

    def _breadth_first(self, part_of: dict[int, int]) -> list[int]:
        after: dict[int, list[int]] = defaultdict(list)
        for edge in self.old.edges:
            if edge.target is not None:
                after[part_of[edge.source]].append(part_of[edge.target])
        order = list(dict.fromkeys(part_of[root.node] for root in self.old.roots))
        seen = set(order)
        for part in order:
            for target in after[part]:
                if target not in seen:
                    seen.add(target)
                    order.append(target)
        return order

    def _is_group(self, part: int) -> bool:
        return len(self.parts[part][0]) > 1

    def _enter(self, node: int, slot: int) -> None:
        entries = self.entries[self.of[node]]
        if self._is_group(self.of[node]) and (node, slot) not in entries:
            entries.append((node, slot))

    def _slot(self, node: int, slot: int) -> int:
        part = self.of[node]
        # Leaves that share a box share its one entry, too.
        if self._is_group(part) and self.old.nodes[node].kind == "accumulate":
            return 0
        return self.entries[part].index((node, slot)) if self._is_group(part) else slot

    def graph(self) -> Graph:
        """The smaller graph."""
        return Graph(
            nodes=tuple(self._node(part) for part in range(len(self.parts))),
            edges=tuple(self._edges()),
            roots=tuple(
                Root(self.of[root.node], self._slot(root.node, root.slot), root.name)
                for root in self.old.roots
            ),
            passes=tuple(self._pass(run) for run in self.old.passes),
        )

    def _node(self, part: int) -> Node:
        nodes, name, module = self.parts[part]
        first = self.old.nodes[nodes[0]]
        if len(nodes) == 1:
            return first._replace(id=part)
        entries = self.entries[part]
        labels = [self.old.nodes[node].label for node, _ in entries]
        several = first.kind == "accumulate"
        return Node(
            part,
            name,
            "group",
            label=_shortened(labels) if several else labels[0] if len(labels) == 1 else "",
            module=module,
            shapes=tuple(self._of(self.old.nodes[node].shapes, slot) for node, slot in entries),
            dtypes=tuple(sorted({d for node in nodes for d in self.old.nodes[node].dtypes})),
        )

    @staticmethod
    def _of(shapes: Sequence[tuple[int, ...]], slot: int) -> tuple[int, ...]:
        return shapes[slot] if slot < len(shapes) else ()

    def _edges(self) -> list[Edge]:
        edges = []
        count: dict[int, int] = defaultdict(int)
        for edge in self.old.edges:
            if not self._is_group(self.of[edge.source]):
                count[self.of[edge.source]] = edge.index + 1  # they are sorted
                if edge.target is None:
                    edges.append(Edge(self.of[edge.source], edge.index, None, 0))
        for (source, (target, slot)), wires in self.wires.items():
            if self._is_group(source) or self._to_leaves(wires):
                edges.append(Edge(source, count[source], target, slot))
                count[source] += 1
            else:
                edges += [Edge(source, wire.index, target, slot) for wire in wires]
        return sorted(edges, key=lambda edge: (edge.source, edge.index))

    def _to_leaves(self, wires: Sequence[Edge]) -> bool:
        """Whether they lead to several leaves in one box."""
        target = wires[0].target
        assert target is not None
        leaf = self.old.nodes[target].kind == "accumulate"
        return leaf and self._is_group(self.of[target])

    def _alone(self, part: int, step: Step) -> Step:
        """The step of a single node; gradients for leaves in one box are not told apart."""
        sent = [
            self._sent(wires, {step.node: step})
            for (source, _), wires in self.wires.items()
            if source == part and self._to_leaves(wires)
        ]
        return step._replace(node=part, sent=(*step.sent, *sent) if step.sent else ())

    # --- What happened

    def _pass(self, run: Pass) -> Pass:
        done = {step.node: step for step in run.steps}
        turn: dict[int, int] = {}
        for at, step in enumerate(run.steps):
            part = self.of[step.node]
            if self.old.nodes[step.node].kind == "accumulate":
                turn[part] = at  # several leaves: when the last of them ran
            else:
                turn.setdefault(part, at)
        return Pass(
            run.seeds,
            tuple(self._step(part, done) for part in sorted(turn, key=turn.__getitem__)),
            {
                self.of[leaf]: grad
                for leaf, grad in run.grads.items()
                if not self._is_group(self.of[leaf])
            },
        )

    def _step(self, part: int, done: dict[int, Step]) -> Step:
        nodes = self.parts[part][0]
        if len(nodes) == 1:
            return self._alone(part, done[nodes[0]])
        if self.old.nodes[nodes[0]].kind == "accumulate":
            return Step(part, (), ())
        received = [
            _at(done[node].received, slot) if node in done else None
            for node, slot in self.entries[part]
        ]
        sent = [self._sent(wires, done) for key, wires in self.wires.items() if key[0] == part]
        return Step(
            part,
            tuple(received) if any(received) else (),
            tuple(sent) if any(sent) else (),
        )

    def _sent(self, wires: Sequence[Edge], done: dict[int, Step]) -> Value | None:
        """The sum of what a group sent to one place."""
        values = [_at(done[wire.source].sent, wire.index) for wire in wires if wire.source in done]
        known = [value for value in values if value]
        if len(known) == 1:
            return known[0]
        port = wires[0].target, wires[0].slot
        assert port[0] is not None
        one = all((wire.target, wire.slot) == port for wire in wires)
        step = done.get(port[0])
        if one and step and self.arrive[port[0], port[1]] == len(wires):  # nothing else arrives
            total = _at(step.received, port[1]) or (step.after if not step.before else None)
            if total:
                return total
        if not one or not known:
            shape = self._of(self.old.nodes[port[0]].shapes, port[1])
            silent = any(wire.source in done and done[wire.source].sent for wire in wires)
            return None if silent and not known else Value(shape if one else (), "", None, "…")
        return _sum(known)


def _at(values: Sequence[Value | None], place: int) -> Value | None:
    return values[place] if place < len(values) else None


def _sum(values: Sequence[Value]) -> Value:
    first = values[0]
    datas = [value.data for value in values]
    try:
        total = _added([data for data in datas if data is not None])
    except (TypeError, ValueError):
        total = None
    if None in datas or total is None:
        return Value(first.shape, first.dtype, None, "…")
    return Value(first.shape, first.dtype, total, _text(total))


def _added(datas: Sequence[Nested]) -> Nested:
    columns = [data for data in datas if isinstance(data, list)]
    if columns:
        return [_added(column) for column in zip(*columns, strict=True)]
    return sum((float(data) for data in datas if not isinstance(data, list)), 0.0)


def _text(data: Nested) -> str:
    if isinstance(data, list):
        return f"[{', '.join(map(_text, data))}]"
    number = float(data)
    return f"{number:.1f}" if number == round(number, 1) and abs(number) < 1e5 else f"{number:.4g}"


def _shortened(labels: Sequence[str]) -> str:
    named = [label for label in labels if label]
    return ", ".join(named if len(named) < 4 else [named[0], "…", named[-1]])
