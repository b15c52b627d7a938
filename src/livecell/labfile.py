"""A lab: a snippet file that is its own page.

Prose stands in cells of its own, `# %% [markdown] lang="zh"` and, next to it, `lang="en"`. Taken
apart by language, such a file is a page like any other: the prose, and between it the cells.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from livecell import pages as markdown
from livecell.cells import HEADER, syntax_tree
from livecell.comments import select
from livecell.errors import LivecellError
from livecell.superfences import fences
from livecell.words import word

FOLDER = "labs"
"""The folder, in that of the snippets, whose files are labs."""
PROSE = re.compile(r"# ?%% \[(?:markdown|md)\](?P<options>.*)")
LANGUAGE = re.compile(r'\s*lang="(?P<language>[\w-]+)"\s*')
GAP = re.compile(r"(?P<indent> *)# (?P<what>solution:|end) *")
ALT = re.compile(r"^<!-- alt: *(?P<text>.*?) *-->$\n?", re.MULTILINE | re.DOTALL)
"""What the figures of the cell above show, in words."""


class Code(Protocol):
    """What is needed of a code cell; `livecell.cells` and `livecell.results` both have it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def source(self) -> str:
        """Its code."""

    @property
    def line(self) -> int:
        """Line number of the first line of its code."""


@dataclass(frozen=True)
class Prose:
    """A cell of prose.

    Attributes:
        language: its language.
        line: line number of its header.
        lines: its Markdown, by line number.
    """

    language: str
    line: int
    lines: dict[int, str]


def is_lab(stem: str) -> bool:
    """Whether the snippet called `stem` is a lab."""
    return stem.startswith(f"{FOLDER}/")


def pages(
    text: str, path: Path, stem: str, code: Iterable[Code], languages: tuple[str, ...]
) -> dict[str, str]:
    """The lab as Markdown pages, by language, every line where the file has it.

    Args:
        text: the text of the file.
        path: the file, for errors.
        stem: the name of the snippet.
        code: its code cells.
        languages: every language of the site.

    Raises:
        LivecellError: a cell of prose has no language or no twin, or holds code; a gap does not
            end, or the program cannot be read while it is open.
    """
    code = list(code)
    try:
        prose = _prose(text.split("\n"), languages)
        for cell in code:
            _check(cell, languages)
    except LivecellError as error:
        raise replace(error, file=path) from None
    found = {
        language: _page(
            text.count("\n") + 1, stem, code, [p for p in prose if not _other(p, language)]
        )
        for language in languages or ("en",)
    }
    return _with_ids(found)


def _other(prose: Prose, language: str) -> bool:
    return prose.language not in ("", language)


def _page(length: int, stem: str, code: list[Code], prose: list[Prose]) -> str:
    lines = [""] * length
    for part in prose:
        for number, line in part.lines.items():
            lines[number - 1] = line
    for cell in code:
        lines[cell.line - 2] = f'```python exec="on" cell="{stem}:{cell.name}"'
        lines[cell.line - 1] = "```"
    return "\n".join(lines)


def _prose(lines: list[str], languages: tuple[str, ...]) -> list[Prose]:
    """The cells of prose, each with its twins beside it."""
    groups: list[list[Prose]] = [[]]
    current: Prose | None = None
    for number, line in enumerate(lines, start=1):
        if header := PROSE.fullmatch(line.rstrip()):
            current = Prose(_language(header, number, languages), number, {})
            groups[-1].append(current)
        elif HEADER.match(line):
            current = None
            groups.append([])
        elif current is not None and line.strip():
            if not line.startswith("#"):
                raise LivecellError(
                    "there is code in a cell of prose",
                    line=number,
                    found=line.strip(),
                    expected="comment lines: `# Markdown`",
                    todo="begin a cell, `# %% name`, above the code",
                )
            current.lines[number] = line.removeprefix("#").removeprefix(" ").rstrip()
    for group in groups:
        _check_twins(group, languages)
    found = [prose for group in groups for prose in group]
    if not found or not any(line.startswith("# ") for line in found[0].lines.values()):
        raise LivecellError(
            "the lab has no title",
            line=found[0].line if found else 1,
            expected="a first cell of prose in each language, with a line `# # Title`",
        )
    return found


def _language(header: re.Match[str], number: int, languages: tuple[str, ...]) -> str:
    options = header["options"]
    if not languages and not options.strip():
        return ""
    match = LANGUAGE.fullmatch(options)
    if match is None or match["language"] not in languages:
        raise LivecellError(
            "the cell of prose does not say its language",
            line=number,
            found=header[0],
            expected=" or ".join(f'# %% [markdown] lang="{tag}"' for tag in languages),
        )
    return match["language"]


def _check_twins(group: list[Prose], languages: tuple[str, ...]) -> None:
    for prose in group:
        if not any(map(str.strip, prose.lines.values())):
            raise LivecellError("the cell of prose is empty", line=prose.line)
    for start in range(0, len(group), max(len(languages), 1)):
        twins = group[start : start + max(len(languages), 1)]
        tags = [prose.language for prose in twins]
        if languages and sorted(tags) != sorted(languages):
            lacks = [tag for tag in languages if tag not in tags]
            raise LivecellError(
                "a cell of prose has no twin in the other language",
                line=twins[0].line,
                found=" then ".join(f'lang="{tag}"' for tag in tags),
                expected=" then ".join(f'lang="{tag}"' for tag in languages),
                todo="write the same cell below it, with lang="
                + " and ".join(f'"{t}"' for t in lacks),
            )


def _with_ids(found: dict[str, str]) -> dict[str, str]:
    """The pages with an id for every heading that has none, the same in every language."""
    pages = {language: text.split("\n") for language, text in found.items()}
    headings = [
        [block for block in markdown.parse(text) if block.kind == "heading"]
        for text in found.values()
    ]
    used: set[str] = set()
    for twins in zip(*headings, strict=False):  # if their number differs, a check will say so
        if any(" " in block.key or block.key == "#" for block in twins):
            continue
        titles = [lines[block.line - 1] for block, lines in zip(twins, pages.values(), strict=True)]
        slug = max((re.sub(r"[^a-z0-9]+", "-", t.lower()).strip("-") for t in titles), key=len)
        name = next(n for n in _numbered(slug or "part") if n not in used)
        used.add(name)
        for block, lines in zip(twins, pages.values(), strict=True):
            lines[block.line - 1] += f" {{#{name}}}"
    return {language: "\n".join(lines) for language, lines in pages.items()}


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def alts(page: str) -> dict[str, str]:
    """The alt texts on a page of a lab: by the name of the cell that they stand below."""
    found: dict[str, str] = {}
    lines = page.split("\n")
    shown = [fence for fence in fences(list(lines)) if fence.shows_cell]
    for fence, after in zip(shown, [*shown[1:], None], strict=True):
        below = "\n".join(lines[fence.end : after.start if after else None])
        if match := ALT.search(below):
            found[fence.options["cell"].rpartition(":")[2]] = match["text"]
    return found


# ------------------------------------------------------------------ what a code cell may hold
def _check(cell: Code, languages: tuple[str, ...]) -> None:
    """Hold the gaps of a code cell to their form."""

    def wrong(problem: str, number: int, **fields: str) -> LivecellError:
        return LivecellError(problem, line=cell.line + number, cell=cell.name, **fields)

    lines = cell.source.split("\n")
    start: int | None = None
    for number, line in enumerate(lines):
        mark = GAP.fullmatch(line)
        if mark is None:
            if start is not None and line.strip() and not line.startswith(_indent(lines[start])):
                raise wrong(
                    "a line of the solution is indented less than the gap",
                    number,
                    found=line.strip(),
                    todo="put `# end` above it",
                )
        elif mark["what"] == "end" and start is None:
            raise wrong("there is no gap that this line could end", number, found=line.strip())
        elif mark["what"] == "end" and start is not None:
            if _indent(line) != _indent(lines[start]):
                raise wrong(
                    "the gap ends at another indent than it begins at",
                    number,
                    expected=f"{len(_indent(lines[start]))} spaces, as in line {cell.line + start}",
                )
            if not any(map(str.strip, lines[start + 1 : number])):
                raise wrong("the gap holds no solution", start)
            start = None
        elif start is not None:
            raise _endless(wrong, start)
        else:
            start = number
    if start is not None:
        raise _endless(wrong, start)
    if has_gap(cell.source):
        _check_open(cell, languages)


def _endless(wrong: object, start: int) -> LivecellError:
    assert callable(wrong)
    error: LivecellError = wrong(
        "the gap does not end",
        start,
        found="# solution:",
        expected="a line `# end` at the same indent in the same cell",
    )
    return error


def _check_open(cell: Code, languages: tuple[str, ...]) -> None:
    for language in languages or ("en",):
        source = shown(select(cell.source, language, languages), language, solved=False)
        try:
            syntax_tree(source)
        except SyntaxError as error:
            raise LivecellError(
                f"with its gap open, the cell is not Python: {error.msg}",
                line=cell.line,
                cell=cell.name,
                found=(error.text or "").strip() or None,
                todo="let the gap hold whole statements",
            ) from None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))]


def has_gap(source: str) -> bool:
    """Whether the cell leaves something to the reader."""
    return any(GAP.fullmatch(line) for line in source.split("\n"))


def shown(source: str, language: str, *, solved: bool) -> str:
    """The code of a cell, in one language already, without the marks of its gaps.

    Args:
        source: the code.
        language: the reader's language.
        solved: whether to show the solution rather than the gap.
    """
    return "\n".join(_lines(source.split("\n"), language, solved)).strip("\n")


def _lines(lines: list[str], language: str, solved: bool) -> Iterator[str]:
    is_inside = False
    for line in lines:
        mark = GAP.fullmatch(line)
        if mark is not None:
            is_inside = mark["what"] != "end"
            if is_inside and not solved:
                yield f"{mark['indent']}...  # {word('gap', language)}"
        elif solved or not is_inside:
            yield line
