"""The prose of a page as Markdown that a notebook understands.

A page's Markdown has boxes, folds, ids and values from the run; Jupyter's has none of them. What
stands between two cells of a page becomes one Markdown cell.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from livecell import pages, questions
from livecell.pages import CODE_SPAN, ENTRY, live
from livecell.superfences import Fence, fences

BOX = re.compile(r'(?P<mark>!!!|\?{3}\+?) ?(?P<type>[\w-]*)(?: "(?P<title>.*)")? *')
HEADING = re.compile(r"(?P<marks>#{1,6}\s+)(?P<text>.*?)\s*\{[^}]*#(?P<id>[\w-]+)[^}]*\}\s*")
LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
EDGES = re.compile(r"\A(?:>? *\n)+|(?:\n>? *)+\Z")
"""Empty lines, also of a quotation, before and after all text."""
MARKER = re.compile(r"\[(?:ATLAS|API|TERMS)(?: [\w.-]+)?\] *")
INDENT = " " * 4

Value = Callable[[str, str], str]
"""The value that a page calls by reference and label."""
Entry = Callable[[str], str]
"""An entry of the atlas, as Markdown, by its id."""
Address = Callable[[str], str]
"""The absolute address of what a link on the page leads to; nothing if it has none."""


@dataclass
class Look:
    """What the prose of a page refers to.

    `keeps_ids`: whether headings keep their ids and links lead to them, which Jupyter cannot.
    """

    value: Value
    entry: Entry
    address: Address
    keeps_ids: bool = False


@dataclass
class Part:
    """A piece of a page: prose, or a cell that stands between two pieces of prose.

    Attributes:
        text: Markdown for a notebook; "" for a cell.
        cell: reference of the cell; "" for prose.
        show: what of the cell the page shows.
        boxes: types of the boxes that the cell stands in, outermost first.
    """

    text: str = ""
    cell: str = ""
    show: str = "both"
    boxes: tuple[str, ...] = ()


def parts(text: str, look: Look) -> list[Part]:
    """The parts of the page with this Markdown, in order."""
    lines = pages.FRONT_MATTER.sub("", text, count=1).lstrip("\n").expandtabs(4).split("\n")
    return [part for part in _Splitter(lines, look).run() if part.cell or part.text]


@dataclass(frozen=True)
class _Box:
    """A box that the lines being read stand in."""

    indent: int
    type: str
    title: str
    is_fold: bool


class _Splitter:
    """Reads a page line by line, and knows which boxes it is in."""

    def __init__(self, lines: list[str], look: Look) -> None:
        self._lines = lines
        self._look = look
        self._boxes: list[_Box] = []
        self._fences = fences(list(lines))
        self._fenced = {n for fence in self._fences for n in range(fence.start, fence.end)}
        self._headings = _headings(lines)
        self._out: list[tuple[_Box | None, str]] = []

    def run(self) -> Iterator[Part]:
        """Prose up to each cell, then the cell."""
        start = 0
        for fence in self._fences:
            if fence.shows_cell:
                yield self._prose(start, fence.start)
                self._leave(fence.start)
                yield self._cell(fence)
                start = fence.end
        yield self._prose(start, len(self._lines))

    def _cell(self, fence: Fence) -> Part:
        names = tuple(box.type for box in self._boxes)
        return Part("", fence.options["cell"], fence.options.get("show", "both"), names)

    def _leave(self, number: int) -> None:
        """Leave the boxes that the line does not stand in."""
        line = self._lines[number]
        indent = len(line) - len(line.lstrip())
        while self._boxes and self._boxes[-1].indent >= indent:
            self._boxes.pop()
            for place in range(len(self._out) - 1, -1, -1):  # empty lines between boxes and text
                if self._out[place][1].strip("> "):
                    break
                self._out[place] = (None, "")

    def _prose(self, start: int, end: int) -> Part:
        """The lines from `start` to before `end`."""
        self._out = []
        number = start
        while number < end:
            if number not in self._fenced and self._lines[number].strip():
                self._leave(number)
            number = self._read(number, end)
        return Part(EDGES.sub("", _folded(self._out)))

    def _read(self, number: int, end: int) -> int:
        """Read one line, or a whole question; the number of the next line."""
        depth = self._boxes[-1].indent + len(INDENT) if self._boxes else 0
        line = self._lines[number][depth:]
        if number in self._fenced:
            self._say(line)
        elif header := questions.HEADER.fullmatch(line):
            return self._question(number, depth + len(header["indent"]), end)
        elif (box := BOX.fullmatch(line)) and box["type"]:
            title = self._inline(box["title"] or box["type"].capitalize())
            is_fold = box["mark"] != "!!!"
            self._boxes.append(_Box(depth, box["type"], title, is_fold))
            if not is_fold:
                self._say(f"**{title}**")
        else:
            self._say(self._line(line))
        return number + 1

    def _say(self, line: str) -> None:
        """Write a line; one of a box that is no fold stands in a quotation."""
        if not line and not self._out:
            return
        fold = next((box for box in self._boxes if box.is_fold), None)
        quoted = any(not box.is_fold for box in self._boxes)
        self._out.append((fold, f"> {line}".rstrip() if quoted else line))

    def _line(self, line: str) -> str:
        if entry := ENTRY.fullmatch(line):
            return self._look.entry(entry["id"])
        if MARKER.fullmatch(line):
            return ""
        if (heading := HEADING.fullmatch(line)) and not self._look.keeps_ids:
            line = heading["marks"] + heading["text"]
        return self._inline(line)

    def _inline(self, text: str) -> str:
        """Values looked up, links made absolute; other code spans are left alone."""
        spans: list[str] = []

        def put_aside(span: re.Match[str]) -> str:
            found, ticks = live(span["code"]), span["ticks"]
            spans.append(f"{ticks}{self._look.value(*found)}{ticks}" if found else span[0])
            return f"\0{len(spans) - 1}\0"

        text = LINK.sub(self._link, CODE_SPAN.sub(put_aside, text.replace("\0", "")))
        return re.sub("\0(\\d+)\0", lambda mark: spans[int(mark[1])], text)

    def _link(self, link: re.Match[str]) -> str:
        target = link["target"]
        if target.startswith("#") and self._look.keeps_ids:
            pass
        elif target.startswith("#"):
            # JupyterLab makes the anchor of a heading from its text.
            heading = self._headings.get(target[1:])
            target = "#" + heading.replace(" ", "-") if heading else ""
        elif not re.match(r"[a-z]+:", target):
            target = self._look.address(target)
        return f"[{link['text']}]({target})" if target else link["text"]

    def _question(self, start: int, indent: int, end: int) -> int:
        """A predict box: the question, and a fold for each choice; the number of the next line.

        The output that ends the box is that of the cell above it, which a notebook has already.
        """
        title = BOX.fullmatch(self._lines[start].strip())
        self._say(f"**{self._inline((title and title['title']) or '')}**")
        self._say("")
        choice: list[str] = []
        number = start + 1
        while number < end and (
            not self._lines[number].strip() or self._lines[number].startswith(" " * (indent + 4))
        ):
            body = self._lines[number][indent + 4 :]
            if body.startswith((":   ", INDENT)) and choice:
                choice.append(self._inline(body[4:]))
            elif body.strip():
                self._fold(choice)
                choice = [_summary(self._inline(body))]
            number += 1
        self._fold(choice)
        self._boxes.append(_Box(indent, "predict", "", is_fold=True))
        return number

    def _fold(self, choice: list[str]) -> None:
        if choice:
            summary, *why = choice
            for line in _details(summary, why):
                self._say(line)


def _folded(out: list[tuple[_Box | None, str]]) -> str:
    """The lines, those of a fold in one that Jupyter renders; it cannot hold a cell."""
    lines: list[str] = []
    for fold, group in itertools.groupby(out, key=lambda pair: pair[0]):
        body = [line for _, line in group]
        is_empty = fold is None or fold.type == "predict" or not any(map(str.strip, body))
        lines += body if is_empty or fold is None else _details(_summary(fold.title), body)
    return "\n".join(lines)


def _details(summary: str, body: list[str]) -> list[str]:
    text = "\n".join(body).strip("\n")
    return ["<details>", f"<summary>{summary}</summary>", "", text, "", "</details>", ""]


def _headings(lines: list[str]) -> dict[str, str]:
    """The text of the headings, by id."""
    found = (HEADING.fullmatch(line) for line in lines)
    return {h["id"]: re.sub(r"[`*]", "", h["text"]) for h in found if h}


def _summary(text: str) -> str:
    """The one line of Markdown as HTML: a <summary> holds no Markdown."""
    escaped = html.escape(text, quote=False)
    return CODE_SPAN.sub(lambda span: f"<code>{span['code']}</code>", escaped)
