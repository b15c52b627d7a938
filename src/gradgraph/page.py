"""A picture as an HTML figure: the drawing, the stepper's controls, and the steps as a table."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path

from gradgraph.fold import fold
from gradgraph.graph import Graph
from gradgraph.story import Frame, frames
from gradgraph.svg import draw
from gradgraph.words import word

ASSETS = Path(__file__).parent / "assets"
"""The style sheet and the script that pages with pictures need."""


@lru_cache
def asset(name: str) -> str:
    """Text of `stepper.css` or `stepper.js`."""
    return (ASSETS / name).read_text(encoding="utf-8")


def render(graph: Graph, language: str = "en", standalone: bool = False) -> str:
    """The figure, in one line of HTML; `standalone` with style and script, as notebooks need it.

    Without JavaScript it shows the end of the last pass and, in a fold, all the steps. The script
    takes what it says from there.
    """
    graph = fold(graph, language=language)
    told = frames(graph, language)
    parts = [
        f'<figure class="gg-figure" lang="{escape(language)}">',
        f'<div class="gg-frame" tabindex="0" role="group" aria-label="{word("frame", language)}">',
        draw(graph, language),
        "</div>",
        _stepper(told, language) if graph.steps else "",
        f"<figcaption>{escape(graph.note)}</figcaption>" if graph.note else "",
        _table(told, language) if graph.steps else "",
        "</figure>",
    ]
    if standalone:
        parts = [
            f"<style>{asset('stepper.css')}</style>",
            *parts,
            f"<script>{asset('stepper.js')}</script>",
        ]
    return "".join(parts)


def _stepper(told: list[list[Frame]], language: str) -> str:
    last = sum(map(len, told)) - 1
    buttons = "".join(
        f'<button type="button" class="gg-{key}"{more}>{word(says, language)}</button>'
        for key, says, more in (
            ("back", "back", ""),
            ("play", "play", f' data-pause="{word("pause", language)}"'),
            ("step", "next", ""),
        )
    )
    hint = word("hint of" if len(told) > 1 else "hint", language)
    return (
        f'<div class="gg-stepper" data-colon="{word("colon", language)}" hidden>'
        f'<div class="gg-controls">{buttons}<input class="gg-slider" type="range" min="0"'
        f' max="{last}" value="{last}" aria-label="{word("slider", language)}"></div>'
        f'<div class="gg-said" role="status"><p class="gg-status">{hint}</p>'
        f'<div class="gg-rule"></div></div></div>'
    )


def _table(told: list[list[Frame]], language: str) -> str:
    steps = sum(map(len, told)) - len(told)
    heads = "".join(
        f'<th scope="col">{word(key, language)}</th>' for key in ("#", "happens", "rule")
    )
    bodies = "".join(f"<tbody>{''.join(map(_row, one))}</tbody>" for one in told)
    summary = word("summary", language, n=steps) if steps > 1 else word("one step", language)
    return (
        f'<details class="gg-fold"><summary>{summary}</summary><table class="gg-table">'
        f"<caption>{word('caption', language)}</caption><thead><tr>{heads}</tr></thead>{bodies}"
        "</table></details>"
    )


def _row(frame: Frame) -> str:
    node = "" if frame.node is None else f' data-node="{frame.node}"'
    rules = "".join(
        f'<p class="gg-eq">{" ".join(f"<span>{escape(part)}</span>" for part in rule)}</p>'
        for rule in frame.rules
    )
    remarks = "".join(f'<p class="gg-remark">{escape(remark)}</p>' for remark in frame.remarks)
    return (
        f'<tr{node}><th scope="row">{escape(frame.label)}</th><td>{escape(frame.sentence)}</td>'
        f"<td>{rules}{remarks}</td></tr>"
    )
