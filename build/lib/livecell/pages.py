"""What a page's Markdown cites: cells, values, headings, boxes, images — with line numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent>\s*)(?P<mark>`{3,}|~{3,})\s*(?P<info>.*)$")
CELL = re.compile(r"""\bcell=(?P<quote>["'])(?P<ref>.*?)(?P=quote)""")
INLINE = re.compile(r"`#!live\s+(?P<ref>[^\s`]+)(?:\s+(?P<label>[^`]+))?`")
HEADING = re.compile(r"^(?P<marks>#{1,6})\s+(?P<text>.*?)(?:\s*\{[^}]*#(?P<id>[\w-]+)[^}]*\})?\s*$")
BOX = re.compile(r"^\s*(?:!!!|\?\?\?\+?)\s+(?P<type>[\w-]+)")
IMAGE = re.compile(r"!\[[^\]]*\]\((?P<target>[^)\s]+)")


@dataclass(frozen=True)
class Block:
    """One thing on a page that its twin must have too.

    Attributes:
        kind: `cell`, `value`, `heading`, `box` or `image`.
        key: what makes two of them the same: `stem:cell`, `## #id`, …
        line: line number on the page, counted from 1.
    """

    kind: str
    key: str
    line: int


def read(path: Path) -> list[Block]:
    """The blocks of the page at `path`, in order."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> list[Block]:
    """The blocks of a page with this Markdown, in order."""
    blocks = []
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        if closing:
            if fence and fence["mark"].startswith(closing) and not fence["info"]:
                closing = ""
            continue
        if fence:
            closing = fence["mark"]
            if "exec=" in fence["info"] and (cell := CELL.search(fence["info"])):
                blocks.append(Block("cell", cell["ref"], number))
            continue
        blocks += [Block("value", match["ref"], number) for match in INLINE.finditer(line)]
        if heading := HEADING.match(line):
            key = heading["marks"] + (f" #{heading['id']}" if heading["id"] else "")
            blocks.append(Block("heading", key, number))
        elif box := BOX.match(line):
            blocks.append(Block("box", box["type"], number))
        blocks += [Block("image", m["target"], number) for m in IMAGE.finditer(line)]
    return blocks


def split_reference(reference: str) -> tuple[str, str]:
    """`stem` and `cell` of the reference `stem:cell`."""
    stem, _, cell = reference.rpartition(":")
    return stem, cell
