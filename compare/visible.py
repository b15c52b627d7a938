"""What a reader sees of a built page: its text, and how many cells, pictures and formulas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
VOID |= {"track", "wbr"}
INLINE = {"a", "abbr", "b", "button", "code", "em", "i", "kbd", "label", "mark", "s", "samp"}
INLINE |= {"small", "span", "strong", "sub", "sup", "time", "u", "var"}
"""Elements within a line; what stands in another one is apart from what is around it."""
INVISIBLE = {"head", "noscript", "script", "style", "template"}
THINGS = {"svg": "pictures", "img": "images", "math": "formulas", "table": "tables"}


@dataclass
class Page:
    """What a page shows.

    Attributes:
        words: its text, word by word.
        things: how many cells, outputs, pictures, formulas and tables it has.
        left_out: the classes that were left out, and how often.
    """

    words: list[str] = field(default_factory=list)
    things: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def read(file: Path, within: str = "article", without: frozenset[str] = frozenset()) -> Page:
    """What the page in `file` shows.

    Args:
        file: the built page.
        within: the element that counts; the rest is the frame of the theme.
        without: classes of elements to leave out.
    """
    reader = _Reader(within, without)
    reader.feed(file.read_text(encoding="utf-8"))
    reader.close()
    reader.page.words = "".join(reader.text).split()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self, within: str, without: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.text: list[str] = []
        self._within, self._without = within, without
        self._open: list[tuple[str, bool]] = []
        """The open elements, and whether what they hold counts."""

    @property
    def _counts(self) -> bool:
        return self._open[-1][1] if self._open else False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._part(tag)
        classes = set((dict(attrs).get("class") or "").split())
        counts = self._counts or (tag == self._within and not self._open_is(INVISIBLE))
        if counts and (cut := classes & self._without):
            self.page.left_out.update(cut)
            counts = False
        counts = counts and tag not in INVISIBLE
        if counts and tag in THINGS:
            self.page.things[THINGS[tag]] += 1
        if counts:
            self.page.things.update(
                name
                for css, name in (("livecell", "cells"), ("lc-output", "outputs"))
                if css in classes
            )
        if tag not in VOID:
            self._open.append((tag, counts))

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)
        if any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._counts:
            self.text.append(data)

    def _part(self, tag: str) -> None:
        if tag not in INLINE:
            self.text.append(" ")

    def _open_is(self, tags: set[str]) -> bool:
        return any(name in tags for name, _ in self._open)
