"""Questions that a reader is to answer, and what can be wrong with them: `!!! predict` on a page.

`livecell.predict` shows them. They are read by Markdown itself, from the source of a page and from
the page that is being rendered, so both find the same errors.
"""

from __future__ import annotations

import functools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from markdown import Markdown

from livecell import pages
from livecell.errors import LivecellError
from livecell.pages import CODE_SPAN, Block, live

FEWEST = 3
HEADER = re.compile(r"(?P<indent> *)(?P<mark>!!!|\?{3}\+?)(?P<rest> ?predict(?![\w-]).*)")
STASHED = re.compile("\x02.*?\x03")
"""What another extension has put aside: a fence, say."""

Value = Callable[[str, str], str]
"""The value that a page calls by reference and label."""


@dataclass(frozen=True)
class Choice:
    """A choice, as its author wrote it.

    Attributes:
        text: its Markdown.
        explained: whether it says why.
        line: line number on the page, where known.
    """

    text: str
    explained: bool
    line: int | None = field(default=None, compare=False)

    @property
    def is_live(self) -> bool:
        """Whether any of it comes from the run."""
        return any(live(span["code"]) for span in CODE_SPAN.finditer(self.text))

    def read(self, value: Value) -> str:
        """What a reader reads, without the spaces: `[1., 2.]` and `[1.,2.]` are one answer."""

        def span(match: re.Match[str]) -> str:
            found = live(match["code"])
            return value(*found) if found else match["code"]

        return "".join(CODE_SPAN.sub(span, self.text).split())


@dataclass(frozen=True)
class Question:
    """A question and its choices.

    Attributes:
        text: the title of the box, in Markdown.
        choices: its choices, in order.
        folded: whether the whole box is a fold.
        line: line number on the page, where known.
    """

    text: str
    choices: tuple[Choice, ...]
    folded: bool = False
    line: int | None = field(default=None, compare=False)

    @property
    def right(self) -> list[int]:
        """The numbers of the choices that come from the run, counted from 1."""
        return [n for n, choice in enumerate(self.choices, start=1) if choice.is_live]


# ------------------------------------------------------------------ in the source of a page
@functools.lru_cache(maxsize=1024)  # as for pages.parse
def find(text: str) -> tuple[Question, ...]:
    """The boxes on a page with this Markdown, with line numbers."""
    lines = pages.markdown(text).split("\n")
    return tuple(
        _box(lines, number, header)
        for number, line in enumerate(lines)
        if (header := HEADER.fullmatch(line))
    )


def blocks(text: str) -> list[Block]:
    """What a twin of the page must have too: as many choices, the right one in the same place."""
    return [
        Block("choices", f"{len(box.choices)}, number {box.right[0]} is right", box.line)
        for box in find(text)
        if box.line and len(box.right) == 1
    ]


def static(text: str) -> Iterator[LivecellError]:
    """What is wrong with the boxes of a page, as far as that shows without a run."""
    for box in find(text):
        yield from problems(box)


def _box(lines: list[str], start: int, header: re.Match[str]) -> Question:
    """The box that begins on line `start`; Markdown itself says what belongs to it."""
    indent = header["indent"]
    end = start + 1
    while end < len(lines) and (not lines[end] or lines[end].startswith(indent + "    ")):
        end += 1
    body = [line.removeprefix(indent) for line in lines[start + 1 : end]]
    document = _parser().parser.parseDocument(["!!!" + header["rest"], *body])
    found = document.find("div")
    box = Question("", ()) if found is None else read_box(found)
    choices, line = [], start
    for choice in box.choices:
        first = choice.text.split("\n")[0].strip()
        line = next((n for n in range(line + 1, end) if lines[n].strip() == first), line)
        choices.append(replace(choice, line=line + 1))
    folded = header["mark"] != "!!!"
    return replace(box, choices=tuple(choices), folded=folded, line=start + 1)


@functools.cache
def _parser() -> Markdown:
    return Markdown(extensions=["admonition", "def_list"])


def read_box(box: ET.Element) -> Question:
    """The question of a rendered box, whose inline Markdown is not rendered yet."""
    title = box.find("p[@class='admonition-title']")
    text = "" if title is None else title.text or ""
    # A box without a title is given its own name as one.
    return Question("" if text == "Predict" else text, tuple(_choices(list(box))))


def _choices(parts: list[ET.Element]) -> Iterator[Choice]:
    """The choices among the parts of a box.

    One without a reason is no part of the list to Markdown, but a paragraph: between two lists, or
    beside the list if it is nothing but code.
    """
    parts = [part for part in parts if part.get("class") != "admonition-title"]
    lists = [n for n, part in enumerate(parts) if part.tag == "dl"]
    if not lists:
        return
    first = last = lists[0]
    for n in lists[1:]:
        if all(part.tag == "p" and _has_words(part) for part in parts[last + 1 : n]):
            last = n
    for n in range(max(first - 1, 0), min(last + 2, len(parts))):
        part, text = parts[n], _text(parts[n])
        if part.tag == "dl":
            for name, reasons in entries(part):
                yield Choice(_text(name), any(map(_has_words, reasons)))
        elif first < n < last or (part.tag == "p" and CODE_SPAN.fullmatch(text)):
            yield Choice(text, False)


def _text(element: ET.Element) -> str:
    return "".join(element.itertext()).strip()


def entries(listing: ET.Element | None) -> list[tuple[ET.Element, list[ET.Element]]]:
    """The names in a definition list, each with what is said of it."""
    found: list[tuple[ET.Element, list[ET.Element]]] = []
    for part in listing if listing is not None else ():
        if part.tag == "dt":
            found.append((part, []))
        else:
            found[-1][1].append(part)
    return found


def _has_words(reason: ET.Element) -> bool:
    return bool(STASHED.sub("", _text(reason)))


# ------------------------------------------------------------------ what can be wrong
def problems(box: Question, value: Value | None = None) -> Iterator[LivecellError]:
    """What is wrong with a box.

    Args:
        box: the box.
        value: looks a value up; None if nothing has run.
    """
    for error in _of_the_whole(box):
        yield replace(error, line=box.line)
    for choice in box.choices:
        if not choice.explained:
            yield LivecellError(
                "a choice does not say why it is right or wrong",
                line=choice.line,
                found=choice.text,
                expected="on the next line `:   ` and a sentence",
            )
    yield from _alike(box, value)


def _of_the_whole(box: Question) -> Iterator[LivecellError]:
    if box.folded:
        yield LivecellError(
            "a predict box is folded away",
            expected="`!!! predict`; it shows the question and folds the answers by itself",
        )
    if not box.text:
        yield LivecellError("a predict box asks nothing", expected='!!! predict "the question"')
    if not box.choices:
        yield LivecellError(
            "a predict box has no choices",
            expected="a definition list: a choice, and on the next line `:   ` and why",
            todo="write the list; mkdocs.yml must have the extension `def_list`",
        )
        return
    if len(box.choices) < FEWEST:
        yield LivecellError(
            "a predict box has too few choices",
            found=str(len(box.choices)),
            expected=f"{FEWEST} or more",
            todo="add a wrong answer that a reader might well give",
        )
    if len(box.right) != 1:
        yield LivecellError(
            "exactly one choice, the right one, must be taken from the run",
            found=" and ".join(box.choices[n - 1].text for n in box.right) or "none",
            expected="`#!live snippet:cell label` in one choice",
            todo="look the right answer up; write the wrong ones by hand",
        )


def _alike(box: Question, value: Value | None) -> Iterator[LivecellError]:
    """Choices that read the same, one of which may be the right one."""
    read: dict[str, Choice] = {}
    for choice in sorted(box.choices, key=lambda choice: not choice.is_live):
        try:
            text = choice.read(value or _nothing_ran)
        except LivecellError:
            continue  # nothing has run, or it is told where the value stands
        if text in read:
            right = read[text].is_live
            yield LivecellError(
                "a wrong choice is the right value" if right else "two choices are the same",
                line=choice.line,
                found=choice.text,
                expected="an answer that differs from " + read[text].text,
            )
        read.setdefault(text, choice)


def _nothing_ran(reference: str, label: str) -> str:
    raise LivecellError("nothing has run")
