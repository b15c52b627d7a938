"""What happened, told step by step: the sentences and the local rules of each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose

from gradgraph.boxes import by, step_of
from gradgraph.graph import Graph, Nested, Node, Pass, Step, Value
from gradgraph.words import listed, word

MANY = 6  # leaves, or gradients in a sum, that a sentence can bear
LONG = 48  # letters of a tensor that are too many


@dataclass(frozen=True)
class Frame:
    """One moment of the story.

    Attributes:
        node: the node that runs; None where the gradient enters.
        label: which step it is.
        sentence: what happens.
        rules: equations, each in parts that stay in one line; a part may begin with `=`.
        remarks: what is to be said about the rules, in words.
    """

    node: int | None
    label: str
    sentence: str
    rules: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()


def frames(graph: Graph, language: str) -> list[list[Frame]]:
    """The frames of each pass: its start, then one for each step."""
    return [list(_Teller(graph, at, language).frames()) for at in range(len(graph.passes))]


def say(value: Value | None, language: str, short: bool = True) -> str:
    """A tensor in a sentence; if `short`, only the shape of one with many digits."""
    if value is None:
        return word("nothing", language)
    if value.data is None and value.shape:
        return f"{value.text} ({by(value.shape)})"
    if short and len(value.text) > LONG:
        return word("tensor", language, shape=by(value.shape))
    return value.text


def name(node: Node, language: str) -> str:
    """What a sentence calls a node."""
    if node.kind == "accumulate":
        return node.label or word("leaf", language)
    if node.kind == "group" and node.module:
        return node.module
    return word("named", language, op=node.op, label=node.label) if node.label else node.op


class _Teller:
    def __init__(self, graph: Graph, at: int, language: str) -> None:
        self.graph, self.at, self.language = graph, at, language
        self.run: Pass = graph.passes[at]
        self.names = [name(node, language) for node in graph.nodes]

    def word(self, key: str, **parts: object) -> str:
        return word(key, self.language, **parts)

    def say(self, value: Value | None, short: bool = True) -> str:
        return say(value, self.language, short)

    def frames(self) -> Iterator[Frame]:
        several, count = len(self.graph.passes) > 1, len(self.run.steps)
        numbers = {"p": self.at + 1, "passes": len(self.graph.passes), "n": count}
        yield Frame(
            None,
            self.word("start of", **numbers) if several else self.word("start"),
            self.enters() + ("" if self.language.startswith("zh") else " ") + self.grads(),
            tuple(self.loss()),
        )
        for k, step in enumerate(self.run.steps, 1):
            label = self.word("step of" if several else "step", k=k, **numbers)
            leaf = self.graph.nodes[step.node].kind == "accumulate"
            tell = self.accumulates if leaf else self.runs
            yield tell(step, label)

    # --- The start

    def enters(self) -> str:
        outputs = [root.name or self.word("output") for root in self.graph.roots]
        seeds = [self.say(seed) for seed in self.run.seeds]
        pairs = list(zip(seeds, outputs, strict=False))
        if len(pairs) == 1:
            return self.word("enters", value=pairs[0][0], name=pairs[0][1])
        each = [self.word("enters at", value=value, name=output) for value, output in pairs]
        return self.word("enter", list=listed(each, self.language))

    def grads(self) -> str:
        """Whether the leaves' `.grad` were cleared."""
        before = self.run.grads
        if self.at == 0 and not any(before.values()):
            return self.word("empty")
        known = [node for node in self.graph.nodes if node.id in before]
        texts = [f"{self.names[node.id]}.grad = {_none(before[node.id])}" for node in known]
        key = "cleared" if all(map(_is_zero, before.values())) else "kept"
        if len(texts) > MANY:
            texts = [*texts[: MANY - 1], "…"]
        return self.word(key, list=self.word("comma").join(texts))

    def loss(self) -> Iterator[tuple[str, ...]]:
        """What L is in `∂L/∂…`."""
        terms = []
        for root, seed in zip(self.graph.roots, self.run.seeds, strict=False):
            if not root.name or seed.data is None or "complex" in seed.dtype:
                return
            if seed.shape == ():
                terms.append(root.name if seed.data == 1 else f"{seed.text} · {root.name}")
            else:
                terms.append(f"sum({seed.text} · {root.name})")
        yield ("L", "= " + " + ".join(terms))

    # --- The steps

    def runs(self, step: Step, label: str) -> Frame:
        node = self.graph.nodes[step.node]
        targets: dict[int, list[str]] = {}
        for edge in self.graph.edges:
            if edge.source == node.id and edge.target is not None and edge.index < len(step.sent):
                targets.setdefault(edge.target, []).append(self.say(step.sent[edge.index]))
        sent = [
            self.word("to", value=listed(values, self.language), name=self.names[target])
            for target, values in targets.items()
        ]
        received = self.received(step)
        key = ("sends" if sent else "ends") if received else ("sends on" if sent else "runs")
        sentence = self.word(
            key, node=self.names[node.id], received=received, list=listed(sent, self.language)
        )
        rules, remarks = self.rules(step)
        arrived = self.arrived(step)
        if arrived:
            rules, remarks = [arrived, *rules], [self.word("arrive"), *remarks]
        return Frame(node.id, label, sentence, tuple(rules), tuple(remarks))

    def received(self, step: Step) -> str:
        values = [self.say(value) for value in step.received]
        if len(values) > 1:
            each = (self.word("result", n=at) for at in range(len(values)))
            values = [
                f"{one}{self.word('colon')}{value}" for one, value in zip(each, values, strict=True)
            ]
        return listed(values, self.language)

    def rules(self, step: Step) -> tuple[list[tuple[str, ...]], list[str]]:
        """The rule of each gradient sent, and what has to be said about them."""
        rules, remarks, missing = [], [], False
        node = self.graph.nodes[step.node]
        for edge in self.graph.edges:
            if edge.source != node.id or edge.target is None or edge.index >= len(step.sent):
                continue
            value = step.sent[edge.index]
            if value is None or value.text == "…":
                continue
            rule = step.rules[edge.index] if edge.index < len(step.rules) else None
            if rule is None:
                missing = True
                continue
            target = self.graph.nodes[edge.target]
            result = self.say(value, False)
            # Where several gradients came, `grad` is not one number.
            numbers = rule.numbers if sum(map(bool, step.received)) == 1 else ""
            rules.append(_equation(f"∂L/∂{rule.wrt}", rule.formula, numbers, result))
            if target.label and target.label != rule.wrt:
                remarks.append(self.word("is", wrt=rule.wrt, name=target.label))
        for saved in node.saved:
            if saved.label and rules and saved.label != saved.name:
                remarks.append(self.word("is", wrt=saved.name, name=saved.label))
        remarks = [self.word("comma").join(dict.fromkeys(remarks))] if remarks else []
        if missing:
            key = {"function": "own", "group": "group"}.get(node.kind, "no rule")
            remarks.append(self.word(key, op=node.op))
        return rules, remarks

    def accumulates(self, step: Step, label: str) -> Frame:
        leaf = self.names[step.node]
        after = self.say(step.after)
        received = self.say(step.received[0]) if step.received else ""
        if step.received == (None,):
            sentence = self.word("stays", name=leaf, grad=_none(step.after))
            return Frame(step.node, label, sentence)
        arrived = self.arrived(step)
        rule: tuple[str, ...] = (f"{leaf}.grad = {self.say(step.after, False)}",)
        if step.before is None:
            sentence = self.word("becomes", name=leaf, after=after)
            remark = self.word("stored")
        elif received:
            short = [self.say(step.before), received]
            sentence = self.word("adds", name=leaf, terms=_sum(short), after=after)
            terms = _sum([self.say(step.before, False), self.say(step.received[0], False)])
            rule = (f"{leaf}.grad", f"= {terms}", f"= {self.say(step.after, False)}")
            remark = self.word("added")
        else:
            sentence = self.word("becomes", name=leaf, after=after)
            remark = self.word("added")
        rules = (arrived, rule) if arrived else (rule,)
        remarks = (self.word("arrive"), remark) if arrived else (remark,)
        return Frame(step.node, label, sentence, rules, remarks)

    def arrived(self, step: Step) -> tuple[str, ...]:
        """How the gradients that arrived add up to the one received; empty if only one did."""
        if len(step.received) != 1 or not step.received[0]:
            return ()
        values: list[Value] = []
        for edge in self.graph.edges:
            source = step_of(self.run, edge.source) if edge.target == step.node else None
            if source:
                value = source.sent[edge.index] if edge.index < len(source.sent) else None
                values += [value] if value else []
        for root, seed in zip(self.graph.roots, self.run.seeds, strict=False):
            values += [seed] if root.node == step.node else []
        total = step.received[0]
        if not 1 < len(values) <= MANY or not _add_up(values, total):
            return ()
        return ("grad", f"= {_sum([value.text for value in values])}", f"= {total.text}")


def _equation(left: str, formula: str, numbers: str, result: str) -> tuple[str, ...]:
    parts = [formula, *([numbers] if numbers else []), result]
    parts = [part for place, part in enumerate(parts) if part not in parts[:place]]
    return (left, *(f"= {part}" for part in parts))


def _sum(texts: Sequence[str]) -> str:
    return " + ".join(f"({text})" if text.startswith("-") else text for text in texts)


def _none(value: Value | None) -> str:
    return value.text if value else "None"


def _is_zero(value: Value | None) -> bool:
    return value is None or (value.data is not None and not any(_numbers(value.data)))


def _numbers(data: Nested) -> list[complex]:
    if isinstance(data, list):
        return [number for one in data for number in _numbers(one)]
    return [complex(data)]


def _add_up(values: Sequence[Value], total: Value) -> bool:
    """Whether they do; a hook may have changed the gradient on its way."""
    if total.data is None or any(v.data is None or v.shape != total.shape for v in values):
        return False
    columns = zip(
        *(_numbers(value.data) for value in values if value.data is not None), strict=True
    )
    return all(
        isclose(abs(sum(column) - each), 0, abs_tol=1e-4 * (1 + max(map(abs, column))))
        for column, each in zip(columns, _numbers(total.data), strict=True)
    )
