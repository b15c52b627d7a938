"""The passages of a page: paragraphs, list items, rows of tables, headings, code examples.

What stands between two anchors (a heading, a cell, a box, an image) on a page stands between the
same two on its twins. Where they have as many passages there, these are twins one by one; where
not, what stands there is one passage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from livecell import pages
from livecell.superfences import fences

ANCHORS = ("cell", "heading", "box", "image")
"""Kinds of blocks that all twins of a page have in the same order."""
ITEM = re.compile(r" *(?:[-*+]|\d+[.)]|\|)(?: |$)| *\|")
"""The beginning of a list item, or of a row of a table."""
RULE = re.compile(r" *\|?[ :|-]+\|[ :|-]*")
"""The line below the head of a table, which says nothing."""


@dataclass(frozen=True)
class Passage:
    """A piece of a page.

    Attributes:
        line: line number on the page, counted from 1.
        text: its Markdown.
        section: id of the heading above it; "" before the first one that has an id.
    """

    line: int
    text: str
    section: str = ""

    @property
    def hash(self) -> str:
        """What tells its text from others, white space aside."""
        return hashlib.sha256("".join(self.text.split()).encode()).hexdigest()[:10]


Group = tuple[Passage, ...]
"""Passages of one page that have one and the same twin: mostly a single one."""


@dataclass
class _Part:
    """What stands below an anchor."""

    anchor: tuple[str, str]
    passages: list[Passage] = field(default_factory=list)


def twins(texts: Sequence[str]) -> Iterator[tuple[Group, ...]]:
    """The passages that belong together on pages with these Markdowns, in order.

    Twin pages have the same anchors; where they do not, `livecell.check` says so, and what follows
    is left out here.
    """
    for parts in zip(*map(_parts, texts), strict=False):
        if len({part.anchor for part in parts}) > 1:
            return
        if len({len(part.passages) for part in parts}) == 1:
            for group in zip(*(part.passages for part in parts), strict=True):
                if not _is_mere_cell(group):
                    yield tuple((passage,) for passage in group)
        else:
            yield tuple(tuple(part.passages) for part in parts)


def hashes(text: str) -> set[str]:
    """The hashes of all passages on a page with this Markdown."""
    return {passage.hash for part in _parts(text) for passage in part.passages}


def _is_mere_cell(passages: Sequence[Passage]) -> bool:
    """Whether these are the fences of one cell, with no words in their options."""
    return len({p.text for p in passages}) == 1 and pages.STRAY.match(passages[0].text) is not None


def _parts(text: str) -> list[_Part]:
    anchors = {b.line: (b.kind, b.key) for b in reversed(pages.parse(text)) if b.kind in ANCHORS}
    parts, section = [_Part(("", ""))], ""
    for number, lines in _pieces(text, set(anchors)):
        if anchor := anchors.get(number):
            if anchor[0] == "heading":
                section = anchor[1].partition(" #")[2] or section
            parts.append(_Part(anchor))
        parts[-1].passages.append(Passage(number, "\n".join(lines), section))
    return parts


def _pieces(text: str, anchors: set[int]) -> Iterator[tuple[int, list[str]]]:
    """Pieces of a page, each with the number of its first line, counted from 1."""
    lines = text.expandtabs(4).split("\n")
    said = pages.markdown(text).split("\n")  # without comments, fences and front matter
    fenced = {n: start for start, end in _fences(text) for n in range(start, end)}
    piece: list[str] = []
    first = 0
    for n, line in enumerate(lines):
        if n in fenced:
            kept, begins = line, n == fenced[n]
        else:
            kept = "" if RULE.fullmatch(said[n]) else said[n]
            begins = not kept.strip() or ITEM.match(kept) is not None or n - 1 in fenced
        if piece and (begins or n + 1 in anchors):
            yield first, piece
            piece = []
        if kept.strip() or n in fenced:
            first = first if piece else n + 1
            piece.append(kept)
    if piece:
        yield first, piece


def _fences(text: str) -> list[tuple[int, int]]:
    """The fences, and the front matter, by first line and the line after the last."""
    front = pages.FRONT_MATTER.match(text)
    end = text.count("\n", 0, front.end()) + 1 if front else 0
    blanked = ["" if n < end else line for n, line in enumerate(text.expandtabs(4).split("\n"))]
    found = [(fence.start, fence.end) for fence in fences(blanked)]
    return [(0, end), *found] if end else found
