"""How Chinese is set: full-width punctuation, and a space between Han characters and the rest.

Only what a reader sees as text counts: neither code, formulas, addresses and ids, nor the marks of
Markdown. Code and formulas count as Western words where they touch Han characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from livecell import labfile, listfile, pages, sources
from livecell.errors import LivecellError
from livecell.settings import Settings
from livecell.superfences import fences

AROUND = 8
"""How many characters on each side of a fault are shown."""
WORD, GONE, EDGE = "\ue000", "\ue001", "\ue002"
"""Stand for code or a formula, for what no reader sees, and for the edge of a text."""

HAN = "\u3400-\u4dbf\u4e00-\u9fff\u3007"
WESTERN = f"A-Za-z0-9\u0370-\u03ff{WORD}"
OPENING, CLOSING = "（《【「『", "，。；：？！、）》】」』"

RULES = [
    (
        rf"(?<=[{HAN}])[{WESTERN}]|(?<=[{WESTERN}])[{HAN}]",
        "no space between Chinese and Western text",
        "a space between Han characters and letters, digits, code or formulas",
    ),
    (
        rf"(?<=[{HAN}])(?:[,;:?!]|\.(?![\w.]))|[,;:?!](?= ?[{HAN}])"
        rf"|(?<=[A-Za-z{WORD}])\.(?= ?[{HAN}])",
        "half-width punctuation in Chinese text",
        "，。；：？！",
    ),
    (
        rf"(?<=[{HAN}])[()]|(?<=[{HAN}] )\((?=[A-Za-z ]+\))|[()](?=[{HAN}])",
        "half-width parentheses in Chinese text",
        "（ and ）",
    ),
    (
        rf"(?<=[{OPENING}{CLOSING}]) +(?=[^ {EDGE}])|(?<=[^ {EDGE}]) +(?=[{OPENING}{CLOSING}])",
        "a space beside full-width punctuation",
        "no space: the character brings its own",
    ),
    (rf"(?<=[^ {EDGE}])  +(?=[^ {EDGE}])", "more than one space", "a single space"),
    (
        rf"[\"'](?=[{HAN}])|(?<=[{HAN}])[\"']",
        "straight quotation marks in Chinese text",
        "“ and ”, or 「 and 」",
    ),
    (rf"(?<=[{HAN}])\.\.+|\.\.+(?=[{HAN}])", "an ellipsis made of dots", "……"),
    (r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]", "a full-width letter or digit", "ASCII"),
    (r"([，。；：、])\1", "punctuation given twice", "once"),
    (
        rf"“(?=[^”{EDGE}]*(?:[“{EDGE}]|$))|(?<![^{EDGE}])[^“{EDGE}]*”|”[^“{EDGE}]*”"
        rf"|「(?=[^」{EDGE}]*(?:[「{EDGE}]|$))|(?<![^{EDGE}])[^「{EDGE}]*」|」[^「{EDGE}]*」",
        "a quotation mark without its partner",
        "“…” or 「…」",
    ),
]
"""What is wrong, where, and what is right."""
COMPILED = [(re.compile(pattern), problem, right) for pattern, problem, right in RULES]

HIDDEN = [
    re.compile(r"!?\[(?:ENTRY|ATLAS|API|TERMS|TOC)\b[^\]]*\]"),
    re.compile(r"\[\^[^\]]+\]:?"),  # footnotes
    re.compile(r"(?<=\])(?:\([^)\s]*(?: \"[^\"\n]*\")?\)|\[[^\]\n]*\])"),  # where links lead
    re.compile(r"\{[:#.][^}\n]*\}|\{ [^}\n]*\}"),  # ids, classes
    re.compile(r"</?[A-Za-z][^>]*>"),
    re.compile(r"(?<! )\*+|\*+(?! )|~~|!?\[|\]|\\(?=[^\w\s])"),
]
MARKS = re.compile(
    r'^ *(?:(?:!!!|\?{3}\+?|===) ?[\w -]*"|(?:#{1,6}|[-*+>]|\d+[.)]|:) +|\*\[[^\]]*\]: *)*',
    re.MULTILINE,
)
"""What begins a line and is no text."""
ENDS = re.compile(r" *$|\|", re.MULTILINE)
TITLE = re.compile(r'^(?P<head> *(?:!!!|\?{3}\+?|===).*)"(?P<rest> *)$', re.MULTILINE)
FIELD = re.compile(r'^(?:description|title): *["\']?(?P<text>.*?)["\']? *$', re.MULTILINE)
OPTION = re.compile(r'\b(?:alt|title)="(?P<text>[^"]*)"')
COMMENT = re.compile(r"^ *# (?P<tag>zh[\w-]*): (?P<text>.*)$", re.MULTILINE)
CALL = re.compile(rf"(?<=[A-Za-z0-9_])\([^()\s{HAN}]*\)")
"""The parentheses of `backward()` where it stands in a text as it is."""
RUN_IN = re.compile(rf"(?<=[{CLOSING}])\*\* ")
"""The end of a heading that the text goes on behind: it is set off by a space."""
WORDS = [
    pages.CODE_SPAN,
    re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL),
    re.compile(r"<https?:[^>\s]*>"),
    CALL,
]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        start: where, in the text.
        problem: what.
        found: the words around it.
        right: what is right.
    """

    start: int
    problem: str
    found: str
    right: str


def faults(markdown: str) -> list[Fault]:
    """What is wrong with a page, or a piece of one, with this Markdown."""
    marked = _marked(markdown)
    places = [n for n, char in enumerate(marked) if char != GONE]
    seen = "".join(marked[n] for n in places)
    found = []
    for pattern, problem, right in COMPILED:
        for match in pattern.finditer(seen):
            first = max(match.start() - AROUND, seen.rfind(EDGE, 0, match.start()) + 1)
            last = min(match.end() + AROUND, (seen + EDGE).find(EDGE, match.end())) - 1
            context = " ".join(markdown[places[first] : places[last] + 1].split())
            found.append(Fault(places[match.start()], problem, context, right))
    return sorted([*found, *_mixed(markdown, marked)], key=lambda fault: fault.start)


def _mixed(markdown: str, marked: str) -> Iterator[Fault]:
    """The quotation marks of the kind that is rarer in a text that has both."""
    kinds = sorted(("“", "「"), key=marked.count)
    if marked.count(kinds[0]):
        for place in (n for n, char in enumerate(marked) if char == kinds[0]):
            found = markdown[place : place + 8]
            yield Fault(place, "two kinds of quotation marks on one page", found, kinds[1])


def _marked(markdown: str) -> str:
    """The text, character for character, with what is no text marked as such."""
    text = _fill(pages.COMMENT, markdown, GONE, EDGE)
    for pattern in WORDS:
        text = _fill(pattern, text, GONE, WORD)
    text = TITLE.sub(rf"\g<head>{EDGE}\g<rest>", text)
    text = _fill(MARKS, text, EDGE, EDGE)
    text = _fill(RUN_IN, text, EDGE, EDGE)
    for pattern in HIDDEN:
        text = _fill(pattern, text, GONE, GONE)
    text = _fill(ENDS, text, EDGE, EDGE)
    return text.replace("\n", EDGE)


def _fill(pattern: re.Pattern[str], text: str, rest: str, first: str) -> str:
    return pattern.sub(lambda m: first + rest * (len(m[0]) - 1) if m[0] else "", text)


def texts(page: str) -> Iterator[tuple[int, str]]:
    """The texts of a page, each with the place where it begins."""
    front = pages.FRONT_MATTER.match(page)
    start = front.end() if front else 0
    for field in FIELD.finditer(page, 0, start):
        yield field.start("text"), field["text"]
    # Lines keep their lengths, so that every place in them stays where it is.
    lines = (re.sub(r"[^\n]", " ", page[:start]) + page[start:]).split("\n")
    for fence in fences([line.expandtabs(4) for line in lines]):
        place = sum(len(line) + 1 for line in lines[: fence.start])
        for option in OPTION.finditer(lines[fence.start]):
            yield place + option.start("text"), option["text"]
        for n in range(fence.start, fence.end):
            lines[n] = " " * len(lines[n])
    yield 0, "\n".join(lines)


def comments(snippet: str) -> Iterator[tuple[int, str]]:
    """The Chinese comments of a snippet, each with the place where it begins."""
    for comment in COMMENT.finditer(snippet):
        yield comment.start("text"), comment["text"]


def check(settings: Settings) -> list[LivecellError]:
    """What is wrong with the Chinese of pages, labs, comments in snippets, and lists in YAML.

    A file that cannot be read is left to `livecell.check`, which says why.
    """
    told: list[LivecellError] = []
    chinese = [n for n, tag in enumerate(settings.languages) if tag.partition("-")[0] == "zh"]
    for number in chinese:
        tag = settings.languages[number]
        for page in sorted(settings.folders[tag].rglob("*.md")):
            with suppress(LivecellError):
                told += _told(page, pages.text_of(page), texts)
        for name in sources.names(settings):
            source = sources.find(settings, name)
            file = source.files[number]
            with suppress(LivecellError):
                if source.is_list:
                    told += _listed(file, tag)
                elif labfile.is_lab(name):
                    told += _told(file, source.markdown(number, pages.text_of(file)), texts)
    for stem in settings.stems() if chinese else ():
        with suppress(LivecellError):
            file = settings.snippet(stem)
            told += _told(file, pages.text_of(file), comments)
    return told


def _told(
    file: Path, text: str, pieces: Callable[[str], Iterator[tuple[int, str]]]
) -> Iterator[LivecellError]:
    """The faults in pieces of a text that has the lines of the file."""
    for start, piece in pieces(text):
        for fault in faults(piece):
            line = text.count("\n", 0, start + fault.start) + 1
            yield LivecellError(fault.problem, file, line, found=fault.found, expected=fault.right)


def _listed(file: Path, language: str) -> Iterator[LivecellError]:
    """The faults in the texts of a list."""
    for _, fields in listfile.said(listfile.compose(pages.text_of(file)), [language]):
        for text in (text for field in fields.values() for text in field[language]):
            for fault in faults(listfile.unfolded(text)):
                line = listfile.line_of(text)
                yield LivecellError(
                    fault.problem, file, line, found=fault.found, expected=fault.right
                )
