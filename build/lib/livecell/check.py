"""Holds snippets and pages, and the pages of all languages, to each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from livecell import cells, pages
from livecell.errors import LivecellError, nearest
from livecell.pages import Block
from livecell.results import Result
from livecell.settings import Settings

PAIRED = ("cell", "heading", "box", "image")
"""Kinds of blocks that the pages of all languages must have in the same order."""

Lines = dict[str, int]
"""Line numbers in a snippet file, by cell name."""


def site(settings: Settings, result: Callable[[str], Result]) -> list[LivecellError]:
    """The errors of all pages and snippets, given the results of all snippets."""
    return _check(settings, lambda stem: {cell.name: cell.line for cell in result(stem).cells})


def static(settings: Settings) -> list[LivecellError]:
    """The errors of all pages and snippets that show without running anything."""

    def lines(stem: str) -> Lines:
        parsed = cells.read(settings.snippet(stem), settings.languages)
        return {cell.name: cell.line for cell in parsed}

    return _check(settings, lines)


def _check(settings: Settings, lines_of: Callable[[str], Lines]) -> list[LivecellError]:
    errors: list[LivecellError] = []
    known: dict[str, Lines] = {}
    failed: set[str] = set()
    for stem in settings.stems():
        try:
            known[stem] = lines_of(stem)
        except LivecellError as error:
            errors.append(error)
            failed.add(stem)
    shown: set[str] = set()
    for folder in folders(settings):
        for page in sorted(folder.rglob("*.md")):
            blocks = pages.read(page)
            shown |= {block.key for block in blocks if block.kind == "cell"}
            errors += _unknown(page, blocks, known, failed)
    errors += _unused(settings, known, shown)
    return errors + _twins(folders(settings))


def folders(settings: Settings) -> list[Path]:
    """One folder of pages per language; the default language's first."""
    if not settings.languages:
        return [settings.docs]
    return [settings.docs / language for language in settings.languages]


def _unknown(
    page: Path, blocks: list[Block], known: dict[str, Lines], failed: set[str]
) -> list[LivecellError]:
    errors = []
    for block in blocks:
        if block.kind not in ("cell", "value"):
            continue
        stem, name = pages.split_reference(block.key)
        if stem in failed:
            continue
        if stem not in known:
            todo = nearest(stem, list(known))
            errors.append(LivecellError(f"there is no snippet {stem!r}", page, block.line, todo=todo))
        elif name not in known[stem]:
            problem = f"the snippet {stem!r} has no cell {name!r}"
            todo = nearest(name, list(known[stem]))
            errors.append(LivecellError(problem, page, block.line, todo=todo))
    return errors


def _unused(settings: Settings, known: dict[str, Lines], shown: set[str]) -> list[LivecellError]:
    return [
        LivecellError(
            "no page shows this cell",
            settings.snippet(stem),
            line,
            name,
            todo=f'show it with cell="{stem}:{name}", or delete it',
        )
        for stem, lines in known.items()
        for name, line in lines.items()
        if f"{stem}:{name}" not in shown
    ]


def _twins(languages: list[Path]) -> list[LivecellError]:
    errors = []
    first = languages[0]
    for other in languages[1:]:
        names = [{p.relative_to(f).as_posix() for p in f.rglob("*.md")} for f in (first, other)]
        for name in sorted(names[0] ^ names[1]):
            have, lack = (first, other) if name in names[0] else (other, first)
            errors.append(
                LivecellError(
                    "the page has no twin",
                    have / name,
                    expected=f"a page {lack / name}",
                    todo="write it, or delete this one",
                )
            )
        for name in sorted(names[0] & names[1]):
            errors += _pair(first / name, other / name)
    return errors


def _pair(one: Path, two: Path) -> list[LivecellError]:
    """The first difference of two twin pages; what follows it is mostly its echo."""
    blocks = [[b for b in pages.read(path) if b.kind in PAIRED] for path in (one, two)]
    for left, right in zip_longest(*blocks):
        if left and right and (left.kind, left.key) == (right.kind, right.key):
            continue
        here = f"{left.kind} {left.key} at {one.parent.name}:{left.line}" if left else "nothing more"
        there = f"{right.kind} {right.key}" if right else "nothing more"
        line = right.line if right else None
        return [
            LivecellError(
                "the page differs in structure from its twin",
                two,
                line,
                found=there,
                expected=f"{here} ({one.name})",
                todo="give both pages the same cells, headings (with the same ids) and boxes",
            )
        ]
    return []
