"""What is written in each box and on each edge of a picture, and how much room that takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from unicodedata import east_asian_width

from gradgraph.graph import Edge, Graph, Node, Pass, Root, Saved, Step, Value
from gradgraph.words import word

EM = 0.61  # width of a letter in any of the fixed-width fonts, of which the widest is used
LEADING = 1.42
WIDEST = 40  # letters
ROWS = 6  # of a matrix
SPACE = "\u00a0"  # a browser would drop plain ones at the start of a line
# Options that say what the operation did. Sizes, and numbers that are always the same, say nothing.
TOLD = ("exponent", "dim", "dims", "index", "start", "end", "p", "negative_slope", "ord")


@dataclass(frozen=True)
class Line:
    """A line of text of one size, centred or (a row of several) aligned with the others.

    `style` is a class of its own, without `gg-`.
    """

    text: str
    size: float = 12
    style: str = ""
    align: bool = False

    @property
    def width(self) -> float:
        """How wide it may become."""
        return sum(self.size if east_asian_width(c) in "WF" else self.size * EM for c in self.text)


@dataclass(frozen=True)
class Box:
    """A node's box: `lines`, and under them room for each state of `.grad`, if it is a leaf."""

    lines: tuple[Line, ...]
    states: dict[str, tuple[Line, ...]]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        wide = max(line.width for line in [*self.lines, *sum(self.states.values(), ())])
        return float(round(max(wide + 26, 56))), height(self.lines) + 14 + self.tray

    @property
    def tray(self) -> float:
        """Height of the room for `.grad`."""
        return max((height(lines) + 12 for lines in self.states.values()), default=0)


@dataclass(frozen=True)
class Chip:
    """What stands on an edge: a caption, and under it the gradient of each pass."""

    caption: tuple[Line, ...]
    states: dict[str, tuple[Line, ...]]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        lines = [*self.caption, *sum(self.states.values(), ())]
        high = max((height(one) for one in self.states.values()), default=0)
        wide = max((line.width for line in lines), default=0)
        return float(round(wide + 14)), height(self.caption) + high + 6


def height(lines: Sequence[Line]) -> float:
    """Height of lines below each other."""
    return float(round(sum(line.size * LEADING for line in lines)))


def by(shape: Sequence[int]) -> str:
    """A shape as people write it: 64×32."""
    return "×".join(map(str, shape))


def number(value: Value) -> tuple[Line, ...]:
    """A tensor's numbers: a matrix in rows, many or long numbers as their range and the shape."""
    if value.data is None:
        return _range(value.text, value)
    rows = re.split(r"(?<=\]), (?=\[)", value.text)
    cells = [row.strip("[]").split(", ") for row in rows]
    if len(rows) == 1:
        rows = _wrapped(value.text)
    else:
        wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
        depth = rows[0].count("[")
        rows = [
            SPACE * (depth - row.count("["))
            + "[" * row.count("[")
            + ", ".join(cell.rjust(room, SPACE) for cell, room in zip(line, wide, strict=True))
            + "]" * row.count("]")
            + ("," if place < len(rows) - 1 else "")
            for place, (row, line) in enumerate(zip(rows, cells, strict=True))
        ]
    if len(rows) > ROWS or max(map(len, rows)) > WIDEST:
        flat = [cell for row in cells for cell in row if "j" not in cell and cell != "nan"]
        ends = (min(flat, key=float), max(flat, key=float)) if flat else ("…",)
        return _range(" … ".join(ends), value)
    return tuple(Line(row, align=len(rows) > 1) for row in rows)


def _range(text: str, value: Value) -> tuple[Line, ...]:
    shape = (Line(by(value.shape), 10.5, "dim"),) if value.shape else ()
    return Line(_clip(text)), *shape


def _wrapped(text: str) -> list[str]:
    rows = [""]
    for part in re.split(r"(?<=, )", text):
        if rows[-1] and len(rows[-1]) + len(part) > WIDEST - 4:
            rows.append(SPACE)
        rows[-1] += part
    return [row.rstrip(" ") for row in rows]


def _clip(text: str, widest: int = WIDEST) -> str:
    return text if len(text) <= widest else text[: widest - 1] + "…"


def _named(name: str, lines: Sequence[Line]) -> tuple[Line, ...]:
    """`name = lines`, the further lines below the first; a long name in a line of its own."""
    first, *more = lines
    if (len(lines) > 1 and len(name) > 8) or len(name) + len(first.text) > WIDEST:
        return (Line(name), *lines)
    indent = SPACE * (len(name) + 3)
    return (
        replace(first, text=f"{name} = {first.text}"),
        *(replace(line, text=indent + line.text) for line in more),
    )


def _saves(saved: Saved, language: str) -> str:
    name = f"{saved.name}: {saved.label}" if saved.label else saved.name
    value = saved.value
    if value and value.shape and (value.data is None or len(saved.text) > 20):
        return _clip(word("saves", language, what=f"{name} ({by(value.shape)})"))
    return _clip(word("saves", language, what=f"{name} = {saved.text}"))


def node(one: Node, graph: Graph, language: str) -> Box:
    """The box of a node."""
    if one.kind == "accumulate":
        return _leaf(one, graph, language)
    lines = [Line(part, 13, "name") for part in _op(one.op)]
    if one.value:
        lines += _named(one.label, number(one.value)) if one.label else number(one.value)
    elif one.label:
        lines.append(Line(_clip(one.label)))
    kind = [] if one.value or one.kind == "group" else _shapes(one.shapes, language)
    kind += sorted({dtype for dtype in one.dtypes if dtype not in ("", "float32")})
    if kind:
        lines.append(Line(_clip(", ".join(kind)), 10.5, "dim"))
    options = [f"{s.name} = {s.text}" for s in one.saved if not s.value and s.name in TOLD]
    if options:
        lines.append(Line(_clip(", ".join(options)), 10.5, "dim"))
    tensors = [saved for saved in one.saved if saved.value]
    lines += [Line(_saves(saved, language), 10.5, "dim") for saved in tensors[:3]]
    if len(tensors) > 3:
        lines.append(Line(word("more", language, n=len(tensors) - 3), 10.5, "dim"))
    if one.kind == "function":
        lines.insert(0, Line(word("function", language), 10.5, "kind"))
    if one.module:
        lines.insert(0, Line(_clip(one.module), 10.5, "badge"))
    return Box(tuple(lines), {})


def _shapes(shapes: Sequence[Sequence[int]], language: str) -> list[str]:
    if len(shapes) > 1:
        each = ", ".join(by(shape) or "()" for shape in shapes)
        return [word("results", language, n=len(shapes)) + each]
    return [word("shape", language, shape=by(shape)) for shape in shapes if shape]


def _op(op: str) -> list[str]:
    """A long name in two lines or more."""
    rows = [""]
    for part in re.split(r"(?= → | × )", op):
        if rows[-1] and len(rows[-1]) + len(part) > WIDEST:
            rows.append("")
        rows[-1] += part if rows[-1] else part.lstrip()
    return [_clip(row) for row in rows]


def _leaf(one: Node, graph: Graph, language: str) -> Box:
    lines = [Line(one.op, 10.5, "dim")]
    name = _clip(one.label or word("leaf", language))
    numbers = _named(name, number(one.value)) if one.value else (Line(name),)
    same = numbers[0].size == numbers[-1].size and len(numbers[0].text) > len(name)
    lines += [
        replace(line, size=13, style="name") if same or not place else line
        for place, line in enumerate(numbers)
    ]
    if not one.value:
        lines += [Line(text, 10.5, "dim") for text in _shapes(one.shapes, language)]
    dtype = one.value.dtype if one.value else (*one.dtypes, "")[0]
    if dtype not in ("float32", ""):
        lines.append(Line(dtype, 10.5, "dim"))
    states: dict[str, tuple[Line, ...]] = {}
    for at, run in enumerate(graph.passes):
        states[f"{at}-"] = _grad(run.grads.get(one.id))
        for step in run.steps:
            if step.node == one.id:
                states[f"{at}"] = _grad(step.after)
    return Box(tuple(lines), states)


def _grad(value: Value | None) -> tuple[Line, ...]:
    return _named(".grad", number(value)) if value else (Line(".grad = None", 12, "none"),)


def output(root: Root, language: str) -> Box:
    """The box of an output."""
    return Box((Line(_clip(root.name or word("output", language)), 13, "name"),), {})


def seed(at: int, root: Root, graph: Graph, language: str) -> Chip:
    """What stands on the edge from an output."""
    states = {f"{p}": number(run.seeds[at]) for p, run in enumerate(graph.passes) if run.seeds}
    return Chip(_result(graph.nodes[root.node], root.slot, language), states)


def edge(one: Edge, graph: Graph, language: str) -> Chip:
    """What stands on an edge."""
    if one.target is None:
        name = _not_wanted(one, graph)
        text = (
            word("no gradient for", language, name=name) if name else word("no gradient", language)
        )
        return Chip((Line(text, 10.5, "dim"),), {})
    states = {}
    caption: tuple[Line, ...] = ()
    wired = sum(other.source == one.source and other.target is not None for other in graph.edges)
    for at, run in enumerate(graph.passes):
        step = step_of(run, one.source)
        if step and one.index < len(step.sent):
            value = step.sent[one.index]
            none = (Line(word("none", language), 12, "none"),)
            states[f"{at}"] = number(value) if value else none
            rule = step.rules[one.index] if one.index < len(step.rules) else None
            if rule and wired > 1:
                caption = (Line(rule.wrt, 10.5, "dim"),)
    return Chip(caption + _result(graph.nodes[one.target], one.slot, language), states)


def _not_wanted(stub: Edge, graph: Graph) -> str:
    """Name of the input without gradient, if only one saved tensor can be it; else ""."""
    node = graph.nodes[stub.source]
    stubs = sum(edge.source == stub.source and edge.target is None for edge in graph.edges)
    labels = {saved.label for saved in node.saved if saved.label}
    labels -= {other.label for other in graph.nodes}
    return labels.pop() if len(labels) == stubs == 1 and node.kind == "op" else ""


def step_of(run: Pass, node: int) -> Step | None:
    """What `node` did in the pass, if it ran."""
    return next((step for step in run.steps if step.node == node), None)


def _result(target: Node, slot: int, language: str) -> tuple[Line, ...]:
    if len(target.shapes) < 2 or target.kind == "group":
        return ()
    return (Line(word("result", language, n=slot), 10.5, "dim"),)
