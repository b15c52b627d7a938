"""The graph as one SVG element that shows the end of the last pass.

What a stepper needs is in the element, too: every state of what changes, all but the last hidden.
There are no ids, so a page may hold the same picture twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from math import ceil
from pathlib import Path

from gradgraph import boxes
from gradgraph.boxes import LEADING, Box, Chip, Line
from gradgraph.graph import Graph
from gradgraph.layout import Layout, Link, Point, Route, layout
from gradgraph.story import name, say
from gradgraph.words import listed, word

FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
HEAD = 7.0  # length of an arrow's head
STYLE = Path(__file__).parent / "assets" / "stepper.css"


def draw(graph: Graph, language: str = "en", standalone: bool = False) -> str:
    """The picture; `standalone` as a file of its own, with the style in it."""
    cards = [boxes.node(node, graph, language) for node in graph.nodes]
    cards += [boxes.output(root, language) for root in graph.roots]
    chips = [boxes.edge(edge, graph, language) for edge in graph.edges]
    chips += [boxes.seed(at, root, graph, language) for at, root in enumerate(graph.roots)]
    count = len(graph.nodes)
    ends = [(edge.source, edge.target) for edge in graph.edges]
    ends += [(count + at, root.node) for at, root in enumerate(graph.roots)]
    links = [
        Link(source, target, chip.size) for (source, target), chip in zip(ends, chips, strict=True)
    ]
    made = layout([card.size for card in cards], links)
    drawing = _Drawing(graph, cards, chips, made, language)
    width, height = ceil(made.size[0]), ceil(made.size[1])
    style = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    return "".join(
        (
            f'<svg class="gg"{style} role="img" viewBox="0 0 {width} {height}" width="{width}"'
            f' height="{height}" fill="none" font-family="{FONT}" text-anchor="middle">',
            f"<title>{escape(title(graph, language))}</title>",
            f"<desc>{escape(description(graph, language))}</desc>",
            f"<style>{own_style()}</style>" if standalone else "",
            *drawing.edges(),
            *drawing.nodes(),
            "</svg>",
        )
    )


def own_style() -> str:
    """The part of the style sheet that is about the drawing."""
    drawing = STYLE.read_text(encoding="utf-8").partition("/* --- On a page")[0]
    return drawing + ".gg { color-scheme: light dark; background: var(--gg-page) }"


def title(graph: Graph, language: str) -> str:
    """What the picture shows."""
    names = [root.name or word("output", language) for root in graph.roots]
    return word("title", language, names=listed(names, language))


def description(graph: Graph, language: str) -> str:
    """The picture in words: what leads to what, and the leaves' gradients at the end."""
    names = [name(node, language) for node in graph.nodes]
    roots = [
        f"{root.name or word('output', language)} ({names[root.node]})" for root in graph.roots
    ]
    told = [word("starts", language, list=listed(roots, language))]
    for node in graph.nodes:
        targets = [
            names[e.target] for e in graph.edges if e.source == node.id and e.target is not None
        ]
        if targets:
            told.append(
                word("leads", language, node=names[node.id], list=listed(targets, language))
            )
    grads = []
    for node in graph.nodes if graph.passes else ():
        if node.kind == "accumulate":
            step = boxes.step_of(graph.passes[-1], node.id)
            grad = step.after if step else graph.passes[-1].grads.get(node.id)
            text = say(grad, language) if grad else "None"
            grads.append(f"{names[node.id]}.grad = {text}")
    if grads:
        told.append(word("last", language, list=listed(grads, language)))
    return "".join(told) if language.startswith("zh") else " ".join(told)


class _Drawing:
    def __init__(
        self, graph: Graph, cards: list[Box], chips: list[Chip], made: Layout, language: str
    ) -> None:
        self.graph, self.cards, self.chips, self.made = graph, cards, chips, made
        self.last = len(graph.passes) - 1
        self.ran = {step.node for step in graph.passes[-1].steps} if graph.passes else set()

    def edges(self) -> Iterable[str]:
        links = [(edge.source, edge.target) for edge in self.graph.edges]
        for at, (chip, route) in enumerate(zip(self.chips, self.made.routes, strict=True)):
            source, target = links[at] if at < len(links) else (None, 0)
            flowed = source is None or source in self.ran
            if target is None:
                classes, data = "gg-edge gg-stub", f'data-edge="{at}"'
            elif source is None:
                classes, data = "gg-edge", 'data-edge="seed"'
            else:
                classes, data = "gg-edge", f'data-edge="{at}" data-from="{source}"'
            if target is not None and flowed and self.graph.passes:
                classes += " gg-on"
            yield f'<g class="{classes}" {data}>'
            yield _line(route, target is None)
            yield self._chip(chip, self.made.labels[at], f"{self.last}" if flowed else "")
            yield "</g>"

    def _chip(self, chip: Chip, centre: Point, shown: str) -> str:
        (x, y), (w, h) = centre, chip.size
        if not chip.caption and not chip.states:
            return ""
        top, above = y - h / 2, boxes.height(chip.caption)
        parts = []
        if chip.caption:
            high = above + (3 if chip.states else 6)
            parts.append(_rect(x - w / 2, top, w, high, 5, "gg-chip"))
        if chip.states:
            start = top + above + 3 if chip.caption else top
            parts.append(_rect(x - w / 2, start, w, y + h / 2 - start, 5, "gg-chip gg-blank"))
        parts.append(_lines(chip.caption, x, top + 3))
        top += above + 3
        room = h - 6 - above
        for state, lines in chip.states.items():
            spare = (room - boxes.height(lines)) / 2
            parts.append(_state(state, state == shown, _lines(lines, x, top + spare)))
        return "".join(parts)

    def nodes(self) -> Iterable[str]:
        for at, (card, (x, y)) in enumerate(zip(self.cards, self.made.boxes, strict=True)):
            w, h = card.size
            left, top = x - w / 2, y - h / 2
            if at >= len(self.graph.nodes):
                yield '<g class="gg-node gg-root">' + _rect(left, top, w, h, h / 2)
            else:
                kind = self.graph.nodes[at].kind
                ran = " gg-ran" if at in self.ran else ""
                yield f'<g class="gg-node gg-of-{kind}{ran}" data-node="{at}">'
                yield _rect(left, top, w, h, 3 if kind == "accumulate" else 9)
                if kind == "function":
                    yield _rect(left + 3, top + 3, w - 6, h - 6, 6, "gg-inner")
                if kind == "group":
                    yield f'<path class="gg-inner" stroke="currentColor" d="{_stack(x, y, w, h)}"/>'
            if card.states:
                yield self._tray(card, x, y, f"{self.last}" if at in self.ran else f"{self.last}-")
            yield _lines(card.lines, x, top + 7) + "</g>"

    def _tray(self, card: Box, x: float, y: float, shown: str) -> str:
        (w, h), high = card.size, card.tray
        top = y + h / 2 - high
        parts = [_rect(x - w / 2 + 4, top, w - 8, high - 4, 2, "gg-leaf")]
        for state, lines in card.states.items():
            spare = (high - 4 - boxes.height(lines)) / 2
            parts.append(_state(state, state == shown, _lines(lines, x, top + spare)))
        return "".join(parts)


def _state(state: str, shown: bool, content: str) -> str:
    hidden = "" if shown else ' display="none"'
    return f'<g data-state="{state}"{hidden}>{content}</g>'


def _lines(lines: Sequence[Line], x: float, top: float) -> str:
    """Lines below each other; numbers of several rows begin at the same place."""
    parts = []
    several = max((line.width for line in lines if line.align), default=0)
    for line in lines:
        base = top + line.size * (LEADING / 2 + 0.36)
        top += line.size * LEADING
        style = f' class="gg-{line.style}"' if line.style else ""
        row = ' text-anchor="start"' if line.align else ""
        at = x - several / 2 if line.align else x
        if line.style == "badge":
            wide = line.width + 12
            parts.append(
                f'<g class="gg-badge">'
                f"{_rect(x - wide / 2, base - line.size, wide, line.size * 1.32, 6, 'gg-disc')}"
            )
        parts.append(
            f'<text x="{_n(at)}" y="{_n(base)}" font-size="{_n(line.size)}"'
            f' fill="currentColor"{row}{style}>{escape(line.text, quote=False)}</text>'
        )
        if line.style == "badge":
            parts.append("</g>")
    return "".join(parts)


def _rect(x: float, y: float, w: float, h: float, radius: float, style: str = "gg-box") -> str:
    return (
        f'<rect class="{style}" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"'
        f' rx="{_n(radius)}"' + (' stroke="currentColor"/>' if "gg-chip" not in style else "/>")
    )


def _stack(x: float, y: float, w: float, h: float) -> str:
    """Rims of more cards below a card."""
    left, right, bottom = x - w / 2, x + w / 2, y + h / 2
    return (
        f"M{_n(left + 7)} {_n(bottom + 3)}H{_n(right - 7)}"
        f"M{_n(left + 14)} {_n(bottom + 6)}H{_n(right - 14)}"
    )


def _line(route: Route, loose: bool) -> str:
    """The way of an edge, and its head."""
    points = [*route.to_label, *route.from_label]
    if loose:
        return f'<path class="gg-line" stroke="currentColor" d="{_curve(points)}"/>'
    x, y = points[-1]
    shaft = [(px, min(py, y - HEAD + 1)) for px, py in points]
    head = f"M{_n(x)} {_n(y)}l-4 {_n(-HEAD)}h8z"
    return (
        f'<path class="gg-line" stroke="currentColor" d="{_curve(shaft)}"/>'
        f'<path class="gg-head" fill="currentColor" d="{head}"/>'
    )


def _curve(points: Sequence[Point]) -> str:
    x, y = points[0]
    made = [f"M{_n(x)} {_n(y)}"]
    for (x, y), (x2, y2) in pairwise(points):
        if (x, y) == (x2, y2):
            continue
        middle = _n((y + y2) / 2)
        made.append(
            f"V{_n(y2)}" if x == x2 else f"C{_n(x)} {middle} {_n(x2)} {middle} {_n(x2)} {_n(y2)}"
        )
    return "".join(made)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
