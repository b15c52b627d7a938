"""What a page's Markdown cites: cells, values, headings, boxes, images — with line numbers.

Read from the source, so that a check needs no rendering.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livecell.errors import LivecellError, nearest
from livecell.superfences import Fence, fences

CODE_SPAN = re.compile(
    r"(?<![\\`])(?P<ticks>`+)(?!`)(?P<code>(?:.|\n(?! *\n))+?)(?<!`)(?P=ticks)(?!`)"
)
LIVE = re.compile(r"\s*#!live(?:\s+(?P<ref>\S+)(?:\s+(?P<label>.+?))?)?\s*", re.DOTALL)
STRAY = re.compile(r"[> ]*(?:`{3,}|~{3,}).*\bcell=.*")
FRONT_MATTER = re.compile(r"\A-{3} *\n.*?\n(?:-{3}|\.{3}) *$", re.DOTALL | re.MULTILINE)
SEARCH = re.compile(r"^search:.*(?:\n[ \t]+.*)*", re.MULTILINE)
"""What front matter tells the search: words that readers may use, and the page need not."""
COMMENT = re.compile(r"^<!--.*?-->", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"(?: {4})*(?P<marks>#{1,6})\s.*?(?:\{[^}]*#(?P<id>[\w-]+)[^}]*\}\s*)?")
UNDERLINE = re.compile(r"(?:=+|-+) *")
BOX = re.compile(r'\s*(?P<mark>!!!|\?{3}\+?) ?(?P<type>[\w-]+|(?="))')
ENTRY = re.compile(r"\[ENTRY (?P<id>[\w-]+)\] *")
"""The line that an entry of the atlas (`livecell.atlas`), its heading first, takes the place of."""
IMAGE = re.compile(r"!\[[^\]]*\]\((?P<target>[^)\s]+)")
NO_WORDS = re.compile(
    r"(?<=\])\([^)\s]*|<https?:[^>\s]*>|\{[^}\n]*#[^}\n]*\}|\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL
)
"""What stands in a text and is none: addresses, ids of headings, formulas."""


@dataclass(frozen=True)
class Block:
    """One thing on a page that its twin must have too.

    Attributes:
        kind: `cell`, `value`, `heading`, `box` or `image`; `choices` are those of a predict box;
            `stray` is a line that looks like the fence of a cell and is none.
        key: what makes two of them the same: `stem:cell`, `## #id`, …
        line: line number on the page, counted from 1.
    """

    kind: str
    key: str
    line: int


def read(path: Path) -> list[Block]:
    """The blocks of the page at `path`, in order.

    Raises:
        LivecellError: the page is not UTF-8.
    """
    return parse(text_of(path))


def text_of(path: Path) -> str:
    """The Markdown of the page at `path`.

    Raises:
        LivecellError: the page is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found = f"byte 0x{error.object[error.start]:02x}"
        raise LivecellError(
            "the page is not UTF-8", path, line, found=found, todo="save the page as UTF-8"
        ) from None


def line_of(culprit: str, page: Path) -> int | None:
    """The first line of the page at `page` with this reference in a fence, value or formula."""
    text = text_of(page)
    for block in parse(text):
        if block.kind == "cell" and block.key == culprit:
            return block.line
    first = culprit.partition("\n")[0]
    starts = [text.find(needle) for needle in (f"`{first}", f"${first}", first)]
    return next((text.count("\n", 0, start) + 1 for start in starts if start >= 0), None)


def title(page: Path) -> str:
    """The title of the page at `page`, or nothing."""
    try:
        text = text_of(page)
    except (OSError, LivecellError):
        return ""
    for block in parse(text):
        if block.kind == "heading" and block.key.split()[0] == "#":
            line = text.split("\n")[block.line - 1]
            return re.sub(r"\s*\{[^}]*\}\s*$", "", line.lstrip("# ")).strip()
    return ""


def parse(text: str) -> list[Block]:
    """The blocks of a page with this Markdown, in order."""
    return list(_parse(text))


@functools.lru_cache(maxsize=1024)  # under `mkdocs serve` all pages are checked at every save
def _split(text: str) -> tuple[tuple[Block, ...], str]:
    """The cells of a page, and its Markdown without fences, comments and front matter."""
    text = re.sub("^ +$", "", _blanked(FRONT_MATTER, text).expandtabs(4), flags=re.MULTILINE)
    lines = text.split("\n")  # as Python-Markdown prepares them
    cells: list[Block] = []
    for fence in fences(lines):
        cells += _cell(fence, lines[fence.start])
        lines[fence.start : fence.end] = [""] * (fence.end - fence.start)
    return tuple(cells), _blanked(COMMENT, "\n".join(lines))


def markdown(text: str) -> str:
    """A page without its fences, comments and front matter; every line stays where it is."""
    return _split(text)[1]


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> tuple[Block, ...]:
    cells, prose = _split(text)
    blocks = list(cells)
    blocks += _strays(prose)
    blocks += _values(prose)
    blocks += _structure(_blanked(CODE_SPAN, prose).split("\n"))
    return tuple(sorted(blocks, key=lambda block: block.line))


@functools.lru_cache(maxsize=1024)
def prose(text: str) -> str:
    """What a page with this Markdown says in words; every line stays where it is."""
    lines = text.expandtabs(4).split("\n")
    for fence in fences(lines):
        lines[fence.start : fence.end] = [""] * (fence.end - fence.start)
    words = FRONT_MATTER.sub(lambda front: _blanked(SEARCH, front[0]), "\n".join(lines))
    for pattern in (COMMENT, CODE_SPAN, NO_WORDS):
        words = _blanked(pattern, words)
    return words


def _cell(fence: Fence, line: str) -> Iterator[Block]:
    if fence.shows_cell:
        yield Block("cell", fence.options["cell"], fence.start + 1)
    elif "cell" in fence.options:
        yield Block("stray", line.strip(), fence.start + 1)


def _strays(prose: str) -> Iterator[Block]:
    for number, line in enumerate(prose.split("\n"), start=1):
        if STRAY.fullmatch(line):
            yield Block("stray", line.strip(), number)


def _values(prose: str) -> Iterator[Block]:
    for span in CODE_SPAN.finditer(prose):
        if found := live(span["code"]):
            yield Block("value", found[0], prose.count("\n", 0, span.start()) + 1)


def _structure(lines: list[str]) -> Iterator[Block]:
    for number, line in enumerate(lines, start=1):
        if heading := HEADING.fullmatch(line):
            key = heading["marks"] + (f" #{heading['id']}" if heading["id"] else "")
            yield Block("heading", key, number)
        elif entry := ENTRY.fullmatch(line):
            yield Block("heading", f"## #{entry['id']}", number)
        elif box := BOX.match(line):
            yield Block("box", f"{box['mark']} {box['type']}", number)
        elif UNDERLINE.fullmatch(line) and _is_title(lines[: number - 1]):
            yield Block("heading", "#" if line[0] == "=" else "##", number)
        for image in IMAGE.finditer(line):
            yield Block("image", image["target"], number)


def _is_title(above: list[str]) -> bool:
    """Whether a paragraph begins with the last of these lines."""
    return bool("".join(above[-1:]).strip()) and not "".join(above[-2:-1]).strip()


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """`text` without what `pattern` matches, but with all its lines."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def live(code: str) -> tuple[str, str] | None:
    """Reference and label of the value that a code span with this content looks up, if it does."""
    match = LIVE.fullmatch(code)
    if match is None:
        return None
    return match["ref"] or "", re.sub(r"\s*\n\s*", " ", match["label"] or "")


def split_reference(reference: str) -> tuple[str, str]:
    """`stem` and `cell` of the reference `stem:cell`."""
    stem, _, cell = reference.rpartition(":")
    return stem, cell


def no_snippet(reference: str, stems: list[str]) -> LivecellError:
    """The error that no snippet has the name in the reference `stem:cell`."""
    stem, _ = split_reference(reference)
    return LivecellError(
        f"there is no snippet {stem!r}" if stem else f"{reference!r} names no snippet",
        expected="snippet:cell",
        todo=nearest(stem, stems),
    )


def no_cell(reference: str, names: list[str]) -> LivecellError:
    """The error that the snippet has no cell with the name in the reference `stem:cell`."""
    stem, name = split_reference(reference)
    return LivecellError(f"the snippet {stem!r} has no cell {name!r}", todo=nearest(name, names))
